"""Have Debezium tell the rows of an entity again, while changes go on streaming.

The rows come as observations into the same topics, are decided on like any others, and change nothing that is known
already. A name that Fieldwarden gives each request comes back with every notification about it, so progress and
outcome are what the connector says, never what was asked for.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from fieldwarden.connectors.debezium.connect.signals import Notification, Signals, snapshot_of
from fieldwarden.connectors.debezium.connect.snapshots import Asked, Progress, check_runs, read_again
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.postgres.looking.condition import ConditionRefused, check_condition
from fieldwarden.engine.hub.asking import UnknownName, closest
from fieldwarden.operations.connector_state import chosen, connected, named
from fieldwarden.operations.project import Opened
from fieldwarden.rules.allowed import FUNCTIONS, OPERATORS
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.expressions import Expression, parse
from fieldwarden.rules.rulebook import Stream, System

_ID = re.compile(
    r"fieldwarden/(?P<backfill>(?:rebaseline-)?[0-9a-f]{8})/(?:(?P<entity>[a-z0-9_]+)/)?(?P<table>.*?)(?:~\d+)?$"
)
"""backfill, entity and table, so that `status` can tell ours from others', and attempts from one another."""

Say = Callable[[str], None]


class NothingToRead(FieldwardenError):
    """What is asked for means no table, or not one."""

    code = "usage"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `start` was asked for. `stream` narrows it to one table, `where` to rows of it: an expression
    of the rules' own language."""

    system: str
    entity: str
    stream: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """`state`: "sent", "completed" or "failed"; `rows` that were told again, None where that is not known."""

    table: str
    state: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Backfill:
    """What was asked for, and what came of it. `failure`: why it did not come to its end; `streams` are read again, and
    `left_out` are those that a condition does not speak of."""

    backfill: str
    system: str
    entity: str
    tables: Sequence[Table]
    failure: FieldwardenError | None = None
    streams: Sequence[str] = ()
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A backfill of one table, as the connector's notifications tell of it."""

    backfill: str
    entity: str | None
    table: str
    state: str
    rows: int | None
    total: int | None
    since: str


async def start(
    project: Opened, wanted: Wanted, *, wait: bool = True, patience: float = 30.0, say: Say = lambda _line: None
) -> Backfill:
    """Ask for the rows, and with `wait` see them through, table by table: parents first.

    Raises ConnectorDown before anything is sent, NothingToRead, ConditionRefused, UnknownName, UnknownSystem. What ends
    it on the way (SignalIgnored, SnapshotFailed) is its `failure`."""
    chosen(project, wanted.system)
    system = project.rulebook.systems[wanted.system]
    condition = None if wanted.where is None else condition_of(system, wanted.where)
    streams = _streams(project, wanted)
    left_out: list[str] = []
    if condition is not None:
        left_out = [stream.name for stream in streams[1:]]
        streams = streams[:1]
    if not wait and len({stream.table for stream in streams}) > 1:
        names = ", ".join(stream.name for stream in streams)
        raise NothingToRead(
            "without waiting, one table at a time may be asked for",
            suggestion=f"choose with --stream one of {names}, or leave --no-wait out",
        )
    done = await _start(project, wanted, streams, condition, wait, patience, say)
    return replace(done, streams=[stream.name for stream in streams], left_out=left_out)


async def history(project: Opened, system: str, limit: int = 20) -> list[Told]:
    """The backfills that the connector's notifications still tell of, newest first."""
    chosen(project, system)
    signals = Signals(project.rulebook.systems[system], project.kafka().brokers)
    await signals.prepare()
    return _told(await signals.history())[:limit]


# --- start ---------------------------------------------------------------------------------------------------


def _streams(project: Opened, wanted: Wanted) -> list[Stream]:
    """The streams to read, parents before their children. Raises UnknownName, NothingToRead."""
    entities, system = project.rulebook.entities, project.rulebook.systems[wanted.system]
    if wanted.entity not in entities:
        raise UnknownName(f"there is no entity {wanted.entity!r}", suggestion=closest(wanted.entity, entities))
    found = [stream for stream in system.read_streams.values() if stream.entity == wanted.entity]
    if wanted.stream is not None:
        known = [stream.name for stream in found]
        if wanted.stream not in known:
            message = f"{wanted.system} reads no stream {wanted.stream!r} for {wanted.entity}"
            raise UnknownName(message, suggestion=closest(wanted.stream, known))
        found = [stream for stream in found if stream.name == wanted.stream]
    if not found:
        entities_here = sorted({stream.entity for stream in system.read_streams.values()})
        raise NothingToRead(
            f"{wanted.system} is not read for {wanted.entity}", suggestion=f"it is for {', '.join(entities_here)}"
        )
    return sorted(found, key=lambda stream: _depth(system.streams, stream))


def _depth(streams: Any, stream: Stream) -> int:
    return 0 if stream.parent is None else 1 + _depth(streams, streams[stream.parent])


def condition_of(system: System, where: str) -> tuple[Expression, str]:
    """What a person wrote as a condition, understood, and the SQL that Debezium puts into its query of the table: never
    the person's own text. Raises ConditionRefused, which says what is allowed."""
    dialect: Literal["postgres", "mysql"] = database_settings(system).product
    try:
        expression = parse(where)
        return expression, expression.condition(dialect)
    except ValueError as error:
        suggestion = f"conditions are made of columns, constants, {OPERATORS}, and the functions {FUNCTIONS}"
        raise ConditionRefused(f"--where: {error}", suggestion=suggestion) from None


async def _start(
    project: Opened,
    wanted: Wanted,
    streams: Sequence[Stream],
    condition: tuple[Expression, str] | None,
    wait: bool,
    patience: float,
    say: Say,
) -> Backfill:
    system = project.rulebook.systems[wanted.system]
    name, backfill = named(project, wanted.system), uuid.uuid4().hex[:8]
    topics = Topics(system)
    asked = [
        Asked(f"fieldwarden/{backfill}/{wanted.entity}/{where}", where, condition[1] if condition else "")
        for where in dict.fromkeys(topics.table(topics.of_table(stream.table)) for stream in streams)
    ]
    signals = Signals(system, project.kafka().brokers)
    done: list[Table] = []
    result = Backfill(backfill, wanted.system, wanted.entity, done)
    async with connected(project) as connect:
        await check_runs(connect, name)
        await signals.prepare()
        if condition is not None and database_settings(system).is_postgres:
            await check_condition(wanted.system, project.dsn(wanted.system), asked[0].table, condition[0])
        if not wait:
            await signals.send(asked[0].id, "execute-snapshot", snapshot_of(asked[0].table, asked[0].where))
            return replace(result, tables=[Table(asked[0].table, "sent", None)])
        for each in asked:
            say(f"  {each.table}: asking {name}")
            try:
                rows = await read_again(connect, name, signals, each, _teller(say), patience=patience)
            except FieldwardenError as error:
                done.append(Table(each.table, "failed", None))
                return replace(result, failure=error)
            done.append(Table(each.table, "completed", rows))
    return result


def _teller(say: Say) -> Callable[[Progress], None]:
    """Progress, said when it has moved on."""
    last = ""

    def tell(progress: Progress) -> None:
        nonlocal last
        line = f"  {progress.table}: {progress.note or of(progress.rows, progress.total)}"
        if line != last:
            say(line)
        last = line

    return tell


# --- status --------------------------------------------------------------------------------------------------


def of(rows: int | None, total: int | None) -> str:
    """A truthful total: rows read, and of how many where that is known."""
    if rows is None:
        return "reading" if total is None else f"of {total:,} rows"
    return f"{rows:,} rows" if total is None else f"{rows:,} of {total:,} rows"


def _told(notifications: Sequence[Notification]) -> list[Told]:
    """Notifications, oldest first, as backfills, newest first. A later attempt at a table takes the earlier's place."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in notifications:
        match = _ID.match(each.id)
        if match is None:
            continue
        since = datetime.fromtimestamp(each.at / 1000, UTC).isoformat(timespec="seconds")
        entry = found.setdefault(
            (match["backfill"], match["table"]), match.groupdict() | {"rows": None, "total": None, "since": since}
        )
        if each.kind == "STARTED":
            entry |= {"state": "reading", "rows": None, "total": None}
        elif each.kind == "IN_PROGRESS":
            entry["total"] = each.total
        elif each.kind == "TABLE_SCAN_COMPLETED":
            status = each.details.get("status", "")
            entry |= {"state": "completed" if status in ("SUCCEEDED", "EMPTY") else status.lower(), "rows": each.rows}
        elif each.kind in ("ABORTED", "PAUSED"):
            entry["state"] = each.kind.lower()
        elif each.kind == "RESUMED":
            entry["state"] = "reading"
        entry.setdefault("state", "reading")
    return [Told(**each) for each in found.values()][::-1]
