"""What stewards decide about identity: the queue of duplicates, and which rows stand for which record."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.identity import uuid7
from fieldwarden.engine.hub.stewards import Side, Stewards
from fieldwarden.engine.hub.views.finding import label
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.running.ingest.session import microseconds
from fieldwarden.operations.asking import answered
from fieldwarden.operations.person import act
from fieldwarden.operations.project import Opened
from fieldwarden.operations.report import Report, count, table
from fieldwarden.rules.errors import FieldwardenError

T = TypeVar("T")


class NotARecord(FieldwardenError):
    code = "not_a_record"
    exit_code = 2


def listed(folder: Path | None, *, limit: int) -> Report:
    """The queue of duplicates: which records carry the same value of a match key, and why they are not joined."""

    found = _with(folder, lambda project, stewards: _alike(project, stewards, limit))
    rows = [[each["entity"], each["match_key"], " ".join(each["records"]), each["why"]] for each in found]
    text = table(["entity", "alike in", "records", "not joined since"], rows, indent="") if rows else "nothing is alike"
    notes = ["see one: fieldwarden match show RECORD RECORD"] if rows else []
    return Report({"duplicates": found}, text, notes=notes)


def show(folder: Path | None, one: str, other: str, *, unmask: bool) -> Report:
    """Two records side by side. Raises CannotDecide, NotARecord."""
    ids = _ids(one, other)

    async def ask(project: Opened, stewards: Stewards) -> dict[str, Any]:
        side = await stewards.sides(ids)
        mask = project.mask(unmask=unmask)
        entity = project.rulebook.entities[side.records[0].entity]
        by_id = {record.id: record for record in side.records}
        return {
            "entity": entity.name,
            "records": ids,
            "why": side.why,
            "fields": {
                name: [mask.value(entity.name, name, by_id[id].golden.get(name)) for id in ids]
                for name in entity.fields
                if any(by_id[id].golden.get(name) is not None for id in ids)
            },
            "rows": {
                id: [f"{row.system} {row.stream} {mask.key(*row.ref)}" for row in by_id[id].rows if row.live]
                for id in ids
            },
        }

    found = _with(folder, ask)
    lines = [f"{found['entity']}: {found['why'] or 'nothing contradicts that they are one'}", ""]
    rows = [[name, *(value or "" for value in values)] for name, values in found["fields"].items()]
    lines.append(table(["field", *ids], rows, indent=""))
    lines += [f"  {id}: {', '.join(rows) or 'no row'}" for id, rows in found["rows"].items()]
    return Report(found, "\n".join(lines), notes=["fieldwarden match join | keep-apart RECORD RECORD --reason ..."])


def join(folder: Path | None, one: str, other: str, *, reason: str) -> Report:
    """Make two records one. Raises CannotDecide, NotARecord."""
    ids = _ids(one, other)
    said = act("joined", reason, records=" ".join(ids))
    survivor = _with(folder, lambda _, stewards: stewards.join(ids, said))
    return Report({"record": survivor}, f"they are record {survivor}; `fieldwarden run` makes the systems agree")


def keep_apart(folder: Path | None, one: str, other: str, *, reason: str) -> Report:
    """Never join these two. Raises CannotDecide, NotARecord."""
    ids = _ids(one, other)
    said = act("kept apart", reason, records=" ".join(ids))
    _with(folder, lambda _, stewards: stewards.keep_apart(ids, said))
    return Report({"records": ids}, "they stay two records, whatever they share")


def link(folder: Path | None, place: tuple[str, str, str], record: str, *, reason: str) -> Report:
    """A row that waits for a steward stands for this record. Raises CannotDecide, NotARecord."""
    row, (id,) = RowRef(*place), _ids(record)
    said = act("linked", reason, system=row.system, stream=row.stream, record=id)
    _with(folder, lambda project, stewards: stewards.link(_checked(project, row), id, said))
    return Report({"record": id}, f"the row stands for record {id}; `fieldwarden run` goes on with it")


def unlink(folder: Path | None, place: tuple[str, str, str], *, reason: str) -> Report:
    """A row begins a record of its own. Raises CannotDecide."""
    row = RowRef(*place)
    said = act("unlinked", reason, system=row.system, stream=row.stream)
    new = uuid7(microseconds(), secrets.randbits(74))
    old, new = _with(folder, lambda project, stewards: stewards.unlink(_checked(project, row), new, said))
    return Report({"left": old, "record": new}, f"the row left record {old} and stands for record {new}")


def split(
    folder: Path | None, record: str, other: str | None, *, reason: str, restore: bool = False, seen: str = ""
) -> Report:
    """Undo a join; with `restore` also what it did to values, if that is as it was `seen`. Raises CannotDecide,
    NotARecord."""
    id, came = _two(record, other)
    said = act(
        "split", reason, records=" ".join(filter(None, (id, came))), **({"values": "restored"} if restore else {})
    )
    back = _with(folder, lambda _, stewards: stewards.split(id, came, said, restore=restore, seen=seen))
    more = "; `fieldwarden run` writes the values of before" if restore else ""
    return Report({"record": id, "other": back}, f"record {back} is there again, and is kept apart from {id}{more}")


def parting(folder: Path | None, record: str, other: str | None, *, unmask: bool) -> Report:
    """What `split` would restore; nothing is changed. Raises CannotDecide, NotARecord."""
    id, came = _two(record, other)

    async def ask(project: Opened, stewards: Stewards) -> dict[str, Any]:
        found = await stewards.parting(id, came)
        mask = project.mask(unmask=unmask)
        fields = [
            {
                "record": each.record,
                "field": each.field,
                "now": mask.value(found.entity, each.field, each.now),
                "before_the_join": mask.value(found.entity, each.field, each.former),
                "after": mask.value(found.entity, each.field, each.after),
                "written_in": list(each.systems),
                "why_not": each.why,
            }
            for each in found.returned
        ]
        named = {"entity": found.entity, "record": id, "other": found.other}
        return named | {"fields": fields, "referring": found.referring, "seen": found.seen}

    found = _with(folder, ask)
    lines = [f"{found['entity']} {id} gives the rows of {found['other']} back, and the two are kept apart"]
    for each in (id, found["other"]):
        rows = [
            [one["field"], *(one[part] or "" for part in ("now", "before_the_join", "after")),
             ", ".join(one["written_in"]), one["why_not"]]
            for one in found["fields"] if one["record"] == each
        ]  # fmt: skip
        columns = ["field", "now", "before the join", "after", "written in", "not restored because"]
        what = table(columns, rows) if rows else "  nothing is to be restored"
        lines += ["", f"record {each}:", what]
    if found["referring"]:
        lines += ["", f"{count(found['referring'], 'record')} will refer to {found['other']}, whose rows they name"]
    return Report(found, "\n".join(lines), notes=["nothing is changed: --yes does it"])


async def alike(project: Opened, limit: int) -> list[dict[str, Any]]:
    """As `listed`, of a project that is open, with its live rules taken. Raises TransientError."""
    stewards = _stewards(project)
    try:
        return await _alike(project, stewards, limit)
    finally:
        await stewards.close()


# --- parts ---------------------------------------------------------------------------------------------------


async def _alike(project: Opened, stewards: Stewards, limit: int) -> list[dict[str, Any]]:
    overview = Overview(project.hub_dsn, project.hub_schema)
    try:
        duplicates = await overview.duplicates(limit)
    finally:
        await overview.close()
    found = []
    for each in duplicates:
        side = await stewards.sides(each.records)
        found.append(
            {
                "entity": each.entity,
                "match_key": each.key,
                "records": list(each.records),
                "names": [_label(project, record.entity, record.id, side) for record in side.records],
                "why": side.why or "they will be joined by `fieldwarden run`",
            }
        )
    return found


def _with(folder: Path | None, work: Callable[[Opened, Stewards], Awaitable[T]]) -> T:
    return answered(folder, _stewards, work)


def _stewards(project: Opened) -> Stewards:
    return Stewards(project.hub_dsn, project.hub_schema, project.rulebook, microseconds)


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


def _checked(project: Opened, row: RowRef) -> RowRef:
    project.check_filters(system=row.system, stream=row.stream)
    return row


def _label(project: Opened, entity: str, id: str, side: Side) -> str:
    golden = next(record.golden for record in side.records if record.id == id)
    return label(project.rulebook, entity, id, golden, project.mask())
