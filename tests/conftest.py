"""The real PostgreSQL every test works against: one throw-away server per session, one database per test.

`postgres` is the shared server, `database` a fresh database's DSN, `make_database` makes more of them, `hub_dsn` is
a database with the hub's schema in it (cloned from a template). `crashable_postgres` is a server of the test's own,
for those that kill it.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from engine.hub.embedded import EmbeddedServer
from engine.hub.migrate import migrate

THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "autovacuum_naptime": "5s"}

_numbers = itertools.count(1)


def _server(name: str) -> Iterator[EmbeddedServer]:
    folder = Path(tempfile.mkdtemp(prefix=f"fieldwarden-{name}-"))
    server = EmbeddedServer(folder, settings=THROW_AWAY)
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    yield from _server("shared")


@pytest.fixture
def crashable_postgres() -> Iterator[EmbeddedServer]:
    yield from _server("crashable")


def _run(server: EmbeddedServer, statement: str, *names: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def drop_database(server: EmbeddedServer, name: str) -> None:
    """Drop a database with everybody in it; its replication slots go with it once nobody streams from them."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        deadline = time.monotonic() + 30
        while admin.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active",
            [name],
        ).fetchall():
            assert time.monotonic() < deadline, f"a replication slot of {name} stays in use"
            time.sleep(0.01)
    _run(server, "drop database if exists {} with (force)", name)


@pytest.fixture
def make_database(postgres: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """`make_database(template="template1")` -> DSN of a new database; all are dropped after the test."""
    made: list[str] = []

    def make(template: str = "template1") -> str:
        name = f"test_{next(_numbers)}"
        _run(postgres, "create database {} template {}", name, template)
        made.append(name)
        return postgres.dsn(name)

    yield make
    for name in made:
        drop_database(postgres, name)


@pytest.fixture
def database(make_database: Callable[..., str]) -> str:
    return make_database()


@pytest.fixture(scope="session")
def hub_template(postgres: EmbeddedServer) -> str:
    """A migrated hub that is only ever copied."""
    name = "hub_template"
    _run(postgres, "create database {}", name)
    migrate(postgres.dsn(name))
    return name


@pytest.fixture
def hub_dsn(hub_template: str, make_database: Callable[..., str]) -> str:
    return make_database(hub_template)
