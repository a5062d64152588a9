"""What is made of the measured seconds: medians, spreads, ratios, and whether any of it may be believed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

FLAT = 1.25
"""Peak memory counts as flat while a tenfold backlog does not raise it by more than this factor."""


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run: `seconds` from opening to the last row's commit. CPU seconds are None where nobody counts them."""

    rows: int
    seconds: float
    process_cpu: float | None = None
    servers_cpu: float | None = None

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some repetitions, and the lowest and highest of them."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(slots=True)
class Scenario:
    """The runs of one scenario by contender; those of one repetition stand at the same place."""

    name: str
    title: str
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def rate(self, contender: str) -> Spread:
        return Spread.of([run.rate for run in self.runs[contender]])

    def ratio(self, contender: str, yardstick: str) -> Spread:
        """The ratio of the medians; low and high are those of single repetitions, whose runs shared the weather."""
        pairs = zip(self.runs[contender], self.runs[yardstick], strict=True)
        single = [mine.rate / other.rate for mine, other in pairs]
        middle = self.rate(contender).middle / self.rate(yardstick).middle
        return Spread(middle, min(single), max(single))

    def cpu_per_row(self, contender: str) -> tuple[float, float] | None:
        """Median microseconds of CPU per row: in our process, and in all server processes."""
        runs = self.runs[contender]
        own = [run.process_cpu / run.rows * 1e6 for run in runs if run.process_cpu is not None]
        servers = [run.servers_cpu / run.rows * 1e6 for run in runs if run.servers_cpu is not None]
        return (median(own) if own else 0.0, median(servers)) if servers else None


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak resident memory of one run's process, in bytes, by how many changes waited for it."""

    small: int
    small_peak: int
    large: int
    large_peak: int

    @property
    def ratio(self) -> float:
        return self.large_peak / self.small_peak

    @property
    def flat(self) -> bool:
        return self.ratio <= FLAT


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a table holds: how many rows, and the sum of their hashes."""

    rows: int
    hashes: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What verifying the hub's ledger said, and how many changes or deliveries are set aside."""

    ok: bool
    entries: int
    broken: int
    set_aside: int


def objections(
    tables: Sequence[tuple[str, Mapping[str, Checksum]]], ledger: Ledger, changes: int, memory: Memory | None
) -> list[str]:
    """Why the figures are void, in words; none if they stand.

    `tables` are (moment, checksum by table); the one named "source" is what all others must equal at that moment.
    `changes` is how many changes the ledger must tell of."""
    found = []
    for moment, checksums in tables:
        source = checksums["source"]
        for name, checksum in checksums.items():
            if checksum != source:
                found.append(
                    f"{moment}: {name} holds {checksum.rows:,} rows that are not the {source.rows:,} of the source"
                )
    if not ledger.ok:
        found.append(f"the ledger does not verify: {ledger.broken:,} breaks")
    if ledger.entries < changes:
        found.append(f"the ledger tells of {ledger.entries:,} changes, not of all {changes:,}")
    if ledger.set_aside:
        found.append(f"{ledger.set_aside:,} changes or deliveries were set aside instead of delivered")
    if memory is not None and not memory.flat:
        found.append(f"memory is not flat: a tenfold backlog took {memory.ratio:.2f} times as much")
    return found
