"""What stewards decide about identity: the queue of duplicates, and which rows stand for which record."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.identity import uuid7
from fieldwarden.engine.hub.parting import Parting
from fieldwarden.engine.hub.stewards import Side, Stewards
from fieldwarden.engine.hub.views.finding import label
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.ingest.session import microseconds
from fieldwarden.operations.acts import act
from fieldwarden.operations.hub import LiveHub, check_names
from fieldwarden.rules.errors import FieldwardenError


class NotARecord(FieldwardenError):
    code = "not_a_record"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Alike:
    """Records that carry the same value of a match key, what each is called, and why they are not joined."""

    entity: str
    match_key: str
    records: Sequence[str]
    names: Sequence[str]
    why: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records side by side: each field's two golden values where there is one, and their rows by record."""

    entity: str
    records: Sequence[str]
    why: str
    fields: Mapping[str, Sequence[str | None]]
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a split that restores makes of one field of one record."""

    record: str
    field: str
    now: Value
    before_the_join: Value
    after: Value
    written_in: Sequence[str]
    why_not: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a split would restore; `seen` names all of it, for `split` to insist on."""

    entity: str
    record: str
    other: str
    fields: Sequence[Restored]
    referring: int
    seen: str


@dataclass(frozen=True, slots=True)
class Split:
    """The record that was split, and the one that is there again."""

    record: str
    other: str


@dataclass(frozen=True, slots=True)
class Left:
    """The record that a row has left, and the new one that it stands for."""

    left: str
    record: str


async def alike(hub: LiveHub, limit: int = 50) -> list[Alike]:
    """The queue of duplicates. Raises EnvironmentUnfit."""
    async with hub.part(Overview) as overview:
        duplicates = await overview.duplicates(limit)
    async with _stewards(hub) as stewards:
        return [
            Alike(
                each.entity,
                each.key,
                list(each.records),
                [_label(hub, record.entity, record.id, side) for record in side.records],
                side.why or "they will be joined by `fieldwarden run`",
            )
            for each in duplicates
            for side in [await stewards.sides(each.records)]
        ]


async def side_by_side(hub: LiveHub, one: str, other: str, *, unmask: bool = False) -> Pair:
    """Raises CannotDecide, NotARecord, EnvironmentUnfit."""
    ids = _ids(one, other)
    async with _stewards(hub) as stewards:
        side = await stewards.sides(ids)
    mask = hub.mask(unmask=unmask)
    entity = hub.rulebook.entities[side.records[0].entity]
    by_id = {record.id: record for record in side.records}
    return Pair(
        entity.name,
        ids,
        side.why,
        {
            name: [mask.value(entity.name, name, by_id[id].golden.get(name)) for id in ids]
            for name in entity.fields
            if any(by_id[id].golden.get(name) is not None for id in ids)
        },
        {id: [f"{row.system} {row.stream} {mask.key(*row.ref)}" for row in by_id[id].rows if row.live] for id in ids},
    )


async def join(hub: LiveHub, who: Principal, one: str, other: str, *, reason: str) -> str:
    """Make two records one; the one that goes on. Raises CannotDecide, NotARecord, EnvironmentUnfit."""
    ids = _ids(one, other)
    said = act(who, "joined", reason, records=" ".join(ids))
    async with _stewards(hub) as stewards:
        return await stewards.join(ids, said)


async def keep_apart(hub: LiveHub, who: Principal, one: str, other: str, *, reason: str) -> list[str]:
    """Never join these two; their ids. Raises CannotDecide, NotARecord, EnvironmentUnfit."""
    ids = _ids(one, other)
    said = act(who, "kept apart", reason, records=" ".join(ids))
    async with _stewards(hub) as stewards:
        await stewards.keep_apart(ids, said)
    return ids


async def link(hub: LiveHub, who: Principal, row: RowRef, record: str, *, reason: str) -> str:
    """A row that waits for a steward stands for this record; its id. Raises CannotDecide, NotARecord, UnknownName,
    EnvironmentUnfit."""
    (id,) = _ids(record)
    check_names(hub.rulebook, system=row.system, stream=row.stream)
    said = act(who, "linked", reason, system=row.system, stream=row.stream, record=id)
    async with _stewards(hub) as stewards:
        await stewards.link(row, id, said)
    return id


async def unlink(hub: LiveHub, who: Principal, row: RowRef, *, reason: str) -> Left:
    """A row begins a record of its own. Raises CannotDecide, UnknownName, EnvironmentUnfit."""
    check_names(hub.rulebook, system=row.system, stream=row.stream)
    said = act(who, "unlinked", reason, system=row.system, stream=row.stream)
    async with _stewards(hub) as stewards:
        return Left(*await stewards.unlink(row, uuid7(microseconds(), secrets.randbits(74)), said))


async def split(
    hub: LiveHub,
    who: Principal,
    record: str,
    other: str | None = None,
    *,
    reason: str,
    restore: bool = False,
    seen: str = "",
) -> Split:
    """Undo a join, of `record` and the one named or joined last. With `restore` also what it did to values, if that is
    as it was `seen`. Raises CannotDecide, NotARecord, EnvironmentUnfit."""
    id, came = _two(record, other)
    details = {"values": "restored"} if restore else {}
    said = act(who, "split", reason, records=" ".join(filter(None, (id, came))), **details)
    async with _stewards(hub) as stewards:
        return Split(id, await stewards.split(id, came, said, restore=restore, seen=seen))


async def parting(hub: LiveHub, record: str, other: str | None = None, *, unmask: bool = False) -> Preview:
    """What `split` would restore; nothing is changed. Raises CannotDecide, NotARecord, EnvironmentUnfit."""
    id, came = _two(record, other)
    async with _stewards(hub) as stewards:
        found: Parting = await stewards.parting(id, came)
    mask = hub.mask(unmask=unmask)
    fields = [
        Restored(
            each.record,
            each.field,
            mask.value(found.entity, each.field, each.now),
            mask.value(found.entity, each.field, each.former),
            mask.value(found.entity, each.field, each.after),
            list(each.systems),
            each.why,
        )
        for each in found.returned
    ]
    return Preview(found.entity, id, found.other, fields, found.referring, found.seen)


# --- parts ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stewards(hub: LiveHub) -> AsyncIterator[Stewards]:
    async with hub.part(lambda dsn, schema: Stewards(dsn, schema, hub.rulebook, microseconds)) as stewards:
        yield stewards


def _ids(*given: str) -> list[str]:
    found = []
    for text in given:
        try:
            found.append(str(UUID(text)))
        except ValueError:
            raise NotARecord(
                f"{text!r} is not the id of a record", suggestion="`fieldwarden trail ENTITY KEY` shows a record's id"
            ) from None
    if len(set(found)) < len(found):
        raise NotARecord("both are the same record", suggestion="name two")
    return found


def _two(record: str, other: str | None) -> tuple[str, str | None]:
    ids = _ids(*filter(None, (record, other)))
    return ids[0], ids[1] if other else None


def _label(hub: LiveHub, entity: str, id: str, side: Side) -> str:
    golden = next(record.golden for record in side.records if record.id == id)
    return label(hub.rulebook, entity, id, golden, hub.mask())
