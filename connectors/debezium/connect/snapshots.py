"""Reading the rows of a table again beside the stream: Debezium's incremental snapshots, one table at a time.

One signal per table, and its outcome awaited: Debezium reads the first chunk in the thread that takes signals, and the
one that streams takes part in it as soon as a change comes, or at once where an earlier snapshot of the same task has
left its watermarks (3.7: `readUntilNewTransactionChange`; debezium/debezium pull requests 6147, 5919). When they
collide, one of two things is the end. The table ends with SQL_EXCEPTION, and what was read of it stays in memory, to be
sent as rows of whatever table comes next; or the thread that streams breaks, and the task fails with it. Either way the
task is ended and begun anew before anything else is asked of it, and the table is read again. What Debezium resumes by
itself then, from its stored offsets, are rows of that table told once more: it does no harm, and does not count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from fieldwarden.connectors.debezium.connect.client import Connect
from fieldwarden.connectors.debezium.connect.signals import Listener, Notification, Signals, snapshot_of
from fieldwarden.connectors.debezium.connect.states import State
from fieldwarden.engine.errors import EngineError, TransientError

PATIENCE = 30.0
"""Seconds within which a running connector takes up a signal."""
_ATTEMPTS = 4
_POLL = 1.0
_RESTART_SECONDS = 60.0
_AGAIN = "Debezium stumbled over itself; its task begins anew, and the table is read again"
_WAITS = "nothing comes for now; after a restart Debezium goes on with the database's next change"
_TASK_FELL = "TASK_FELL"
"""Our own word, beside Debezium's, for a table whose task failed of the collision."""
_COLLIDED = ("SQL_EXCEPTION", _TASK_FELL)
_STATUS = {
    "NO_PRIMARY_KEY": ("it has no primary key", "add one, or name the columns: options: {message.key.columns: ...}"),
    "UNKNOWN_SCHEMA": (
        "the connector does not know the table",
        "is it in table.include.list, and may its role read it?",
    ),
    "SKIPPED": ("it was skipped", "see the log of Kafka Connect"),
    "SQL_EXCEPTION": ("reading it failed", "see the log of Kafka Connect for the database's words"),
    _TASK_FELL: (
        "Debezium's task fell over it each time",
        "start again after the next change in the database; what it fell over is in the log of Kafka Connect",
    ),
}


class ConnectorDown(EngineError):
    """The connector does not run, so that nothing can be asked of it."""

    code = "connector_not_running"


class SignalIgnored(EngineError):
    """The connector runs, but has not taken up the signal."""

    code = "signal_ignored"


class SnapshotFailed(EngineError):
    """The connector took up the signal and did not read the rows."""

    code = "backfill_failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """`rows` read so far of `total`; either may be unknown. `note` is a word for the operator instead."""

    table: str
    rows: int | None = None
    total: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One table's rows, asked for under a name that comes back with every notification about it."""

    id: str
    table: str
    where: str = ""


Tell = Callable[[Progress], None]


async def check_runs(connect: Connect, name: str) -> None:
    """Raises ConnectorDown, with the task's error; UnknownConnector."""
    state = await connect.state(name)
    if not state.running:
        raise _down(state)


async def read_again(
    connect: Connect, name: str, signals: Signals, asked: Asked, tell: Tell, *, patience: float = PATIENCE
) -> int | None:
    """Have connector `name` read one table's rows again, and wait until it has; how many, if it says.

    Raises ConnectorDown, SignalIgnored, SnapshotFailed, TransientError."""
    await check_runs(connect, name)
    for attempt in range(1, _ATTEMPTS + 1):
        id = asked.id if attempt == 1 else f"{asked.id}~{attempt}"
        async with signals.listening() as listener:
            await signals.send(id, "execute-snapshot", snapshot_of(asked.table, asked.where))
            scanned = await _Watch(connect, name, listener, id, asked.table, tell, patience).outcome()
        status = scanned.details.get("status", "")
        if status in ("SUCCEEDED", "EMPTY"):
            return scanned.rows if status == "SUCCEEDED" else 0
        if status in _COLLIDED:
            await _forget(connect, name)
        if status not in _COLLIDED or attempt == _ATTEMPTS:
            message, suggestion = _STATUS.get(status, (f"it ended with {status or 'no outcome'}", ""))
            raise SnapshotFailed(f"{asked.table} was not read again: {message}", suggestion=suggestion)
        tell(Progress(asked.table, note=_AGAIN))
    raise AssertionError("every attempt returns or raises")


async def _forget(connect: Connect, name: str) -> None:
    """End the task and begin it anew, so that it forgets the rows it has read and not sent. (A restart would do, but
    nothing tells when it has happened.)"""
    try:
        await connect.stop(name, _RESTART_SECONDS)
    finally:
        await connect.resume(name)
    state = await connect.started(name, _RESTART_SECONDS)
    if state is None or not (state.running or state.stumbled):
        why = f": {'; '.join(state.errors)}" if state is not None and state.errors else ""
        raise TransientError(
            f"connector {name} does not come back after its restart{why}", suggestion="fieldwarden connector status"
        )


@dataclass
class _Watch:
    """The notifications about one signal, until they say how it ended."""

    connect: Connect
    name: str
    listener: Listener
    id: str
    table: str
    tell: Tell
    patience: float
    started: bool = False
    scanned: Notification | None = None
    read: int = 0

    async def outcome(self) -> Notification:
        """What was said of the table when its scan was over, or what became of the task."""
        deadline = time.monotonic() + self.patience
        while True:
            heard = [each for each in await self.listener.some(_POLL) if each.id == self.id]
            for notification in heard:
                self._note(notification)
                if notification.kind == "COMPLETED":
                    return await self._settled(self.scanned or notification)
                if notification.kind == "ABORTED":
                    raise SnapshotFailed(
                        f"{self.table} was not read again: the connector stopped at it",
                        suggestion="somebody sent it a stop-snapshot signal, or a restart lost it: start again",
                    )
            if heard:
                deadline = time.monotonic() + self.patience
            elif await self._fell():
                return self._fallen()
            if time.monotonic() > deadline:
                if not self.started:
                    raise self._ignored()
                self.tell(Progress(self.table, note=_WAITS))
                deadline = float("inf")

    async def _settled(self, scanned: Notification) -> Notification:
        """The outcome, once the task has outlived it: one of the two threads may say the end while the other falls
        with rows in its hands."""
        await asyncio.sleep(_POLL)
        state = await self.connect.state(self.name)
        return self._fallen() if state.stumbled else scanned

    async def _fell(self) -> bool:
        """Whether the task has failed of the collision. Raises ConnectorDown where it does not run otherwise."""
        state = await self.connect.state(self.name)
        if state.stumbled:
            return True
        if not state.running:
            raise _down(state)
        return False

    def _fallen(self) -> Notification:
        return Notification(self.id, "ABORTED", "Incremental Snapshot", {"status": _TASK_FELL})

    def _note(self, notification: Notification) -> None:
        self.started = True
        if notification.kind == "TABLE_SCAN_COMPLETED":
            # What Debezium resumed after a restart ends under our name, too, and first.
            if self.scanned is None or self.scanned.details.get("status") not in _COLLIDED:
                self.scanned = notification
            self.tell(Progress(self.table, notification.rows, notification.total))
        elif notification.kind == "IN_PROGRESS":
            self.tell(Progress(self.table, rows_so_far(notification), notification.total))

    def _ignored(self) -> SignalIgnored:
        return SignalIgnored(
            f"connector {self.name} runs, but has not taken up the signal within {self.patience:.0f} s",
            suggestion="is kafka in its signal.enabled.channels and sink in its notification.enabled.channels, and are "
            "the topics those of this project? `fieldwarden doctor` compares, `fieldwarden connector register` mends; "
            "behind a long backlog it takes longer (--patience)",
        )


def rows_so_far(notification: Notification) -> int | None:
    """Rows read so far, from the chunk in hand: chunks are of one size but for the last."""
    try:
        chunk, chunks = int(notification.details["chunk_index"]), int(notification.details["total_chunks"])
    except (KeyError, ValueError):
        return None
    total = notification.total
    return None if total is None or not chunks else min(total, -(-total // chunks) * chunk)


def _down(state: State) -> ConnectorDown:
    if state.failed:
        return ConnectorDown(
            f"connector {state.name} has failed: {'; '.join(state.errors) or 'it does not say why'}",
            suggestion="mend what its error names, then `fieldwarden connector restart`",
        )
    return ConnectorDown(
        f"connector {state.name} does not run: it is {state.state}" + ("" if state.tasks else ", without a task"),
        suggestion="fieldwarden connector resume" if state.state == "PAUSED" else "fieldwarden connector status",
    )
