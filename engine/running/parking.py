"""Deliveries to rows of which a change is set aside: such a row may differ for a reason that nobody will tell soon."""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.delivering.job import Job
from fieldwarden.engine.ports.hub import Hub, Settlement


async def park(hub: Hub, target: str, jobs: Sequence[Job], settlements: Sequence[Settlement]) -> None:
    """Park what would wait for a row's own change although that change is set aside, with this reason.

    It is looked at again when the change goes through or is made pointless (`OutcomeBuilder.make_dirty_in`). What has
    not met another value in its row is delivered as ever."""
    waiting = [(job, one) for job, one in zip(jobs, settlements, strict=True) if one.status == "retry"]
    if not waiting:
        return
    letters = await hub.held_up([row for job, _ in waiting for row in _rows(target, job)])
    for job, one in waiting:
        found = sorted({letters[row] for row in _rows(target, job) if row in letters})
        if found:
            what = f"the row holds something newer in {target}, and that change is set aside"
            one.status, one.reason = "park", f"{what} (dead letter {', '.join(map(str, found))})"


def _rows(target: str, job: Job) -> list[RowRef]:
    return [RowRef(target, write.stream, write.key) for write in job.writes if write.key is not None]
