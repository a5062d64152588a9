"""A database to write to: a table by its DDL, a stream over it, and plain SQL to look at and meddle with rows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from fieldwarden.connectors.postgres.following import mark_of
from fieldwarden.connectors.postgres.marks import Mark, Seal
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Write, WriteResult, answers
from fieldwarden.rules.expressions import parse
from fieldwarden.rules.rulebook import FieldMap, Stream, System
from tests.builders import postgres
from tests.patience import until

PARTY = """
create table party (
    id bigint generated always as identity primary key,
    ext text unique, name text, phone text, credit numeric(10,2), terms text default 'N30', kind text
)
"""


def stream(name: str = "public.party", fields: Sequence[str] = ("name", "phone", "credit"), **more: Any) -> Stream:
    """A stream over a table; each field in a column of its own name, or as `reads` maps field to expression."""
    reads: Mapping[str, str] = more.pop("reads", {})
    columns: Mapping[str, str] = more.pop("columns", {})
    maps = {
        field: FieldMap(field, columns.get(field, field), parse(reads[field]) if field in reads else None)
        for field in fields
    }
    settings: dict[str, Any] = {"external_id": "ext", "creates": True, "on_retire": "delete"} | more
    plain = Stream("erp", name, "customer", ("id",), maps, update_fields=tuple(fields), create_fields=tuple(fields))
    return replace(plain, **settings)


MARK = Mark(mark_of("test"), Seal(b"k" * 32))


class World:
    """The target under test and a person's own session beside it."""

    def __init__(self, dsn: str, *streams: Stream, ddl: str = PARTY) -> None:
        self.streams = {each.name: each for each in streams or (stream(),)}
        self.name = next(iter(self.streams))
        self.dsn = dsn
        self.person = psycopg.connect(dsn, autocommit=True)
        if ddl:
            self.sql(ddl)
        self.target = PostgresTarget(System("erp", 0, postgres(), self.streams), dsn, MARK)
        self._tokens = itertools.count(100)

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.target.close()
        self.person.close()

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = self.person.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def row(self, columns: str = "name, phone", where: str = "true", table: str = "party") -> tuple[Any, ...]:
        (found,) = self.sql(f"select {columns} from {table} where {where}")
        return found

    def create(self, record: str = "r-1", /, *, on: str = "", parent: str | None = None, **values: Value) -> Write:
        return Write(next(self._tokens), record, on or self.name, "create", None, values, parent_key=parent)

    def update(self, key: str, /, was: Mapping[str, Value] | None = None, *, on: str = "", **values: Value) -> Write:
        return Write(next(self._tokens), "r-1", on or self.name, "update", key, values, dict(was or {}))

    def delete(self, key: str, /, *, on: str = "") -> Write:
        return Write(next(self._tokens), "r-1", on or self.name, "delete", key, {})

    async def write(self, *writes: Write) -> list[WriteResult]:
        """The answers in the order of the writes."""
        results = {result.token: result for result in await answers(self.target, writes)}
        assert len(results) == len(writes)
        return [results[each.token] for each in writes]

    async def one(self, write: Write) -> WriteResult:
        (result,) = await self.write(write)
        return result

    async def made(self, record: str = "r-1", /, **values: Any) -> str:
        """Create a row; its key."""
        result = await self.one(self.create(record, **values))
        assert result.status == "applied", result
        assert result.key is not None
        return result.key

    async def until(self, query: str) -> None:
        """Wait until a query gives a row."""
        await until(lambda: self.sql(query), query)


WAITING = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
