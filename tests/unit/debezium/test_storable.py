"""A NUL character, which JSON, Avro and MySQL allow and PostgreSQL does not: it makes a dead letter, never a stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldwarden.connectors.debezium.decoding.storable import shown
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.deciding import kept_changes as setaside
from fieldwarden.engine.deciding.mapping import undecoded_row
from tests.unit.debezium import test_avro
from tests.unit.debezium.records import ID, TEXT, change, decoded, decoder, key, payload, stream, struct, value, wrapped

NUL = "\0"
TEXTS: dict[str, Any] = {"id": TEXT, "v": TEXT}
HSTORE = {"type": "string", "name": "io.debezium.data.Json", "parameters": {"__debezium.source.column.type": "HSTORE"}}


def poison(said: RawChange, reason: str) -> RawChange:
    """What is set aside for that reason, with nothing in it that could not be stored."""
    assert said.undecoded is not None, "it was read"
    assert reason in said.undecoded.reason
    assert b"\\u0000" not in setaside.pack(said)
    return said


def row(v: Any, id_: Any = 1) -> dict[str, Any]:
    return {"id": id_, "v": v}


@pytest.mark.parametrize("op", ["c", "u", "r"])
def test_in_a_value(op: str) -> None:
    data = value(op, {**ID, "v": TEXT}, None, row(f"a{NUL}b"))
    said = poison(change(decoder(), data), "column v holds a NUL character")
    assert said.undecoded is not None
    assert (said.values, said.undecoded.key, said.undecoded.value) == (("1",), key(id=1), data)


def test_in_a_value_without_a_schema() -> None:
    poison(change(decoder(), json.dumps(payload("u", None, row(NUL))).encode(), b'{"id":1}'), "column v holds")


def test_in_a_text_inside_a_value() -> None:
    """An hstore travels as JSON, in which a NUL is spelled once more; a half of a surrogate pair is no text either."""
    for inside, reason in (('{"a":"\\u0000"}', "column v holds a NUL"), ('{"a":"\\ud800"}', "column v does not hold")):
        poison(change(decoder(), value("c", {**ID, "v": HSTORE}, None, row(inside))), reason)


def test_in_an_avro_value() -> None:
    text = {
        "type": "record",
        "name": "Value",
        "fields": [{"name": "id", "type": "int"}, {"name": "v", "type": "string"}],
    }
    envelope = json.loads(json.dumps(test_avro.ENVELOPE))
    envelope["fields"][0]["type"][1] = text
    schemas = {7: json.dumps(envelope), 8: test_avro.SCHEMAS[8]}
    event = {"before": None, "source": {"txId": 77}, "op": "u"}
    keyed, made = test_avro.framed(8, test_avro.KEY, {"id": 1}), test_avro.decoder(schemas.get)
    said = test_avro.decoded(made, keyed, test_avro.framed(7, envelope, {**event, "after": row(NUL)}))
    assert poison(said, "column v holds a NUL character").values == ("1",)
    fine = test_avro.decoded(made, keyed, test_avro.framed(7, envelope, {**event, "after": row("\\u0000")}))
    assert fine.values == ("1", "\\u0000")


@pytest.mark.parametrize("op", ["c", "d"])
@pytest.mark.parametrize("after", ["a", NUL])
def test_in_a_key_the_row_has_a_name_that_its_bytes_make(op: str, after: str) -> None:
    record_key = key(id=NUL)
    event = value(op, TEXTS, None, None if op == "d" else row("a", after))
    said = poison(change(decoder(), event, record_key), "NUL character")
    assert said.values == (UNKNOWN,)
    name = undecoded_row(stream("id", "v"), said)
    assert name == undecoded_row(stream("id", "v"), change(decoder(), value("d", TEXTS, None, None), record_key))
    assert NUL not in name.key


def test_in_one_column_of_a_key_of_many() -> None:
    made = decoder(stream("id", "v", key=("id", "v")))
    said = poison(change(made, value("d", TEXTS, None, None), key(id="a", v=NUL)), "column of its key holds a NUL")
    assert said.values == (UNKNOWN, UNKNOWN)


def test_in_a_key_that_has_the_schema_of_the_last_one() -> None:
    made = decoder()
    change(made, value("c", TEXTS, None, row("a", "x")), key(id="x"))
    poison(change(made, value("c", TEXTS, None, row("a", "x")), key(id=NUL)), "column of its key holds a NUL")


def test_in_the_header_that_tells_of_the_new_key() -> None:
    headers = [("__debezium.newkey", key(id=NUL))]
    poison(change(decoder(), value("d", TEXTS, None, None), key(id="x"), headers=headers), "of its key holds a NUL")


def test_in_the_name_of_a_header_it_is_shown() -> None:
    said = poison(change(decoder(), b"no JSON", headers=[(f"h{NUL}", b"x")]), "not valid JSON")
    assert said.undecoded is not None
    assert said.undecoded.headers == ((shown(f"h{NUL}"), b"x"),)


def test_in_the_name_of_a_transaction() -> None:
    poison(change(decoder(), value("u", {**ID, "v": TEXT}, None, row("a"), txId=NUL)), "name of its transaction")


def test_in_the_name_of_a_key_column_it_is_no_new_shape_of_the_table() -> None:
    said = change(decoder(), value("u", {**ID, "v": TEXT}, None, row("a")), wrapped(struct({NUL: TEXT}), {NUL: "a"}))
    poison(said, "have the key \N{SYMBOL FOR NULL}")


def test_where_nothing_of_it_is_stored_the_change_is_read() -> None:
    columns = {**ID, "v": TEXT, "unmapped": TEXT}
    for after in ({**row("a"), "unmapped": NUL}, {**row("a"), "unmapped": None}):
        assert change(decoder(), value("c", columns, {"id": 1, "v": NUL}, after)).values == ("1", "a")


def test_the_six_characters_that_spell_one_are_text() -> None:
    assert change(decoder(), value("c", {**ID, "v": TEXT}, None, row("\\u0000"))).values == ("1", "\\u0000")
    inside = json.dumps({"a": NUL})
    json_column = {"type": "string", "name": "io.debezium.data.Json"}
    assert change(decoder(), value("c", {**ID, "v": json_column}, None, row(inside))).values == ("1", inside)


def test_a_tombstone_of_such_a_key_says_nothing() -> None:
    assert decoded(decoder(), None, key(id=NUL)) is None
