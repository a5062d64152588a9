"""Deletions that the brake holds, and a person's answer whether they are meant.

Keys of rows are shown, since without them nobody could look for the row, but for personal ones, in whose place stands
what the row is called instead; values are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fieldwarden.engine.hub.views.held_deletions import HeldCount, HeldDeletion, HeldDeletions
from fieldwarden.engine.principal import Principal
from fieldwarden.operations.acts import act
from fieldwarden.operations.deadletter import NothingChosen
from fieldwarden.operations.hub import LiveHub, check_names
from fieldwarden.rules.errors import FieldwardenError


class NoSuchDeletion(FieldwardenError):
    """No held deletion has this id; it may have been answered, or its row is there again."""

    code = "no_such_deletion"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Held:
    """How many there are of each stream, and the oldest of them."""

    counts: list[HeldCount]
    deletions: list[HeldDeletion]

    @property
    def more(self) -> bool:
        """Whether there are others than those in `deletions`."""
        return sum(each.number for each in self.counts) > len(self.deletions)


def question(held: HeldCount) -> str:
    """What a person is asked, in one line."""
    return (
        f"{held.number:,} deleted {'row' if held.number == 1 else 'rows'} of {held.system} {held.stream} "
        f"retire no {held.entity} yet: are they meant? "
        f"`fieldwarden deletes approve --system {held.system} --stream {held.stream}`, or `discard`"
    )


async def held(
    hub: LiveHub, *, system: str | None = None, stream: str | None = None, limit: int = 50, unmask: bool = False
) -> Held:
    """Those of a system, of a stream, or all. Raises UnknownName, EnvironmentUnfit."""
    check_names(hub.rulebook, system=system, stream=stream)
    mask = hub.mask(unmask=unmask)
    async with hub.part(HeldDeletions) as deletions:
        rows = await deletions.of(system, stream, None, limit)
        counts = await deletions.counts()
    return Held(
        [each for each in counts if system in (None, each.system) and stream in (None, each.stream)],
        [replace(each, row=each.row._replace(key=mask.key(*each.row))) for each in rows],
    )


async def answer(
    hub: LiveHub,
    who: Principal,
    ids: Sequence[int] = (),
    *,
    meant: bool,
    system: str | None = None,
    stream: str | None = None,
    reason: str,
) -> int:
    """Meant: they are decided by the running process as if they were told now. Not meant: the rows are taken to be
    there, nothing is retired. The ones named, or all of a system or stream; how many.

    Raises NoSuchDeletion, NothingChosen, UnknownName, EnvironmentUnfit."""
    if bool(ids) == bool(system or stream):
        raise NothingChosen(
            "name the ids, or choose by --system (and --stream), but not both",
            suggestion="see `fieldwarden deletes list`",
        )
    check_names(hub.rulebook, system=system, stream=stream)
    said = act(who, "deletes approved" if meant else "deletes discarded", reason)
    named = list(dict.fromkeys(ids)) or None
    async with hub.part(HeldDeletions) as deletions:
        if named and (missing := set(named) - {each.id for each in await deletions.of(None, None, named)}):
            raise NoSuchDeletion(
                f"no deletion is held under {', '.join(map(str, sorted(missing)))}",
                suggestion="see `fieldwarden deletes list`; its row may be there again",
            )
        return await deletions.answer(said, hub.rulebook.hash, approve=meant, system=system, stream=stream, ids=named)
