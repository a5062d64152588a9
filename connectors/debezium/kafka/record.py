"""One Kafka record as far as it is read: fetched by the client, or kept by a dead letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fieldwarden.connectors.debezium.kafka.parts import partition_name

Headers = Sequence[tuple[str, bytes]]


class Record(Protocol):
    """The part of `aiokafka.ConsumerRecord` that is read. `timestamp` is in ms since 1970 UTC; -1: none."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class KeptRecord(NamedTuple):
    """A `Record` put together again from what a dead letter kept of it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def place(record: Record) -> str:
    """Where it stands in Kafka, for people: <topic>/<partition>@<offset>."""
    return f"{partition_name(record.topic, record.partition)}@{record.offset}"
