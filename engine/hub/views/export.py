"""The ledger as evidence: one flat row per decision, filtered in SQL as far as that is exact or safe, streamed.

Bodies are canonical JSON, so what a filter looks for stands in them in one spelling only. SQL looks for that spelling
without parsing (a tampered body must not stop the query); the decoded body decides.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString, get_args
from uuid import UUID

import msgspec
from psycopg import sql

from fieldwarden.engine.errors import LedgerBroken
from fieldwarden.engine.hub.asking import Mask, UnknownName, closest
from fieldwarden.engine.hub.reading import Connection
from fieldwarden.engine.hub.views.audit import stream
from fieldwarden.engine.hub.views.earlier_rulebooks import FormerRules
from fieldwarden.engine.ledger.entries import PEOPLE, Act, EntryBody, Outcome, decode, decode_act, leaf
from fieldwarden.rules.rulebook import Rulebook


@dataclass(frozen=True, slots=True)
class Filters:
    """Which decisions: all that are set must hold. `since` (inclusive) and `until` (exclusive) are block times."""

    entity: str | None = None
    record: str | None = None
    field: str | None = None
    outcome: str | None = None
    system: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ExportedRow(msgspec.Struct):
    """One decision. `at` is when it became durable, `source_time` when the source says it happened (ISO 8601 UTC);
    `entry_hash` is the entry's leaf in its block's Merkle tree.

    What a person did is one row as well: `event` is the act, `who` did it and `why`, `rule` says what it was done to;
    it has no record, system or field, so every filter by one of these leaves it out."""

    at: str
    lane: str
    height: int
    ordinal: int
    entity: str
    record: str
    version: int
    system: str
    stream: str
    key: str
    event: str
    position: str
    source_time: str | None
    transaction: str
    field: str
    outcome: str
    proposed: str | None
    before: str | None
    after: str | None
    winner: str
    rule: str
    rulebook: str
    entry_hash: str
    who: str | None = None
    why: str | None = None


COLUMNS = ExportedRow.__struct_fields__

_SELECT: LiteralString = """
select to_char(b.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), e.lane, e.height, e.ordinal,
       e.record::text, e.version, e.body, b.rulebook
from ledger_entry e join ledger_block b on b.lane = e.lane and b.height = e.height
where {where} order by b.at, e.lane, e.height, e.ordinal
"""


async def export(
    connection: Connection, rulebook: Rulebook, filters: Filters, mask: Mask
) -> AsyncGenerator[ExportedRow, None]:
    """The decisions in order of time. Raises LedgerBroken at an entry that cannot be read."""
    rules = FormerRules(connection, rulebook)
    conditions, parameters = _conditions(filters)
    where = sql.SQL(" and ").join(map(sql.SQL, conditions))
    async for at, lane, height, ordinal, record, version, text, hash in stream(
        connection, sql.SQL(_SELECT).format(where=where), parameters
    ):
        try:
            if lane == PEOPLE:
                yield _act((at, lane, height, ordinal, "", record, version), decode_act(text), hash, text)
                continue
            body = await rules.explained(decode(text), hash)
        except msgspec.MsgspecError as error:
            raise LedgerBroken(
                f"lane {lane}, block {height}, entry {ordinal} cannot be read: the ledger was altered",
                suggestion="fieldwarden audit verify",
            ) from error
        if filters.system is not None and body.row[0] != filters.system:
            continue
        place = (at, lane, height, ordinal, body.entity, record, version)
        for row in _rows(place, body, filters, mask, hash, leaf(record, version, text.encode()).hex()):
            yield row


def _rows(
    place: tuple[Any, ...], body: EntryBody, filters: Filters, mask: Mask, rulebook: str, hashed: str
) -> Iterable[ExportedRow]:
    system, stream_name, key = body.row
    entity = body.entity
    source_time = None if body.at is None else iso(body.at)
    row = (system, stream_name, mask.key(system, stream_name, key), body.event, body.position, source_time)
    for field, outcome, proposed, before, after, winner, rule in body.decisions:
        if filters.field is not None and field != filters.field:
            continue
        if filters.outcome is not None and outcome != filters.outcome:
            continue
        values = (mask.value(entity, field, value) for value in (proposed, before, after))
        cells: list[Any] = [*place, *row, body.transaction, field, outcome, *values, winner, rule, rulebook, hashed]
        yield ExportedRow(*cells)


def _act(place: tuple[Any, ...], act: Act, rulebook: str, text: str) -> ExportedRow:
    told = iso(act.at)
    details = ", ".join(f"{name} {value}" for name, value in act.details.items())
    nothing = ("", "", "", act.act, "", told, "", "", "", None, None, None, "")
    hashed = leaf(place[5], place[6], text.encode()).hex()
    cells: list[Any] = [*place, *nothing, details, rulebook, hashed, act.who, act.why]
    return ExportedRow(*cells)


def _conditions(filters: Filters) -> tuple[list[LiteralString], list[Any]]:
    """Conditions that keep every row that may pass, and what they ask for."""
    conditions: list[LiteralString] = ["true"]
    parameters: list[Any] = []

    def need(condition: LiteralString, *values: object) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if filters.record is not None:
        need("e.record = %s::uuid", filters.record)
    if filters.entity is not None:
        need("starts_with(e.body, %s)", f'{{"entity":{_json(filters.entity)},')
    if filters.system is not None:
        need("strpos(e.body, %s) > 0", f'"row":[{_json(filters.system)},')
    if filters.field is not None:
        name = _json(filters.field)
        need("(strpos(e.body, %s) > 0 or strpos(e.body, %s) > 0)", f"[{name},", f"{name}:")
    if filters.outcome is not None:
        name = _json(filters.outcome)
        need("(strpos(e.body, %s) > 0 or strpos(e.body, %s) > 0)", f",{name},", f",{name}:")
    if filters.system or filters.field or filters.outcome:
        need("e.lane <> %s", PEOPLE)
    if filters.since is not None:
        need("b.at >= %s", filters.since)
    if filters.until is not None:
        need("b.at < %s", filters.until)
    return conditions, parameters


async def check(connection: Connection, rulebook: Rulebook, filters: Filters) -> None:
    """Raise UnknownName for a filter that can find nothing because nothing is called so, in rules or ledger."""
    if filters.record is not None:
        try:
            UUID(filters.record)
        except ValueError:
            raise UnknownName(
                f"{filters.record!r} is not a record id", suggestion="`fieldwarden trail ENTITY KEY` shows it"
            ) from None
    outcomes = get_args(Outcome)
    if filters.outcome is not None and filters.outcome not in outcomes:
        raise UnknownName(f"{filters.outcome!r} is not an outcome", suggestion=closest(filters.outcome, outcomes))
    entity = rulebook.entities.get(filters.entity or "")
    fields = {name for each in ([entity] if entity else rulebook.entities.values()) for name in each.fields}
    for kind, name, known, part in (
        ("entity", filters.entity, set(rulebook.entities), Filters(entity=filters.entity)),
        ("system", filters.system, set(rulebook.systems), Filters(system=filters.system)),
        ("field", filters.field, fields, Filters(entity=filters.entity, field=filters.field)),
    ):
        if name is not None and name not in known and not await _mentioned(connection, part):
            raise UnknownName(f"there is no {kind} {name!r}", suggestion=closest(name, known))


async def _mentioned(connection: Connection, filters: Filters) -> bool:
    """Whether the ledger remembers what the rules no longer name."""
    conditions, parameters = _conditions(filters)
    query = sql.SQL("select exists (select from ledger_entry e where {})").format(
        sql.SQL(" and ").join(map(sql.SQL, conditions))
    )
    row = await (await connection.execute(query, parameters)).fetchone()
    return bool(row and row[0])


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def iso(micros: int) -> str:
    """µs since 1970 UTC as ISO 8601; a time beyond the calendar's end as the number it is."""
    try:
        moment = datetime.fromtimestamp(micros // 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{micros} µs"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06d}Z"
