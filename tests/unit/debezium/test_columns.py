"""Every encoding of a column's value (Debezium's reference, "Data type mappings"), and what it comes to."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import SchemaDrift
from tests.unit.debezium.records import ID, change, decoder, one, value

MARK = "__debezium_unavailable_value"
MARK64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="


def schema(kind: str, name: str = "", told: str = "", **parameters: str) -> dict[str, Any]:
    if told:
        parameters["__debezium.source.column.type"] = told
    return {"type": kind, **({"name": name} if name else {}), **({"parameters": parameters} if parameters else {})}


def debezium(kind: str, name: str, **more: str) -> dict[str, Any]:
    return schema(kind, f"io.debezium.{name}", **more)


def connect(kind: str, name: str, **more: str) -> dict[str, Any]:
    return schema(kind, f"org.apache.kafka.connect.data.{name}", **more)


def array(items: dict[str, Any], **more: str) -> dict[str, Any]:
    return {**schema("array", **more), "items": items}


def octets(*values: int) -> str:
    return b64encode(bytes(values)).decode()


DATE, MILLIS, MICROS, NANOS = (
    debezium("int32", "time.Date"),
    debezium("int64", "time.Timestamp"),
    debezium("int64", "time.MicroTimestamp"),
    debezium("int64", "time.NanoTimestamp"),
)
ZONED = debezium("string", "time.ZonedTimestamp")
UNBOUND = {"type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "fields": []}

VALUES: list[tuple[str, dict[str, Any], Any, str, str | None]] = [
    ("null", schema("string"), None, "text", None),
    ("text", schema("string"), "Grüße 😀", "text", "Grüße 😀"),
    ("text that looks like a placeholder", schema("string"), MARK + "s", "text", MARK + "s"),
    ("int64 beyond a double", schema("int64"), 9007199254740993, "integer", "9007199254740993"),
    ("boolean", schema("boolean"), True, "boolean", "t"),
    ("float64", schema("double"), 0.1, "float", "0.1"),
    ("float64 in PostgreSQL's notation", schema("double"), 1e15, "float", "1e+15"),
    ("float64 NaN", schema("double"), "NaN", "float", "NaN"),
    ("float64 infinity", schema("double"), "-Infinity", "float", "-Infinity"),
    ("float32", schema("float"), 1.1, "float", "1.1"),
    ("float32 in a double's digits", schema("float"), 1.100000023841858, "float", "1.1"),
    ("bytes", schema("bytes"), octets(0, 255, 16), "other", "\\x00ff10"),
    ("json", debezium("string", "data.Json"), '{"a":  1.10}', "json", '{"a":  1.10}'),
    ("uuid", debezium("string", "data.Uuid"), "6f1e", "uuid", "6f1e"),
    ("enum", debezium("string", "data.Enum", allowed="calm"), "calm", "text", "calm"),
    ("char(n), told", schema("string", told="BPCHAR"), "ab   ", "text", "ab"),
    ("inet, told", schema("string", told="INET"), "::1", "other", "::1"),
    ("oid, told", schema("int64", told="OID"), 42, "other", "42"),
    ("bit(1), told", schema("boolean", told="BIT"), True, "other", "1"),
    ("bit(n), little-endian", debezium("bytes", "data.Bits", length="12"), octets(2, 8), "other", "100000000010"),
    # 12. decimals
    ("decimal precise", connect("bytes", "Decimal", scale="2"), octets(0xD8, 0xFA), "numeric", "-99.90"),
    ("decimal precise, small", connect("bytes", "Decimal", scale="3"), octets(0xFF), "numeric", "-0.001"),
    ("decimal precise, no scale", connect("bytes", "Decimal", scale="0"), octets(1, 0), "numeric", "256"),
    ("decimal precise, negative scale", connect("bytes", "Decimal", scale="-2"), octets(3), "numeric", "300"),
    ("numeric unbound", UNBOUND, {"scale": 4, "value": octets(0x12, 0xD6, 0x94)}, "numeric", "123.4580"),
    ("decimal as text, told", schema("string", told="NUMERIC"), "-99.90", "numeric", "-99.90"),
    ("decimal as text with exponent", schema("string", told="DECIMAL"), "1E-7", "numeric", "0.0000001"),
    ("decimal as text NaN", schema("string", told="NUMERIC"), "NAN", "numeric", "NaN"),
    ("decimal as text infinite", schema("string", told="NUMERIC"), "NEGATIVE_INFINITY", "numeric", "-Infinity"),
    ("decimal as text that is none", schema("string", told="NUMERIC"), "n/a", "numeric", "n/a"),
    # 13. times
    ("date", DATE, 19782, "date", "2024-02-29"),
    ("date before the epoch", DATE, -1, "date", "1969-12-31"),
    ("date BC", DATE, -735160, "date", "0044-03-15 BC"),
    ("date of five digits", DATE, 3789755, "date", "12345-12-31"),
    ("date infinity, streamed", DATE, 2146033979, "date", "infinity"),
    ("date -infinity, streamed", DATE, -2147472691, "date", "-infinity"),
    ("date infinity, snapshot", DATE, -622191234, "date", "infinity"),
    ("date -infinity, snapshot", DATE, -625821272, "date", "-infinity"),
    ("date, connect", connect("int32", "Date"), 19782, "date", "2024-02-29"),
    ("date, isostring", debezium("string", "time.IsoDate"), "2024-02-29Z", "date", "2024-02-29"),
    ("date infinity, isostring", debezium("string", "time.IsoDate"), "+5877611-06-21Z", "date", "infinity"),
    ("timestamp millis", MILLIS, 1709210096120, "timestamp", "2024-02-29 12:34:56.12"),
    ("timestamp millis infinity", MILLIS, 9223372036825200000, "timestamp", "infinity"),
    ("timestamp, connect", connect("int64", "Timestamp"), -1, "timestamp", "1969-12-31 23:59:59.999"),
    ("timestamp micros", MICROS, 1709210096123456, "timestamp", "2024-02-29 12:34:56.123456"),
    ("timestamp micros before the epoch", MICROS, -1, "timestamp", "1969-12-31 23:59:59.999999"),
    ("timestamp micros infinity", MICROS, 9223372036825200000, "timestamp", "infinity"),
    ("timestamp micros -infinity", MICROS, -9223372036832400000, "timestamp", "-infinity"),
    ("timestamp micros infinity, 3.x", MICROS, 2**63 - 1, "timestamp", "infinity"),
    ("timestamp nanos", NANOS, 1709210096123456000, "timestamp", "2024-02-29 12:34:56.123456"),
    ("timestamp nanos -infinity", NANOS, -(2**63), "timestamp", "-infinity"),
    (
        "timestamp isostring",
        debezium("string", "time.IsoTimestamp"),
        "2024-02-29T12:34:56.1Z",
        "timestamp",
        "2024-02-29 12:34:56.1",
    ),
    ("timestamptz", ZONED, "2024-02-29T10:34:56.123400Z", "timestamptz", "2024-02-29 10:34:56.1234+00"),
    ("timestamptz without fraction", ZONED, "2024-02-29T10:34:50Z", "timestamptz", "2024-02-29 10:34:50+00"),
    ("timestamptz with an offset", ZONED, "2024-03-01T01:30:00+02:00", "timestamptz", "2024-02-29 23:30:00+00"),
    ("timestamptz BC", ZONED, "-0043-03-15T12:00:00Z", "timestamptz", "0044-03-15 12:00:00+00 BC"),
    ("timestamptz infinity", ZONED, "-infinity", "timestamptz", "-infinity"),
    ("time millis", debezium("int32", "time.Time"), 45296100, "other", "12:34:56.1"),
    ("time, connect", connect("int32", "Time"), 45296100, "other", "12:34:56.1"),
    ("time micros", debezium("int64", "time.MicroTime"), 86400000000, "other", "24:00:00"),
    ("time nanos", debezium("int64", "time.NanoTime"), 1000, "other", "00:00:00.000001"),
    ("time isostring", debezium("string", "time.IsoTime"), "12:34:56.10Z", "other", "12:34:56.1"),
    ("timetz", debezium("string", "time.ZonedTime"), "10:34:56Z", "other", "10:34:56+00"),
    ("interval", debezium("string", "time.Interval"), "P1Y2M0DT4H5M6.70S", "other", "P1Y2MT4H5M6.7S"),
    # arrays and maps, as PostgreSQL writes them
    (
        "text[]",
        array(schema("string")),
        ["a", None, 'c"\\', "", "NULL", "b c"],
        "other",
        r'{a,NULL,"c\"\\","","NULL","b c"}',
    ),
    ("date[]", array(DATE), [19782, None], "other", "{2024-02-29,NULL}"),
    ("numeric[]", array(connect("bytes", "Decimal", scale="2")), [octets(0x6E), None], "other", "{1.10,NULL}"),
    ("char(3)[], told", array(schema("string"), told="_BPCHAR"), ["x  "], "other", '{"x  "}'),
    ("hstore", {"type": "map"}, {"bb": None, "a": 'x"'}, "other", r'"a"=>"x\"", "bb"=>NULL'),
    ("hstore as json, told", debezium("string", "data.Json", told="HSTORE"), '{"b":"1"}', "other", '"b"=>"1"'),
    (
        "point",
        debezium("struct", "data.geometry.Point"),
        {"x": 1.0, "y": 2.5, "wkb": "", "srid": None},
        "other",
        "(1,2.5)",
    ),
    # MySQL (from Debezium's MySQL reference and `MySqlValueConverters`; no server was at hand to record)
    ("MySQL TINYINT(1) without converter", schema("int16"), 1, "integer", "1"),
    ("MySQL TINYINT(1) with its converter", schema("boolean"), False, "boolean", "f"),
    ("MySQL BIGINT UNSIGNED, long", schema("int64", told="BIGINT UNSIGNED"), -1, "integer", "18446744073709551615"),
    (
        "MySQL BIGINT UNSIGNED, precise",
        connect("bytes", "Decimal", scale="0"),
        octets(0, *[255] * 8),
        "numeric",
        "18446744073709551615",
    ),
    ("MySQL YEAR", debezium("int32", "time.Year"), 2024, "integer", "2024"),
    ("MySQL SET", debezium("string", "data.EnumSet", allowed="a,b"), "a,b", "text", "a,b"),
    ("MySQL TIME", debezium("int64", "time.MicroTime"), -3020399000000, "other", "-838:59:59"),
    ("MySQL DATETIME", MILLIS, 1709210096000, "timestamp", "2024-02-29 12:34:56"),
    ("MySQL TIMESTAMP", ZONED, "2024-02-29T10:34:56Z", "timestamptz", "2024-02-29 10:34:56+00"),
    ("MySQL zero date, nullable", DATE, None, "date", None),
    ("MySQL zero date, NOT NULL", DATE, 0, "date", "1970-01-01"),
    ("MySQL BIT(2)", debezium("bytes", "data.Bits", length="2"), octets(3), "other", "11"),
    ("MySQL binary.handling.mode=hex", schema("string", told="VARBINARY"), "00ff", "text", "00ff"),
]


@pytest.mark.parametrize(("of", "held", "portable", "text"), [case[1:] for case in VALUES], ids=[c[0] for c in VALUES])
def test_a_value_becomes_the_text_that_postgresql_writes(
    of: dict[str, Any], held: Any, portable: str, text: str | None
) -> None:
    assert one(of, held) == (portable, text)


def test_12_a_decimal_written_as_a_json_number_keeps_every_digit() -> None:
    of = {**ID, "v": connect("bytes", "Decimal", scale="2")}
    record = value("c", of, None, {"id": 1, "v": 0}).replace(b'"v":0', b'"v":12345678901234567.89')
    assert change(decoder(), record).values == ("1", "12345678901234567.89")


UNAVAILABLE: list[tuple[str, dict[str, Any], Any]] = [
    ("text", schema("string"), MARK),
    ("json", debezium("string", "data.Json"), MARK),
    ("bytea", schema("bytes"), MARK64),
    ("text[]", array(schema("string")), [MARK]),
    ("json[]", array(debezium("string", "data.Json")), [MARK]),
    ("integer[]", array(schema("int32")), list(MARK.encode())),
    ("bigint[]", array(schema("int64")), list(MARK.encode())),
    ("date[]", array(DATE), list(MARK.encode())),
    ("uuid[]", array(debezium("string", "data.Uuid")), ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
    ("bytea[]", array(schema("bytes")), [MARK64]),
    ("hstore", {"type": "map"}, {MARK: MARK}),
    ("hstore as json", debezium("string", "data.Json"), f'{{"{MARK}":"{MARK}"}}'),
    ("decimal as text", schema("string", told="NUMERIC"), MARK),
    ("as its schema declares", schema("string", **{"__debezium.unavailable.value.placeholder": "gone"}), "gone"),
]


@pytest.mark.parametrize(("of", "held"), [(s, v) for _, s, v in UNAVAILABLE], ids=[n for n, *_ in UNAVAILABLE])
def test_5_an_unavailable_value_is_unknown_by_its_columns_type(of: dict[str, Any], held: Any) -> None:
    assert one(of, held)[1] is UNKNOWN


@pytest.mark.parametrize("configured", ["gone", "hex:676f6e65"])
def test_5_the_placeholder_is_the_configured_one(configured: str) -> None:
    options = {"unavailable.value.placeholder": configured}
    assert one(schema("string"), "gone", options=options)[1] is UNKNOWN
    assert one(schema("string"), MARK, options=options)[1] == MARK
    assert one(array(schema("int32")), list(b"gone"), options=options)[1] is UNKNOWN


@pytest.mark.parametrize(
    ("of", "advice"),
    [
        (debezium("int64", "time.MicroDuration"), "interval.handling.mode=string"),
        (schema("double", told="NUMERIC"), "decimal.handling.mode=string"),
        (schema("string", told="BYTEA"), "binary.handling.mode=bytes"),
        (debezium("bytes", "data.Bits", told="VARBIT", length="8"), "leave the column out"),
        (debezium("struct", "data.geometry.Geometry"), "leave the column out"),
        (connect("bytes", "Decimal"), "decimal.handling.mode=string"),
        (array(connect("bytes", "Decimal")), "decimal.handling.mode=string"),
        (schema("bytes", told="NUMERIC"), "decimal.handling.mode=string"),
        (debezium("bytes", "data.Bits"), "leave the column out"),
    ],
)
def test_what_cannot_be_written_exactly_stops_its_stream_and_says_what_to_set(of: dict[str, Any], advice: str) -> None:
    with pytest.raises(SchemaDrift, match=r"public\.account\.v") as caught:
        change(decoder(), value("c", {**ID, "v": of}, None, {"id": 1, "v": None}))
    assert advice in str(caught.value)


def test_decimals_as_text_are_numbers_where_the_caller_knows_it() -> None:
    said = change(
        decoder(types={"v": "numeric"}), value("c", {**ID, "v": schema("string")}, None, {"id": 1, "v": "NAN"})
    )
    assert (said.relation.types[1], said.values[1]) == ("numeric", "NaN")
