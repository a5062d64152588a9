"""Records as Debezium writes them, built by hand; and the one mapped table that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fieldwarden.connectors.debezium.decoding.changes import Decoder, Note
from fieldwarden.connectors.debezium.kafka.record import KeptRecord
from fieldwarden.engine.change import RawChange
from fieldwarden.rules.rulebook import FieldMap, Stream, System
from tests.builders import debezium

TOPIC = "crm.public.account"
SOURCE = {"connector": "postgresql", "ts_ms": 1700000000123, "ts_us": 1700000000123456, "txId": 77, "snapshot": "false"}
INT = {"type": "int32"}
TEXT = {"type": "string"}
ID = {"id": INT}


def stream(*columns: str, name: str = "public.account", key: Sequence[str] = ("id",)) -> Stream:
    return Stream("crm", name, "customer", tuple(key), {column: FieldMap(column, column) for column in columns})


def decoder(*streams: Stream, types: Mapping[str, str] | None = None, **settings: Any) -> Decoder:
    """Of a system with these streams; of `public.account` with the columns id and v if none are given."""
    mapped = streams or (stream("id", "v"),)
    system = System("crm", 0, debezium(**settings), {each.name: each for each in mapped})
    declared = {each.name: types or {} for each in mapped}
    return Decoder(system, schema_of=lambda _: None, types=declared)


def struct(columns: Mapping[str, Any]) -> dict[str, Any]:
    fields = [{"optional": True, **schema, "field": column} for column, schema in columns.items()]
    return {"type": "struct", "fields": fields, "optional": True, "name": ""}


def wrapped(schema: Any, payload: Any) -> bytes:
    """As JsonConverter writes it: no spaces, the schema first."""
    return json.dumps({"schema": schema, "payload": payload}, separators=(",", ":"), ensure_ascii=False).encode()


def envelope(columns: Mapping[str, Any]) -> dict[str, Any]:
    row = struct(columns)
    source = {"type": "struct", "fields": [], "field": "source"}
    fields = [{**row, "field": "before"}, {**row, "field": "after"}, source, {"type": "string", "field": "op"}]
    return {"type": "struct", "fields": fields, "name": "crm.public.account.Envelope"}


def payload(op: str, before: Any, after: Any, **source: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {**SOURCE, **source}, "op": op, "ts_ms": 1700000000999}


def key(**columns: Any) -> bytes:
    return wrapped(struct({name: INT if isinstance(v, int) else TEXT for name, v in columns.items()}), columns)


def value(op: str, columns: Mapping[str, Any], before: Any, after: Any, **source: Any) -> bytes:
    return wrapped(envelope(columns), payload(op, before, after, **source))


def record(
    record_key: bytes | None,
    record_value: bytes | None,
    headers: Sequence[tuple[str, bytes]] = (),
    *,
    topic: str = TOPIC,
    offset: int = 41,
    timestamp: int = 1700000000500,
) -> KeptRecord:
    """In partition 3 of its topic."""
    return KeptRecord(topic, 3, offset, timestamp, record_key, record_value, headers)


def decoded(
    made: Decoder,
    record_value: bytes | None,
    record_key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    topic: str = TOPIC,
) -> RawChange | Note | None:
    record_key = key(id=1) if record_key is None else record_key
    return made.decode(record(record_key, record_value, headers, topic=topic), "0001.29")


def change(made: Decoder, record_value: bytes, record_key: bytes | None = None, **more: Any) -> RawChange:
    said = decoded(made, record_value, record_key, **more)
    assert isinstance(said, RawChange)
    return said


def one(schema: Mapping[str, Any], held: Any, **settings: Any) -> tuple[str, Any]:
    """(portable type, text) of one value of a column `v` with this schema."""
    said = change(decoder(types=None, **settings), value("c", {**ID, "v": schema}, None, {"id": 1, "v": held}))
    assert said.undecoded is None, said.undecoded
    return said.relation.types[1], said.values[1]
