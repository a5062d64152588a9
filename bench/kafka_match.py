"""The match on Kafka: ours beside the JDBC sink, with one worker and with two, on the same topic into the same server.

The first repetition is not counted: in it the virtual machines learn which of their code is worth compiling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.figures import Checksum, Ledger, Memory, objections
from bench.kafka_costs import KafkaRun
from bench.kafka_ours import Workers
from bench.kafka_sink import Sink
from bench.kafka_stage import KafkaStage
from bench.match import Say, checksums, weigh
from bench.stage import Backlog

SCENARIOS = {"kafka-1": 1, "kafka-2": 2}
"""Name -> workers of ours, and tasks of the sink. Two are always measured beside one."""
PRIMER = 40
"""Rows before each backlog, for the sink's tasks to wait with: enough that each partition gets some."""
WORKLOADS: dict[str, tuple[str, Callable[[KafkaStage, int], Backlog]]] = {
    "inserts": ("new rows, one to a transaction", KafkaStage.add),
    "updates": ("updates of three columns, one row to a transaction", KafkaStage.edit),
}


@dataclass(frozen=True, slots=True)
class KafkaSize:
    """`rows` are those of a backlog; `memory` the smaller backlog weighed, 0 for none."""

    rows: int = 40_000
    repeat: int = 3
    memory: int = 20_000


@dataclass(slots=True)
class KafkaOutcome:
    """`runs` by workload, then by contender ("ours 1", "sink 1", ...), those of one repetition at the same place;
    `void` says in words why they may not be believed."""

    runs: dict[str, dict[str, list[KafkaRun]]]
    ledgers: dict[str, Ledger]
    memory: Memory | None
    void: list[str] = field(default_factory=list)


def contenders(names: list[str]) -> dict[str, tuple[str, int]]:
    """Contender -> its target's database, and how many work for it."""
    most = max(SCENARIOS[name] for name in names)
    return {f"{kind} {count}": (f"{kind}_{count}", count) for count in range(1, most + 1) for kind in ("ours", "sink")}


def databases(names: list[str]) -> tuple[list[str], list[str]]:
    """Of the targets, and of the hubs."""
    targets = [target for target, _ in contenders(names).values()]
    return targets, [_hub(target) for target in targets if target.startswith("ours")]


def _hub(target: str) -> str:
    return target.replace("ours", "hub")


def play(stage: KafkaStage, size: KafkaSize, names: list[str], say: Say) -> KafkaOutcome:
    """Run the scenarios on a fresh stage. Raises Stuck."""
    ours: dict[str, Workers] = {}
    sinks: dict[str, Sink] = {}
    for name, (target, count) in contenders(names).items():
        if name.startswith("ours"):
            ours[name] = Workers(stage, target, _hub(target), count)
        else:
            sinks[name] = Sink(stage, target, count)
    players: dict[str, Workers | Sink] = {name: (ours | sinks)[name] for name in contenders(names)}
    for player in players.values():
        player.prepare()
    runs, tables = _workloads(stage, size, players, say)
    counted = stage.stage.changes
    memory = None
    if size.memory:
        memory = weigh(ours["ours 1"], stage.add, size.memory, lambda line: say(f"kafka {line}"))
        tables.append(("memory", checksums(stage.stage, [ours["ours 1"].target])))
    say("verifying the ledgers")
    ledgers = {name: each.verify() for name, each in ours.items()}
    void = objections(tables, ledgers["ours 1"], stage.stage.changes, memory)
    for name in ledgers.keys() - {"ours 1"}:
        void += [f"{name}: {reason}" for reason in objections([], ledgers[name], counted, None)]
    return KafkaOutcome(runs, ledgers, memory, void)


def _workloads(
    stage: KafkaStage, size: KafkaSize, players: Mapping[str, Workers | Sink], say: Say
) -> tuple[dict[str, dict[str, list[KafkaRun]]], list[tuple[str, Mapping[str, Checksum]]]]:
    """The runs, and what all tables held after each repetition."""
    runs: dict[str, dict[str, list[KafkaRun]]] = {}
    tables: list[tuple[str, Mapping[str, Checksum]]] = []
    targets = [player.target for player in players.values()]
    for workload in WORKLOADS:
        runs[workload] = {name: [] for name in players}
        for number in range(1 if tables else 0, size.repeat + 1):
            found = _round(stage, size, players, workload, number, say)
            if number:
                for name, run in found.items():
                    runs[workload][name].append(run)
            tables.append((f"{workload}, repetition {number}", checksums(stage.stage, targets)))
    return runs, tables


def _round(
    stage: KafkaStage, size: KafkaSize, players: Mapping[str, Workers | Sink], workload: str, number: int, say: Say
) -> dict[str, KafkaRun]:
    """Everybody once, on the same backlog, in an order that rotates with the number."""
    for player in players.values():
        player.shut()
    stage.add(PRIMER)
    backlog = WORKLOADS[workload][1](stage, size.rows)
    runs: dict[str, KafkaRun] = {}
    order = list(players)
    first = number % len(order)
    for name in order[first:] + order[:first]:
        stage.stage.settle_down()
        run = runs[name] = players[name].run(backlog)
        which = f"{number}/{size.repeat}" if number else "warming up"
        say(f"kafka {workload} {which}  {name:<7}{run.rate:>8,.0f} rows/s")
    return runs
