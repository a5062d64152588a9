"""What a delivery comes to: the verdict on one record after its writes were made, or could not be.

Pure but for the habits, which are told of each delivery that was made. What asks for a person is parked; what time may
mend is tried again, and parked after a few equal attempts.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.engine import bugs
from fieldwarden.engine.deciding.unidentified import EARLY
from fieldwarden.engine.delivering.habits import Habits
from fieldwarden.engine.delivering.job import Job, signature
from fieldwarden.engine.delivering.refusals import joined, told
from fieldwarden.engine.ports.hub import Settlement
from fieldwarden.rules.rulebook import Stream

ATTEMPTS = 4
"""Equal attempts after which a delivery is parked."""
_SLOWEST = 30.0
_REFUSED_FOR_NOW = "refused for now"
UNANSWERED = "the target did not answer; it is tried again"


def concluded(job: Job, system: str, streams: Mapping[str, Stream], habits: Habits, undone: str) -> Settlement:
    """The settlement of a record in `system`, whose streams these are. `undone`: what is said where nothing is kept."""
    pending = job.pending
    settlement = Settlement(job.record.id, pending.mark, pending.revision, "done", learnt=job.learnt, links=job.links)
    if job.row_versions or job.answered:
        settlement.row_versions, settlement.answered = job.row_versions, job.answered
    refused = [told(job.refused)] if job.refused else []
    if job.bug is not None:
        settlement.status, settlement.reason = "park", bugs.reason(job.bug, "this delivery")
    elif job.unfinished is not None:
        settlement.status = "again"
        settlement.delay, settlement.reason = job.unfinished
        settlement.frees = job.freed
        return settlement
    elif reason := job.reason or job.problem:
        settlement.status, settlement.reason = "park", "; ".join([reason, *refused])
        if job.later:
            _later(job, settlement)
        if job.behind is not None:
            settlement.awaits, settlement.awaits_at = job.behind
    elif job.early:
        settlement.status, settlement.delay, settlement.reason = "retry", job.early, EARLY
    elif job.missing or job.differing:
        _unsettled(job, settlement, system, streams)
    elif job.awaits is not None:
        settlement.status, settlement.awaits = "wait", job.awaits
        reason = f"record {job.awaits}, which it refers to, has no key in {system} yet"
        settlement.reason = "; ".join([reason, *refused])
    elif refused:
        settlement.status, settlement.reason = "park", refused[0]
    elif job.wrote and not job.began and habits.delivered(job.record):
        for write in job.writes:  # remembered by their values, as what a target refuses is
            job.refuses(write, dict.fromkeys(write.values, undone))
        settlement.status, settlement.reason = "park", told(job.refused) if job.refused else undone
    # Its words may be others each time (a clock's), and attempts count as equal by what is kept of them.
    settlement.result = joined(settlement.result, job.refused, job.said if settlement.status == "park" else "")
    settlement.frees = job.freed
    return settlement


def _later(job: Job, settlement: Settlement) -> None:
    """The target refused the row for a reason that may pass: a few more tries, while all others go on."""
    attempts = job.pending.attempts + 1 if job.met == _REFUSED_FOR_NOW else 1
    if attempts < ATTEMPTS:
        settlement.result = _REFUSED_FOR_NOW
        settlement.status, settlement.delay = "retry", _delay(attempts)


def _unsettled(job: Job, settlement: Settlement, system: str, streams: Mapping[str, Stream]) -> None:
    """The rows do not hold what they should. A target that undoes what it is given is parked after equal
    attempts; where somebody changed them meanwhile, that change is on its way and ends the waiting."""
    names = ", ".join(sorted(name or "a row" for _, name in job.differing))
    settlement.result = "missing" if job.missing else signature(job.differing)
    equal = job.met == settlement.result
    attempts = job.pending.attempts + 1 if equal else 1
    deaf = not any(streams[write.stream].reads for write in job.writes)  # no change can come from here
    if job.silent:  # it says nothing of what the target makes of values
        settlement.status, settlement.delay, settlement.reason = "retry", _delay(attempts), UNANSWERED
        return
    if attempts >= ATTEMPTS and (job.undone or deaf):
        settlement.status = "park"
        settlement.reason = (
            f"the row no longer exists in {system}"
            if job.missing
            else f"{system} rewrites {names}: after {attempts} equal attempts it holds another value"
        )
        return
    settlement.status, settlement.delay = "retry", _delay(attempts)
    settlement.reason = (
        f"the row is gone from {system}; waiting for its change"
        if job.missing
        else f"{names} changed in {system} meanwhile; waiting for that change"
    )


def _delay(attempts: int) -> float:
    return min(_SLOWEST, 0.25 * 2.0 ** (min(attempts, 16) - 1))
