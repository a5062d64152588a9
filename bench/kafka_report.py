"""What the match on Kafka says: ratios with what the sink leaves undone, each part's cost, and what the bound was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from bench.figures import Scenario, Spread
from bench.kafka_costs import KafkaRun, bound, per_row, total
from bench.kafka_match import WORKLOADS, KafkaOutcome
from bench.kafka_sink import Sink
from bench.report import ending, memory_as_json, spread_as_json, wrapped

_MEANING = {
    "ours 1": "ours, one worker",
    "ours 2": "ours, two workers",
    "sink 1": "JDBC sink, one task",
    "sink 2": "JDBC sink, two tasks",
}


def text(outcome: KafkaOutcome) -> str:
    return "\n".join(_lines(outcome))


def ratios(runs: Mapping[str, list[KafkaRun]]) -> dict[str, Spread]:
    """By name, such as "ours 1/sink 1"; of two workers also to one. `runs` are one workload's."""
    scenario = Scenario("kafka", "", {name: list(each) for name, each in runs.items()})
    pairs = [("ours 1", "sink 1"), ("ours 2", "sink 2"), ("ours 2", "ours 1"), ("sink 2", "sink 1")]
    return {f"{one}/{other}": scenario.ratio(one, other) for one, other in pairs if one in runs and other in runs}


def cpu_ratio(runs: Mapping[str, list[KafkaRun]], name: str) -> float | None:
    """Of all parts' CPU per row, which hardly depends on what else the machine does."""
    one, other = (sum(per_row(runs[each]).values()) for each in name.split("/"))
    return one / other if one and other else None


def _lines(outcome: KafkaOutcome) -> Iterator[str]:
    for workload, runs in outcome.runs.items():
        yield from _workload(workload, runs)
        yield ""
    entries = " and ".join(f"{ledger.entries:,}" for ledger in outcome.ledgers.values())
    proof = f"source and all targets had equal checksums; the ledgers verify ({entries} entries)"
    yield from ending(outcome.memory, outcome.void, proof)


def _workload(workload: str, runs: Mapping[str, list[KafkaRun]]) -> Iterator[str]:
    some = runs["ours 1"]
    title = WORKLOADS[workload][0]
    yield f"kafka: a topic of two partitions, {title} ({some[0].rows:,} rows, {len(some)} repetitions)"
    for name, each in runs.items():
        rate = Spread.of([run.rate for run in each])
        yield f"  {_MEANING[name]:<22}{rate.middle:>9,.0f} rows/s   {rate.low:,.0f} to {rate.high:,.0f}"
        costs = total(each)
        if costs is not None:
            parts = ", ".join(f"{part} {spent:.0f}" for part, spent in per_row(each).items() if spent >= 0.5)
            yield f"      us of CPU per row: {parts}"
            yield from wrapped(f"bound by {bound(costs)}")
    for name, ratio in ratios(runs).items():
        line = f"  {name:<22}{ratio.middle:>9.2f}          {ratio.low:.2f} to {ratio.high:.2f}"
        cpu = cpu_ratio(runs, name)
        yield line if cpu is None else f"{line}   (and {cpu:.1f} times the CPU per row)"
        if name == "ours 1/sink 1":
            yield from wrapped(Sink.lacks)


def as_json(outcome: KafkaOutcome) -> dict[str, Any]:
    return {
        "workloads": {
            workload: {
                "rows": runs["ours 1"][0].rows,
                "contenders": {name: _contender(each) for name, each in runs.items()},
                "ratios": {name: spread_as_json(ratio) for name, ratio in ratios(runs).items()},
                "cpu_ratios": {name: cpu_ratio(runs, name) for name in ratios(runs)},
            }
            for workload, runs in outcome.runs.items()
        },
        "sink_lacks": Sink.lacks,
        "memory": memory_as_json(outcome.memory),
        "ledgers": {name: asdict(ledger) for name, ledger in outcome.ledgers.items()},
        "void": outcome.void,
    }


def _contender(runs: list[KafkaRun]) -> dict[str, Any]:
    costs = total(runs)
    return {
        "rows_per_second": spread_as_json(Spread.of([run.rate for run in runs])),
        "cpu_us_per_row": None if costs is None else {part: round(spent, 1) for part, spent in per_row(runs).items()},
        "bound": None if costs is None else bound(costs),
        "seconds": [run.seconds for run in runs],
    }
