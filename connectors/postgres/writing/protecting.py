"""The guard's check by identity: a target whose write set holds a column that an owner's protected field is read from
is not written to at all, under whatever name, view or system it gets there.

It is made before a target's first write, and again once the catalogue says anything else of what it was made by: a
session lives for days, in which a view can be replaced. Other systems come into it where they are the same database:
the catalogue tells whether the tables from which their protected fields are read are here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.places import Database, here, may_be_here, place_of
from fieldwarden.connectors.postgres.reach import Reach, Watched, fingerprint, present, reach
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.rules.names import qualified
from fieldwarden.rules.protecting import Conflict, Use, conflicts, protected_columns, protected_reads, writes_of
from fieldwarden.rules.rulebook import Rulebook, Stream, System
from fieldwarden.rules.secret import Secretive

LOOK_SECONDS = 5.0
"""How long a session goes on writing before the catalogue is asked whether it still says the same: one query."""
_HEARD_SECONDS = 300.0
"""How long the owners' answers count, before each whose tables are here is asked anew which database it is."""
_NOTHING: frozenset[Hashable] = frozenset()


class ProtectedColumn(EnvironmentUnfit):
    """A write set holds a column that an owner's protected field is read from; nothing is written until it does not."""

    code = "protected_column"


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose protected fields a target must not touch: the rules, and how each system that owns some is reached;
    `target_dsns` of those that are written by another connection string."""

    rulebook: Rulebook
    dsns: Mapping[str, Secretive]
    target_dsns: Mapping[str, Secretive] = field(default_factory=dict)

    def ways(self, names: Iterable[str]) -> list[tuple[str, Secretive]]:
        """(system, connection string), all of them."""
        each = ((name, (self.dsns, self.target_dsns)) for name in names)
        return [(name, dsns[name]) for name, maps in each for dsns in maps if name in dsns]

    def tables(self, name: str) -> frozenset[tuple[str, ...]]:
        return frozenset(qualified(stream.table) for stream in self.rulebook.systems[name].streams.values())


class _Passed(NamedTuple):
    """A check that found nothing, beside the owners which were in it."""

    near: frozenset[str]
    watched: Watched | None
    fingerprint: str


class ColumnCheck:
    """The check of one target, over all its sessions: what has been found is kept as long as it holds.

    `clock` tells seconds that only grow."""

    def __init__(
        self,
        system: System,
        owners: Owners,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._system = system
        self._owners = owners
        self._look_seconds = look_seconds
        self._clock = clock
        self._database: Database | None = None
        self._heard: dict[tuple[str, Secretive], Database] = {}
        """Which database each owner has said it is, as long as this one is the same."""
        self._heard_at = self._looked_at = -math.inf
        self._passed: _Passed | None = None

    async def begin(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        """To be called with each new session, outside of a transaction, before it writes.

        Raises ProtectedColumn, which names both streams; EnvironmentUnfit if a table that is written is not there,
        since nobody knows what it will be; TransientError if an owner that may be this database does not answer;
        psycopg.Error of this target's server."""
        database = await here(connection)
        if database != self._database:
            # A server that was started anew is another: answers of before would call every owner another database.
            self._database, self._heard, self._heard_at, self._passed = database, {}, -math.inf, None
        await self._look(connection)

    async def again(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        """To be called before each further transaction of a session: asks the server at most every few seconds.

        Raises as `begin`."""
        if self._clock() - self._looked_at >= self._look_seconds:
            await self._look(connection)

    async def _look(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        now = self._clock()
        if now - self._heard_at >= _HEARD_SECONDS:
            await self._hear(connection)
            self._heard_at = now
        near = self._near()
        if not await self._holds(connection, near):
            self._passed = None
            self._passed = await self._check(connection, near)
        self._looked_at = now

    async def _hear(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        """Ask the owners, all at once, whose tables are here by name. Who has answered before is believed while it does
        not answer; of who has not, the connection string must say that it is elsewhere."""
        others = [name for name in self._owners.dsns if name != self._system.name]
        there = await present(connection, frozenset[tuple[str, ...]]().union(*map(self._owners.tables, others)))
        ways = self._owners.ways(name for name in others if self._owners.tables(name) & there)
        answers = await asyncio.gather(*(place_of(*way) for way in ways))
        self._heard.update({way: place for way, place in zip(ways, answers, strict=True) if place is not None})
        near = self._near()
        for name, dsn in ways:
            if (name, dsn) not in self._heard and name not in near and await may_be_here(connection, dsn):
                raise self._unheard(name)

    def _near(self) -> frozenset[str]:
        return frozenset(name for (name, _), place in self._heard.items() if place == self._database)

    def _unheard(self, owner: str) -> TransientError:
        return TransientError(
            f"nothing is written to {self._system.name}: tables of the names that {owner} reads protected fields from "
            f"are there, and {owner} does not answer: it may be the same database",
            suggestion=f"it is tried again until {owner} answers; where it is another database, that counts without an "
            f"answer if the connection string of {owner} names another host or another database name",
            path=self._system.name,
        )

    async def _holds(self, connection: psycopg.AsyncConnection[TupleRow], near: frozenset[str]) -> bool:
        """Whether the last check would come out the same."""
        passed = self._passed
        if passed is None or passed.near != near:
            return False
        return passed.watched is None or await fingerprint(connection, passed.watched) == passed.fingerprint

    async def _check(self, connection: psycopg.AsyncConnection[TupleRow], near: frozenset[str]) -> _Passed:
        assert self._database is not None
        rulebook = self._owners.rulebook
        # What a target is written for is read there too, whatever connection it is read by.
        reads = _reads(rulebook, [self._system.name, *near])
        if not reads:
            return _Passed(near, None, "")
        writes = _writes(rulebook, [self._system.name])
        async with connection.transaction():
            # The fingerprint has to be of the very catalogue that was judged.
            await connection.execute("set transaction isolation level repeatable read, read only")
            known = await reach(connection, self._database, rulebook.systems, writes, reads)
            mark = await fingerprint(connection, known.watched)
        self._judge(known)
        return _Passed(near, known.watched, mark)

    def _judge(self, known: Reach) -> None:
        name = self._system.name
        for use in known.missing:
            table = ".".join(qualified(self._system.streams[use.stream].table))
            raise EnvironmentUnfit(
                f"nothing is written to {name}: {use.stream} writes table {table}, which is not there",
                suggestion="create it, or correct the stream's `table`; fieldwarden doctor names what is there",
                path=f"{name}.{use.stream}",
            )
        wrong = list(protected_columns(self._owners.rulebook, _of(known.written), _of(known.read)))
        if wrong:
            raise ProtectedColumn(
                f"nothing is written to {name}: {'; '.join(each.message for each in wrong)}",
                suggestion=wrong[0].suggestion,
                path=f"{name}.{wrong[0].write.stream}",
            )


class Live(NamedTuple):
    """What the systems' catalogues tell, and whom it could not be asked of."""

    conflicts: list[Conflict]
    unasked: list[str]
    """Systems of which any connection string led to no answer."""


async def live_conflicts(
    rulebook: Rulebook, dsns: Mapping[str, Secretive], target_dsns: Mapping[str, Secretive]
) -> Live:
    """The conflicts among all systems that can be reached, each asked in its own database. `dsns` are what they are
    read by, `target_dsns` what those are written by that are written by another connection string. Raises nothing."""
    ways = [(name, dsn, name not in target_dsns) for name, dsn in dsns.items()]
    ways += [(name, dsn, True) for name, dsn in target_dsns.items()]
    places = await asyncio.gather(*(place_of(name, dsn) for name, dsn, _ in ways))
    unasked = {name for (name, *_), place in zip(ways, places, strict=True) if place is None}
    groups: dict[Database, list[tuple[str, Secretive, bool]]] = defaultdict(list)
    for way, place in zip(ways, places, strict=True):
        if place is not None:
            groups[place].append(way)
    # One system may read in one database and write in another: what it does in each belongs together.
    written: dict[Use, frozenset[Hashable]] = {}
    read: dict[Use, frozenset[Hashable]] = {}
    for place, members in groups.items():
        try:
            known = await _known(rulebook, place, members)
        except EngineError:
            unasked |= {name for name, *_ in members}
            continue
        for found, more in ((written, known.written), (read, known.read)):
            found.update({use: found.get(use, _NOTHING) | columns for use, columns in more.items()})
    return Live(list(conflicts(rulebook, _of(written), _of(read))), [name for name in dsns if name in unasked])


async def _known(rulebook: Rulebook, place: Database, members: list[tuple[str, Secretive, bool]]) -> Reach:
    """What members (system, connection string, whether it is written by that) do in their database."""
    writes = _writes(rulebook, [name for name, _, writing in members if writing])
    reads = _reads(rulebook, [name for name, *_ in members])
    name, dsn, _ = members[0]
    async with await connect(name, dsn) as connection:
        with translated(name):
            return await reach(connection, place, rulebook.systems, writes, reads)


def _streams(rulebook: Rulebook, names: Iterable[str]) -> list[Stream]:
    return [stream for name in dict.fromkeys(names) for stream in rulebook.systems[name].streams.values()]


def _writes(rulebook: Rulebook, names: Iterable[str]) -> list[Use]:
    return [use for stream in _streams(rulebook, names) for use in writes_of(stream)]


def _reads(rulebook: Rulebook, names: Iterable[str]) -> list[Use]:
    return [use for stream in _streams(rulebook, names) for use in protected_reads(rulebook, stream)]


def _of(columns: Mapping[Use, frozenset[Hashable]]) -> Callable[[Use], frozenset[Hashable]]:
    return lambda use: columns.get(use, _NOTHING)


__all__ = ["LOOK_SECONDS", "ColumnCheck", "Live", "Owners", "ProtectedColumn", "live_conflicts"]
