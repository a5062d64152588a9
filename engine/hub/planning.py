"""All records of some entities as they stand at one moment, for a preview: streamed in order of their ids.

What was written into created rows and is known by their links alone comes in a second stream, side by side. Where there
are many records, several processes share them, all on the same snapshot of the hub: which is whose, a hash of its id
tells.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import NamedTuple

from psycopg import sql

from engine.errors import EngineError, EnvironmentUnfit
from engine.hub.audit import stream
from engine.hub.reading import Connection, snapshot
from engine.hub.rows import notes_of, record_of
from engine.hub.session import translated
from engine.preview import Preview
from engine.settle import Note

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


class Share(NamedTuple):
    """What one of several processes reads, and where."""

    dsn: str
    schema: str
    snapshot: str
    entities: frozenset[str]
    of: int
    number: int


async def preview(dsn: str, schema: str, entities: frozenset[str], into: Preview, processes: int) -> int:
    """Hand all records of these entities to `into`; by how many processes, `processes` at most.

    Raises EnvironmentUnfit, TransientError."""
    with translated():
        async with snapshot(dsn, schema) as connection:
            of = await _worth(connection, entities, processes)
            name = await _exported(connection) if of > 1 else ""
            mine, *others = (Share(dsn, schema, name, entities, of, number) for number in range(of))
            with ExitStack() as stack:
                asked = [stack.enter_context(_process(share, into.empty())) for share in others]
                await _read(connection, mine, into)
                for pipe in asked:
                    into.add(await asyncio.to_thread(_answer, pipe))
    return of


async def _worth(connection: Connection, entities: frozenset[str], processes: int) -> int:
    query = "select count(*) from (select from record where entity = any(%s::text[]) limit %s) as few"
    cursor = await connection.execute(query, [sorted(entities), processes * _WORTH_A_PROCESS])
    found = await cursor.fetchone()
    return max(1, (found[0] if found else 0) // _WORTH_A_PROCESS)


async def _exported(connection: Connection) -> str:
    found = await (await connection.execute("select pg_export_snapshot()")).fetchone()
    return str(found[0]) if found else ""


async def _read(connection: Connection, share: Share, into: Preview) -> None:
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


# --- another process -------------------------------------------------------------------------------------------------


@contextmanager
def _process(share: Share, empty: Preview) -> Iterator[Pipe]:
    """A process that reads a share; it ends with the block, however that ends."""
    context = multiprocessing.get_context("spawn")  # a fork would share our connections
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(share, empty, its), daemon=True)
    with ours:
        with its, _uninterrupted():
            process.start()
        try:
            yield ours
        finally:
            process.terminate()
            process.join()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that starts here never hears a terminal's interrupt: whoever started it ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(share: Share, empty: Preview, pipe: Pipe) -> None:
    try:
        asyncio.run(_share(share, empty))
    except EngineError as error:
        pipe.send((type(error), error.message, error.suggestion))
    except Exception:
        pipe.send(traceback.format_exc())
    else:
        pipe.send(empty)


async def _share(share: Share, into: Preview) -> None:
    with translated():
        async with snapshot(share.dsn, share.schema, share.snapshot) as connection:
            await _read(connection, share, into)


def _answer(pipe: Pipe) -> Preview:
    try:
        said = pipe.recv()
    except (EOFError, OSError) as error:
        raise EnvironmentUnfit(
            "a process that counted records was ended from outside", suggestion="is there memory left? plan again"
        ) from error
    if isinstance(said, str):
        raise RuntimeError(f"in a process that counted records:\n{said}")
    if not isinstance(said, Preview):
        kind, message, suggestion = said
        raise kind(message, suggestion=suggestion)
    return said
