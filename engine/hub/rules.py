"""The live rulebook in the hub: which one it is, how another takes its place, and the records brought under it.

    switch   hash, positions of streams that have to be read, the act in the people's lane: one transaction, which no
             ingest comes between (they share the lock that this one takes alone)
    resolve  records in order of their ids, a bounded batch at a time, each batch one transaction and one block

Killed anywhere, it goes on where it was: the hub knows how far records have been resolved. A record that changes
before its turn is resolved by its own ingest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fieldwarden.engine import failpoints
from fieldwarden.engine.deciding.known import Known, Tally
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.scope import plans_of, scope_of
from fieldwarden.engine.errors import EngineError, RulesChanged
from fieldwarden.engine.hub import acts
from fieldwarden.engine.hub.ingest import PostgresIngest
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, Session, has_table
from fieldwarden.engine.ledger.entries import RULES, Act
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Lease
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive

BATCH = 1000
"""Records resolved in one transaction: their locks are held for a fraction of a second."""

Again = Callable[[str], str]
"""The stored position of a part -> the one from which the streams that have to be read are read."""


class ApplyRuns(EngineError):
    """Another process brings records under new rules now."""

    code = "apply_runs"


@dataclass(frozen=True, slots=True)
class Live:
    """The live rulebook. While records are resolved again, `former` is not None: the hash of the rulebook that those
    yet to come were resolved under, empty where it is not one alone; `done` of `total` have been. `worker` does it, or
    did when it was last heard of. `onboarded`: since when deliveries may be made, None while they wait for somebody to
    have looked at what they would do; `onboarded_by` said so, empty where nobody had to."""

    hash: str
    body: str
    since: datetime
    former: str | None
    done: int
    total: int
    worker: str
    onboarded: datetime | None
    onboarded_by: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch was: records looked at, and those of them that became other ones."""

    seen: int
    changed: int


class LiveRules:
    """On connections of its own. Every method raises TransientError."""

    def __init__(self, dsn: Secretive, schema: str, clock: Callable[[], int]) -> None:
        self._session = Session(dsn, schema, "rules", hot=True)
        self._holding = Session(dsn, schema, "applying")
        self._clock = clock

    async def live(self) -> Live | None:
        """None in a hub that no rulebook was ever applied in, or that was made before there was a live one."""
        async with self._session.transaction() as connection:
            if not await has_table(connection, "live_rulebook"):
                return None
            row = await (await connection.execute(QUERIES["live_rules"])).fetchone()
        return Live(*row) if row is not None else None

    async def begin(self, rulebook: Rulebook, *, onboarded: bool = True) -> bool:
        """Make a rulebook the first live one; False if there is one already. Not `onboarded`: nothing is delivered
        before `end_onboarding`."""
        if await self.live() is not None:
            return False
        async with self._session.transaction() as connection:
            await self._remember(connection, rulebook)
            cursor = await connection.execute(QUERIES["begin_rules"], [rulebook.hash, onboarded])
            await connection.commit()
            return cursor.rowcount > 0

    async def end_onboarding(self, act: Act) -> bool:
        """Let deliveries be made from now on, and note who said so; False, and nothing is noted, if they may be
        already, or no rulebook is live."""
        async with self._session.transaction() as connection:
            cursor = await connection.execute(QUERIES["end_onboarding"], [act.who])
            live = await (await connection.execute(QUERIES["live_rules"])).fetchone()
            if not cursor.rowcount or live is None:
                return False
            await acts.append(connection, act, live[0])
            await connection.commit()
            return True

    async def rename(self, former: str, rulebook: Rulebook) -> None:
        """The live rulebook goes by another hash, since an older version named it otherwise; it is the same."""
        async with self._session.transaction() as connection:
            await connection.execute(QUERIES["lock_rules"])
            await self._remember(connection, rulebook)
            await connection.execute(QUERIES["rename_rules"], [rulebook.hash, former])
            await connection.commit()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody else applies meanwhile. Raises ApplyRuns."""
        async with self._holding.transaction() as connection:
            row = await (await connection.execute(QUERIES["hold_applying"])).fetchone()
            if row is None or not row[0]:
                live = await self.live()
                assert live is not None
                raise ApplyRuns(
                    f"{live.worker or 'another process'} is applying rulebook {live.hash[:12]} now"
                    f" ({live.done:,} of {live.total:,} records)",
                    suggestion="wait until it has ended: `fieldwarden status` tells",
                )
            yield

    async def switch(self, old: str, rulebook: Rulebook, act: Act, again: Mapping[str, Again]) -> None:
        """Make a rulebook live in the place of `old`. `again` names the systems of which streams have to be read.

        Raises RulesChanged, and nothing is changed, if another than `old` is live."""
        async with self._session.transaction() as connection:
            await connection.execute(QUERIES["lock_rules"])
            await self._remember(connection, rulebook)
            cursor = await connection.execute(QUERIES["switch_rules"], [rulebook.hash, act.who, old])
            if not cursor.rowcount:
                raise RulesChanged(
                    "another rulebook has become live meanwhile", suggestion="see what it changes: `fieldwarden plan`"
                )
            for name, moved in again.items():
                await connection.execute(QUERIES["read_streams_again"], [name])
                parts = await (await connection.execute(QUERIES["positions_of"], [name])).fetchall()
                for part, position in parts:
                    await connection.execute(QUERIES["read_part_again"], [moved(position), name, part])
            await acts.append(connection, act, rulebook.hash)
            failpoints.hit("apply.before_switch")
            await connection.commit()
        failpoints.hit("apply.after_switch")

    async def resolve(
        self, rulebook: Rulebook, entities: frozenset[str] | None, rematch: frozenset[str], former: Rulebook | None
    ) -> Step | None:
        """The next batch of records; None when there is none left, and all is done. `former` as in `Reresolver`.

        `entities` are those whose records may change (None: all), `rematch` those whose match keys are to be made anew.
        Raises RulesChanged."""
        async with self._session.transaction() as connection:
            row = await (await connection.execute(QUERIES["lock_progress"])).fetchone()
            if row is None or row[0] != rulebook.hash:
                raise RulesChanged("another rulebook has become live meanwhile", suggestion="fieldwarden plan")
            found = await (await connection.execute(QUERIES["next_records"], [row[1], BATCH])).fetchall()
            if not found:
                failpoints.hit("apply.before_end")
                await connection.execute(QUERIES["end_applying"])
                await connection.commit()
                return None
            ids = [id for id, entity in found if entities is None or entity in entities]
            changed = await self._resolved(connection, Reresolver(rulebook, former), rulebook, ids, rematch)
            await connection.execute(QUERIES["note_progress"], [found[-1][0], len(found)])
            failpoints.hit("apply.before_batch")
            await connection.commit()
        failpoints.hit("apply.after_batch")
        return Step(len(found), changed)

    async def _resolved(
        self,
        connection: Connection,
        resolve: Reresolver,
        rulebook: Rulebook,
        ids: list[str],
        rematch: frozenset[str],
    ) -> int:
        plans = plans_of(rulebook)
        builder = OutcomeBuilder(
            scope_of(rulebook, next(iter(rulebook.systems)), plans, ordered=True), Known(), Tally()
        )
        writing = PostgresIngest(connection, Lease(Lane(RULES), 0), self._clock, lambda *_: None)
        for record in (await writing.records(ids)).values():
            builder.applied(record, resolve(record), rematch=record.entity in rematch)
        outcome = builder.finish()
        outcome.asked = {entity: {} for entity, _ in outcome.match_keys.values()}
        entries = len(outcome.entries)  # before: what is large is let go of while it is written
        await writing.write(outcome, rulebook.hash)
        return entries

    async def _remember(self, connection: Connection, rulebook: Rulebook) -> None:
        await connection.execute(QUERIES["remember_rulebook"], [rulebook.hash, rulebook.source])

    async def close(self) -> None:
        await self._session.close()
        await self._holding.close()


async def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row
