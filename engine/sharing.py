"""How the workers of a project share its duties: who takes what, and who gives up what.

A pure resolver: every worker looks at the same table and comes to the same plan, of which it carries out its own part.
Two loads that differ by no more than one are even, so nothing moves to and fro.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Share(NamedTuple):
    take: list[str]
    give: list[str]


def share(
    me: int,
    workers: Collection[int],
    holders: Mapping[str, int | None],
    *,
    keep: Collection[str] = (),
    leaving: Collection[str] = (),
) -> Share:
    """What worker `me` should take and give up.

    `workers` are the numbers of those who live, `holders` says who has each duty (None: nobody). `keep` are duties that
    this worker does not give up, `leaving` those that it is giving up already.
    """
    loads: dict[int, list[str]] = {number: [] for number in sorted({me, *workers})}
    free: list[str] = []
    for name, holder in sorted(holders.items()):
        if holder in loads and name not in leaving:
            loads[holder].append(name)
        else:
            free.append(name)
    take: list[str] = []
    for name in free:
        poorest = _poorest(loads)
        loads[poorest].append(name)
        if poorest == me and name not in leaving:
            take.append(name)
    return Share(take, _surplus(me, loads, keep))


def _surplus(me: int, loads: dict[int, list[str]], keep: Collection[str]) -> list[str]:
    """Those of mine that go, when the richest gives to the poorest until all are even."""
    give: list[str] = []
    while True:
        poorest, richest = _poorest(loads), _richest(loads)
        if len(loads[richest]) - len(loads[poorest]) <= 1:
            return give
        movable = [name for name in loads[richest] if richest != me or name not in keep]
        if not movable:
            return give
        name = movable[-1]
        loads[richest].remove(name)
        loads[poorest].append(name)
        if richest == me:
            give.append(name)


def _poorest(loads: Mapping[int, list[str]]) -> int:
    return min(loads, key=lambda number: (len(loads[number]), number))


def _richest(loads: Mapping[int, list[str]]) -> int:
    return max(loads, key=lambda number: (len(loads[number]), number))
