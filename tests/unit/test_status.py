"""What `status --check` calls halted, by what status tells of everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fieldwarden.operations.onboarding import ONBOARDING
from fieldwarden.operations.status import halted


def told(*, due: float, let: float | None) -> dict[str, Any]:
    """Of one target, whose deliveries have been due for so many seconds; `let`: since when they may be made."""
    since = None if let is None else {"since": (datetime.now(UTC) - timedelta(seconds=let)).isoformat(), "by": "ann"}
    return {
        "running": True,
        "rules": {"waits": ONBOARDING if since is None else "", "onboarded": since},
        "sources": [{"name": "erp", "state": "streaming", "message": "", "read": True}],
        "partitions": [],
        "held_deletions": [],
        "targets": [{"name": "crm", "due_seconds": due}],
    }


def test_a_target_whose_deliveries_have_long_been_due_is_told() -> None:
    (words,) = halted(told(due=3600, let=7200))
    assert words == "target crm is behind: deliveries have been due for 60 min"


def test_what_was_due_before_deliveries_were_let_counts_from_then_on() -> None:
    assert list(halted(told(due=86_400, let=2))) == []
    assert len(list(halted(told(due=86_400, let=400)))) == 1


def test_what_waits_for_somebody_to_look_stands_rightly() -> None:
    assert list(halted(told(due=86_400, let=None))) == []
