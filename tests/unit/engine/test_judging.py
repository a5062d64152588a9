"""What every result of a write comes to, and what is done about a write without one: two tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.delivering.conclusion import ATTEMPTS, concluded
from fieldwarden.engine.delivering.doubts import judged
from fieldwarden.engine.delivering.habits import Habits
from fieldwarden.engine.delivering.job import Job, signature
from fieldwarden.engine.delivering.judging import BUSY, Judge
from fieldwarden.engine.ports.hub import Pending, Settlement
from fieldwarden.engine.ports.target import Found, Intent, Status, Write, WriteResult
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import BILLING, rulebook

STREAM = "public.customer"


@dataclass(frozen=True)
class Case:
    """One result, in one situation, and the verdict. `heard`: whether the target's own changes are read."""

    status: Status
    expected: str
    result: dict[str, Any] = field(default_factory=dict)
    operation: str = "update"
    heard: bool = True
    attempts: int = 0
    met: str = ""
    again: bool = False
    """Whether planning again at once may do more."""
    delay: float = 0.0
    reason: str = ""
    version: str | None = None


NEWER, OTHER = {"name": "newer"}, {"name": "old"}
EQUAL: dict[tuple[str, str], Value] = {(STREAM, "name"): "old"}
CASES = {
    "created": Case("applied", "done", {"key": "K"}, "create"),
    "created, with a version": Case("applied", "done", {"key": "K", "row_version": "1"}, "create", version="1"),
    "created, but rounded: expect that, and write it once more": Case(
        "applied", "retry", {"key": "K", "differing": NEWER}, "create", heard=False, again=True, delay=0.25
    ),
    "changed": Case("applied", "done"),
    "changed, with a version": Case("applied", "done", {"row_version": "2"}, version="2"),
    "changed meanwhile by somebody who will be heard": Case(
        "applied", "retry", {"differing": NEWER}, delay=0.25, reason="name changed in billing meanwhile"
    ),
    "changed meanwhile where nobody is heard: expect that": Case(
        "applied", "retry", {"differing": NEWER}, heard=False, again=True, delay=0.25
    ),
    "rewritten for the first time": Case("applied", "retry", {"differing": OTHER}, delay=0.25),
    "rewritten time and again": Case(
        "applied", "park", {"differing": OTHER}, attempts=ATTEMPTS - 1, met=signature(EQUAL), reason="billing rewrites"
    ),
    "removed": Case("applied", "done", operation="delete"),
    "a field refused, the others written": Case(
        "applied", "park", {"refused": {"name": "too long"}}, reason="name: too long"
    ),
    "gone": Case("missing", "retry", delay=0.25, reason="the row is gone from billing"),
    "gone, where nobody will say so": Case(
        "missing", "park", heard=False, attempts=ATTEMPTS - 1, met="missing", reason="no longer exists"
    ),
    "another version, and the field as we knew it: write it for that": Case(
        "conflict", "retry", {"seen": True, "differing": OTHER, "row_version": "9"}, again=True, delay=0.25, version="9"
    ),
    "another version, nobody says which, and the field as we knew it": Case(
        "conflict", "retry", {"seen": True, "differing": OTHER}, delay=0.25, version=""
    ),
    "another version, and a newer word that will be heard": Case(
        "conflict", "retry", {"seen": True, "differing": NEWER, "row_version": "9"}, delay=0.25, version="9"
    ),
    "another version, and a newer word that nobody hears": Case(
        "conflict",
        "retry",
        {"seen": True, "differing": NEWER, "row_version": "9"},
        heard=False,
        again=True,
        delay=0.25,
        version="9",
    ),
    "another version, and it holds what we wanted": Case(
        "conflict", "done", {"seen": True, "row_version": "9"}, again=True, version="9"
    ),
    "another version, of which nothing is told: ask without one": Case("conflict", "retry", delay=0.25, version=""),
    "a removal for another version": Case("conflict", "retry", {"row_version": "9"}, "delete", delay=0.25, version="9"),
    "a removal for another version, of which all is told": Case(
        "conflict", "retry", {"seen": True, "row_version": "9"}, "delete", delay=0.25, version="9"
    ),
    "a rule of the target forbids it": Case("refused", "park", {"reason": "the period is closed"}, reason="the period"),
    "bad data": Case("rejected", "park", {"reason": "no such country"}, reason="no such country"),
    "bad data in one field that is all there was": Case(
        "rejected", "park", {"reason": "too long", "refused": {"name": "too long"}}, reason="name: too long"
    ),
    "bad data, for now": Case("rejected", "retry", {"reason": "a trigger", "later": True}, delay=0.25),
    "bad data, for now, time and again": Case(
        "rejected",
        "park",
        {"reason": "a trigger", "later": True},
        attempts=ATTEMPTS - 1,
        met="refused for now",
        reason="a trigger",
    ),
    "busy": Case("busy", "again", {"pause": 30.0}, delay=30.0, reason=BUSY),
    "busy, after many attempts": Case(
        "busy", "again", {"pause": 1.0}, attempts=99, met=signature(EQUAL), delay=1.0, reason=BUSY
    ),
    "no answer, where writing again is safe": Case("unknown", "retry", delay=0.25, reason="did not answer"),
    "no answer time and again, where nobody is heard": Case(
        "unknown", "retry", heard=False, attempts=ATTEMPTS - 1, met=signature({(STREAM, ""): None}), delay=2.0
    ),
}


def verdict(case: Case) -> tuple[Job, bool, Settlement]:
    rules = rulebook(billing=BILLING | ({} if case.heard else {"mode": "target"}))
    row = Contribution("billing", STREAM, "K", "p", Stamp("p", 1), {"name": "old"})
    record = Record("r", "customer", 3, {"name": "new"}, [] if case.operation == "create" else [row])
    job = Job(Pending(record, 1, 1, case.attempts, case.met))
    key = None if case.operation == "create" else "K"
    values: dict[str, Value] = {} if case.operation == "delete" else {"name": "new"}
    operation: Any = case.operation
    write = Write(0, "r", STREAM, operation, key, values, {"name": "old"} if key else {})
    job.writes = (write,)
    job.began = case.operation == "create"
    again = Judge(rules, "billing", TargetPlan(rules, "billing")).absorb(
        job, write, WriteResult(0, case.status, **{"key": key} | case.result)
    )
    return job, again, concluded(job, "billing", rules.systems["billing"].streams, Habits(ATTEMPTS), "undone")


@pytest.mark.parametrize("name", CASES)
def test_what_a_result_comes_to(name: str) -> None:
    case = CASES[name]
    job, again, settlement = verdict(case)
    assert (settlement.status, again, settlement.delay) == (case.expected, case.again, case.delay)
    assert case.reason in settlement.reason
    versions = list(job.row_versions.values())
    assert versions == ([] if case.version is None else [case.version])


def test_every_kind_of_result_is_in_the_table() -> None:
    assert {case.status for case in CASES.values()} == set(Status.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        (WriteResult(0, "applied", "K", row_version="10"), "done"),
        (WriteResult(0, "rejected", "K", reason="too long", refused={"name": "too long"}), "park"),
        (WriteResult(0, "conflict", "K", {"name": "old"}, seen=True, row_version="10"), "retry"),
    ],
    ids=lambda each: getattr(each, "status", ""),
)
def test_what_the_second_write_comes_to_counts_after_one_for_another_version(then: WriteResult, expected: str) -> None:
    job, again, _ = verdict(CASES["another version, and the field as we knew it: write it for that"])
    assert again
    rules = rulebook()
    Judge(rules, "billing", TargetPlan(rules, "billing")).absorb(job, job.writes[0], then)
    assert concluded(job, "billing", rules.systems["billing"].streams, Habits(ATTEMPTS), "").status == expected


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("operation", ["create", "update", "delete"])
@pytest.mark.parametrize("found", ["row", "none", "not known"])
def test_what_is_done_about_a_write_without_an_answer(found: str, operation: Any, settled: bool) -> None:
    intent = Intent("k", "r", STREAM, operation, None if operation == "create" else "K", None, 1)
    told = {"row": Found("k", "K"), "none": Found("k", None), "not known": None}[found]
    expected = {
        ("row", "create"): "known",  # it was made, and is made once
        ("none", "create"): "repeat" if settled else "wait",
        ("row", "update"): "known" if settled else "wait",  # before that it may change yet
        ("none", "update"): "gone" if settled else "wait",
        ("row", "delete"): "known" if settled else "wait",
        ("none", "delete"): "gone" if settled else "wait",
    }.get((found, operation), "wait")
    assert judged(intent, told, settled=settled) == expected


@pytest.mark.parametrize(
    ("holds", "known", "version"), [("new", "new", "2"), ("old", "old", "2"), ("newer", "old", "1")]
)
def test_what_is_found_in_a_row_is_ours_only_if_we_brought_it_or_it_stood_there(
    holds: str, known: str, version: str
) -> None:
    """A person's newer word, still to be heard, would else be taken for an echo, and written over until then."""
    rules = rulebook()
    row = Contribution("billing", STREAM, "K", "p", Stamp("p", 1), {"name": "old"}, row_version="1")
    job = Job(Pending(Record("r", "customer", 3, {"name": "new"}, [row]), 1, 1, 0))
    lost = Intent("k", "r", STREAM, "update", "K", None, 3, {"name": "new"})
    Judge(rules, "billing", TargetPlan(rules, "billing")).observed(job, lost, "K", {"name": holds}, "2")
    job.looks_anew()
    (now,) = job.record.rows
    assert (now.holds("name"), now.row_version) == (known, version)


def test_where_nobody_is_heard_the_row_holds_what_was_found_there() -> None:
    rules = rulebook(billing=BILLING | {"mode": "target"})
    row = Contribution("billing", STREAM, "K", "p", Stamp("p", 1), {"name": "old"}, row_version="1")
    job = Job(Pending(Record("r", "customer", 3, {"name": "new"}, [row]), 1, 1, 0))
    lost = Intent("k", "r", STREAM, "update", "K", None, 3, {"name": "new"})
    Judge(rules, "billing", TargetPlan(rules, "billing")).observed(job, lost, "K", {"name": "newer"}, "2")
    job.looks_anew()
    (now,) = job.record.rows
    assert (now.holds("name"), now.row_version) == ("newer", "2")
