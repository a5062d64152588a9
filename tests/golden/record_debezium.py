"""Record what the real Debezium connector sends, and what the database itself says of the same rows.

    python -m tests.golden.record_debezium | xz -9e > tests/golden/debezium_3.7.json.xz

Needs the stack (`make stack`). One database is watched by one connector per variant of options; tests/unit/debezium
says what the records mean. `rows` holds each inserted row as the direct connector would have it (COPY's text).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from fieldwarden.connectors.debezium.connect.registration import TOLD_TYPES
from fieldwarden.connectors.postgres.session import conninfo
from stack import Stack
from stack.connectors import avro, delete, postgres_source, register
from stack.topics import create_topics

NAME = "recorded"
SETUP = """
    create type mood as enum ('calm', 'cross');
    create domain amount as numeric(12,2);
    create table types (
        id bigint primary key, b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
        n numeric, n0 numeric(12,0), n2 numeric(12,2), nd amount, t text, vc varchar(20), c char(5), ch "char",
        blob bytea, d date, ts timestamp, ts3 timestamp(3), ts0 timestamp(0), tstz timestamptz, tstz0 timestamptz(0),
        tm time, tm3 time(3), iv interval, u uuid, j json, jb jsonb, m mood,
        ta text[], ca char(3)[], ia integer[], la bigint[], da date[], na numeric(10,2)[], ua uuid[], fa real[],
        ba boolean[], tsa timestamp[], tstza timestamptz[], bya bytea[], ma mood[],
        ip inet, net cidr, mac macaddr, bits bit(4), bit1 bit(1), p point, r4 int4range, rts tstzrange, o oid,
        defaulted integer default 7, required text not null default 'new', "odd ""name" text);
    create table toast (
        id integer primary key, note text, body text not null, blob bytea, doc json, docb jsonb, texts text[],
        ints integer[], longs bigint[], days date[], uuids uuid[], blobs bytea[], chars varchar(40)[], docs json[]);
    alter table toast alter body set storage external, alter blob set storage external, alter doc set storage external,
        alter docb set storage external, alter texts set storage external, alter ints set storage external,
        alter longs set storage external, alter days set storage external, alter uuids set storage external,
        alter blobs set storage external, alter chars set storage external, alter docs set storage external;
    create table line (order_id integer, no integer, qty numeric(10,3), primary key (order_id, no));
    create table whole (id integer primary key, note text, body text);
    alter table whole replica identity full, alter body set storage external;
    create table indexed (id integer primary key, code text not null unique, note text not null, body text not null);
    alter table indexed replica identity using index indexed_code_key, alter body set storage external;
    create table bare (a integer, b text);
    alter table bare replica identity full"""

_LONG = "repeat('long enough to be stored apart ', 100)"
_MANY = "(select array_agg({0} order by g) from generate_series(1, 700) g)"
ROWS: dict[int, dict[str, str]] = {
    1: {
        "b": "true",
        "i2": "1",
        "i4": "-2",
        "i8": "9007199254740993",
        "f4": "1.5",
        "f8": "0.1",
        "n": "123.4500",
        "n0": "1234567890",
        "n2": "-99.90",
        "nd": "12.30",
        "t": "E'Gr\\u00fc\\u00dfe \\U0001f600\\t\"\\\\'",
        "vc": "'vc'",
        "c": "'ab'",
        "ch": "'x'",
        "blob": r"'\x00ff10'",
        "d": "'2024-02-29'",
        "ts": "'2024-02-29 12:34:56.123456'",
        "ts3": "'2024-02-29 12:34:56.12'",
        "ts0": "'2024-02-29 12:34:56'",
        "tstz": "'2024-02-29 12:34:56.1234+02'",
        "tstz0": "'2024-02-29 12:34:56+02'",
        "tm": "'12:34:56.123456'",
        "tm3": "'12:34:56.1'",
        "iv": "'1 year 2 mons 3 days 04:05:06.7'",
        "u": "'6F1E3C1E-7c1f-4f0e-9d52-0c9a8c9d1e11'",
        "j": """'{"a":  1.10}'""",
        "jb": """'{"a":  1.10}'""",
        "m": "'calm'",
        "ta": r"""array['a', null, 'c,"d\', '', 'null', 'ü b']""",
        "ca": "array['x', 'yz']",
        "ia": "array[1, null, 3]",
        "la": "array[9007199254740993]",
        "da": "array['2024-02-29'::date]",
        "na": "array[1.10, null]",
        "ua": "array['6f1e3c1e-7c1f-4f0e-9d52-0c9a8c9d1e11'::uuid]",
        "fa": "array[1.5, 1e-30]::real[]",
        "ba": "array[true, false]",
        "tsa": "array['2024-02-29 12:00'::timestamp]",
        "tstza": "array['2024-02-29 12:00:00.5+00'::timestamptz]",
        "bya": r"array['\x00ff'::bytea]",
        "ma": "array['calm'::mood]",
        "ip": "'10.0.0.1'",
        "net": "'10.0.0.0/8'",
        "mac": "'08:00:2b:01:02:03'",
        "bits": "B'0010'",
        "bit1": "B'1'",
        "p": "'(1,2.5)'",
        "r4": "'[1,5)'",
        "rts": "'[2024-01-01 00:00+00,)'",
        "o": "42",
        "defaulted": "8",
        "required": "'said'",
        '"odd ""name"': "'odd'",
    },
    2: {"defaulted": "null", "required": "''"},
    3: {
        "b": "false",
        "i2": "-32768",
        "i4": "2147483647",
        "i8": "-9223372036854775808",
        "f4": "'NaN'",
        "f8": "'Infinity'",
        "n": "'NaN'",
        "n0": "0",
        "n2": "'NaN'",
        "nd": "-0.01",
        "t": "''",
        "vc": "''",
        "c": "''",
        "ch": "''",
        "blob": "''",
        "d": "'infinity'",
        "ts": "'infinity'",
        "ts3": "'infinity'",
        "ts0": "'-infinity'",
        "tstz": "'infinity'",
        "tstz0": "'-infinity'",
        "tm": "'24:00:00'",
        "tm3": "'00:00'",
        "iv": "'-1 day -00:00:01'",
        "u": "'00000000-0000-0000-0000-000000000000'",
        "j": "'null'",
        "jb": "'[]'",
        "m": "'cross'",
        "ta": "'{}'",
        "ca": "'{}'",
        "ia": "'{}'",
        "la": "'{}'",
        "da": "'{infinity,-infinity}'",
        "na": "'{}'",
        "ua": "'{}'",
        "fa": "'{NaN,Infinity}'",
        "ba": "'{}'",
        "tsa": "'{infinity}'",
        "tstza": "'{-infinity}'",
        "bya": "'{}'",
        "ma": "'{}'",
        "ip": "'::1'",
        "net": "'::/0'",
        "bits": "B'0000'",
        "bit1": "B'0'",
        "p": "'(0,-0.1)'",
        "r4": "'empty'",
        "rts": "'(,)'",
        "o": "4294967295",
        "defaulted": "-1",
    },
    4: {
        "i2": "32767",
        "i4": "-2147483648",
        "i8": "9223372036854775807",
        "f4": "'-Infinity'",
        "f8": "'-Infinity'",
        "n": "'Infinity'",
        "n0": "-999999999999",
        "n2": "9999999999.99",
        "t": "repeat('x', 500)",
        "c": "'abcde'",
        "d": "'-infinity'",
        "ts": "'-infinity'",
        "ts3": "'-infinity'",
        "ts0": "'infinity'",
        "tstz": "'-infinity'",
        "tstz0": "'infinity'",
        "tm": "'00:00'",
        "tm3": "'23:59:59.999'",
        "iv": "'-1 year 2 mons'",
    },
    5: {
        "f4": "1e20",
        "f8": "1e300",
        "n": "1e40",
        "c": "'a b'",
        "d": "'0044-03-15 BC'",
        "ts": "'0044-03-15 12:00 BC'",
        "ts3": "'1969-12-31 23:59:59.999'",
        "ts0": "'1969-12-31 23:59:59'",
        "tstz": "'0044-03-15 12:00+00 BC'",
        "tstz0": "'9999-12-31 23:59:59+00'",
        "tm": "'23:59:59.999999'",
        "tm3": "'00:00:00.001'",
        "iv": "'00:00:00'",
    },
    6: {
        "f4": "1.1754944e-38",
        "f8": "4.9e-324",
        "n": "-0.000000000000000000000000000001",
        "d": "'12345-12-31'",
        "ts": "'12345-12-31 23:59:59.999999'",
        "tstz": "'12345-12-31 23:59:59.999999+00'",
        "tstz0": "'0001-01-01 00:00+00'",
        "tm": "'00:00:00.000001'",
        "iv": "'1000 years'",
    },
}
"""The rows of `types`; read as `id` by the snapshot, streamed as 10 + `id`."""

TOAST = f"""insert into toast values (1, 'a', {_LONG}, convert_to({_LONG}, 'UTF8'), to_json({_LONG}), to_jsonb({_LONG}),
    {_MANY.format("'text'::text")}, {_MANY.format("1")}, {_MANY.format("1::bigint")},
    {_MANY.format("date '2024-01-01'")},
    {_MANY.format("'6f1e3c1e-7c1f-4f0e-9d52-0c9a8c9d1e11'::uuid")}, {_MANY.format("'bytes'::bytea")},
    {_MANY.format("'text'::varchar")}, {_MANY.format("'1'::json")})"""
HISTORY = (
    "update toast set note = 'b' where id = 1",
    "update toast set body = 'short' where id = 1",
    "update line set qty = 2 where order_id = 1",
    "update line set no = 9 where order_id = 1",
    "update toast set id = 2 where id = 1",
    "update whole set note = 'b' where id = 1",
    "update indexed set code = 'c2' where id = 1",
    "delete from whole where id = 1",
    "delete from line where order_id = 1",
    "begin; insert into line values (2, 1, 1); insert into line values (2, 2, 2); update toast set note = 'tx'; commit",
    "select pg_logical_emit_message(true, 'fieldwarden', 'hello')",
    "update bare set b = 'y'",
    "delete from bare",
    "alter table line add column extra text default 'n'; insert into line values (3, 1, 1, 'added')",
    "alter table line drop column qty; insert into line values (4, 1, 'dropped')",
    "truncate whole, bare",
)

_JSON = "org.apache.kafka.connect.json.JsonConverter"


def _json(schemas: str, **options: str) -> dict[str, str]:
    found = {name.replace("__", "."): value for name, value in options.items()}
    for half in ("key", "value", "header"):
        if half != "header" or "header.converter" in found:
            found |= {f"{half}.converter": _JSON, f"{half}.converter.schemas.enable": schemas}
            found |= {f"{half}.converter.replace.null.with.default": "false"}
    return found


def variants(registry: str) -> dict[str, dict[str, str]]:
    exact = {"datatype.propagate.source.type": TOLD_TYPES, "interval.handling.mode": "string"}
    return {
        "safe": _json("true", decimal__handling__mode="string", provide__transaction__metadata="true", **exact),
        "precise": _json("true", decimal__handling__mode="precise", header__converter=_JSON, **exact),
        "untold": _json("true", decimal__handling__mode="string", time__precision__mode="adaptive_time_microseconds"),
        "double": _json("true", decimal__handling__mode="double", time__precision__mode="connect"),
        "isostring": _json("true", decimal__handling__mode="string", time__precision__mode="isostring", **exact),
        "microseconds": _json("true", decimal__handling__mode="string", time__precision__mode="microseconds", **exact),
        "nanoseconds": _json("true", decimal__handling__mode="string", time__precision__mode="nanoseconds", **exact),
        "schemaless": _json("false", decimal__handling__mode="string", time__precision__mode="isostring"),
        "ambiguous": _json("false", decimal__handling__mode="precise"),
        "avro": avro(registry) | {"decimal.handling.mode": "string", **exact},
        "avro_precise": avro(registry) | {"decimal.handling.mode": "precise", **exact},
        "placeholder": _json(
            "true", decimal__handling__mode="string", unavailable__value__placeholder="hex:c3a4220a5c", **exact
        ),
    }


async def record(stack: Stack) -> dict[str, Any]:
    stack.postgres.ensure_database(NAME)
    dsn = stack.postgres.dsn(NAME, tcp=True)
    rows: dict[str, dict[str, str | None]] = {}
    found: dict[str, Any] = {}
    prefixes: dict[str, str] = {}
    run = f"{int(time.time()):x}"  # Connect keeps a deleted connector's offsets under its name
    with psycopg.connect(conninfo(dsn), autocommit=True) as sql:
        for place, (variant, options) in enumerate(variants(stack.registry.native_address).items()):
            sql.execute("drop schema public cascade; create schema public; " + SETUP)
            for number, values in ROWS.items():
                sql.execute(insertion(number, values))
                rows[str(number)] = _row(sql, number)
            sql.execute("insert into line values (1, 1, 1.5); insert into bare values (1, 'x')")
            prefix = f"{NAME}{run}{place:02}"
            prefixes[variant] = prefix
            found[variant] = await _recorded(stack, dsn, sql, prefix, options)
            sys.stderr.write(f"{variant}: {len(found[variant])} records\n")
        version = sql.info.server_version
    with psycopg.connect(stack.postgres.dsn("postgres"), autocommit=True) as sql:
        while sql.execute("select 1 from pg_replication_slots where database = %s", [NAME]).fetchone():
            time.sleep(0.1)
        sql.execute(f"drop database {NAME} with (force)")
    numbers = {number for records in found.values() for each in records for number in each.pop("schemas", ())}
    async with httpx.AsyncClient() as registry:
        answers = {n: await registry.get(f"{stack.registry_url}/schemas/ids/{n}") for n in sorted(numbers)}
    schemas = {number: answer.json()["schema"] for number, answer in answers.items()}
    return {"debezium": "3.7.0.Final", "postgres": version, "prefixes": prefixes} | {
        "rows": rows,
        "avro": schemas,
        "records": found,
    }


def insertion(number: int, values: dict[str, str]) -> str:
    return f"insert into types (id, {', '.join(values)}) values ({number}, {', '.join(values.values())})"


def _row(sql: psycopg.Connection[Any], number: int) -> dict[str, str | None]:
    with sql.cursor() as cursor:
        with cursor.copy(f"copy (select * from types where id = {number}) to stdout") as copy:
            (texts,) = copy.rows()
        columns = [each.name for each in (cursor.execute("select * from types limit 0").description or ())]
    return dict(zip(columns, texts, strict=True))


async def _recorded(
    stack: Stack, dsn: str, sql: psycopg.Connection[Any], prefix: str, options: dict[str, str]
) -> list[dict[str, Any]]:
    settings = postgres_source(dsn, prefix=prefix, tables=r"public\..*", heartbeat__interval__ms="1000")
    settings |= {
        "skipped.operations": "none",
        "notification.enabled.channels": "sink",
        "notification.sink.topic.name": f"{prefix}.fieldwarden-notifications",
        "signal.enabled.channels": "source,kafka",
        "signal.kafka.topic": f"{prefix}.signals",
        "signal.kafka.bootstrap.servers": stack.bootstrap,
        "signal.kafka.groupId": prefix,
        "signal.poll.interval.ms": "200",
        "read.only": "true",
    }
    try:
        await create_topics(stack.bootstrap, {f"{prefix}.signals": 1})  # one made later would be read from its end
        register(stack.connect_url, prefix, settings | options)
        _streaming(sql, prefix)
        _change(sql)
        if "provide.transaction.metadata" in options:
            await _snapshot_again(stack, prefix, sql)
        return await _ended(stack, prefix, sql)
    finally:
        delete(stack.connect_url, prefix)


def _change(sql: psycopg.Connection[Any]) -> None:
    for number, values in ROWS.items():
        sql.execute(insertion(10 + number, values))
    sql.execute(TOAST)
    sql.execute(f"insert into whole values (1, 'a', {_LONG}); insert into indexed values (1, 'c1', 'n', {_LONG})")
    for statement in HISTORY:
        for part in statement.split("; ") if statement.startswith("alter") else [statement]:
            sql.execute(part)


def _streaming(sql: psycopg.Connection[Any], slot: str) -> None:
    """Wait until what is written now comes as a change."""
    query = (
        "select count(*) from pg_replication_slots where slot_name = %s and active and confirmed_flush_lsn is not null"
    )
    while sql.execute(query, [slot]).fetchone() != (1,):
        time.sleep(0.1)
    time.sleep(1)


async def _snapshot_again(stack: Stack, prefix: str, sql: psycopg.Connection[Any]) -> None:
    """Ask for an incremental snapshot, and wait until it has come."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap)
    await producer.start()
    data = {"type": "INCREMENTAL", "data-collections": ["public.line"]}
    signal = json.dumps({"id": "again", "type": "execute-snapshot", "data": data})
    await producer.send_and_wait(f"{prefix}.signals", key=prefix.encode(), value=signal.encode())
    await producer.stop()
    deadline = time.monotonic() + 60
    while sum(b"incremental" in (each.value or b"") for each in await _all(stack, prefix)) < 4:
        assert time.monotonic() < deadline, f"{prefix}: no incremental snapshot"
        sql.execute("select pg_current_xact_id()")  # a read-only snapshot waits for transactions to go by
        await asyncio.sleep(0.3)


async def _ended(stack: Stack, prefix: str, sql: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """All there is, once a last row has come."""
    sql.execute("insert into types (id, required) values (99, 'recorded-end')")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        records = await _all(stack, prefix)
        if any(b"recorded-end" in (each.value or b"") for each in records):
            return [_recordable(each) for each in sorted(records, key=lambda r: (r.timestamp, r.topic, r.offset))]
        await asyncio.sleep(0.3)
    raise AssertionError(f"{prefix}: the recording did not end")


async def _all(stack: Stack, prefix: str) -> list[Any]:
    """Every record of the connector's topics; of heartbeats, the first two."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        names = {name for name in await consumer.topics() if prefix in name} - {f"{prefix}.signals"}
        consumer.assign([TopicPartition(name, 0) for name in names])
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[Any] = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                records += (await consumer.getmany(partition, timeout_ms=1000)).get(partition, ())
    finally:
        await consumer.stop()
    return [each for each in records if "heartbeat" not in each.topic or each.offset < 2]


def _recordable(each: Any) -> dict[str, Any]:
    schemas = [int.from_bytes(part[1:5], "big") for part in (each.key, each.value) if part and part[:1] == b"\0"]
    return {
        "topic": each.topic,
        "partition": each.partition,
        "offset": each.offset,
        "timestamp": each.timestamp,
        "key": None if each.key is None else b64encode(each.key).decode(),
        "value": None if each.value is None else b64encode(each.value).decode(),
        "headers": [[name, b64encode(value).decode()] for name, value in each.headers if "context" not in name],
        "schemas": schemas,
    }


if __name__ == "__main__":
    state = Path(sys.argv[1] if len(sys.argv) > 1 else ".stack/state.json")
    sys.stdout.write(json.dumps(asyncio.run(record(Stack(state)))) + "\n")
