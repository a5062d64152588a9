"""Named points between durability steps where a test can make the process die, or stand still.

`FIELDWARDEN_FAILPOINT=ingest.before_commit` (or `name:3` for the third pass) kills the process by SIGKILL there;
`name:3:stop` stops it there, once, until it is sent SIGCONT. `name:KEY:bug` raises, each time, an error that nobody
foresaw, at the row or record of this name. Unarmed, a hit costs one comparison.
"""

from __future__ import annotations

import os
import signal

NAMES = (
    "ingest.before_write",
    "ingest.before_commit",
    "ingest.after_commit",
    "ingest.after_acknowledge",
    "delivery.after_claim",
    "intent.durable",
    "intent.answered",
    "delivery.before_target_commit",
    "delivery.after_target_commit",
    "delivery.before_settle_commit",
    "delivery.after_settle",
    "snapshot.slot_created",
    "snapshot.running",
    "snapshot.done",
    "apply.before_switch",
    "apply.after_switch",
    "apply.before_batch",
    "apply.after_batch",
    "apply.before_end",
    "partial.running",
    "inbox.durable",
    "inbox.read",
)

ROW_BY_ROW = ("ingest.mapping", "ingest.deciding", "delivery.planning")
"""Passed for every row or record, between no durability steps: there a bug is met, by the name of the row or record."""

_name, _count, _how, _left = "", "", "", 0


class InjectedBug(Exception):
    """Nobody foresees it."""


def arm(text: str) -> None:
    """Arm what `text` says; an empty one arms nothing."""
    global _name, _count, _how, _left
    _name, _count, _how, *_ = [*text.split(":"), "", ""]
    _left = int(_count or 1) if _how != "bug" else 0


def hit(name: str, subject: str = "") -> None:
    """Die, stop or raise here, if armed for `name` and often enough passed, or passed with the armed subject."""
    global _left
    if name != _name:
        return
    if _how == "bug":
        if subject == _count:
            raise InjectedBug(f"injected at {name} for {subject}")
        return
    _left -= 1
    if _left == 0 and _how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif _left <= 0 and not _how:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("FIELDWARDEN_FAILPOINT", ""))
