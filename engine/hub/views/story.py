"""One record's whole story across the systems, as of one moment: what `trail` and `explain` are made of.

The record's id is the correlation id: the crosswalk, the ledger, pending deliveries and set-aside changes all speak of
it by that id, and so does the external id that target rows carry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import psycopg

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.errors import LedgerBroken
from fieldwarden.engine.hub.asking import MASK, Mask, entity_named, field_named
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.reading import Connection
from fieldwarden.engine.hub.rows import notes_of, plain_array, record_of
from fieldwarden.engine.hub.views.earlier_rulebooks import FormerRules
from fieldwarden.engine.hub.views.finding import Candidate, find_one, label, labels_of
from fieldwarden.engine.ledger.entries import EntryBody, decode
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.engine.words.explaining import Circumstances, Explanation, explain, otherwise
from fieldwarden.engine.words.story import (
    IDENTITY,
    LINKED,
    Event,
    Kept,
    PendingDelivery,
    Reference,
    Show,
    StoryRow,
    Trail,
    decision_words,
    headline,
    when,
)
from fieldwarden.rules.rulebook import Entity, Rulebook

LATEST = 500
"""How many ledger entries a trail shows at most: the latest ones."""
_LONG = 80
_TOLD = 10
_SAMPLES = 5

_ENTRIES = """
select e.version, to_char(b.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'), e.lane, e.height, e.ordinal, e.body,
       b.rulebook
from ledger_entry e join ledger_block b on b.lane = e.lane and b.height = e.height
where e.record = %s::uuid and strpos(e.body, %s) > 0 order by e.version desc limit %s
"""


class _Teller:
    """What all parts of one story share: the connection, the rules, what may be shown, and the record."""

    def __init__(self, connection: Connection, rulebook: Rulebook, entity: Entity, record: Record, mask: Mask) -> None:
        self.connection = connection
        self.rulebook = rulebook
        self.entity = entity
        self.record = record
        self.mask = mask
        self.labels: dict[str, str] = {}
        self.outcomes: dict[RowRef, str] = {}
        """What was decided last about each row's word, once `events` was asked about a field."""

    def show(self, name: str, value: Value) -> str:
        """A value as it stands in a sentence."""
        if value is None:
            return "nothing"
        if self.mask.hides(self.entity.name, name):
            return MASK
        kind = self.entity.fields[name].type.kind if name in self.entity.fields else "text"
        if kind == "ref":
            return self.labels.get(value, value)
        if kind == "text":
            return f'"{value if len(value) <= _LONG else value[:_LONG] + "…"}"'
        return value

    async def events(self, about: str = "", limit: int = LATEST) -> list[Event]:
        """Ledger entries, latest first; with `about`, only those that decided on that field, and only that."""
        needle = msgspec.json.encode(about).decode() if about else ""
        cursor = await self.connection.execute(_ENTRIES, [self.record.id, needle, limit])
        rules = FormerRules(self.connection, self.rulebook)
        entries = [(*row[:5], await rules.explained(_decoded(row), row[6]), row[6]) for row in await cursor.fetchall()]
        await self._label(body for *_, body, _ in entries)
        events = [self._event(entry, about) for entry in entries]
        if not about:
            return events
        for (*_, body, _), event in zip(entries, events, strict=True):
            if event.outcomes:
                self.outcomes.setdefault(RowRef(*body.row), event.outcomes[about])
        return [event for event in events if event.outcomes]

    async def _label(self, bodies: Iterable[EntryBody]) -> None:
        """Learn what the records that these entries refer to are called."""
        fields = {name for name, each in self.entity.fields.items() if each.type.kind == "ref"}
        ids = {value for name, value in self.record.golden.items() if name in fields and value}
        for body in bodies:
            if body.event == "moved" or (body.event in IDENTITY and body.was):
                ids.add(body.was)
            for decision in body.decisions:
                if decision.field in fields:
                    ids.update(filter(None, (decision.proposed, decision.before, decision.after)))
        self.labels.update(await labels_of(self.connection, self.rulebook, sorted(ids - self.labels.keys()), self.mask))

    def _event(self, entry: tuple[Any, ...], about: str) -> Event:
        version, at, lane, height, ordinal, body, rulebook = entry
        system, stream, key = body.row
        shown = self.mask.key(system, stream, key)
        is_record = body.event == "moved" or body.event in IDENTITY
        was = self.labels.get(body.was, body.was) if is_record else self.mask.key(system, stream, body.was)
        decisions = [each for each in body.decisions if not about or each.field == about]
        show: Show = self.show
        return Event(
            version,
            at,
            when(body.at),
            system,
            stream,
            shown,
            body.event,
            headline(body, shown, was),
            [decision_words(decision, body.event, show) for decision in decisions],
            {decision.field: decision.outcome for decision in decisions},
            body.transaction,
            lane,
            height,
            ordinal,
            rulebook,
        )

    async def deliveries(self) -> list[PendingDelivery]:
        cursor = await self.connection.execute(
            "select distinct on (target) target, status, to_char(since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
            " attempts, reason, awaits::text from pending where record = %s::uuid order by target, reason desc, since",
            [self.record.id],
        )
        return [PendingDelivery(*row) for row in await cursor.fetchall()]


async def tell(
    connection: Connection, rulebook: Rulebook, entity_name: str, key: str, mask: Mask, *, latest: int = LATEST
) -> Trail:
    """The whole story. Raises UnknownName, NotFound, Ambiguous."""
    entity = entity_named(rulebook, entity_name)
    found = await find_one(connection, rulebook, entity, key, mask)
    teller = _Teller(connection, rulebook, entity, await _load(connection, found), mask)
    record = teller.record
    timeline = list(reversed(await teller.events(limit=latest)))
    trail = Trail(
        entity.name,
        record.id,
        label(rulebook, entity.name, record.id, record.golden, mask),
        found.how,
        record.version,
        record.retired,
        {name: mask.value(entity.name, name, record.golden.get(name)) for name in _names(entity, record)},
        [_row(teller, row, timeline) for row in record.rows],
        timeline,
        await teller.deliveries(),
        await _set_aside(teller),
    )
    trail.refers_to = _refers_to(teller)
    trail.referred_by, trail.referring = await _referred_by(teller)
    return trail


async def explain_field(
    connection: Connection,
    rulebook: Rulebook,
    entity_name: str,
    field_name: str,
    key: str,
    mask: Mask,
    files: Rulebook | None = None,
) -> Explanation:
    """Why the field holds its value by the live rules, and what `files` would make of it.

    Raises UnknownName, NotFound, Ambiguous."""
    entity = entity_named(rulebook, entity_name)
    field_named(entity, field_name)
    found = await find_one(connection, rulebook, entity, key, mask)
    teller = _Teller(connection, rulebook, entity, await _load(connection, found), mask)
    history = await teller.events(field_name)
    writable = frozenset(
        (system.name, stream.name)
        for system in rulebook.systems.values()
        for stream in system.streams.values()
        if stream.entity == entity.name and field_name in stream.update_fields
    )
    pending = {each.target: each.reason for each in await teller.deliveries()}
    around = Circumstances(teller.outcomes, pending, writable)
    called = label(rulebook, entity.name, found.record, teller.record.golden, mask)
    explanation = explain(entity, teller.record, field_name, called, teller.show, around)
    for claim in explanation.claims:
        claim.key = mask.key(claim.system, claim.stream, claim.key)
    explanation.history = history[:_TOLD]
    if files is not None and files.hash != rulebook.hash:
        explanation.files = otherwise(files, teller.record, explanation, teller.show)
    return explanation


async def _load(connection: Connection, found: Candidate) -> Record:
    cursor = await connection.execute(
        "select id::text, entity, version, golden::text, contributions::text, retired from record where id = %s::uuid",
        [found.record],
    )
    row = await cursor.fetchone()
    assert row is not None, "found in the same snapshot"
    notes = await (await connection.execute(QUERIES["notes"], [plain_array([found.record])])).fetchall()
    return record_of(row, notes_of(notes).get(found.record, ()))


def _decoded(row: tuple[Any, ...]) -> EntryBody:
    try:
        return decode(row[5])
    except msgspec.MsgspecError as error:
        raise LedgerBroken(
            f"lane {row[2]}, block {row[3]}, entry {row[4]} cannot be read: the ledger was altered",
            suggestion="fieldwarden audit verify",
        ) from error


def _names(entity: Entity, record: Record) -> list[str]:
    """The fields in the order of the entity's page; then golden values of fields that it no longer names."""
    return [*entity.fields, *(name for name in record.golden if name not in entity.fields)]


def _row(teller: _Teller, row: Contribution, timeline: list[Event]) -> StoryRow:
    system = teller.rulebook.systems.get(row.system)
    stream = system.streams.get(row.stream) if system else None
    shown = teller.mask.key(row.system, row.stream, row.key)
    linked, since = "", None
    for event in timeline:
        if (event.system, event.stream, event.key) == (row.system, row.stream, shown):
            since = since or event.at
            linked = linked or event.headline.partition("; ")[2].partition("; ")[0]
    if row.said == "":
        linked = "created by Fieldwarden"
    elif linked == LINKED["new"]:
        linked = "began the record"
    golden = teller.record.golden
    differs = [
        name
        for name in (stream.fields if stream and row.live else ())
        if golden.get(name) != (None if (now := row.holds(name)) is msgspec.UNSET else now)
    ]
    return StoryRow(row.system, row.stream, shown, linked, since, row.live, differs)


async def _set_aside(teller: _Teller) -> list[Kept]:
    rows = [row.ref for row in teller.record.rows]
    systems, streams, keys = ([row[part] for row in rows] for part in range(3))
    cursor = await teller.connection.execute(
        "select id, system, stream, key, kind, reason, to_char(since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        " from set_aside where %s::uuid = any(candidates) or (system, stream, key) in"
        " (select * from unnest(%s::text[], %s::text[], %s::text[])) order by id",
        [teller.record.id, systems, streams, keys],
    )
    mask = teller.mask
    return [
        Kept(id, system, stream, mask.key(system, stream, key), kind, reason, since)
        for id, system, stream, key, kind, reason, since in await cursor.fetchall()
    ]


def _refers_to(teller: _Teller) -> list[Reference]:
    found = []
    for name, each in teller.entity.fields.items():
        value = teller.record.golden.get(name)
        if each.type.kind == "ref" and value:
            found.append(Reference(name, each.type.target or "", value, teller.labels.get(value, value)))
    return found


async def _referred_by(teller: _Teller) -> tuple[list[Reference], int | None]:
    """Golden values have no index, so this gives up after a moment."""
    found: list[Reference] = []
    total = 0
    try:
        async with teller.connection.transaction():
            await teller.connection.execute("set local statement_timeout to '2s'")
            for entity in teller.rulebook.entities.values():
                for name, each in entity.fields.items():
                    if each.type.kind != "ref" or each.type.target != teller.entity.name:
                        continue
                    cursor = await teller.connection.execute(
                        "select id::text, count(*) over () from record where entity = %s and golden ->> %s = %s"
                        " order by id limit %s",
                        [entity.name, name, teller.record.id, _SAMPLES],
                    )
                    rows = await cursor.fetchall()
                    total += rows[0][1] if rows else 0
                    found += [Reference(name, entity.name, id, id) for id, _ in rows]
    except psycopg.errors.QueryCanceled:
        return [], None
    labels = await labels_of(teller.connection, teller.rulebook, [each.record for each in found], teller.mask)
    for reference in found:
        reference.label = labels.get(reference.record, reference.record)
    return found, total
