"""The same random calls on two hubs, the one in memory and the one in PostgreSQL, as the engine's loops make them.

What they give back must be equal at every step, and so must all that can be seen of them afterwards."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, get_args

import psycopg

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.aside import SetAside, SetAsideKind
from fieldwarden.engine.ports.durable import Entry, IngestOutcome, Rekey
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Lease, Pending, Settlement
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.engine.testing import MemoryHub
from fieldwarden.engine.testing.state import copied
from tests.builders import BEGUN

SYSTEMS = ("crm", "erp")
RECORDS = [f"01900000-0000-7000-8000-{number:012x}" for number in range(1, 8)]
ROWS = {system: [RowRef(system, stream, key) for stream in ("s", "t") for key in "123"] for system in SYSTEMS}
ALL = [row for rows in ROWS.values() for row in rows]
PARTS = (LOG, "t/0")
MATCHES = [("tax_id", "1"), ("tax_id", "2"), ("name", "x")]
WAITING = ("parent", "reference", "rekey")
_PENDING = """
select distinct on (target, record) target, record::text, status, attempts, awaits::text,
    case when status = 'due' then '' else reason end
from pending order by target, record, mark desc, status
"""
_LATER = "update dirty set due = clock_timestamp() where due < clock_timestamp() + interval '1 minute'"


class Model:
    """One run of one seed. `step` does one random thing to both and compares what comes back; `compare` all else."""

    def __init__(self, seed: int, memory: MemoryHub, real: PostgresHub, person: psycopg.AsyncConnection[Any]) -> None:
        self.chance = random.Random(seed)
        self.memory, self.real, self.person = memory, real, person
        self.leases: dict[str, tuple[Lease, Lease]] = {}
        self.parts: dict[str, dict[str, Part]] = {}
        """Source -> the parts of whoever leased it last, as both hubs gave them."""
        self.claims: dict[str, list[tuple[Pending, Pending]]] = {system: [] for system in SYSTEMS}
        self.aside: dict[int, int] = {}
        """Changes set aside: id in memory -> id in PostgreSQL."""
        self.numbers = itertools.count(1)

    async def step(self) -> None:
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self.ingest), (6, self.claim), (8, self.settle), (1, self.lease), (2, self.release), (1, self.tell),
        ]  # fmt: skip
        weights, doings = zip(*steps, strict=True)
        await self.chance.choices(doings, weights)[0]()

    # --- what loops do ---------------------------------------------------------------------------------------

    async def lease(self) -> None:
        await self._lease(self.chance.choice(SYSTEMS))

    async def _lease(self, source: str) -> tuple[Lease, Lease]:
        found = self.leases[source] = (await self.memory.lease(Lane(source)), await self.real.lease(Lane(source)))
        assert found[0] == found[1]
        self.parts[source] = await self.memory.take(source, PARTS)
        assert self.parts[source] == await self.real.take(source, PARTS)
        return found

    async def tell(self) -> None:
        source = self.chance.choice(SYSTEMS)
        doing = self.chance.randrange(5)
        known = await self.memory.baseline(source)
        assert known == await self.real.baseline(source)
        number = known.number + 1
        positions = self.chance.choice([None, None, {LOG: "b"}, {PARTS[1]: "b"}, {}])
        for hub in (self.memory, self.real):
            if doing == 0:
                await hub.note(Lane(source), "halted", "why")
            elif doing == 1:
                assert await hub.begin_again(source, number, positions, BEGUN)
            elif doing == 2:
                await hub.read_until(source, {PARTS[1]: "p1"}, known.number, ["s"])
            elif doing == 3:
                await hub.swept(source, known.number)
            else:
                await hub.reconsider(source)
        if doing == 1:
            await self._lease(source)

    async def ingest(self) -> None:
        chance = self.chance
        source = chance.choice(SYSTEMS)
        ours, theirs = self.leases.get(source) or await self._lease(source)
        ids = sorted(chance.sample(RECORDS, chance.randint(0, 3)))
        seen = chance.sample(ROWS[source], chance.randint(0, 2))
        asked = chance.sample(ALL, 6)
        async with self.memory.ingest(ours) as here, self.real.ingest(theirs) as there:
            known = await here.records(ids)
            assert known == await there.records(ids)
            links = await here.links(ALL)
            assert links == await there.links(ALL)
            letters, real_letters = await here.letters(asked), await there.letters(asked)
            assert letters.keys() == real_letters.keys(), "letters"
            assert [[each[1:] for each in letters[row]] for row in letters] == [
                [each[1:] for each in real_letters[row]] for row in letters
            ]
            for look in ("rekeyed", "departed", "next_keys"):
                assert await getattr(here, look)(asked) == await getattr(there, look)(asked), look
            assert await here.matches("customer", MATCHES) == await there.matches("customer", MATCHES)
            for system, stream in ((system, stream) for system in SYSTEMS for stream in ("s", "t")):
                page = (system, stream, chance.choice([None, "1"]), 2)
                assert await here.rows_of(*page) == await there.rows_of(*page)
            assert await here.saw(seen) == await there.saw(seen)
            assert await here.unseen(ROWS[source]) == await there.unseen(ROWS[source])
            outcome, real = self._outcome(source, ids, known, links)
            assert await here.still_aside(outcome.released) == {
                mine for mine, its in self.aside.items() if its in await there.still_aside(real.released)
            }
            more: dict[str, Any] = {
                "parts": self._moved(source),
                "rulebook": "book",
                "state": self._state(),
            }
            await here.commit(outcome, **more)
            await there.commit(real, **more)
        await self._match_ids()

    def _moved(self, source: str) -> dict[str, Part]:
        moved = self.chance.sample(PARTS, self.chance.randint(0, 2))
        parts = self.parts[source]
        return {name: replace(parts[name], position=self.chance.choice([None, "p1", "p2"])) for name in moved}

    def _state(self) -> str | None:
        return self.chance.choice([None, None, "snapshot", "streaming"])

    def _outcome(
        self, source: str, ids: list[str], known: dict[str, Record], links: dict[RowRef, str]
    ) -> tuple[IngestOutcome, IngestOutcome]:
        chance = self.chance
        records = [self._changed(known.get(id) or Record(id, "customer", 0, {}, []), links) for id in ids]
        outcome = IngestOutcome(records=records)
        outcome.entries = [Entry(each.id, each.version, b'{"n":1}') for each in records]
        stated = {row.ref: each.id for each in records for row in each.rows if row.live and row.system == source}
        outcome.links = [(row, id) for row, id in stated.items() if links.get(row) != id and links.get(row, id) in ids]
        gone = [row for row, id in links.items() if id in ids and row.system == source and row not in stated]
        outcome.unlinks = [row for row in gone if chance.random() < 0.5]
        outcome.match_keys = {
            id: ("customer", chance.sample(MATCHES, chance.randint(0, 2))) for id in ids if chance.random() < 0.5
        }
        pairs = [(target, id) for target in SYSTEMS for id in ids]
        outcome.dirty = [pair for pair in pairs if chance.random() < 0.6]
        outcome.suspect = [pair for pair in pairs if pair not in outcome.dirty and chance.random() < 0.3]
        outcome.agreed = [pair for pair in pairs if chance.random() < 0.1]
        if chance.random() < 0.2:
            old, new = chance.sample(ROWS[source], 2)
            outcome.rekeyed = [Rekey(old, replace_stream(new, old), f"p{next(self.numbers)}", chance.random() < 0.5)]
        outcome.arrived = [row for row in ROWS[source] if chance.random() < 0.05]
        return outcome, self._with_aside(source, outcome)

    def _changed(self, record: Record, links: dict[RowRef, str]) -> Record:
        """A later state, as a source's changes could have made it."""
        chance = self.chance
        changed = copied(record)
        changed.version += 1
        changed.golden = {"name": chance.choice(["x", "y", None]), "city": "z"}
        changed.retired = chance.random() < 0.1
        free = [row for row in ALL if links.get(row, record.id) == record.id]
        for ref in chance.sample(free, min(len(free), chance.randint(0, 2))):
            said, name = f"p{next(self.numbers)}", chance.choice(["x", "y", "v"])
            fresh = Contribution(*ref, said, Stamp(said, 1), {"name": name})
            fresh.deleted = said if chance.random() < 0.2 else None
            changed.rows = [row for row in changed.rows if row.ref != ref] + [fresh]
        return changed

    def _with_aside(self, source: str, outcome: IngestOutcome) -> IngestOutcome:
        """Add what is set aside and what is dealt with; gives the same with PostgreSQL's ids."""
        chance = self.chance
        mine = [id for id in sorted(self.aside) if self.memory.set_aside[id].row.system == source]
        outcome.released = [id for id in mine if chance.random() < 0.2]
        for _ in range(chance.choice([0, 0, 1, 2])):
            outcome.set_aside.append(self._kept(source))
        for id in mine:
            if id not in outcome.released and chance.random() < 0.1:
                again = self._kept(source)
                outcome.set_aside.append(replace(again, id=id, row=self.memory.set_aside[id].row, position="p"))
        theirs = [replace(each, id=self.aside.get(each.id, 0)) for each in outcome.set_aside]
        return replace(outcome, set_aside=theirs, released=[self.aside[id] for id in outcome.released])

    def _kept(self, source: str) -> SetAside:
        chance = self.chance
        kind = chance.choice(get_args(SetAsideKind))
        awaits = chance.choice(ROWS[source]) if kind in WAITING else None
        candidates = tuple(chance.sample(RECORDS, 2)) if kind == "ambiguous" else ()
        row = chance.choice(ROWS[source])
        return SetAside(row, "customer", kind, f"why {next(self.numbers)}", b"{}", "p", awaits, candidates)

    async def _match_ids(self) -> None:
        rows = await (await self.person.execute("select id from set_aside order by id")).fetchall()
        self.aside = dict(zip(sorted(self.memory.set_aside), (id for (id,) in rows), strict=True))

    async def release(self) -> None:
        """A person's word: another try."""
        if self.aside:
            mine, its = self.chance.choice(sorted(self.aside.items()))
            self.memory.released.add(mine)
            await self.person.execute("update set_aside set released = true where id = %s", [its])

    async def claim(self) -> None:
        target = self.chance.choice(SYSTEMS)
        here, there = await self.memory.claim(target, 100), await self.real.claim(target, 100)
        ours = {each.record.id: each for each in here}
        theirs = {each.record.id: each for each in there}
        assert len(theirs) == len(there)
        assert ours.keys() == theirs.keys()
        for id, each in ours.items():
            assert each.record == theirs[id].record
            assert each.attempts == theirs[id].attempts
            # What an attempt met that a newer mark has overtaken is worth remembering, but nobody needs to.
            assert each.last_result == theirs[id].last_result or not each.attempts
        # Whoever claims a record again has given the earlier claim up (what if not: test_hub_marks).
        kept = [claim for claim in self.claims[target] if claim[0].record.id not in ours]
        self.claims[target] = kept + [(each, theirs[id]) for id, each in ours.items()]

    async def settle(self) -> None:
        target = self.chance.choice(SYSTEMS)
        claims = self.claims[target]
        self.chance.shuffle(claims)
        once = {claim[0].record.id: claim for claim in claims}
        taken = list(once.values())[: self.chance.randint(0, 4)]
        self.claims[target] = [claim for claim in claims if claim not in taken]
        pairs = [self._settled(target, *claim) for claim in taken]
        await self.memory.settle(target, [ours for ours, _ in pairs])
        await self.real.settle(target, [theirs for _, theirs in pairs])
        await self.person.execute(_LATER)

    def _settled(self, target: str, ours: Pending, theirs: Pending) -> tuple[Settlement, Settlement]:
        chance = self.chance
        record = ours.record
        status: Any = chance.choice(["done", "done", "retry", "wait", "park"])
        more: dict[str, Any] = {"reason": f"why {next(self.numbers)}", "result": chance.choice(["", "a", "b"])}
        more["awaits"] = chance.choice([each for each in RECORDS if each != record.id]) if status == "wait" else None
        live = [row.ref for row in record.rows if row.system == target and row.live]
        learnt = {ref: {"name": record.golden.get("name")} for ref in live if chance.random() < 0.5}
        if not live and chance.random() < 0.5:
            created = RowRef(target, "s", f"new {next(self.numbers)}")
            more["links"] = (created,)
            learnt[created] = {"name": record.golden.get("name")}
        more["learnt"] = learnt
        return (
            Settlement(record.id, ours.mark, ours.revision, status, **more),
            Settlement(record.id, theirs.mark, theirs.revision, status, **more),
        )

    # --- what can be seen ------------------------------------------------------------------------------------

    async def compare(self) -> None:
        assert await self._pending() == {
            (target, id): (row.status, row.attempts, row.awaits, "" if row.status == "due" else row.reason)
            for (target, id), row in self.memory.dirty.items()
        }
        sources = ["crm", "erp", "other"]
        assert await self.memory.unread(sources) == await self.real.unread(sources)
        for system in SYSTEMS:
            assert await self.memory.keys(RECORDS, system) == await self.real.keys(RECORDS, system)
            await self._compare_releasable(system)

    async def _pending(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        rows = await (await self.person.execute(_PENDING)).fetchall()
        return {(target, record): tuple(rest) for target, record, *rest in rows}

    async def _compare_releasable(self, system: str) -> None:
        for limit in (1000, 2):
            mine: int | None = 0
            its: int | None = 0
            while mine is not None and its is not None:
                ours, mine = await self.memory.releasable(system, limit, mine)
                theirs, its = await self.real.releasable(system, limit, its)
                assert [replace(each, id=self.aside[each.id]) for each in ours] == theirs
                assert (mine is None) == (its is None)


def replace_stream(row: RowRef, like: RowRef) -> RowRef:
    """The row of that key in the stream of another; under another key than it."""
    return RowRef(like.system, like.stream, row.key if row.key != like.key else f"{row.key}+")
