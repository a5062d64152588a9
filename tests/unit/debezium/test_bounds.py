"""One record on a topic, made to cost more than it weighs: it is that record's dead letter, and costs little."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from fieldwarden.connectors.debezium.decoding import changes as decoding
from fieldwarden.connectors.debezium.decoding.avro_format import Avro
from fieldwarden.connectors.debezium.decoding.changes import Decoder
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import RawChange
from fieldwarden.rules.rulebook import System
from tests.builders import debezium
from tests.unit.debezium.records import ID, change, decoder, key, record, stream, value

DECIMAL = "org.apache.kafka.connect.data.Decimal"
BITS = "io.debezium.data.Bits"


def named(name: str, **parameters: str) -> dict[str, Any]:
    return {"type": "bytes", "name": name, "parameters": parameters}


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def told(schema: Any, held: Any) -> RawChange:
    """What becomes of a row whose column `v` has this schema and value; within a tenth of a second and 64 MB."""
    data = value("c", {**ID, "v": schema}, None, {"id": 1, "v": held})
    tracemalloc.start()
    began = time.thread_time()
    try:
        said = change(decoder(), data)
        assert time.thread_time() - began < 2, "seconds of this machine, under the memory's tracing"
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    return said


NO_NUMBER = "its schema has a {} whose {} is no number"
BEYOND = "column v does not hold what its type says"


@pytest.mark.parametrize(
    ("schema", "held", "said"),
    [
        (named(BITS, length=str(10**15)), base64(b"\1"), NO_NUMBER.format("Bits", "length")),
        (named(BITS, length="9" * 5_000), base64(b"\1"), NO_NUMBER.format("Bits", "length")),
        (named(BITS, length="83886081"), base64(b"\1"), "its schema has more bits than any PostgreSQL knows"),
        (named(BITS, length="-1"), base64(b"\1"), "its schema has more bits than any PostgreSQL knows"),
        (named(BITS, length="80000000"), base64(b"\1"), BEYOND),
        (named(DECIMAL, scale="two"), base64(b"\1"), NO_NUMBER.format("Decimal", "scale")),
        (named(DECIMAL, scale="1e3"), base64(b"\1"), NO_NUMBER.format("Decimal", "scale")),
        (named(DECIMAL, scale="1000000000"), base64(b"\1"), NO_NUMBER.format("Decimal", "scale")),
        (named(DECIMAL, scale="-1000000000"), base64(b"\1"), NO_NUMBER.format("Decimal", "scale")),
        (named(DECIMAL, scale="999999999"), base64(b"\1"), "a scale beyond any that PostgreSQL knows"),
        (named(DECIMAL, scale="-16384"), base64(b"\1"), "a scale beyond any that PostgreSQL knows"),
        (named(DECIMAL, scale="2"), base64(b"\x7f" * 700_000), BEYOND),
        ({"type": "array", "items": named(DECIMAL, scale="16383")}, [base64(b"\1")] * 10_000, BEYOND),
        ({"type": "array", "items": named(BITS, length="60000")}, [""] * 10_000, BEYOND),
    ],
    ids=lambda value: str(value)[:100],
)
def test_what_no_table_can_hold_is_the_letter_of_its_record_and_costs_nothing(
    schema: Any, held: Any, said: str
) -> None:
    change = told(schema, held)
    assert change.undecoded is not None
    assert change.undecoded.reason.endswith(said)
    assert "failed" not in change.undecoded.reason, "it was foreseen, and not only caught"
    assert change.values == ("1",), "the row that waits is known by its key"
    assert change.undecoded.value is not None, "its bytes are kept, to be tried again"


def test_exponents_of_a_few_bytes_do_not_become_megabytes_of_zeros() -> None:
    texts = {"type": "string", "parameters": {"__debezium.source.column.type": "NUMERIC"}}
    assert told(texts, "1e999999").values[1] == "1e999999", "as it came: the mapping refuses it"
    array = {"type": "array", "items": {"type": "string"}, "parameters": {"__debezium.source.column.type": "_NUMERIC"}}
    assert told(array, ["1e131071"] * 1_000).undecoded is not None


def test_the_longest_number_of_postgresql_is_read_exactly() -> None:
    longest = 10 ** (131_072 + 16_383) - 1
    data = longest.to_bytes(longest.bit_length() // 8 + 1, "big", signed=True)
    said = told(named(DECIMAL, scale="16383"), base64(data))
    assert said.undecoded is None
    assert said.values[1] == "9" * 131_072 + "." + "9" * 16_383


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "array", "items": {"type": "int32"}}},
        {"type": "struct", "fields": [{"field": "a", "type": "int32"}]},
    ],
)
@pytest.mark.parametrize("deep", [100, 100_000])
def test_a_schema_of_bottomless_depth_is_the_letter_of_its_record(schema: dict[str, Any], deep: int) -> None:
    inner = json.dumps(schema, separators=(",", ":"))
    text = '{"type":"array","items":' * deep + inner + "}" * deep
    data = value("c", {**ID, "v": {"type": "string"}}, None, {"id": 1, "v": "x"})
    data = data.replace(b'{"optional":true,"type":"string","field":"v"}', f'{{"field":"v",{text[1:]}'.encode())
    said = change(decoder(), data)
    assert said.undecoded is not None


@pytest.mark.parametrize("source", [{"ts_us": 1 << 63}, {"ts_us": 10**400}, {"ts_ms": -(10**17)}, {"txId": 10**5000}])
def test_numbers_of_the_envelope_beyond_all_bounds_are_the_letter_of_their_record(source: dict[str, int]) -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        data = value("c", {**ID, "v": {"type": "string"}}, None, {"id": 1, "v": "x"}, **source)
    finally:
        sys.set_int_max_str_digits(limit)
    assert change(decoder(), data).undecoded is not None


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), OverflowError("4711"), AssertionError("4711")])
def test_whatever_a_decoder_raises_is_the_letter_of_its_record(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    data = value("c", {**ID, "v": {"type": "string"}}, None, {"id": 1, "v": "x"})
    made = decoder()
    monkeypatch.setattr(decoding, "new_values", fail)
    said = change(made, data)
    assert said.undecoded is not None
    assert type(error).__name__ in said.undecoded.reason
    assert "4711" not in said.undecoded.reason, "an error's own words may quote a value"
    monkeypatch.undo()
    assert change(made, data).undecoded is None, "and everything else goes on"


# --- Avro -------------------------------------------------------------------------------------------------------

EMPTY: dict[str, Any] = {"type": "record", "name": "E", "fields": []}


def struct(name: str, *types: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": f"f{n}", "type": each} for n, each in enumerate(types)]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def doubled() -> dict[str, Any]:
    types = [EMPTY]
    for level in range(40):
        before = types[-1]["name"]
        types.append(struct(f"R{level}", before, before))
    return struct("T", *types)


def chained() -> dict[str, Any]:
    types = [EMPTY]
    for level in range(3_000):
        types.append(struct(f"R{level}", types[-1]["name"]))
    return struct("T", *types)


def nested(deep: int) -> dict[str, Any]:
    inner: Any = "int"
    for _ in range(deep):
        inner = array(inner)
    return struct("T", inner)


@pytest.mark.parametrize(
    "schema",
    [
        struct("T", array(EMPTY)),
        struct("T", array("null")),
        struct("T", array({"type": "fixed", "name": "F", "size": 0})),
        struct("T", array(struct("B", "boolean", *["null"] * 100))),
        doubled(),
        chained(),
        nested(65),
        nested(400),
        struct("S", ["null", "S"]),
        struct("T", EMPTY, struct("x.E", ["null", "E"])),
        struct("T", struct("x.E", *["null"] * 1_000), EMPTY, struct("Q", array("E"))),
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_a_schema_by_which_a_few_bytes_become_very_much_is_refused(schema: Any) -> None:
    with pytest.raises(Unreadable):
        Avro(json.dumps(schema))


def test_what_debezium_writes_in_avro_is_let_pass() -> None:
    scaled = struct("VariableScaleDecimal", "int", "bytes")
    row = struct("Value", ["null", "long"], ["null", array(scaled)], ["null", {"type": "map", "values": "string"}])
    Avro(json.dumps(struct("Envelope", ["null", row], ["null", "Value"], "string", struct("Block", "long", "long"))))
    Avro(json.dumps(struct("Wide", *[["null", "string"]] * 1_600)))


@pytest.mark.parametrize(
    ("items", "data"),
    [
        (["null", struct("B", "boolean")], b"\0"),
        (struct("B", "boolean", "boolean"), b"\0\0"),
        (array("int"), b"\0"),
        (struct("B", *[["null", "long"]] * 8), b"\0" * 8),
    ],
)
def test_what_a_schema_lets_pass_stays_within_its_bound(items: Any, data: bytes) -> None:
    """The worst that each byte can be: 100 KB of them."""
    count = 100_000 // len(data)
    avro = Avro(json.dumps(struct("T", array(items))))
    length = bytes((count << 1 & 127 | 128, count >> 6 & 127 | 128, count >> 13))
    tracemalloc.start()
    try:
        assert len(avro.read(length + data * count + b"\0", 0)["f0"]) == count
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_an_avro_record_by_a_hostile_schema_is_a_letter() -> None:
    texts: dict[int, str] = {7: json.dumps(struct("T", array(EMPTY)))}
    schema_of: Callable[[int], str | None] = texts.get
    made = Decoder(System("crm", 0, debezium(), {"public.account": stream("id", "v")}), schema_of=schema_of)
    said = made.decode(record(key(id=1), b"\0\0\0\0\7" + b"\xff\xff\xff\xff\x0f"), "p")
    assert isinstance(said, RawChange)
    assert said.undecoded is not None
    assert said.values == ("1",)
