"""What was set aside and why, and a person's word about it, singly or by filter.

Lists and single letters hold no values of rows, nor a target's own words, which may quote them, unless they are asked
for. Keys are shown, since without them nobody could find the row; in the place of a personal one stands what the row is
called instead (`engine.hub.names`), which every operation that takes a key takes as well. What is retried is taken up
by the running process, or by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.views.overview import DeadLetter, Overview
from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.principal import Principal
from fieldwarden.operations.acts import act
from fieldwarden.operations.hub import LiveHub, check_names
from fieldwarden.rules.errors import FieldwardenError

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


@dataclass(frozen=True, slots=True)
class Which:
    """By what dead letters are chosen; what is None leaves everything. `place`: TOPIC[/N[@OFFSET]] in their source."""

    kind: str | None = None
    entity: str | None = None
    system: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Letters:
    """Oldest first; `more`: there are others beyond the limit."""

    letters: list[DeadLetter]
    more: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """`waits_for` says in words what ends it, and who can; `change` and `said` (by a target) are there only with its
    values."""

    letter: DeadLetter
    waits_for: str
    said: str
    change: RawChange | None


async def letters(hub: LiveHub, which: Which, *, limit: int = 50, unmask: bool = False) -> Letters:
    """`kind` "waiting" gives deliveries that wait for another record, "excluded" rows whose parent is left out: neither
    needs anybody. Raises UnknownName, EnvironmentUnfit."""
    check_names(hub.rulebook, which.entity, which.system)
    mask = hub.mask(unmask=unmask)
    async with hub.part(Overview) as overview:
        found = await overview.dead_letters(limit=limit + 1, **asdict(which))
    return Letters([_masked(each, mask) for each in found[:limit]], len(found) > limit)


async def letter(hub: LiveHub, id: str, *, values: bool = False) -> Letter:
    """One of them, with `values` all of it. Raises NoSuchLetter, EnvironmentUnfit."""
    (id,) = _checked([id])
    async with hub.part(Overview) as overview:
        found = await _one(overview, id)
        row = RowRef(found.system, found.stream, found.key)
        first = await overview.first_letter(row) if found.kind == "behind" else None
        change, said = (await overview.values_of(id), await overview.said_of(id)) if values else (None, "")
    shown = _masked(found, hub.mask(unmask=values))
    return Letter(shown, _ends(shown, first), said, change)


async def retry(
    hub: LiveHub, who: Principal, ids: Sequence[str], which: Which, *, everything: bool = False, reason: str
) -> int:
    """Let the ones named be tried again, or with `everything` all that `which` leaves; how many. The ledger notes who
    and why (`reason`). Raises NoSuchLetter, NothingChosen, UnknownName, EnvironmentUnfit.

    What waits for its row's former key goes on by itself; that it need not wait is said of it by id or kind only. So is
    that a held deletion is meant."""
    spared = ("rekey", "brake") if everything and which.kind is None else ()
    return await _tell(hub, ids, everything, which, Overview.retry, act(who, "retried", reason), spared)


async def discard(
    hub: LiveHub, who: Principal, ids: Sequence[str], which: Which, *, everything: bool = False, reason: str
) -> int:
    """Drop them for good; chosen, noted and counted as by `retry`, and it raises the same."""
    spared = ("brake",) if everything and which.kind is None else ()  # an answer of its own
    return await _tell(hub, ids, everything, which, Overview.discard, act(who, "discarded", reason), spared)


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


async def _tell(
    hub: LiveHub,
    ids: Sequence[str],
    everything: bool,
    which: Which,
    word: Callable[[Overview, list[str], Act, str], Awaitable[int]],
    act: Act,
    spared: Collection[str],
) -> int:
    """`spared`: kinds that are left out."""
    if bool(ids) == everything:
        raise NothingChosen(
            "name the ids, or choose all with --all (and --kind, --entity, --system, --place), but not both",
            suggestion="see `fieldwarden deadletter list`",
        )
    if ids and which != Which():
        raise NothingChosen("a filter goes with --all, not with ids", suggestion="leave one of them out")
    named = _checked(ids)
    check_names(hub.rulebook, which.entity, which.system)
    async with hub.part(Overview) as overview:
        found = await overview.dead_letters(ids=named or None, **asdict(which))
        if missing := [id for id in named if id not in {each.id for each in found}]:
            raise _no_such(missing)
        chosen = [each.id for each in found if each.kind not in spared]
        act.details = {"number": str(len(chosen)), "letters": ", ".join(chosen[:_NAMED])}
        return await word(overview, chosen, act, hub.rulebook.hash)


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
