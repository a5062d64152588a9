"""What stewards decide about identity: two records are one, or are not; a row stands for a record; a record was two.

Each is one transaction that no ingest comes between, with the act in the people's lane and what became of the records
in a lane of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.joining import contradiction, join, rooted_twice, split
from fieldwarden.engine.deciding.known import Known, Tally
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.parted import Referring, refer, refer_to, referring_to
from fieldwarden.engine.deciding.scope import Scope, plans_of, scope_of
from fieldwarden.engine.errors import RulesChanged
from fieldwarden.engine.hub import acts
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.ingest import PostgresIngest
from fieldwarden.engine.hub.names import mask_of, meant
from fieldwarden.engine.hub.parting import CannotDecide, Giving, Parting, came_with, naming, not_joined
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection, Session
from fieldwarden.engine.ledger.entries import STEWARDS, Act
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Lease
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive

_AT_ONCE = 500
"""Records that are read together."""


@dataclass(frozen=True, slots=True)
class Side:
    """Records that carry one match pair, and why they were not joined by themselves."""

    records: Sequence[Record]
    why: str


class _Deciding:
    """One transaction: records at hand, and what is decided about them."""

    def __init__(self, connection: Connection, rulebook: Rulebook, clock: Callable[[], int], mask: Mask) -> None:
        plans = plans_of(rulebook)
        self.mask = mask
        self.connection = connection
        self.scope: Scope = scope_of(rulebook, next(iter(rulebook.systems)), plans, ordered=True)
        self.builder = OutcomeBuilder(self.scope, Known(), Tally())
        self.ingest = PostgresIngest(connection, Lease(Lane(STEWARDS), 0), clock, lambda *_: None)

    def called(self, row: RowRef) -> str:
        """A row in words, its key hidden where it is personal."""
        return f"{row.system} {row.stream} {self.mask.key(*row)}"

    async def records(self, ids: Sequence[str]) -> list[Record]:
        """All of them, of one entity of the rules. Raises CannotDecide."""
        joined = await self.ingest.joined(ids)
        if joined:
            raise CannotDecide(
                "; ".join(f"record {old} was joined to {new}" for old, new in sorted(joined.items())),
                suggestion="name the record that goes on",
            )
        found = await self.ingest.records(sorted(ids))
        if missing := [id for id in ids if id not in found]:
            raise CannotDecide(
                f"there is no record {missing[0]}", suggestion="`fieldwarden match list` names those alike"
            )
        records = [found[id] for id in ids]
        if len({record.entity for record in records}) > 1:
            raise CannotDecide("the records are of different entities", suggestion="name two of one entity")
        if records[0].entity not in self.scope.entities:
            raise CannotDecide(f"{records[0].entity} is not in the live rules", suggestion="`fieldwarden plan`")
        return records


class Stewards:
    """On a connection of its own. Every method raises TransientError, RulesChanged, CannotDecide."""

    def __init__(self, dsn: Secretive, schema: str, rulebook: Rulebook, clock: Callable[[], int]) -> None:
        self._session = Session(dsn, schema, "stewards", hot=True)
        self._rulebook = rulebook
        self._clock = clock

    async def sides(self, ids: Collection[str]) -> Side:
        """Records as they stand, and why they are not joined by themselves ("" if they will be)."""
        async with self._deciding() as deciding:
            records = await deciding.records(sorted(ids))
            entity = deciding.scope.entities[records[0].entity]
            apart = await deciding.ingest.apart(list(ids))
            return Side(records, contradiction(entity, records, deciding.scope.roots[entity.name], apart))

    async def join(self, ids: Sequence[str], act: Act) -> str:
        """Make two records one, whatever their keys say; the one that goes on: the older."""
        async with self._deciding() as deciding:
            survivor, absorbed = sorted(await deciding.records(ids), key=lambda record: record.id)
            entity = deciding.scope.entities[survivor.entity]
            roots = deciding.scope.roots[entity.name]
            if twice := rooted_twice([survivor, absorbed], roots):
                rows = ", ".join(f"{row.stream} {deciding.mask.key(*row.ref)}" for row in twice)
                raise CannotDecide(
                    f"{twice[0].system} has a row of its own in each: {rows}",
                    suggestion=f"delete one of them in {twice[0].system}, or merge them there",
                )
            await deciding.connection.execute(QUERIES["no_longer_apart"], {"one": survivor.id, "other": absorbed.id})
            former = [row.ref for row in absorbed.rows], deciding.builder.pairs(absorbed)
            deciding.builder.joined(survivor, absorbed, former, join(entity, roots, survivor, absorbed), None)
            await self._write(deciding, act)
            return survivor.id

    async def keep_apart(self, ids: Sequence[str], act: Act) -> None:
        """Two records are not one, whatever they share."""
        async with self._deciding() as deciding:
            one, other = await deciding.records(ids)
            await deciding.connection.execute(QUERIES["keep_apart"], [one.id, other.id])
            await self._write(deciding, act)

    async def link(self, row: RowRef, id: str, act: Act) -> None:
        """A row that waits for a steward stands for this record."""
        async with self._deciding() as deciding:
            row = await meant(deciding.connection, row)
            (record,) = await deciding.records([id])
            if (linked := await deciding.ingest.links([row])) and linked[row] != id:
                raise CannotDecide(
                    f"{deciding.called(row)} stands for record {linked[row]}",
                    suggestion="`fieldwarden record unlink` it first",
                )
            stream = self._rulebook.systems[row.system].streams[row.stream]
            if stream.entity != record.entity:
                raise CannotDecide(f"{row.stream} speaks of {stream.entity}, the record is one of {record.entity}")
            roots = deciding.scope.roots[record.entity]
            there = [each for each in record.rows if each.live and each.system == row.system and each.ref != row]
            if (row.system, row.stream) in roots and any((each.system, each.stream) in roots for each in there):
                raise CannotDecide(
                    f"{row.system} has a row of its own in record {id} already",
                    suggestion=f"delete or merge one of the two in {row.system}, or name another record",
                )
            cursor = await deciding.connection.execute(QUERIES["waiting_rows"], list(row))
            if not cursor.rowcount:
                raise CannotDecide(
                    f"no change of {deciding.called(row)} waits for a steward",
                    suggestion="`fieldwarden deadletter list --kind ambiguous`",
                )
            deciding.builder.link(row, id)
            await self._write(deciding, act)

    async def unlink(self, row: RowRef, new_id: str, act: Act) -> tuple[str, str]:
        """A row does not stand for its record: it begins one of its own (`new_id`), with the child rows of its system,
        and the two are kept apart. The record it leaves, and the new one."""
        async with self._deciding() as deciding:
            row = await meant(deciding.connection, row)
            linked = (await deciding.ingest.links([row])).get(row)
            if linked is None:
                raise CannotDecide(f"{deciding.called(row)} stands for no record")
            (record,) = await deciding.records([linked])
            roots = deciding.scope.roots[record.entity]
            if (row.system, row.stream) not in roots:
                raise CannotDecide(
                    f"{row.stream} holds child rows: they follow the row above them", suggestion="unlink that one"
                )
            others = [r for r in record.rows if r.system == row.system and (r.system, r.stream) in roots and r.live]
            alone = [each.ref for each in others] == [row]
            rows = {row} | {r.ref for r in record.rows if alone and r.system == row.system}
            if len(rows) == len(record.rows):
                raise CannotDecide(
                    f"record {record.id} has no other row", suggestion="there is nothing to part it from"
                )
            other = Record(new_id, record.entity, 0, {}, [])
            fields = await self._split(deciding, record, other, rows)
            found = await naming(deciding.connection, fields, record.id, new_id)
            await self._part_references(deciding, found, fields, record.id, new_id)
            await self._write(deciding, act)
            return record.id, new_id

    async def split(self, id: str, other: str | None, act: Act, *, restore: bool = False, seen: str = "") -> str:
        """Undo a join: the rows that came with it go back to the record that they came from (`other`; by default the
        one joined last), and the two are kept apart. The record that is there again.

        `restore`: give both records also the values back that the join replaced. `seen`: only if it is as it was
        previewed (`Parting.seen`). Raises CannotDecide."""
        async with self._deciding() as deciding:
            parting, fields = await self._part(deciding, id, other, restore=restore)
            found = await naming(deciding.connection, fields, parting.record, parting.other)
            parting = replace(parting, referring=len(found))
            if seen and seen != parting.seen:
                raise CannotDecide(
                    "the record is not as it was shown any more", suggestion="look at the preview once more"
                )
            await self._part_references(deciding, found, fields, parting.record, parting.other)
            await self._write(deciding, act)
            return parting.other

    async def parting(self, id: str, other: str | None) -> Parting:
        """What `split` would give back, with nothing done. Raises CannotDecide."""
        async with self._deciding() as deciding:
            parting, fields = await self._part(deciding, id, other, restore=True)
        async with self._session.transaction() as connection:  # nobody waits for what is only counted
            found = await naming(connection, fields, parting.record, parting.other)
        return replace(parting, referring=len(found))

    async def _part(
        self, deciding: _Deciding, id: str, other: str | None, *, restore: bool
    ) -> tuple[Parting, Referring]:
        """Part them, but for what refers to them: by these fields."""
        (record,) = await deciding.records([id])
        found = await (await deciding.connection.execute(QUERIES["joined_rows"], [id])).fetchall()
        joins = {old: {RowRef(*row) for row in json.loads(rows)} for old, rows in found}
        other = other or next(iter(joins), None)
        if other is None or other not in joins:
            raise await not_joined(deciding.connection, id, other)
        came = {old: await came_with(deciding.connection, id, old, rows) for old, rows in joins.items()}
        rows = came[other] & {row.ref for row in record.rows}
        if joins[other] and not rows:
            raise CannotDecide(
                f"record {id} has no row any more that came with {other}",
                suggestion="`fieldwarden record unlink` lets one of its rows begin a record of its own",
            )
        (back,) = (await deciding.ingest.records([other])).values()
        await deciding.connection.execute(QUERIES["unjoin"], [other])
        with_it = [old for old, refs in came.items() if old != other and refs and refs <= came[other]]
        await deciding.connection.execute(QUERIES["rejoin"], [other, with_it])
        if not restore:
            return Parting(record.entity, id, other, (), 0), await self._split(deciding, record, back, rows)
        giving = Giving(deciding.connection, deciding.ingest, deciding.scope, self._rulebook, record, back)
        await giving.read(_with_merged(record, rows))
        fields = await self._split(deciding, record, back, rows, giving)
        return Parting(record.entity, id, other, giving.returned, 0), fields

    async def _split(
        self,
        deciding: _Deciding,
        record: Record,
        other: Record,
        rows: Collection[RowRef],
        give_back: Callable[[Record], Collection[str]] = lambda _: (),
    ) -> Referring:
        """What was merged into a row by its own system goes with it. In which fields rows refer to what left. Raises
        CannotDecide for a merged row without the one that it is by now."""
        rows = _with_merged(record, rows)
        for row in record.rows:
            if row.husk and row.ref in rows and row.ref._replace(key=row.merged) not in rows:
                raise CannotDecide(
                    f"{row.system} itself merged {row.stream} {deciding.mask.key(*row.ref)} into "
                    f"{deciding.mask.key(row.system, row.stream, row.merged)}",
                    suggestion=f"take that back in {row.system}: then it has a record of its own again",
                )
        leaving = [row for row in record.rows if row.ref in rows]
        fields = referring_to(self._rulebook, leaving, [row for row in record.rows if row.ref not in rows])
        refer(record.rows, fields, record.id, other.id)  # what refers to one of these two itself
        entity = deciding.scope.entities[record.entity]
        done = split(entity, deciding.scope.roots[entity.name], record, other, rows, give_back)
        deciding.builder.split(record, other, done)
        await deciding.connection.execute(QUERIES["keep_apart"], [record.id, other.id])
        return fields

    async def _part_references(
        self, deciding: _Deciding, found: Sequence[str], fields: Referring, left: str, to: str
    ) -> None:
        """Let these records, which refer to a row that went back, mean that one's record."""
        for start in range(0, len(found), _AT_ONCE):
            for each in (await deciding.ingest.records(found[start : start + _AT_ONCE])).values():
                moved, decisions = refer_to(deciding.scope.entities[each.entity], each, fields, left, to)
                if moved:
                    deciding.builder.followed(each, decisions, to)

    async def _write(self, deciding: _Deciding, act: Act) -> None:
        outcome = deciding.builder.finish()
        outcome.asked = {entity: {} for entity, _ in outcome.match_keys.values()}
        await deciding.ingest.write(outcome, self._rulebook.hash)
        await acts.append(deciding.connection, act, self._rulebook.hash)
        await deciding.connection.commit()

    @asynccontextmanager
    async def _deciding(self) -> AsyncIterator[_Deciding]:
        async with self._session.transaction() as connection:
            await connection.execute(QUERIES["lock_rules"])
            live = await (await connection.execute(QUERIES["live_rules"])).fetchone()
            if live is None or live[0] != self._rulebook.hash or live[3] is not None:
                raise RulesChanged(
                    "records are being brought under other rules",
                    suggestion="try again when `fieldwarden apply` has ended",
                )
            yield _Deciding(connection, self._rulebook, self._clock, await mask_of(connection, self._rulebook))

    async def close(self) -> None:
        await self._session.close()


def _with_merged(record: Record, rows: Collection[RowRef]) -> set[RowRef]:
    found, more = set[RowRef](), set(rows)
    while more:
        found |= more
        husks = [row for row in record.rows if row.husk and row.ref not in found]
        more = {row.ref for row in husks if row.ref._replace(key=row.merged) in found}
    return found
