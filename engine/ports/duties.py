"""How the workers of a project share its duties: who takes what, and who gives up what.

A pure resolver: every worker looks at the same table and comes to the same plan, of which it carries out its own part.
Two loads that differ by no more than one are even, so nothing moves to and fro. Deliveries to one target are shared
too: they fall into shards, each a duty of its own (`target:crm/0`), and no record ever leaves its shard.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

SHARDS: Final = range(4)
"""Of the deliveries to a target. The hub's tables are laid out for just these (migration 0006)."""


def shard_of(record: str) -> int:
    """The shard of a record's deliveries, by the random end of its id."""
    return int(record[-1], 16) % len(SHARDS)


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
    for name, holder in sorted(holders.items(), key=lambda duty: _spread(duty[0])):
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


def _spread(name: str) -> tuple[str, str]:
    """The order of duties: the shards of one target stand apart, so that they do not all go to the same worker."""
    target, _, shard = name.partition("/")
    return shard, target


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
