"""Named points between durability steps where a test can make the process die, or stand still.

`FIELDWARDEN_FAILPOINT=ingest.before_commit` (or `name:3` for the third pass) kills the process by SIGKILL there;
`name:3:stop` stops it there, once, until it is sent SIGCONT. Unarmed, a hit costs one comparison.
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
    "delivery.before_target_commit",
    "delivery.after_target_commit",
    "delivery.before_settle_commit",
    "delivery.after_settle",
    "snapshot.slot_created",
    "snapshot.running",
    "snapshot.done",
)

_name, _count, _how, *_ = [*os.environ.get("FIELDWARDEN_FAILPOINT", "").split(":"), "", ""]
_left = int(_count or 1)


def hit(name: str) -> None:
    """Die or stop here, if armed for `name` and often enough passed."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0 and _how == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif _left <= 0 and not _how:
        os.kill(os.getpid(), signal.SIGKILL)
