"""All records of some entities as they stand at one moment, for a preview: streamed in order of their ids.

What was written into created rows and is known by their links alone comes in a second stream, side by side. Where there
are many records, several processes share them, all on the same snapshot of the hub: which is whose, a hash of its id
tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from functools import partial
from typing import NamedTuple, Protocol, Self, TypeVar

from psycopg import sql

from fieldwarden.engine.delivering.settling import Note
from fieldwarden.engine.hub.elsewhere import elsewhere
from fieldwarden.engine.hub.reading import Connection, snapshot
from fieldwarden.engine.hub.rows import notes_of, record_of
from fieldwarden.engine.hub.session import translated
from fieldwarden.engine.hub.views.audit import stream
from fieldwarden.engine.record import Record
from fieldwarden.rules.secret import Secretive

_WORTH_A_PROCESS = 20_000
"""Records: about what one process gets through while another starts."""

_RECORDS = sql.SQL("""
select id::text, entity, version, golden::text, contributions, retired from record
where entity = any(%s::text[]) and (uuid_hash(id) & 2147483647) %% %s = %s order by record.id
""")
_NOTES = sql.SQL("""
select record::text, system, stream, key, sent from crosswalk c
where sent is not null and (uuid_hash(record) & 2147483647) %% %s = %s order by c.record
""")


class Pass(Protocol):
    """What looks at records one by one, and can be pickled: a preview of other rules, or of a first meeting."""

    def take(self, record: Record, once_more: Callable[[], Record], /) -> None:
        """`once_more` gives the record as it was, should this change it."""

    def empty(self) -> Self:
        """The same question, about other records."""

    def add(self, other: Self, /) -> None:
        """What was found of other records."""


P = TypeVar("P", bound=Pass)


class Share(NamedTuple):
    """What one of several processes reads, and where."""

    dsn: Secretive
    schema: str
    snapshot: str
    entities: frozenset[str]
    of: int
    number: int


async def preview(dsn: Secretive, schema: str, entities: frozenset[str], into: P, processes: int) -> int:
    """Hand all records of these entities to `into`; by how many processes, `processes` at most.

    Raises EnvironmentUnfit, TransientError."""
    with translated():
        async with snapshot(dsn, schema) as connection:
            of = await _worth(connection, entities, processes)
            name = await _exported(connection) if of > 1 else ""
            mine, *others = (Share(dsn, schema, name, entities, of, number) for number in range(of))
            with ExitStack() as stack:
                answers = [stack.enter_context(elsewhere(_elsewhere, share, into.empty())) for share in others]
                await _read(connection, mine, into)
                for answer in answers:
                    into.add(await asyncio.to_thread(answer))
    return of


async def _worth(connection: Connection, entities: frozenset[str], processes: int) -> int:
    query = "select count(*) from (select from record where entity = any(%s::text[]) limit %s) as few"
    cursor = await connection.execute(query, [sorted(entities), processes * _WORTH_A_PROCESS])
    found = await cursor.fetchone()
    return max(1, (found[0] if found else 0) // _WORTH_A_PROCESS)


async def _exported(connection: Connection) -> str:
    found = await (await connection.execute("select pg_export_snapshot()")).fetchone()
    return str(found[0]) if found else ""


async def _read(connection: Connection, share: Share, into: Pass) -> None:
    part = [share.of, share.number]
    # Which rows are its share, the planner cannot estimate: it would sort them all, instead of reading by the index.
    await connection.execute("set local enable_sort to off")
    async with (
        aclosing(stream(connection, _RECORDS, [sorted(share.entities), *part])) as records,
        aclosing(stream(connection, _NOTES, part)) as created,
    ):
        ahead = await anext(created, None)
        async for row in records:
            notes: list[Note] = []
            while ahead is not None and ahead[0] <= row[0]:
                if ahead[0] == row[0]:
                    notes += notes_of([ahead])[row[0]]
                ahead = await anext(created, None)
            into.take(record_of(row, notes), partial(record_of, row, notes))


def _elsewhere(share: Share, into: P) -> P:
    asyncio.run(_share(share, into))
    return into


async def _share(share: Share, into: Pass) -> None:
    with translated():
        async with snapshot(share.dsn, share.schema, share.snapshot) as connection:
            await _read(connection, share, into)
