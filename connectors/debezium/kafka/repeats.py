"""Changes that were told before. Pure.

Connect is at least once: a task that starts again sends anew what it had sent since offsets were last stored (for up to
`offset.flush.interval.ms`), under new Kafka offsets. Taken for news, an old value would win over the one that replaced
it, until that is told again as well. A connector sends changes in the order of their transactions' commits. Where each
stands in it, `source.sequence` tells for PostgreSQL: the LSN of the last commit before it, and its own. So in each
partition whatever stands before the newest change heard has been heard.

A server that was restored, or replaced, may count from lower LSNs again; its commits are later ones, though. And
changes of one COPY share an LSN: those that stand exactly where the newest one does are let pass, as they say nothing
that could undo it.
Facts: Debezium, PostgreSQL connector, `source.sequence`; `PostgresStreamingChangeEventSource.commitMessage`,
`WalPositionLocator` (streaming goes on behind the last record whose offset was stored).
"""

from __future__ import annotations

import msgspec

from fieldwarden.connectors.debezium.kafka.parts import NOWHERE, LogPlace

_BEYOND = 1 << 64
_AHEAD = 60_000_000
"""Microseconds by which a database's clock may be ahead of Kafka's and of ours."""

_pair = msgspec.json.Decoder(tuple[str, str])


def mark_of(sequence: str | None, at: int | None) -> LogPlace:
    """Of one event: `source.sequence` (JSON, two numbers as text) and its commit time in µs.

    Before the first commit that a connector sees, the first number is null. It is not zero: the change may be news,
    wherever others stand. So it stands nowhere, as does what says to be beyond all logs."""
    if not sequence or at is None or at < 0:
        return NOWHERE
    try:
        commit, lsn = map(int, _pair.decode(sequence))
    except (ValueError, msgspec.MsgspecError):
        return NOWHERE
    return LogPlace(commit, lsn, at) if 0 <= commit < _BEYOND and 0 <= lsn < _BEYOND else NOWHERE


def is_ahead(mark: LogPlace, now: int, written: int) -> bool:
    """Whether a change says that it is of the future: by our clock (`now`, µs), and by when Kafka's record was written
    (ms; negative: that is not told). Taken at its word, one such record would make a repeat of all that come after it,
    for ever."""
    return mark.at > (min(now, 1_000 * written) if written >= 0 else now) + _AHEAD


def is_repeat(mark: LogPlace, heard: LogPlace) -> bool:
    return (mark.commit, mark.lsn) < (heard.commit, heard.lsn) and mark.at <= heard.at and mark != NOWHERE


def newer(heard: LogPlace, mark: LogPlace) -> LogPlace:
    """What is heard once a change that is no repeat has been."""
    return heard if mark == NOWHERE else LogPlace(mark.commit, mark.lsn, max(heard.at, mark.at))
