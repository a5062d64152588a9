"""What one run on Kafka cost, part by part, and what bounded it. On a machine that everything shares, a rate says
little until it is known what was busy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.figures import Run
from bench.processes import cpu, machine_idle, threads_cpu

PARTS = ("workers", "PostgreSQL", "Connect", "broker", "source")
"""Our processes; the server of hub and targets; Kafka Connect, where the sink runs; Kafka; the source's database."""
_SPENT = 0.9


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds of one run: by part, of each part's busiest thread, and what all cores together left unused."""

    seconds: float
    cores: int
    cpu: Mapping[str, float]
    busiest: Mapping[str, float]
    idle: float

    @property
    def others(self) -> float:
        """CPU seconds of whatever else ran on the machine."""
        return max(0.0, self.cores * self.seconds - self.idle - sum(self.cpu.values()))


@dataclass(frozen=True, slots=True)
class KafkaRun(Run):
    costs: Costs | None = None


def total(runs: Sequence[KafkaRun]) -> Costs | None:
    """All of a contender's runs as one; None where costs are not told."""
    costs = [run.costs for run in runs if run.costs is not None]
    if not costs or len(costs) < len(runs):
        return None

    def added(of: Callable[[Costs], Mapping[str, float]]) -> dict[str, float]:
        return {part: sum(of(each).get(part, 0.0) for each in costs) for part in PARTS}

    return Costs(
        sum(each.seconds for each in costs),
        costs[0].cores,
        added(lambda each: each.cpu),
        added(lambda each: each.busiest),
        sum(each.idle for each in costs),
    )


def per_row(runs: Sequence[KafkaRun]) -> dict[str, float]:
    """Median microseconds of CPU per row by part."""
    told = [run for run in runs if run.costs is not None]
    return {
        part: median((run.costs.cpu.get(part, 0.0) if run.costs else 0.0) / run.rows * 1e6 for run in told)
        for part in PARTS
        if told
    }


def bound(costs: Costs) -> str:
    """What kept the run from being faster, in words: a thread that never rested, the machine, or waiting."""
    shares = {part: costs.busiest.get(part, 0.0) / costs.seconds for part in PARTS}
    part = max(shares, key=lambda name: shares[name])
    capacity = costs.cores * costs.seconds
    if shares[part] >= _SPENT:
        return f"one thread of {part} ({shares[part]:.0%} of a core)"
    if costs.idle <= (1 - _SPENT) * capacity:
        used = sorted(((costs.cpu.get(name, 0.0) / capacity, name) for name in PARTS), reverse=True)
        parts = ", ".join(f"{name} {share:.0%}" for share, name in used if share >= 0.01)
        return f"the machine's {costs.cores} cores ({parts}, other work {costs.others / capacity:.0%})"
    return f"waiting: no thread was busier than {part}'s {shares[part]:.0%}, {costs.idle / capacity:.0%} was idle"


class Meter:
    """`parts` gives the processes of each part at the time of asking. Where there is no /proc, nothing is told."""

    def __init__(self, parts: Mapping[str, Callable[[], Iterable[int]]]) -> None:
        self._processes = {part: list(ask()) for part, ask in parts.items()}
        self._parts = parts
        self._threads = {part: _by_thread(processes) for part, processes in self._processes.items()}
        self._cpu = {part: _cpu(processes) for part, processes in self._processes.items()}
        self._idle = machine_idle()

    def read(self, seconds: float) -> Costs | None:
        """What was spent since this was made, `seconds` ago."""
        idle = machine_idle()
        if idle is None or self._idle is None:
            return None
        spent, busiest = {}, {}
        for part, ask in self._parts.items():
            processes = list(ask())
            spent[part] = sum(_added(_cpu(processes), self._cpu[part]), 0.0)
            busiest[part] = max(_added(_by_thread(processes), self._threads[part]), default=0.0)
        return Costs(seconds, os.cpu_count() or 1, spent, busiest, idle - self._idle)


def _added(after: Mapping[int, float], before: Mapping[int, float]) -> list[float]:
    return [seconds - before.get(each, 0.0) for each, seconds in after.items()]


def _cpu(processes: Iterable[int]) -> dict[int, float]:
    return {process: seconds for process in processes if (seconds := cpu(process)) is not None}


def _by_thread(processes: Iterable[int]) -> dict[int, float]:
    return {thread: seconds for process in processes for thread, seconds in threads_cpu(process).items()}
