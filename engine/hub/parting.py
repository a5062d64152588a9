"""What two records were before they were joined, read from the ledger, for a split that gives it back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.parted import Referring
from fieldwarden.engine.deciding.restoring import BeforeJoin, Keys, Returned, give_all_back
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.errors import EngineError, LedgerBroken
from fieldwarden.engine.hub.ingest import PostgresIngest
from fieldwarden.engine.hub.large import one_at_a_time
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import text_array
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.ledger.entries import EntryBody, Event, decode
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Rulebook

_BACK, _JOINED = 0, 1
"""Whose entries come first: those of the record that was joined, until it was."""
MOST = 10_000
"""Records that one split takes along: they are at hand all at once, and nothing else is decided meanwhile."""


class CannotDecide(EngineError):
    """The records are not what the decision needs."""

    code = "cannot_decide"


@dataclass(frozen=True, slots=True)
class Parting:
    """A split of `record` that brings `other` back, and what becomes of the values that their join had changed."""

    entity: str
    record: str
    other: str
    returned: tuple[Returned, ...]
    referring: int
    """How many records refer to the one that is there again, by rows that mean it."""

    @property
    def seen(self) -> str:
        """Names all of it, so that what was shown can be told from what is."""
        told = [(each.record, each.field, each.now, each.after, each.systems, each.why) for each in self.returned]
        return sha256(msgspec.json.encode([self.record, self.other, told, self.referring])).hexdigest()


class Giving:
    """Gives each of two records that are being parted what it was: read first, then call for each.

    `record` is the joined one, `back` the one that was joined to it."""

    def __init__(
        self,
        connection: Connection,
        ingest: PostgresIngest,
        scope: Scope,
        rulebook: Rulebook,
        record: Record,
        back: Record,
    ) -> None:
        self.returned: tuple[Returned, ...] = ()
        self._connection = connection
        self._ingest = ingest
        self._scope = scope
        self._rulebook = rulebook
        self._ids = record.id, back.id
        self._entity = record.entity
        self._now: dict[str, Value] = dict(record.golden)
        self._refs = {row.ref for row in record.rows}
        self._former: dict[str, BeforeJoin] = {}
        streams = [stream for system in rulebook.systems.values() for stream in system.streams.values()]
        self._writable = {(stream.system, stream.name): stream.update_fields for stream in streams}
        self._unread = {(stream.system, stream.name) for stream in streams if not stream.reads}

    async def read(self, going: Collection[RowRef]) -> None:
        """Learn from the ledger what both were. `going`: the rows that leave. Raises CannotDecide, LedgerBroken."""
        id, back = self._ids
        joined, merged = await self._told(id, "joined", back), await self._told(back, "merged", "")
        if joined is None or merged is None or merged[1].was != id:
            raise CannotDecide(
                f"{back} came to {id} with a record that it had been joined to before",
                suggestion="split that one with --restore first, or this one without",
            )
        kept, gone = BeforeJoin(frozenset(self._refs.difference(going))), BeforeJoin(frozenset(going), stays=False)
        self._former = {id: kept, back: gone}
        keys = await self._keys()
        async for version, body in _entries(self._connection, back):
            if version < merged[0]:
                body.row = keys.now((_BACK, version), RowRef(*body.row))
                gone.before(body)
        async for version, body in _entries(self._connection, id):
            body.row = keys.now((_JOINED, version), RowRef(*body.row))
            if version < joined[0]:
                kept.before(body)
            elif version > joined[0]:
                kept.since(body)
                gone.since(body)
        await self._follow()

    def __call__(self, record: Record) -> list[str]:
        """Give it what it had; the fields that are as before the join again."""
        entity = self._rulebook.entities[record.entity]
        former = self._former[record.id]
        told = give_all_back(entity, record, former, self._writable, self._now, self._unread)
        self.returned += tuple(told)
        return [each.field for each in told if not each.why]

    async def _keys(self) -> Keys:
        keys, (id, back) = Keys(), self._ids
        for place, record in ((_BACK, back), (_JOINED, id)):
            async for version, body in _entries(self._connection, record, "rekeys_of"):
                keys.learn((place, version), body)
        return keys

    async def _told(self, record: str, event: Event, was: str) -> tuple[int, EntryBody] | None:
        return await _told(self._connection, record, event, was)

    async def _follow(self) -> None:
        fields = self._scope.referring.get(self._entity, ())
        for former in self._former.values():
            values = (*former.golden.items(), *former.meant.items())
            named = sorted({value for name, value in values if name in fields and value})
            former.follow(await self._ingest.joined(named), fields)


async def naming(connection: Connection, fields: Referring, id: str, other: str) -> list[str]:
    """The records, by id, whose rows refer to `id` in these fields and will refer to `other`. Raises CannotDecide for
    more of them than one split takes along."""
    places = [(system, stream, name) for (system, stream), names in fields.items() for name in names]
    if not places:
        return []
    systems, streams, names = (text_array(each) for each in zip(*places, strict=True))
    asked = {"id": id, "other": other, "systems": systems, "streams": streams, "names": names, "limit": MOST + 1}
    found = [each for (each,) in await (await connection.execute(QUERIES["naming"], asked)).fetchall()]
    if len(found) > MOST:
        raise CannotDecide(
            f"more than {MOST} records refer to the rows of {other}, and so many are not taken along at once",
            suggestion="let their systems name other rows in some of them first; nothing was changed",
        )
    return found


async def came_with(connection: Connection, id: str, other: str, rows: Collection[RowRef]) -> set[RowRef]:
    """These rows, with which `other` was joined, by the keys that they have now: it may have come to `id` with a record
    that it had been joined to before."""
    keys, place, at, met = Keys(), 0, other, set[str]()
    while at != id and at not in met and (merged := await _told(connection, at, "merged", "")) is not None:
        met.add(at)
        on = merged[1].was
        joined = await _told(connection, on, "joined", at)
        async for version, body in _entries(connection, on, "rekeys_of"):
            if joined is not None and version > joined[0]:
                keys.learn((place, version), body)
        place, at = place + 1, on
    return {keys.now((0, 0), row) for row in rows}


async def not_joined(connection: Connection, id: str, other: str | None) -> CannotDecide:
    """Why these cannot be parted, in words."""
    if other is None:
        return CannotDecide(f"nothing was joined to record {id}", suggestion="`fieldwarden trail` tells what was")
    if await _told(connection, other, "split", id) is not None:
        return CannotDecide(
            f"{other} was split from {id} already; what the join replaced comes back only with the split itself",
            suggestion="`fieldwarden trail` shows the former values: say them in one of the systems",
        )
    return CannotDecide(f"{other} was not joined to {id}", suggestion="`fieldwarden trail` tells what was")


# --- parts ---------------------------------------------------------------------------------------------------


async def _told(connection: Connection, record: str, event: Event, was: str) -> tuple[int, EntryBody] | None:
    """The last entry of a record about such an event with another one ("": with any); None if there is none."""
    asked = [record, f'"event":"{event}"', f'"was":"{was}']
    found = await (await connection.execute(QUERIES["told_identity"], asked)).fetchone()
    return None if found is None else (found[0], _read(record, *found))


async def _entries(
    connection: Connection, record: str, query: str = "entries_of"
) -> AsyncGenerator[tuple[int, EntryBody], None]:
    async with aclosing(one_at_a_time(connection, query, record)) as rows:
        async for version, body in rows:
            yield version, _read(record, version, body)


def _read(record: str, version: int, body: str) -> EntryBody:
    try:
        return decode(body)
    except msgspec.MsgspecError as error:
        raise LedgerBroken(
            f"entry {version} of record {record} cannot be read: the ledger was altered",
            suggestion="fieldwarden audit verify",
        ) from error
