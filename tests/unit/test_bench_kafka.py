"""The benchmark on Kafka: what it says bounded a run must follow from what was spent, and no ratio stands alone."""

from __future__ import annotations

import pytest

from bench.figures import Ledger, Memory, Spread
from bench.kafka_costs import Costs, KafkaRun, bound, per_row, total
from bench.kafka_match import KafkaOutcome, contenders, databases
from bench.kafka_report import as_json, cpu_ratio, ratios, text
from bench.kafka_sink import Sink

WHOLE = Ledger(ok=True, entries=30, broken=0, set_aside=0)


def costs(*, idle: float = 1.0, busiest: dict[str, float] | None = None, **cpu: float) -> Costs:
    """Of a run of one second on two cores."""
    return Costs(1.0, 2, cpu, busiest if busiest is not None else cpu, idle)


def runs(*seconds: float, spent: Costs | None = None) -> list[KafkaRun]:
    return [KafkaRun(1000, each, costs=spent) for each in seconds]


def outcome(**changes: object) -> KafkaOutcome:
    measured = {"ours 1": runs(1.0), "sink 1": runs(2.0), "ours 2": runs(0.5), "sink 2": runs(1.0)}
    given = {"runs": {"inserts": measured}, "ledgers": {"ours 1": WHOLE}, "memory": None}
    return KafkaOutcome(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (costs(workers=0.95, PostgreSQL=0.3, idle=0.7), "one thread of workers (95% of a core)"),
        (costs(Connect=1.4, busiest={"Connect": 0.92}, idle=0.5), "one thread of Connect (92% of a core)"),
        (
            costs(workers=0.8, PostgreSQL=0.5, broker=0.1, idle=0.1),
            "the machine's 2 cores (workers 40%, PostgreSQL 25%, broker 5%, other work 25%)",
        ),
        (costs(workers=0.4, PostgreSQL=0.5, idle=1.1), "waiting: no thread was busier than PostgreSQL's 50%, 55% was"),
        # Many backends, none of which is busy for long: it is the machine, not a thread.
        (costs(PostgreSQL=1.9, busiest={"PostgreSQL": 0.3}, idle=0.0), "the machine's 2 cores (PostgreSQL 95%"),
    ],
)
def test_what_bounds_a_run_is_a_thread_or_the_machine_or_waiting(spent: Costs, words: str) -> None:
    assert words in bound(spent)


def test_costs_of_runs_are_added_and_told_per_row() -> None:
    two = [KafkaRun(1000, 1.0, costs=costs(workers=0.1)), KafkaRun(1000, 1.0, costs=costs(workers=0.3))]
    added = total(two)
    assert added is not None
    assert (added.seconds, added.idle) == (2.0, 2.0)
    assert added.cpu["workers"] == pytest.approx(0.4)
    assert per_row(two)["workers"] == pytest.approx(200.0)


def test_where_one_run_tells_no_costs_none_are_told() -> None:
    assert total([*runs(1.0, spent=costs(workers=0.1)), *runs(1.0)]) is None


def test_two_workers_are_measured_beside_one() -> None:
    assert list(contenders(["kafka-1"])) == ["ours 1", "sink 1"]
    assert list(contenders(["kafka-2"])) == ["ours 1", "sink 1", "ours 2", "sink 2"]
    assert databases(["kafka-2"]) == (["ours_1", "sink_1", "ours_2", "sink_2"], ["hub_1", "hub_2"])


def test_ratios_are_of_equal_numbers_and_of_two_to_one() -> None:
    assert ratios(outcome().runs["inserts"]) == {
        "ours 1/sink 1": Spread(2.0, 2.0, 2.0),
        "ours 2/sink 2": Spread(2.0, 2.0, 2.0),
        "ours 2/ours 1": Spread(2.0, 2.0, 2.0),
        "sink 2/sink 1": Spread(2.0, 2.0, 2.0),
    }


def test_the_report_says_next_to_the_ratio_what_the_sink_leaves_undone() -> None:
    said = " ".join(text(outcome()).split())
    assert f"ours 1/sink 1 2.00 2.00 to 2.00 {Sink.lacks}" in said
    assert "VOID" not in said


def test_the_report_says_what_the_bound_was() -> None:
    measured = {"ours 1": runs(1.0, spent=costs(workers=0.95)), "sink 1": runs(1.0, spent=costs(Connect=0.5))}
    found = outcome(runs={"updates": measured})
    said = " ".join(text(found).split())
    assert "us of CPU per row: workers 950 bound by one thread of workers" in said
    assert as_json(found)["workloads"]["updates"]["contenders"]["sink 1"]["bound"].startswith("waiting")


def test_a_void_report_says_so() -> None:
    void = outcome(void=["ours 2: the ledger does not verify"], memory=Memory(10, 100, 100, 300))
    assert "VOID" in text(void)
    assert as_json(void)["memory"]["flat"] is False


def test_a_ratio_is_also_told_in_cpu_which_other_work_does_not_change() -> None:
    measured = {
        "ours 1": runs(4.0, spent=costs(workers=0.3, PostgreSQL=0.1)),
        "sink 1": runs(1.0, spent=costs(Connect=0.2)),
    }
    assert cpu_ratio(measured, "ours 1/sink 1") == pytest.approx(2.0)
    assert "(and 2.0 times the CPU per row)" in text(outcome(runs={"inserts": measured}))
    assert cpu_ratio({"ours 1": runs(1.0), "sink 1": runs(1.0)}, "ours 1/sink 1") is None
