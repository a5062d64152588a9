"""`fieldwarden match` and `record`, told to people."""

from __future__ import annotations

from pathlib import Path

from fieldwarden.engine.change import RowRef
from fieldwarden.operations import stewards
from fieldwarden.operations.shell.opening import asked_of_hub
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Report, plain, table
from fieldwarden.operations.words import count


def listed(folder: Path | None, *, limit: int) -> Report:
    found = asked_of_hub(folder, lambda hub: stewards.alike(hub, limit))
    rows = [[each.entity, each.match_key, " ".join(each.records), each.why] for each in found]
    text = table(["entity", "alike in", "records", "not joined since"], rows, indent="") if rows else "nothing is alike"
    notes = ["see one: fieldwarden match show RECORD RECORD"] if rows else []
    return Report({"duplicates": plain(found)}, text, notes=notes)


def show(folder: Path | None, one: str, other: str, *, unmask: bool) -> Report:
    found = asked_of_hub(folder, lambda hub: stewards.side_by_side(hub, one, other, unmask=unmask))
    lines = [f"{found.entity}: {found.why or 'nothing contradicts that they are one'}", ""]
    rows = [[name, *(value or "" for value in values)] for name, values in found.fields.items()]
    lines.append(table(["field", *found.records], rows, indent=""))
    lines += [f"  {id}: {', '.join(rows) or 'no row'}" for id, rows in found.rows.items()]
    notes = ["fieldwarden match join | keep-apart RECORD RECORD --reason ..."]
    return Report(plain(found), "\n".join(lines), notes=notes)


def join(folder: Path | None, one: str, other: str, *, reason: str) -> Report:
    survivor = asked_of_hub(folder, lambda hub: stewards.join(hub, me(), one, other, reason=reason))
    return Report({"record": survivor}, f"they are record {survivor}; `fieldwarden run` makes the systems agree")


def keep_apart(folder: Path | None, one: str, other: str, *, reason: str) -> Report:
    ids = asked_of_hub(folder, lambda hub: stewards.keep_apart(hub, me(), one, other, reason=reason))
    return Report({"records": ids}, "they stay two records, whatever they share")


def link(folder: Path | None, place: tuple[str, str, str], record: str, *, reason: str) -> Report:
    id = asked_of_hub(folder, lambda hub: stewards.link(hub, me(), RowRef(*place), record, reason=reason))
    return Report({"record": id}, f"the row stands for record {id}; `fieldwarden run` goes on with it")


def unlink(folder: Path | None, place: tuple[str, str, str], *, reason: str) -> Report:
    done = asked_of_hub(folder, lambda hub: stewards.unlink(hub, me(), RowRef(*place), reason=reason))
    return Report(plain(done), f"the row left record {done.left} and stands for record {done.record}")


def split(
    folder: Path | None, record: str, other: str | None, *, reason: str, restore: bool = False, seen: str = ""
) -> Report:
    done = asked_of_hub(
        folder, lambda hub: stewards.split(hub, me(), record, other, reason=reason, restore=restore, seen=seen)
    )
    more = "; `fieldwarden run` writes the values of before" if restore else ""
    text = f"record {done.other} is there again, and is kept apart from {done.record}{more}"
    return Report(plain(done), text)


def parting(folder: Path | None, record: str, other: str | None, *, unmask: bool) -> Report:
    found = asked_of_hub(folder, lambda hub: stewards.parting(hub, record, other, unmask=unmask))
    lines = [f"{found.entity} {found.record} gives the rows of {found.other} back, and the two are kept apart"]
    for each in (found.record, found.other):
        rows = [
            [one.field, *(part or "" for part in (one.now, one.before_the_join, one.after)),
             ", ".join(one.written_in), one.why_not]
            for one in found.fields if one.record == each
        ]  # fmt: skip
        columns = ["field", "now", "before the join", "after", "written in", "not restored because"]
        what = table(columns, rows) if rows else "  nothing is to be restored"
        lines += ["", f"record {each}:", what]
    if found.referring:
        lines += ["", f"{count(found.referring, 'record')} will refer to {found.other}, whose rows they name"]
    return Report(plain(found), "\n".join(lines), notes=["nothing is changed: --yes does it"])
