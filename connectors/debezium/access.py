"""How Kafka, Kafka Connect and the schema registry are reached: the project's `kafka:` with its secrets in place."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.debezium.brokers import Brokers


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks HTTP. `servers` (Connect only): the brokers as it reaches them."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    servers: str | None = None


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """`rules.connections.Kafka` with references followed and paths made absolute. To be kept no longer than needed."""

    brokers: Brokers
    group: str
    connect: Endpoint | None = None
    registry: Endpoint | None = None
