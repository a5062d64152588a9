"""How the workers of a project share its duties: who takes what, and who gives up what.

A pure resolver: every worker looks at the same table and comes to the same plan, of which it carries out its own part.
Two loads that differ by no more than one are even, so nothing moves to and fro. Deliveries to one target are shared
too: they fall into shards, each a duty of its own, and no record ever leaves its shard.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Literal, NamedTuple, cast

SHARDS: Final = range(4)
"""Of the deliveries to a target. The hub's tables are laid out for just these (migration 0006)."""


def shard_of(record: str) -> int:
    """The shard of a record's deliveries, by the random end of its id."""
    return int(record[-1], 16) % len(SHARDS)


Half = Literal["source", "target"]


class LoopName(NamedTuple):
    """What one loop of a process does: reads a system, or writes to it (all shards that are its own)."""

    half: Half
    system: str

    def __str__(self) -> str:
        return f"{self.half}:{self.system}"


class Duty(NamedTuple):
    """What a worker can hold: a source, or one shard of the deliveries to a target."""

    half: Half
    system: str
    shard: int | None = None

    @property
    def loop(self) -> LoopName:
        return LoopName(self.half, self.system)

    def __str__(self) -> str:
        """As the hub, logs and `status` have it: `source:crm`, `target:crm/0`."""
        return str(self.loop) if self.shard is None else f"{self.loop}/{self.shard}"

    @classmethod
    def parse(cls, text: str) -> Duty:
        """The duty that is written like this. Raises ValueError for what is none."""
        half, _, rest = text.partition(":")
        system, slash, shard = rest.partition("/")
        if half not in ("source", "target") or not system:
            raise ValueError(f"{text!r} is no duty")
        return cls(cast(Half, half), system, int(shard) if slash else None)


class Lane(NamedTuple):
    """What a worker commits a source's changes in: the source as a whole, where one worker at a time reads it, or the
    worker's own lane, where all workers of a group share its parts. Each has a chain of the ledger."""

    source: str
    worker: int | None = None

    def __str__(self) -> str:
        """As the hub, the ledger and `status` have it: `crm`, `crm#2`."""
        return self.source if self.worker is None else f"{self.source}#{self.worker}"

    @classmethod
    def parse(cls, text: str) -> Lane:
        """The lane that is written like this. Raises ValueError for what is none."""
        source, mark, worker = text.partition("#")
        if not source:
            raise ValueError(f"{text!r} is no lane")
        return cls(source, int(worker) if mark else None)


class Share(NamedTuple):
    take: list[Duty]
    give: list[Duty]


def share(
    me: int,
    workers: Collection[int],
    holders: Mapping[Duty, int | None],
    *,
    keep: Collection[Duty] = (),
    leaving: Collection[Duty] = (),
) -> Share:
    """What worker `me` should take and give up.

    `workers` are the numbers of those who live, `holders` says who has each duty (None: nobody). `keep` are duties that
    this worker does not give up, `leaving` those that it is giving up already.
    """
    loads: dict[int, list[Duty]] = {number: [] for number in sorted({me, *workers})}
    free: list[Duty] = []
    for duty, holder in sorted(holders.items(), key=lambda held: _spread(held[0])):
        if holder in loads and duty not in leaving:
            loads[holder].append(duty)
        else:
            free.append(duty)
    take: list[Duty] = []
    for duty in free:
        poorest = _poorest(loads)
        loads[poorest].append(duty)
        if poorest == me and duty not in leaving:
            take.append(duty)
    return Share(take, _surplus(me, loads, keep))


def _spread(duty: Duty) -> tuple[int, LoopName]:
    """The order of duties: the shards of one target stand apart, so that they do not all go to the same worker."""
    return -1 if duty.shard is None else duty.shard, duty.loop


def _surplus(me: int, loads: dict[int, list[Duty]], keep: Collection[Duty]) -> list[Duty]:
    """Those of mine that go, when the richest gives to the poorest until all are even."""
    give: list[Duty] = []
    while True:
        poorest, richest = _poorest(loads), _richest(loads)
        if len(loads[richest]) - len(loads[poorest]) <= 1:
            return give
        movable = [duty for duty in loads[richest] if richest != me or duty not in keep]
        if not movable:
            return give
        duty = movable[-1]
        loads[richest].remove(duty)
        loads[poorest].append(duty)
        if richest == me:
            give.append(duty)


def _poorest(loads: Mapping[int, list[Duty]]) -> int:
    return min(loads, key=lambda number: (len(loads[number]), number))


def _richest(loads: Mapping[int, list[Duty]]) -> int:
    return max(loads, key=lambda number: (len(loads[number]), number))
