"""Whatever is wrong with a record's bytes, the answer is a change that says so."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldwarden.connectors.debezium.decoding.changes import Decoder, SchemaNeeded
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.rules.rulebook import System
from tests.builders import debezium
from tests.unit.debezium.records import record, stream
from tests.unit.debezium.test_recorded import golden, octets

VARIANTS = ("safe", "precise", "schemaless", "avro_precise")
INSERTS = (b'"', b"}", b"[" * 5_000, b"9" * 5_000, b"\0", b"null")
COLUMNS = ("id", "i8", "n", "n2", "t", "blob", "d", "ts", "tstz", "tm", "j", "ta", "da", "f4", "p", "required")


def records(variant: str) -> list[dict[str, Any]]:
    return [each for each in golden()["records"][variant] if each["topic"].endswith(".types")]


def made(variant: str) -> Decoder:
    mapped = {"public.types": stream(*COLUMNS, name="public.types")}
    system = System("crm", 0, debezium(prefix=golden()["prefixes"][variant]), mapped)
    types = {"public.types": {"n": "numeric", "d": "date", "ts": "timestamp", "f4": "float"}}
    return Decoder(system, schema_of=lambda number: golden()["avro"].get(str(number)), types=types)


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes cut short, with some of them changed, or with something put in their midst."""
    kind = draw(st.sampled_from(("cut", "flip", "insert", "drop")))
    place = draw(st.integers(0, max(0, len(data) - 1)))
    if kind == "cut":
        return data[:place]
    if kind == "drop":
        return data[:place] + data[place + draw(st.integers(1, 50)) :]
    if kind == "insert":
        return data[:place] + draw(st.sampled_from(INSERTS)) + data[place:]
    spoilt = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        spoilt[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(spoilt)


@settings(max_examples=400)
@given(st.data())
def test_a_spoiled_record_is_a_change_that_was_read_or_says_why_not(data: st.DataObject) -> None:
    variant = data.draw(st.sampled_from(VARIANTS))
    decoder = made(variant)
    drawn = data.draw(st.sampled_from(records(variant)))
    topic, key, value = drawn["topic"], octets(drawn["key"]) or b"", octets(drawn["value"]) or b""
    if data.draw(st.booleans()):
        decoder.decode(record(key, value, topic=topic), "p")  # its schema is known from here on
    if data.draw(st.booleans()):
        value = data.draw(spoiled(value))
    else:
        key = data.draw(spoiled(key))
    try:
        said = decoder.decode(record(key, value, topic=topic), "p")
    except (SchemaNeeded, SchemaDrift):
        return  # it names another schema, or describes a table of another shape
    if said is None:
        return  # its `op` became m
    assert isinstance(said, RawChange)
    assert all(value is None or isinstance(value, str) or repr(value) == "UNKNOWN" for value in said.values)
    if said.undecoded is not None:
        assert (said.undecoded.key, said.undecoded.value) == (key, value)
        assert said.undecoded.reason


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from(COLUMNS),
)
def test_any_value_in_any_column_is_text_or_refused(value: Any, column: str) -> None:
    """With and without a schema beside it."""
    recorded = json.loads(octets(records("safe")[0]["value"]) or b"")
    recorded["payload"]["after"][column] = value
    topic = records("safe")[0]["topic"]
    key = octets(records("safe")[0]["key"])
    for whole, record_key in ((recorded, key), (recorded["payload"], b'{"id":1}')):
        said = made("safe").decode(record(record_key, json.dumps(whole).encode(), topic=topic), "p")
        assert isinstance(said, RawChange)
        assert all(each is None or isinstance(each, str) or repr(each) == "UNKNOWN" for each in said.values)
