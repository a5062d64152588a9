"""`fieldwarden deadletter`: what was set aside and why, and a person's word about it, singly or by filter.

Lists and `show` hold no values of rows, nor a target's own words, which may quote them, unless `--values` asks.
Keys are shown, since without them nobody could find the row; in the place of a personal one stands what the row is
called instead (`engine.hub.names`), which every command that takes a key takes as well. What is retried is taken up by
the running process, or by the next one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.views.overview import DeadLetter, Overview
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.operations.asking import answered
from fieldwarden.operations.person import act
from fieldwarden.operations.project import Opened
from fieldwarden.operations.report import Report, count, table
from fieldwarden.rules.errors import FieldwardenError

T = TypeVar("T")
_NAMED = 100
"""So many ids at most are named in the ledger."""
_ID = re.compile(r"\d{1,18}|[a-z][a-z0-9_]*:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class NoSuchLetter(FieldwardenError):
    """Nothing set aside has this id; it may have been dealt with meanwhile."""

    code = "no_such_dead_letter"
    exit_code = 2


class NothingChosen(FieldwardenError):
    code = "usage"
    exit_code = 2


def list_them(folder: Path | None, *, limit: int, unmask: bool = False, **filters: str | None) -> Report:
    """Oldest first. `kind` "waiting" shows deliveries that wait for another record, "excluded" rows whose parent is
    left out: neither needs anybody."""

    async def ask(overview: Overview, project: Opened) -> list[DeadLetter]:
        mask = project.mask(unmask=unmask)
        return [_masked(each, mask) for each in await overview.dead_letters(limit=limit + 1, **filters)]

    found = _ask(folder, ask, **filters)
    more = len(found) > limit
    letters = found[:limit]
    notes = [f"there are more: --limit {limit * 10}, or choose by --kind, --entity, --system, --place"] if more else []
    text = "nothing is set aside"
    if letters:
        rows = [[each.id, each.kind, _place(each), each.entity, each.since.date(), each.reason] for each in letters]
        text = table(["id", "kind", "where", "entity", "since", "reason"], rows, indent="")
    return Report({"dead_letters": [_plain(each) for each in letters], "more": more}, text, notes=notes)


def show(folder: Path | None, id: str, *, values: bool) -> Report:
    """One of them. Raises NoSuchLetter."""
    (id,) = _checked([id])

    async def ask(overview: Overview, project: Opened) -> tuple[DeadLetter, int | None, RawChange | None, str]:
        letter = await _one(overview, id)
        row = RowRef(letter.system, letter.stream, letter.key)
        first = await overview.first_letter(row) if letter.kind == "behind" else None
        change, said = (await overview.values_of(id), await overview.said_of(id)) if values else (None, "")
        return _masked(letter, project.mask(unmask=values)), first, change, said

    letter, first, change, said = _ask(folder, ask)
    result = _plain(letter)
    result["waits_for"] = _ends(letter, first)
    if said:
        result["said"] = said
    if change is not None:
        result["operation"] = change.operation
        result["values"] = {
            name: value if value is None or isinstance(value, str) else "(not in the change)"
            for name, value in zip(change.relation.columns, change.values, strict=False)
        }
        if change.undecoded is not None:
            result["values"] |= {"(key)": _bytes(change.undecoded.key), "(value)": _bytes(change.undecoded.value)}
    return Report(result, "\n".join(_lines(result)))


def retry(folder: Path | None, ids: Sequence[str], *, everything: bool, reason: str, **filters: str | None) -> Report:
    """Let them be tried again; the ledger notes who and why (`reason`). Raises NoSuchLetter, NothingChosen.

    What waits for its row's former key goes on by itself; that it need not wait is said of it by id or kind only. So is
    that a held deletion is meant."""
    spared = ("rekey", "brake") if everything and filters.get("kind") is None else ()
    number = _tell(folder, ids, everything, filters, Overview.retry, act("retried", reason), spared)
    return Report({"retried": number}, f"{count(number, 'dead letter')} will be tried again by `fieldwarden run`")


def discard(folder: Path | None, ids: Sequence[str], *, everything: bool, reason: str, **filters: str | None) -> Report:
    """Drop them for good; the ledger notes who and why. Raises NoSuchLetter, NothingChosen."""
    spared = ("brake",) if everything and filters.get("kind") is None else ()  # an answer of its own
    number = _tell(folder, ids, everything, filters, Overview.discard, act("discarded", reason), spared)
    return Report({"discarded": number}, f"{count(number, 'dead letter')} discarded")


# --- parts ---------------------------------------------------------------------------------------------------


async def _one(overview: Overview, id: str) -> DeadLetter:
    """Raises NoSuchLetter."""
    for kind in (None, "waiting", "excluded"):
        if found := await overview.dead_letters(kind=kind, ids=[id]):
            return found[0]
    raise _no_such([id])


def _masked(letter: DeadLetter, mask: Mask) -> DeadLetter:
    awaits = letter.awaits and letter.awaits._replace(key=mask.key(*letter.awaits))
    return replace(letter, key=mask.key(letter.system, letter.stream, letter.key), awaits=awaits)


def _tell(
    folder: Path | None,
    ids: Sequence[str],
    everything: bool,
    filters: dict[str, str | None],
    word: Callable[[Overview, list[str], Act, str], Awaitable[int]],
    act: Act,
    spared: Sequence[str] = (),
) -> int:
    """`spared`: kinds that are left out."""
    if bool(ids) == everything:
        raise NothingChosen(
            "name the ids, or choose all with --all (and --kind, --entity, --system, --place), but not both",
            suggestion="see `fieldwarden deadletter list`",
        )
    if ids and any(filters.values()):
        raise NothingChosen("a filter goes with --all, not with ids", suggestion="leave one of them out")
    named = _checked(ids)

    async def say(overview: Overview, project: Opened) -> int:
        found = await overview.dead_letters(ids=named or None, **filters)  # type: ignore[arg-type]
        if missing := [id for id in named if id not in {each.id for each in found}]:
            raise _no_such(missing)
        chosen = [each.id for each in found if each.kind not in spared]
        act.details = {"number": str(len(chosen)), "letters": ", ".join(chosen[:_NAMED])}
        return await word(overview, chosen, act, project.rulebook.hash)

    return _ask(folder, say, **filters)


def _ask(folder: Path | None, question: Callable[[Overview, Opened], Awaitable[T]], **filters: str | None) -> T:
    """Ask the hub something, in a project whose live rules are known."""
    return answered(
        folder,
        lambda project: Overview(project.hub_dsn, project.hub_schema),
        lambda project, overview: question(overview, project),
        lambda project: project.check_filters(**filters),
    )


def _checked(ids: Sequence[str]) -> list[str]:
    if wrong := [id for id in ids if not _ID.fullmatch(id)]:
        raise _no_such(wrong)
    return list(dict.fromkeys(ids))


def _no_such(ids: Sequence[str]) -> NoSuchLetter:
    return NoSuchLetter(
        f"nothing is set aside under {', '.join(ids)}",
        suggestion="see `fieldwarden deadletter list`; it may have been dealt with already",
    )


def _ends(letter: DeadLetter, first: int | None = None) -> str:
    """What a letter waits for, and who can end it. `first`: the one that stands before it."""
    system = letter.system
    awaits = letter.awaits and f"the row {letter.awaits.key} of {letter.awaits.system} {letter.awaits.stream}"
    match letter.kind:
        case _ if letter.released:
            return "nothing: `fieldwarden run` tries it again"
        case "data":
            return f"a newer change of the whole row in {system}; or a person: mend the row or the files, then retry it"
        case "unreadable":
            return f"the next readable value of the row in {system}; or a person: mend the files, then retry it"
        case "ambiguous":
            command = f"fieldwarden record link {system} {letter.stream} {letter.key} RECORD"
            return f"a steward, who says which record it is (`{command}`): {', '.join(letter.candidates)}"
        case "suspicious":
            return (
                f"a steward, who asks in {system} who wrote the row: a newer change without the claim ends it; or "
                f"discard it, or once the other row is gone `fieldwarden record link {system} {letter.stream} "
                f"{letter.key} RECORD`: {', '.join(letter.candidates)}"
            )
        case "parent" | "excluded" | "reference" | "merge" | "rekey":
            return f"{awaits}, and goes on by itself once {system} tells of it; or a person: discard it"
        case "brake":
            return (
                "a person, who says whether it is meant: `fieldwarden deletes approve`, or `discard`; or the row again"
            )
        case "behind":
            return f"dead letter {first} of the same row, and goes on with it" if first else "nothing any more"
        case "waiting":
            return "the record that its reason names, and goes on by itself"
        case _:
            return f"the next change of its record; or a person: mend {system} or the files, then retry it"


def _place(letter: DeadLetter) -> str:
    if letter.record is not None:
        return f"to {letter.system}"
    return " ".join(filter(None, (letter.system, letter.stream, letter.key, letter.place and f"({letter.place})")))


def _bytes(data: bytes | None) -> str | None:
    """What could not be decoded, as text where it is text."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def _row(row: RowRef | None) -> dict[str, str] | None:
    return None if row is None else {"system": row.system, "stream": row.stream, "key": row.key}


def _plain(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "kind": letter.kind,
        "system": letter.system,
        "stream": letter.stream,
        "key": letter.key,
        "place": letter.place,
        "entity": letter.entity,
        "reason": letter.reason,
        "since": letter.since.isoformat(),
        "released": letter.released,
        "awaits": _row(letter.awaits),
        "candidates": list(letter.candidates),
        "record": letter.record,
    }


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in result.items() if value and name != "values"]
    return lines + [f"  {name} = {value!r}" for name, value in result.get("values", {}).items()]
