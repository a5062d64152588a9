"""The match: every scenario several times, the contenders in turn, and the proof that each did all of the work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bench.figures import Checksum, Ledger, Memory, Run, Scenario, objections
from bench.ours import Ours
from bench.stage import Backlog, Stage
from bench.yardsticks import Native, Raw

Say = Callable[[str], None]
CONTENDERS = ("ours", "native", "raw")
YARDSTICKS = CONTENDERS[1:]
_TARGETS = {"ours": "target", "native": "native", "raw": "raw"}
"""Contender -> the database it writes to."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `rows` are those of a 1-row scenario's backlog; `memory` the small backlog, 0 for none."""

    rows: int = 20_000
    repeat: int = 3
    memory: int = 100_000
    durable: bool = False
    """Whether the native subscription's commits wait for the disk."""


@dataclass(slots=True)
class Outcome:
    """Everything that a whole benchmark found; `void` says in words why it may not be believed."""

    scenarios: list[Scenario]
    lacks: dict[str, str]
    """What each yardstick leaves undone, in words."""
    ledger: Ledger
    memory: Memory | None
    void: list[str] = field(default_factory=list)


SCENARIOS: dict[str, tuple[str, Callable[[Stage, int], Backlog]]] = {
    "insert-1": ("inserts, one row to a transaction", lambda stage, rows: stage.add(rows, 1)),
    "insert-1000": ("inserts, 1,000 rows to a transaction", lambda stage, rows: stage.add(2 * rows, 1000)),
    "update-1": ("updates of three columns, one row to a transaction", lambda stage, rows: stage.edit(rows, 1)),
}


def play(stage: Stage, size: Size, names: list[str], say: Say) -> Outcome:
    """Run the scenarios on a fresh stage. Raises Stuck."""
    ours, native, raw = Ours(stage), Native(stage, size.durable), Raw(stage)
    runs: dict[str, Callable[[Backlog], Run]] = {"ours": ours.run, "native": native.run, "raw": raw.run}
    ours.prepare()
    native.prepare()
    scenarios, tables = [], []
    for name in names:
        title, make = SCENARIOS[name]
        scenario = Scenario(name, title, {contender: [] for contender in CONTENDERS})
        scenarios.append(scenario)
        if name.startswith("update") and stage.inserted < size.rows:
            rows = stage.add(size.rows, 1000)  # what is to be edited has to be everywhere first; this is not timed
            for contender in CONTENDERS:
                runs[contender](rows)
        for number in range(size.repeat):
            backlog = make(stage, size.rows)
            for contender in (*CONTENDERS[number % 3 :], *CONTENDERS[: number % 3]):
                stage.settle_down()
                run = runs[contender](backlog)
                scenario.runs[contender].append(run)
                say(f"{name} {number + 1}/{size.repeat}  {contender:<7}{run.rate:>8,.0f} rows/s")
            tables.append((f"{name}, repetition {number + 1}", checksums(stage, _TARGETS.values())))
    memory = None
    if size.memory:
        memory = weigh(ours, stage.add, size.memory, say)
        tables.append(("memory", checksums(stage, [_TARGETS["ours"]])))
    say("verifying the ledger")
    ledger = ours.verify()
    lacks = {native.name: native.lacks, raw.name: raw.lacks}
    return Outcome(scenarios, lacks, ledger, memory, objections(tables, ledger, stage.changes, memory))


def checksums(stage: Stage, targets: Iterable[str]) -> dict[str, Checksum]:
    """Of the source, and of these databases."""
    found = {"source": stage.checksum(stage.source_dsn)}
    return found | {name: stage.checksum(stage.dsn(name)) for name in targets}


class Weighed(Protocol):
    peak: int | None
    """Peak memory of the last run, in bytes; None where the system does not tell."""

    def run(self, backlog: Backlog) -> Run: ...


def weigh(ours: Weighed, add: Callable[[int, int], Backlog], changes: int, say: Say) -> Memory | None:
    """The peak memory of our process with this many changes waiting for it, and with ten times as many.

    `add(rows, step)` commits new rows, `step` to a transaction."""
    peaks = []
    for number in (changes, 10 * changes):
        run = ours.run(add(number, 100))
        if ours.peak is None:
            say("peak memory is not told by this system: skipped")
            return None
        say(f"memory  {number:>9,} changes  {ours.peak / 2**20:,.0f} MiB  ({run.rate:,.0f} rows/s)")
        peaks.append(ours.peak)
    return Memory(changes, peaks[0], 10 * changes, peaks[1])
