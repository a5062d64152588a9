"""`fieldwarden deletes`, told to people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldwarden.operations import deletes
from fieldwarden.operations.shell.opening import asked_of_hub
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Report, table
from fieldwarden.operations.words import count


def list_them(
    folder: Path | None, *, system: str | None, stream: str | None, limit: int, unmask: bool = False
) -> Report:
    found = asked_of_hub(
        folder, lambda hub: deletes.held(hub, system=system, stream=stream, limit=limit, unmask=unmask)
    )
    text = "no deletion is held"
    if found.deletions:
        columns = ["id", "system", "stream", "key", "entity", "since"]
        rows = [[each.id, *each.row, each.entity, each.since.date()] for each in found.deletions]
        text = "\n".join([*map(deletes.question, found.counts), "", table(columns, rows, indent="")])
    more = f"there are more: --limit {limit * 10}, or choose by --system and --stream"
    result = {
        "counts": [
            {"system": each.system, "stream": each.stream, "entity": each.entity, "number": each.number}
            for each in found.counts
        ],
        "deletions": [
            {
                "id": each.id,
                "system": each.row.system,
                "stream": each.row.stream,
                "key": each.row.key,
                "entity": each.entity,
                "since": each.since.isoformat(),
            }
            for each in found.deletions
        ],
        "more": found.more,
    }
    return Report(result, text, notes=[more] if found.more else [])


def approve(folder: Path | None, ids: Sequence[int], *, system: str | None, stream: str | None, reason: str) -> Report:
    number = asked_of_hub(
        folder, lambda hub: deletes.answer(hub, me(), ids, meant=True, system=system, stream=stream, reason=reason)
    )
    return Report({"approved": number}, f"{count(number, 'deletion')} will be carried out by `fieldwarden run`")


def discard(folder: Path | None, ids: Sequence[int], *, system: str | None, stream: str | None, reason: str) -> Report:
    number = asked_of_hub(
        folder, lambda hub: deletes.answer(hub, me(), ids, meant=False, system=system, stream=stream, reason=reason)
    )
    return Report({"discarded": number}, f"{count(number, 'deletion')} discarded: no record is retired by them")
