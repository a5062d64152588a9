"""What a benchmark says: for people, ratios with what the yardstick leaves undone; for programs, everything."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.figures import FLAT, Memory, Scenario, Spread
from bench.match import CONTENDERS, YARDSTICKS, Outcome

_WIDTH = 100


def text(outcome: Outcome) -> str:
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    for scenario in outcome.scenarios:
        yield from _scenario(scenario, outcome.lacks)
        yield ""
    proof = (
        f"source and all three targets had equal checksums; the ledger verifies ({outcome.ledger.entries:,} entries)"
    )
    yield from ending(outcome.memory, outcome.void, proof)


def ending(memory: Memory | None, void: Sequence[str], proof: str) -> Iterator[str]:
    """What stands below the figures: whether memory is flat, and why the figures may be believed or may not."""
    if memory is not None:
        yield (
            f"memory    {memory.small_peak / 2**20:,.0f} MiB at its peak with {memory.small:,} changes waiting, "
            f"{memory.large_peak / 2**20:,.0f} MiB with {memory.large:,}: ratio {memory.ratio:.2f} (bound {FLAT})"
        )
    if void:
        yield "VOID: these figures prove nothing, for"
        yield from (f"  - {reason}" for reason in void)
    else:
        yield f"proof     after every repetition {proof}"


def _scenario(scenario: Scenario, lacks: Mapping[str, str]) -> Iterator[str]:
    yield f"{scenario.title} ({scenario.runs['ours'][0].rows:,} rows, {len(scenario.runs['ours'])} repetitions)"
    for contender in CONTENDERS:
        rate = scenario.rate(contender)
        line = f"  {contender:<12}{rate.middle:>9,.0f} rows/s   {rate.low:,.0f} to {rate.high:,.0f}"
        cpu = scenario.cpu_per_row(contender)
        if cpu is not None:
            own = f"{cpu[0]:.0f} us/row own CPU, " if cpu[0] else ""
            line += f"   ({own}{cpu[1]:.0f} us/row in the servers)"
        yield line
    for yardstick in YARDSTICKS:
        ratio = scenario.ratio("ours", yardstick)
        yield f"  ours/{yardstick:<7} {ratio.middle:>8.2f}          {ratio.low:.2f} to {ratio.high:.2f}"
        yield from wrapped(lacks[yardstick])


def wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "scenarios": [
            {
                "name": scenario.name,
                "rows": scenario.runs["ours"][0].rows,
                "rows_per_second": {name: spread_as_json(scenario.rate(name)) for name in CONTENDERS},
                "ratios": {
                    f"ours/{each}": {**spread_as_json(scenario.ratio("ours", each)), "yardstick": outcome.lacks[each]}
                    for each in YARDSTICKS
                },
                "runs": {name: [asdict(run) for run in runs] for name, runs in scenario.runs.items()},
            }
            for scenario in outcome.scenarios
        ],
        "memory": memory_as_json(outcome.memory),
        "ledger": asdict(outcome.ledger),
        "void": outcome.void,
    }


def memory_as_json(memory: Memory | None) -> dict[str, Any] | None:
    return None if memory is None else {**asdict(memory), "ratio": memory.ratio, "flat": memory.flat}


def spread_as_json(spread: Spread) -> dict[str, float]:
    return {"median": round(spread.middle, 3), "low": round(spread.low, 3), "high": round(spread.high, 3)}
