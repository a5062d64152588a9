"""The benchmark's arithmetic: what it says must follow from what it measured, and no broken run may look like one."""

from __future__ import annotations

import pytest

from bench.figures import Checksum, Ledger, Memory, Run, Scenario, Spread, objections
from bench.match import CONTENDERS, Outcome
from bench.profiling import statements
from bench.report import as_json, text

LACKS = {"native": "it copies rows", "raw": "it reads no log"}
WHOLE = Ledger(ok=True, entries=30, broken=0, set_aside=0)
ROWS = Checksum(10, "123")
EQUAL = [("insert-1, repetition 1", dict.fromkeys(("source", "target", "native", "raw"), ROWS))]


def scenario(**seconds: list[float]) -> Scenario:
    return Scenario("insert-1", "inserts", {name: [Run(1000, each) for each in runs] for name, runs in seconds.items()})


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([1.0, 2.0]) == Spread(1.5, 1.0, 2.0)


def test_rates_are_rows_per_second() -> None:
    assert scenario(ours=[2.0, 1.0, 4.0]).rate("ours") == Spread(500.0, 250.0, 1000.0)


def test_a_ratio_is_of_medians_and_its_ends_are_single_repetitions() -> None:
    ratio = scenario(ours=[2.0, 2.0, 8.0], native=[1.0, 4.0, 1.0]).ratio("ours", "native")
    assert ratio == Spread(0.5, 0.125, 2.0)


def test_a_ratio_needs_as_many_runs_of_both() -> None:
    with pytest.raises(ValueError, match="shorter"):
        scenario(ours=[1.0, 1.0], native=[1.0]).ratio("ours", "native")


def test_cpu_is_told_per_row_where_it_was_counted() -> None:
    runs = {"ours": [Run(1000, 1.0, 0.1, 0.05)], "native": [Run(1000, 1.0, None, 0.02)], "raw": [Run(1000, 1.0)]}
    found = Scenario("x", "x", runs)
    assert found.cpu_per_row("ours") == pytest.approx((100.0, 50.0))
    assert found.cpu_per_row("native") == pytest.approx((0.0, 20.0))
    assert found.cpu_per_row("raw") is None


def test_a_proven_run_stands() -> None:
    assert objections(EQUAL, WHOLE, 30, Memory(10, 100, 100, 125)) == []


@pytest.mark.parametrize(
    ("tables", "ledger", "changes", "memory", "words"),
    [
        ([("then", {"source": ROWS, "target": Checksum(9, "123")})], WHOLE, 30, None, "then: target holds 9 rows"),
        ([("then", {"source": ROWS, "raw": Checksum(10, "124")})], WHOLE, 30, None, "raw holds 10 rows that are not"),
        (EQUAL, Ledger(ok=False, entries=30, broken=2, set_aside=0), 30, None, "does not verify: 2 breaks"),
        (EQUAL, WHOLE, 31, None, "not of all 31"),
        (EQUAL, Ledger(ok=True, entries=30, broken=0, set_aside=1), 30, None, "1 changes or deliveries were set aside"),
        (EQUAL, WHOLE, 30, Memory(10, 100, 100, 126), "memory is not flat"),
    ],
)
def test_what_is_not_proven_is_void(
    tables: list[tuple[str, dict[str, Checksum]]], ledger: Ledger, changes: int, memory: Memory | None, words: str
) -> None:
    (objection,) = objections(tables, ledger, changes, memory)
    assert words in objection


def test_the_report_says_next_to_each_ratio_what_the_yardstick_leaves_undone() -> None:
    measured = scenario(ours=[2.0], native=[1.0], raw=[0.5])
    said = " ".join(text(Outcome([measured], LACKS, WHOLE, None)).split())
    assert "ours/native 0.50 0.50 to 0.50 it copies rows" in said
    assert "ours/raw 0.25 0.25 to 0.25 it reads no log" in said
    assert "VOID" not in said


def test_a_void_report_says_so() -> None:
    outcome = Outcome(
        [scenario(**{name: [1.0] for name in CONTENDERS})], LACKS, WHOLE, None, ["the ledger does not verify"]
    )
    assert "VOID" in text(outcome)
    assert as_json(outcome)["void"] == ["the ledger does not verify"]


def test_statements_are_added_up_by_session() -> None:
    log = """
2026-01-01 00:00:00 UTC [7] fieldwarden hub/hub LOG:  duration: 0.500 ms  bind _pg3_0: select  1
2026-01-01 00:00:00 UTC [7] fieldwarden hub/hub LOG:  duration: 1.500 ms  execute _pg3_0: select  1
2026-01-01 00:00:00 UTC [8] fieldwarden/target LOG:  duration: 1.000 ms  statement: commit
2026-01-01 00:00:00 UTC [8] fieldwarden/target LOG:  something else
"""
    lines = statements(log, 100).splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["20.00", "2", "1.00", "fieldwarden", "hub:", "select", "1"],
        ["10.00", "1", "1.00", "fieldwarden:", "commit"],
    ]
