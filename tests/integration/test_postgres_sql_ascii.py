"""A database in SQL_ASCII holds whatever bytes it was given: a text that is not UTF-8 is its own row's trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.connectors.postgres.looking.rows import Looking
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.change import UNKNOWN, RawChange, key_text
from fieldwarden.engine.checking.seen import Seeing
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.rules.expressions import parse
from fieldwarden.rules.rulebook import Entity, Field, Stream, System
from fieldwarden.rules.values import parse_type
from tests.conftest import drop_database
from tests.integration.reading import reading, run, source, stream, system

ACCOUNT = stream("public.account", ("id",), ("name",))


@pytest.fixture
def ascii_database(postgres: EmbeddedServer, make_database: Callable[..., str]) -> Iterator[str]:
    made = "create database as_ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    run(postgres.dsn(), made)
    yield make_database("as_ascii")
    drop_database(postgres, "as_ascii")


@contextmanager
def raw(dsn: str) -> Iterator[Any]:
    with psycopg.connect(dsn, autocommit=True, client_encoding="SQL_ASCII") as connection:
        yield connection.pgconn


async def test_a_text_that_is_not_utf_8_is_the_letter_of_its_row_and_the_others_go_on(ascii_database: str) -> None:
    dsn = ascii_database
    run(dsn, "create table account (id int primary key, name text)", "insert into account values (1, 'Zoë')")
    with raw(dsn) as pgconn:
        pgconn.exec_(b"insert into account values (2, 'Zo\xeb')")
    async with reading(source(system(stream("public.account", ("id",), ("name",))), dsn)) as reader:
        await reader.baseline()
        assert [(change.values[0], change.undecoded is None) for change in reader.changes] == [
            ("1", True),
            ("2", False),
        ]
        with raw(dsn) as pgconn:
            pgconn.exec_(b"insert into account values (3, 'Zo\xeb')")
        run(dsn, "insert into account values (4, 'Zoë')", "update account set name = 'Zoë' where id = 3")
        changes = await reader.count(5)
    assert [change.values for change in changes[2:]] == [("3",), ("4", "Zoë"), ("3", "Zoë")]
    assert changes[2].undecoded is not None
    assert "not valid UTF-8" in changes[2].undecoded.reason
    assert changes[2].position < changes[4].position


async def seen(crm: System, dsn: str) -> list[RawChange]:
    async with Looking.at(crm, dsn) as looking:
        (mapped,) = crm.streams.values()
        return [each async for page in looking.rows(mapped, looking.relation(mapped)) for each in page]


async def test_a_row_that_is_set_aside_has_the_key_that_the_stream_gives_it(ascii_database: str) -> None:
    dsn, crm = ascii_database, system(ACCOUNT)
    run(dsn, "create table account (id char(4) primary key, name text)")
    with raw(dsn) as pgconn:
        pgconn.exec_(b"insert into account values ('a', 'Zo\xeb')")
    (look,) = await seen(crm, dsn)
    async with reading(source(crm, dsn)) as reader:
        await reader.baseline()
        with raw(dsn) as pgconn:
            pgconn.exec_(b"update account set name = 'Zo\xec'")
        run(dsn, "update account set name = 'Zoë'")
        first, bad, mended = await reader.count(3)
    assert [change.values for change in (look, first, bad)] == [("a",)] * 3
    assert None not in (look.undecoded, first.undecoded, bad.undecoded)
    assert mended.values == ("a", "Zoë")
    assert mended.undecoded is None


async def test_a_look_at_the_rows_tells_of_the_one_that_cannot_be_read_and_goes_on(ascii_database: str) -> None:
    dsn = ascii_database
    mapped = stream("public.account", ("id", "part"), ("name", "straße"))
    run(
        dsn,
        'create table account (id text, part char(3), name text, "straße" text, primary key (id, part))',
        "insert into account values ('ä', 'x', 'Zoë', 'Allee')",
        r"insert into account values ('b', 'x', null, E'a\tb\\'), (E'q\\''', 'x', '', '')",
    )
    with raw(dsn) as pgconn:
        pgconn.exec_(b"insert into account values ('c', 'x', e'Zo\xeb\\t', '\xff'), ('Zo\xeb', 'x', '', '')")
    async with Looking.at(system(mapped), dsn) as looking:
        relation = looking.relation(mapped)
        rows = [each async for page in looking.rows(mapped, relation) for each in page]
        keys = [key_text((str(each.values[0]), "x")) for each in rows if UNKNOWN not in each.values]
        again = await looking.again(mapped, relation, keys)
    assert {each.values for each in rows} == {
        ("b", "x", None, "a\tb\\"),
        ("c", "x"),
        ("q\\'", "x", "", ""),
        (UNKNOWN, "x"),
        ("ä", "x", "Zoë", "Allee"),
    }
    assert [each.values[0] for each in rows if each.undecoded is not None] == [UNKNOWN, "c"], "in the order of bytes"
    assert {each.values for each in again} == {each.values for each in rows if UNKNOWN not in each.values}

    entity = Entity("customer", {name: Field(name, parse_type("text")) for name in ("name", "straße")}, (), {})
    seeing = Seeing(mapped, entity, relation)
    unreadable = {each.key: each.nameless for row in rows if (each := seeing(row)) and each.unreadable}
    assert unreadable.pop('["c","x"]') is False
    ((name, nameless),) = unreadable.items()
    assert (name[:16], nameless) == ("key with SHA-256", True)


async def test_doctor_goes_on_where_a_text_is_not_utf_8(ascii_database: str) -> None:
    dsn = ascii_database
    run(dsn, "create table account (id int primary key, name text, at text)", "insert into account values (2, 'b', '')")
    with raw(dsn) as pgconn:
        pgconn.exec_(b"insert into account values (1, 'Zo\xeb', '\xff')")
    dated = Stream("crm", "public.account", "customer", ("id",), ACCOUNT.fields, changed_at=parse("at"))
    found = await probe(system(dated), dsn)
    assert [each.message for each in found if not each.ok] == []
    assert "a text in public.account is not valid UTF-8" in {each.message for each in found}


async def test_a_server_that_refuses_to_tell_a_text_is_understood(ascii_database: str) -> None:
    dsn = ascii_database
    run(dsn, "create table account (id int primary key, name text)")
    with raw(dsn) as pgconn:
        pgconn.exec_(b"insert into account values (1, 'Zo\xeb')")
    async with await connect("crm", dsn) as connection:
        with pytest.raises(EnvironmentUnfit, match=r"crm: a text in .* not valid UTF-8") as refused, translated("crm"):
            await connection.execute("select name from account")
    assert "mend the text" in refused.value.suggestion
