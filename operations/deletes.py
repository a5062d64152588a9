"""`fieldwarden deletes`: deletions that the brake holds, and a person's answer whether they are meant.

Keys of rows are shown, since without them nobody could look for the row, but for personal ones, in whose place stands
what the row is called instead; values are not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fieldwarden.engine.hub.views.held_deletions import HeldCount, HeldDeletion, HeldDeletions
from fieldwarden.operations.asking import answered
from fieldwarden.operations.deadletter import NothingChosen
from fieldwarden.operations.person import act
from fieldwarden.operations.project import Opened
from fieldwarden.operations.report import Report, count, table
from fieldwarden.rules.errors import FieldwardenError

T = TypeVar("T")


class NoSuchDeletion(FieldwardenError):
    """No held deletion has this id; it may have been answered, or its row is there again."""

    code = "no_such_deletion"
    exit_code = 2


def question(held: HeldCount) -> str:
    """What a person is asked, in one line."""
    return (
        f"{held.number:,} deleted {'row' if held.number == 1 else 'rows'} of {held.system} {held.stream} "
        f"retire no {held.entity} yet: are they meant? "
        f"`fieldwarden deletes approve --system {held.system} --stream {held.stream}`, or `discard`"
    )


def list_them(
    folder: Path | None, *, system: str | None, stream: str | None, limit: int, unmask: bool = False
) -> Report:
    """Oldest first, with how many there are of each stream. Raises UnknownName."""

    async def ask(held: HeldDeletions, project: Opened) -> tuple[list[HeldCount], list[HeldDeletion]]:
        mask = project.mask(unmask=unmask)
        rows = await held.of(system, stream, None, limit)
        return await held.counts(), [replace(each, row=each.row._replace(key=mask.key(*each.row))) for each in rows]

    counts, rows = _with_hub(folder, ask, system, stream)
    counts = [each for each in counts if system in (None, each.system) and stream in (None, each.stream)]
    text = "no deletion is held"
    if rows:
        columns = ["id", "system", "stream", "key", "entity", "since"]
        text = table(columns, [[each.id, *each.row, each.entity, each.since.date()] for each in rows], indent="")
        text = "\n".join([*map(question, counts), "", text])
    more = sum(each.number for each in counts) > len(rows)
    notes = [f"there are more: --limit {limit * 10}, or choose by --system and --stream"] if more else []
    result = {
        "counts": [
            {"system": each.system, "stream": each.stream, "entity": each.entity, "number": each.number}
            for each in counts
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
            for each in rows
        ],
        "more": more,
    }
    return Report(result, text, notes=notes)


def approve(folder: Path | None, ids: Sequence[int], *, system: str | None, stream: str | None, reason: str) -> Report:
    """They are meant: decided by the running process as if they were told now. Raises NoSuchDeletion, NothingChosen."""
    number = _answer(folder, ids, system, stream, reason, approving=True)
    return Report({"approved": number}, f"{count(number, 'deletion')} will be carried out by `fieldwarden run`")


def discard(folder: Path | None, ids: Sequence[int], *, system: str | None, stream: str | None, reason: str) -> Report:
    """They are not: the rows are taken to be there, nothing is retired. Raises NoSuchDeletion, NothingChosen."""
    number = _answer(folder, ids, system, stream, reason, approving=False)
    return Report({"discarded": number}, f"{count(number, 'deletion')} discarded: no record is retired by them")


# --- parts ---------------------------------------------------------------------------------------------------


def _answer(
    folder: Path | None, ids: Sequence[int], system: str | None, stream: str | None, reason: str, *, approving: bool
) -> int:
    if bool(ids) == bool(system or stream):
        raise NothingChosen(
            "name the ids, or choose by --system (and --stream), but not both",
            suggestion="see `fieldwarden deletes list`",
        )
    told = act("deletes approved" if approving else "deletes discarded", reason)
    named = list(dict.fromkeys(ids)) or None

    async def say(held: HeldDeletions, project: Opened) -> int:
        if named and (missing := set(named) - {each.id for each in await held.of(None, None, named)}):
            raise NoSuchDeletion(
                f"no deletion is held under {', '.join(map(str, sorted(missing)))}",
                suggestion="see `fieldwarden deletes list`; its row may be there again",
            )
        return await held.answer(
            told, project.rulebook.hash, approve=approving, system=system, stream=stream, ids=named
        )

    return _with_hub(folder, say, system, stream)


def _with_hub(
    folder: Path | None,
    question: Callable[[HeldDeletions, Opened], Awaitable[T]],
    system: str | None,
    stream: str | None,
) -> T:
    return answered(
        folder,
        lambda project: HeldDeletions(project.hub_dsn, project.hub_schema),
        lambda project, held: question(held, project),
        lambda project: project.check_filters(system=system, stream=stream),
    )
