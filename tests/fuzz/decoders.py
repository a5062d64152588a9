"""The decoders of what others wrote, and the HTTP server, each with a maker of hostile inputs and what it may say."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import fastavro

from fieldwarden.connectors.debezium.connect.signals import read_notification
from fieldwarden.connectors.debezium.decoding.changes import Decoder, SchemaNeeded
from fieldwarden.connectors.postgres.marks import Marks, Seal
from fieldwarden.connectors.postgres.reading.copying import row_values
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder as PgoutputDecoder
from fieldwarden.connectors.postgres.reading.pgoutput import Payload
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.connectors.postgres.reading.spill import Spool
from fieldwarden.connectors.postgres.reading.transactions import Transactions
from fieldwarden.connectors.salesforce.decoding.events import Event
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import EngineError, SchemaDrift
from fieldwarden.engine.record import LARGE
from fieldwarden.engine.wanted import Wanted
from fieldwarden.rules import expressions
from fieldwarden.rules.codes import read_codes
from fieldwarden.rules.connections import debezium_names
from fieldwarden.rules.documents import read_yaml
from fieldwarden.rules.errors import ConfigurationError, ValueRefused
from fieldwarden.rules.loading import load_project
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.values import TYPE_NAMES, parse_type
from tests.builders import debezium
from tests.fuzz import asking
from tests.fuzz.measuring import Input
from tests.fuzz.mutating import LONG, restructured, spoiled
from tests.unit.debezium import records as by_hand
from tests.unit.debezium.test_recorded import golden, octets
from tests.unit.postgres import wire
from tests.unit.rules import projects
from tests.unit.salesforce import events as by_event

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Target:
    """`make` gives an input, `run` raises for what must not happen. `share`: how often its turn comes. `clock`: of the
    CPU time that it takes: this thread's, or the process's where others of its threads work for it."""

    name: str
    make: Callable[[Random], Input]
    run: Callable[[Input], None]
    share: int = 1
    clock: Callable[[], float] = time.thread_time


_KEPT = ExitStack()


@contextmanager
def kept() -> Iterator[None]:
    """Inside, targets may keep what they need from input to input; it is gone afterwards."""
    try:
        yield
    finally:
        _KEPT.close()
        for made in (_folder, _url):
            made.cache_clear()


# --- pgoutput ---------------------------------------------------------------------------------------------------

_XLOG = b"w" + bytes(24)
_SEAL = Seal(bytes(32))
_MARK = _SEAL.content("crm", 7, 1_700_000_000_000_000).encode()


@cache
def _histories() -> list[list[bytes]]:
    """What real servers sent, and what our own tests write by hand."""
    recorded = [json.loads(gzip.decompress(path.read_bytes())) for path in sorted(GOLDEN.glob("pgoutput_*.gz"))]
    found = [[bytes.fromhex(frame) for frame in each["frames"]][:60] for each in recorded]
    rows = [wire.insert(1, "s", "Ann", "ab "), wire.update(1, None, wire.UNCHANGED, "x", old=(2, None, None, None))]
    rows += [wire.delete(1, None, None, None), wire.truncate(wire.ACCOUNT), wire.message("fieldwarden", _MARK)]
    plain = [wire.begin(100), wire.relation(), *rows, wire.commit(100, 110)]
    streamed = [wire.stream_start(9), wire.relation(xid=9), wire.insert(1, "s", "a", "b", xid=9), b"E"]
    ended = [b"c" + (9).to_bytes(4, "big") + bytes(25), b"A" + bytes(4) + (9).to_bytes(4, "big")]
    return [*found, [_XLOG + each for each in plain], [_XLOG + each for each in (*streamed, *ended, *plain)]]


def make_pgoutput(random: Random) -> Input:
    frames = list(random.choice(_histories()))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(frames))
        match random.randrange(5):
            case 0:
                frames.insert(at, frames[random.randrange(len(frames))])
            case 1 if len(frames) > 1:
                del frames[at]
            case 2:
                frames[at] = frames[at][:25] + spoiled(random, frames[at][25:], random.choice(frames))
            case _:
                frames[at] = spoiled(random, frames[at], random.choice(frames))
    return tuple(frames)


def run_pgoutput(data: Input) -> None:
    wanted = {"public.account": Wanted("public.account", ("id",), frozenset({"id", "name", "code", "body"}))}
    decoder, spool = PgoutputDecoder(wanted, wire.TYPES), Spool(1 << 20)
    marks = Marks("crm", {"fieldwarden"}, _SEAL)
    made = Transactions(
        "crm", decoder, WalPosition("stream", 0), spool, marks=marks, max_changes=500, max_bytes=1 << 24
    )
    frames = deque[Payload](data)
    try:
        while frames or made.replaying:
            made.take(frames)
            _check([*made.cut()])
            made.position.encode()
    except EngineError as error:
        _check_error(error)
    finally:
        spool.close()


def _check_error(error: EngineError) -> None:
    assert error.message
    assert error.suggestion, error.message


def _check(changes: list[RawChange]) -> None:
    for change in changes:
        assert all(value is None or isinstance(value, str) or repr(value) == "UNKNOWN" for value in change.values)
        assert change.at is None or -(1 << 63) <= change.at < 1 << 63
        assert change.undecoded is None or change.undecoded.reason


# --- Debezium ---------------------------------------------------------------------------------------------------

_COLUMNS = ("id", "i8", "n", "n2", "t", "blob", "d", "ts", "tstz", "tm", "j", "ta", "da", "f4", "p", "required")
_JSON, _AVRO = ("safe", "precise", "schemaless", "isostring", "nanoseconds"), ("avro_precise", "avro")
_RECORDED = 0.1
"""Of the inputs so many begin with what the real connector sent: a wide table, which takes its time."""

_CONNECT, _DATA = "org.apache.kafka.connect.data.", "io.debezium.data."
_SCALED = {"type": "struct", "name": f"{_DATA}VariableScaleDecimal"}
_SCALED["fields"] = [{"type": "int32", "field": "scale"}, {"type": "bytes", "field": "value"}]  # type: ignore[assignment]
_SMALL: dict[str, tuple[dict[str, Any], Any]] = {
    "amount": ({"type": "bytes", "name": f"{_CONNECT}Decimal", "parameters": {"scale": "2"}}, "A+g="),
    "bits": ({"type": "bytes", "name": f"{_DATA}Bits", "parameters": {"length": "12"}}, "/w8="),
    "scaled": (_SCALED, {"scale": 3, "value": "A+g="}),
    "days": ({"type": "array", "items": {"type": "int32", "name": "io.debezium.time.Date"}}, [1, None, 20_000]),
    "at": ({"type": "int64", "name": "io.debezium.time.MicroTimestamp"}, 1_700_000_000_123_456),
    "said": ({"type": "string", "name": "io.debezium.time.ZonedTimestamp"}, "2024-02-29T10:34:56.789Z"),
    "name": ({"type": "string"}, "Zo\u00eb"),
    "tags": ({"type": "map", "keys": {"type": "string"}, "values": {"type": "string"}}, {"a": "b", "c": None}),
    "ratio": ({"type": "double"}, 1.5e-7),
}
_AVRO_TYPES: dict[str, tuple[Any, Any]] = {
    "amount": (
        {"type": "bytes", "connect.name": f"{_CONNECT}Decimal", "connect.parameters": {"scale": "2"}},
        b"\x03\xe8",
    ),
    "days": ({"type": "array", "items": ["null", {"type": "int", "connect.name": "io.debezium.time.Date"}]}, [1, None]),
    "at": ({"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}, 1_700_000_000_123_456),
    "name": ("string", "Zo\u00eb"),
    "kind": ({"type": "enum", "name": "Kind", "symbols": ["a", "b"]}, "b"),
    "hash": ({"type": "fixed", "name": "Hash", "size": 4}, b"abcd"),
    "tags": ({"type": "map", "values": ["null", "string"]}, {"a": "b", "c": None}),
}


@cache
def _records(variant: str) -> list[dict[str, Any]]:
    return [each for each in golden()["records"][variant] if each["topic"].endswith(".types")]


def _small_json(random: Random) -> tuple[bytes, bytes]:
    names = random.sample(list(_SMALL), k=random.randint(1, 4))
    row = {"id": 1, **{name: _SMALL[name][1] for name in names}}
    schemas = {**by_hand.ID, **{name: _SMALL[name][0] for name in names}}
    op = random.choice("curd")
    return by_hand.key(id=1), by_hand.value(op, schemas, row if op in "ud" else None, None if op == "d" else row)


def make_json(random: Random) -> Input:
    variant, topic = "small", by_hand.TOPIC
    halves = list(_small_json(random))
    if random.random() < _RECORDED:
        variant = random.choice(_JSON)
        drawn = random.choice(_records(variant))
        topic, halves = drawn["topic"], [octets(drawn["key"]) or b"{}", octets(drawn["value"]) or b"{}"]
    at = 0 if random.random() < 0.15 else 1
    if random.random() < 0.6:
        halves[at] = restructured(random, json.loads(halves[at]))
    else:
        halves[at] = spoiled(random, halves[at], halves[1 - at])
    return variant.encode(), topic.encode(), *halves


def _small_avro(random: Random) -> tuple[str, bytes]:
    """A schema of an envelope, and one in it."""
    names = random.sample(list(_AVRO_TYPES), k=random.randint(1, 4))
    fields = [{"name": "id", "type": "int"}, *({"name": name, "type": _AVRO_TYPES[name][0]} for name in names)]
    row = {"type": "record", "name": "Value", "namespace": "crm.public.account", "fields": fields}
    source = {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}
    kinds = {"before": ["null", row], "after": ["null", "Value"], "source": source, "op": "string"}
    schema = {"type": "record", "name": "Envelope", "namespace": "crm.public.account"}
    schema["fields"] = [{"name": name, "type": kind} for name, kind in kinds.items()]  # type: ignore[assignment]
    held = {"id": 1, **{name: _AVRO_TYPES[name][1] for name in names}}
    written = io.BytesIO()
    envelope = {"before": None, "after": held, "source": {"ts_ms": 1_700_000_000_123}, "op": "c"}
    fastavro.schemaless_writer(written, fastavro.parse_schema(json.loads(json.dumps(schema))), envelope)
    return json.dumps(schema), b"\0\0\0\0\7" + written.getvalue()


def make_avro(random: Random) -> Input:
    if random.random() < _RECORDED:
        variant = random.choice(_AVRO)
        drawn = random.choice(_records(variant))
        topic, halves = drawn["topic"], [octets(drawn["key"]) or b"", octets(drawn["value"]) or b""]
        at = 0 if random.random() < 0.15 else 1
        number = int.from_bytes(halves[at][1:5], "big")
        schema = golden()["avro"][str(number)]
    else:
        variant, topic, at, number = "small", by_hand.TOPIC, 1, 7
        schema, value = _small_avro(random)
        halves = [by_hand.key(id=1), value]
    text = schema.encode()
    if random.random() < 0.5:
        text = restructured(random, json.loads(text)) if random.random() < 0.8 else spoiled(random, text)
    if random.random() < 0.5:
        halves[at] = halves[at][:5] + spoiled(random, halves[at][5:], halves[1 - at])
    return variant.encode(), topic.encode(), *halves, str(number).encode(), text


# --- Salesforce's change events -----------------------------------------------------------------------------------

_EVENTS = (
    by_event.payload("CREATE", Name="Ann", Phone="1", AnnualRevenue=12.5, BillingAddress={"City": "Bonn"}),
    by_event.payload(changed=by_event.at("Phone", nested={"BillingAddress": 2}), Phone="1"),
    by_event.payload("DELETE", [by_event.ANN, by_event.BOB]),
    by_event.payload("GAP_UPDATE", ["001*"]),
)
_MAPPED = ("Name", "Phone", "AnnualRevenue", "BillingCity", "Since__c", "Active__c", "NumberOfEmployees")


def make_salesforce(random: Random) -> Input:
    text, event = by_event.ACCOUNT.encode(), random.choice(_EVENTS)
    if random.random() < 0.5:
        text = restructured(random, json.loads(text)) if random.random() < 0.8 else spoiled(random, text)
    if random.random() < 0.7:
        event = spoiled(random, event, random.choice(_EVENTS))
    return text, event


def run_salesforce(data: Input) -> None:
    text, event = data
    decoder = by_event.decoder(*_MAPPED, schemas={"s": text.decode("utf-8", "replace")})
    with suppress(SchemaDrift):
        told = decoder.decode(Event("s", event, b"\x01"), by_event.HERE)
        for change in told.changes:
            assert all(value is None or value is UNKNOWN or "\0" not in value for value in change.values)


def _system(variant: str) -> System:
    if variant == "small":
        columns = dict.fromkeys(("id", *_SMALL, *_AVRO_TYPES))
        return System("crm", 0, debezium(prefix="crm"), {"public.account": by_hand.stream(*columns)})
    mapped = {"public.types": by_hand.stream(*_COLUMNS, name="public.types")}
    return System("crm", 0, debezium(prefix=golden()["prefixes"][variant]), mapped)


def run_debezium(data: Input) -> None:
    variant, topic, key, value, *schema = data
    texts: Mapping[str, str | bytes] = golden()["avro"]
    if schema:
        texts = {**texts, schema[0].decode(): schema[1]}
    system = _system(variant.decode())
    types = {"public.types": {"n": "numeric", "d": "date", "ts": "timestamp", "f4": "float"}}
    decoder = Decoder(system, schema_of=lambda number: texts.get(str(number)), types=types)
    if variant == b"small":  # the columns that this record has not are from before it
        decoder.tell_columns(topic.decode(), dict.fromkeys((*_SMALL, *_AVRO_TYPES), "text"))
    for _ in range(2 if len(value) < 10_000 else 1):  # its schema is new, and then known
        with suppress(SchemaDrift, SchemaNeeded):
            said = decoder.decode(by_hand.record(key, value, topic=topic.decode()), "p")
            assert said is None or isinstance(said, RawChange)
            _check([] if said is None else [said])
            assert said is None or said.undecoded is None or "failed" not in said.undecoded.reason, said


def run_notes(data: Input) -> None:
    """The same bytes on the topics that tell of no rows."""
    variant, _, key, value = data
    system = _system(variant.decode())
    decoder = Decoder(system, schema_of=lambda _: None)
    prefix = debezium_names(system).prefix
    for noted in (f"__debezium-heartbeat.{prefix}", f"{prefix}.transaction"):
        with suppress(SchemaNeeded):
            decoder.decode(by_hand.record(key, value, topic=noted), "")
    if (note := read_notification(value)) is not None:
        assert note.rows is None or note.rows >= 0


# --- files ------------------------------------------------------------------------------------------------------

_YAML = "-  | ? | : |[|{|&a |*a |!!x |<<: |#|%|'|\"|\t|>\n |\n  - "


def make_yaml(random: Random) -> Input:
    texts = [text.encode() for name, text in projects.FILES.items() if name.endswith(".yaml")]
    text = spoiled(random, random.choice(texts), random.choice(texts))
    if random.random() < 0.5:
        at, piece = random.randint(0, len(text)), random.choice(_YAML.split("|")).encode() * random.choice((1, 1, 2))
        often = random.choice((1, 20, 500)) if random.random() < 0.95 else LONG // len(piece)
        text = text[:at] + piece * often + text[at:]
    return (text,)


def run_yaml(data: Input) -> None:
    document, problems = read_yaml("systems/crm.yaml", data[0])
    assert document is not None or problems
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message


@cache
def _folder() -> Path:
    folder = Path(_KEPT.enter_context(tempfile.TemporaryDirectory(prefix="fieldwarden-fuzz-")))
    projects.write(folder)
    return folder


def make_project(random: Random) -> Input:
    name = random.choice([*projects.FILES])
    texts = [text.encode() for text in projects.FILES.values()]
    return name.encode(), spoiled(random, projects.FILES[name].encode(), random.choice(texts))


def run_project(data: Input) -> None:
    """All that `validate` says of a project, one file of which is spoiled."""
    file = _folder() / data[0].decode()
    file.write_bytes(data[1])
    try:
        with suppress(ConfigurationError):
            load_project(_folder(), {})
    finally:
        file.write_text(projects.FILES[data[0].decode()], "utf-8")


_TERMS = b'canonical,crm,erp,billing\nNET30,N30|NET30,30,30\n"NET,60",N60,,60\nCOD,COD,0,COD\n'


def make_codes(random: Random) -> Input:
    if random.random() < 0.1:
        cells = random.choice((5, 50, 3_000, 20_000))
        names = [random.choice(("crm", "erp", "s", f"s{cell}", '"a,b"')) for cell in range(cells)]
        return (spoiled(random, ("canonical," + ",".join(names) + "\n" + "a," * cells + "\n").encode()),)
    return (spoiled(random, _TERMS, _TERMS),)


def run_codes(data: Input) -> None:
    table, problems = read_codes("terms", "codes/terms.csv", data[0].decode("utf-8", "replace"), {"crm", "erp"})
    table.for_system("crm")
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1


_ROW = b"1\tAnn\\tSmith\t\\N\t2024-02-29 10:00:00+00\t\\\\x00ff\t{1,2}\t" + "Zoë".encode() + b"\n"


def make_copy(random: Random) -> Input:
    row = spoiled(random, _ROW, _ROW)
    often = LARGE // max(1, len(row)) + 2 if random.random() < 0.002 else 1
    return (row * often + b"\n",)


def run_copy(data: Input) -> None:
    with suppress(UnicodeDecodeError):  # the snapshot makes a letter of it
        row_values(data[0])


# --- expressions and values -------------------------------------------------------------------------------------

_TOKENS = """( ) ( ) a b 1 'x' , + - * / || = < > and or not is null in between case when then else end cast as text
    numeric(10,2) coalesce ( lower ( substring ( from for trim ( both position ( like ilike at time zone 'UTC' :: map (
    interval date extract ( ~ any ( all ( exists ( select distinct filter ( over ( within group . % @ -> ->> $1 ? ; --
    /* */ \" ' e'\\ array [ ] { } row ( values ( with union all lateral lambda struct < round ( a , 2 )"""
_HELD = ("1", "", "x" * 300, "9" * 5_000, "-0", "1e999", "2024-02-29", "infinity", "\0", "t", "12:00", "0.1", "\u0660")


def make_expression(random: Random) -> Input:
    if random.random() < 0.4:
        text = " ".join(random.choices(_TOKENS.split(), k=random.randint(1, 60)))
    else:
        before, after = (
            random.choices(_TOKENS.split(), k=random.randint(1, 4)),
            random.choices(_TOKENS.split(), k=random.randint(0, 3)),
        )
        often = random.choice((1, 2, 5, 39, 400))
        text = " ".join([*before * often, "a", *after * often])
    kind = random.choice(("text", "numeric", "date", "timestamptz", "boolean", "integer"))
    return text.encode(), random.choice(_HELD).encode(), random.choice(_HELD).encode(), kind.encode()


def run_expression(data: Input) -> None:
    text, a, b, kind = (part.decode() for part in data)
    try:
        made = expressions.parse(text)
        made.sql("t")
        computed = made.bind(("a", "b"), (kind, "text"))
    except ValueError:
        return
    with suppress(ValueRefused):
        computed((a, b))


def make_value(random: Random) -> Input:
    precision, scale = random.choice((1, 38, 10**12)), random.choice((0, 5))
    kind = random.choice((*TYPE_NAMES, "decimal(14,2)", f"decimal({precision},{scale})"))
    held = random.choice(_HELD).encode() * random.choice((1, 1, 1, 300))
    return kind.encode(), spoiled(random, held, b"2024-02-29 10:34:56.789+05:30")


def run_value(data: Input) -> None:
    try:
        canonical = parse_type(data[0].decode()).canonical()
    except ValueError:
        return
    with suppress(ValueRefused):
        if canonical is not None:
            canonical(data[1].decode("utf-8", "replace"))


# --- HTTP -------------------------------------------------------------------------------------------------------


@cache
def _url() -> str:
    return _KEPT.enter_context(asking.served())


def run_http(data: Input) -> None:
    asking.run_request(_url(), data)


TARGETS = (
    Target("pgoutput", make_pgoutput, run_pgoutput, 40),
    Target("debezium json", make_json, run_debezium, 50),
    Target("debezium avro", make_avro, run_debezium, 50),
    Target("salesforce", make_salesforce, run_salesforce, 40),
    Target("debezium notes", make_json, run_notes, 10),
    Target("yaml", make_yaml, run_yaml, 40),
    Target("project", make_project, run_project, 1),
    Target("code list", make_codes, run_codes, 30),
    Target("copy text", make_copy, run_copy, 30),
    Target("expression", make_expression, run_expression, 40),
    Target("value", make_value, run_value, 30),
    Target("http", asking.make_request, run_http, 10, time.process_time),
)
