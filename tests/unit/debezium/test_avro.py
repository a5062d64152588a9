"""Avro's framings, and what a registry may answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import pytest

from fieldwarden.connectors.debezium.decoding.changes import Decoder, SchemaNeeded
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.rules.rulebook import System
from tests.builders import debezium
from tests.unit.debezium.records import record, stream

DECIMAL = {"type": "bytes", "scale": 2, "precision": 9, "logicalType": "decimal", "connect.parameters": {"scale": "2"}}
ROW = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "v", "type": ["null", {**DECIMAL, "connect.name": "org.apache.kafka.connect.data.Decimal"}]},
    ],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "crm.public.account",
    "fields": [
        {"name": "before", "type": ["null", ROW]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "txId", "type": "long"}]}},
        {"name": "op", "type": "string"},
    ],
}
KEY = {"type": "record", "name": "Key", "namespace": "crm.public.account", "fields": [{"name": "id", "type": "int"}]}
SCHEMAS = {7: json.dumps(ENVELOPE), 8: json.dumps(KEY)}
CHANGE = {"before": None, "after": {"id": 1, "v": b"\xd8\xfa"}, "source": {"txId": 77}, "op": "u"}


def encoded(schema: Any, value: Any) -> bytes:
    stream_ = io.BytesIO()
    bare = json.loads(json.dumps(schema).replace('"logicalType": "decimal", ', ""))
    fastavro.schemaless_writer(stream_, fastavro.parse_schema(bare), value)
    return stream_.getvalue()


def framed(number: int, schema: Any, value: Any) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + encoded(schema, value)


def decoder(schema_of: Callable[[int], str | None] = SCHEMAS.get) -> Decoder:
    system = System("crm", 0, debezium(), {"public.account": stream("id", "v")})
    return Decoder(system, schema_of=schema_of)


def decoded(made: Decoder, key: bytes, value: bytes, headers: Any = ()) -> RawChange:
    said = made.decode(record(key, value, headers), "p")
    assert isinstance(said, RawChange)
    return said


def test_confluents_framing() -> None:
    said = decoded(decoder(), framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE))
    assert (said.relation.types, said.values) == (("integer", "numeric"), ("1", "-99.90"))
    assert said.transaction == "77"


def test_a_decimal_is_refused_where_neither_avro_nor_connect_says_its_scale() -> None:
    unscaled = {name: value for name, value in DECIMAL.items() if name not in ("scale", "connect.parameters")}
    text = json.dumps(ENVELOPE).replace(json.dumps(DECIMAL)[1:-1], json.dumps(unscaled)[1:-1])
    assert "scale" not in text
    with pytest.raises(SchemaDrift, match=r"decimal\.handling\.mode=string"):
        decoded(decoder({7: text, 8: SCHEMAS[8]}.get), framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE))


def test_a_decimals_scale_may_be_told_by_avro_alone() -> None:
    text = json.dumps(ENVELOPE).replace(', "connect.parameters": {"scale": "2"}', "")
    assert "connect.parameters" not in text
    said = decoded(decoder({7: text, 8: SCHEMAS[8]}.get), framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE))
    assert said.values == ("1", "-99.90")


def test_apicurios_ids_in_headers() -> None:
    headers = [("apicurio.value.globalId", (7).to_bytes(8)), ("apicurio.key.contentId", (8).to_bytes(8))]
    assert decoded(decoder(), encoded(KEY, {"id": 1}), encoded(ENVELOPE, CHANGE), headers).values == ("1", "-99.90")


def test_a_topic_may_change_its_converter_in_its_midst() -> None:
    made = decoder()
    decoded(made, framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE))
    plain = json.dumps({"after": {"id": 2, "v": "1.50"}, "op": "c", "source": {}}).encode()
    assert decoded(made, b'{"id":2}', plain).values == ("2", "1.50")


def test_a_delete_takes_its_key_from_the_avro_key() -> None:
    gone = {**CHANGE, "after": None, "op": "d"}
    assert decoded(decoder(), framed(8, KEY, {"id": 3}), framed(7, ENVELOPE, gone)).values == ("3", UNKNOWN)


@pytest.mark.parametrize("missing", [7, 8])
def test_a_schema_that_has_not_been_fetched_is_asked_for(missing: int) -> None:
    known = dict(SCHEMAS)
    text = known.pop(missing)
    made = decoder(known.get)
    key, value = framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE)
    with pytest.raises(SchemaNeeded) as caught:
        decoded(made, key, value)
    assert caught.value.id == missing
    known[missing] = text
    assert decoded(made, key, value).undecoded is None


def test_a_record_refused_for_an_unknown_schema_still_has_its_key() -> None:
    made = decoder({8: SCHEMAS[8]}.get)
    said = made.refuse(record(framed(8, KEY, {"id": 1}), framed(9, ENVELOPE, CHANGE)), "p", "no schema 9")
    assert said is not None
    assert said.values == ("1",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not json", "not Avro"),
        ('{"type":"object"}', "none that can be read"),
        ('{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}', "ExtractNewRecordState"),
        ('syntax = "proto3";', "not Avro"),
    ],
)
def test_a_schema_that_is_no_envelope_in_avro(text: str, reason: str) -> None:
    value = framed(9, KEY, {"id": 1})
    said = decoded(decoder({9: text, 8: SCHEMAS[8]}.get), framed(8, KEY, {"id": 1}), value)
    assert said.undecoded is not None
    assert reason in said.undecoded.reason


def test_a_value_that_is_longer_or_shorter_than_its_schema_says() -> None:
    key, value = framed(8, KEY, {"id": 1}), framed(7, ENVELOPE, CHANGE)
    for spoilt in (value + b"\0", value[:-1], value[:7]):
        said = decoded(decoder(), key, spoilt)
        assert said.undecoded is not None
        assert "Avro schema" in said.undecoded.reason
