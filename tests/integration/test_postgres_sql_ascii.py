"""A database in SQL_ASCII holds whatever bytes it was given: a text that is not UTF-8 is its own row's trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from engine.hub.embedded import EmbeddedServer
from tests.conftest import drop_database
from tests.integration.reading import reading, run, source, stream, system


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
