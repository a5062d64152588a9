"""What `status --check` calls halted, by what status tells of everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fieldwarden.operations.hooks import Unread
from fieldwarden.operations.onboarding import ONBOARDING
from fieldwarden.operations.rebaselined import Rebaselined
from fieldwarden.operations.shell.status import lines
from fieldwarden.operations.status import Duplicates, Onboarded, Rules, Source, Status, Target, halted
from fieldwarden.operations.unfinished import PutOff, Unanswered


def told(*, due: float, let: float | None) -> Status:
    """Of one target, whose deliveries have been due for so many seconds; `let`: since when they may be made."""
    since = None if let is None else Onboarded(datetime.now(UTC) - timedelta(seconds=let), "ann")
    waits = ONBOARDING if since is None else ""
    return Status(
        project="shop",
        rulebook="abc",
        rules=Rules("abc", "abc", "", datetime.now(UTC), None, since, waits),
        running=True,
        workers=[],
        sources=[Source("erp", "streaming", "", 1.0, 0, None, 7, 0, read=True, unread="")],
        partitions=[],
        targets=[Target("crm", due=1, waiting=0, parked=0, oldest_seconds=due, due_seconds=due)],
        put_off=[],
        unanswered=[],
        inboxes=[],
        set_aside=[],
        held_deletions=[],
        parked=[],
        waiting=[],
        records={},
        forged_marks=[],
        rebaselined=[],
        duplicates=Duplicates({}, []),
        refused_24h=0,
        held_24h=0,
    )


def test_a_target_whose_deliveries_have_long_been_due_is_told() -> None:
    (words,) = halted(told(due=3600, let=7200))
    assert words == "target crm is behind: deliveries have been due for 60 min"


def test_what_was_due_before_deliveries_were_let_counts_from_then_on() -> None:
    assert list(halted(told(due=86_400, let=2))) == []
    assert len(list(halted(told(due=86_400, let=400)))) == 1


def test_what_waits_for_somebody_to_look_stands_rightly() -> None:
    assert list(halted(told(due=86_400, let=None))) == []


def test_what_nobody_has_read_yet_of_an_inbox_is_told() -> None:
    text = "\n".join(lines(replace(told(due=1, let=7200), inboxes=[Unread("desk", 3, 240.0)])))
    assert "3 webhook items of desk not read yet, the first for 4 min" in text


@pytest.mark.parametrize(("read", "words"), [(True, "were read again"), (False, "are being read again")])
def test_rows_are_not_said_to_have_been_read_again_before_they_have(read: bool, words: str) -> None:
    begun = Rebaselined("crm", 2, 14.0, "run --rebaseline", read)
    text = "\n".join(lines(replace(told(due=1, let=7200), rebaselined=[begun])))
    assert f"all rows of crm {words} (baseline 2), begun 14 s ago: run --rebaseline" in text


def test_a_busy_target_and_writes_in_doubt_are_told() -> None:
    found = replace(
        told(due=1, let=7200),
        put_off=[PutOff("crm", "the target is busy", 2, 240.0)],
        unanswered=[Unanswered("crm", 1, 30.0)],
    )
    text = "\n".join(lines(found))
    assert "2 deliveries to crm put off, the oldest due for 4 min: the target is busy" in text
    assert "1 write to crm without an answer yet, the oldest for 30 s" in text
    quiet = "\n".join(lines(told(due=1, let=7200)))
    assert "put off" not in quiet
    assert "without an answer" not in quiet
