"""What `doctor` says of a source's publication and replication slot: whose they are, and whether they hold all that is
to be read.

Slots belong to the whole server. One of our name may be another database's, another project's, or in use by a copy of
this one; the hub tells what is ours and how far it was read. The hub is asked after the server: a slot is never told of
more than the hub holds, so that a slot that is ahead was moved on by somebody else.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Protocol

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres import following
from fieldwarden.connectors.postgres.catalog import Table
from fieldwarden.connectors.postgres.following import resolved
from fieldwarden.connectors.postgres.looking.publication import publication_findings
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn
from fieldwarden.connectors.postgres.reading.slots import MOVED, SlotHealth, another, foreign, slot_health
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.engine.ports.finding import Finding, bad, good, note, warning
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]

_MUCH_WAL = 1 << 30
"""Retained bytes from which on a slot is worth a warning."""

_WHILE = 600.0
"""Seconds that a slot should outlast without being read."""

_PROCESS = re.compile(r"fieldwarden\b.*?( \[[0-9a-f]{8}\])(?: from .*)?")
"""A session of some `fieldwarden run`; one whose connection string gives it another name is not known for one."""


class FootingNow(following.Footing, Protocol):
    """What the hub knows of a source, at the moment it is asked."""

    async def position(self, source: str) -> str | None: ...

    async def processes(self) -> Collection[str]:
        """How the sessions of this project's living processes are marked (`engine.process`)."""


async def slot_findings(
    system: System, connection: Connection, tables: Mapping[str, Table], footing: FootingNow | None
) -> tuple[SlotHealth, list[Finding]]:
    """Publication, slot, and what others left behind; `footing` None: nothing is known of the project's hub."""
    followed = await footing.followed(system.name) if footing is not None else None
    project = await footing.project() if footing is not None else None
    names = _names(system, project, followed)
    before = set(await footing.processes()) if footing is not None else set()
    health = await slot_health(system.name, connection, names.slot)
    position = await footing.position(system.name) if footing is not None else None
    ours = before.union(await footing.processes()) if footing is not None else before
    noted = resolved(system, followed) if followed is not None else None
    is_own = following.is_ours(names.slot, project or "-", noted)
    found = [
        *await publication_findings(system, connection, names.publication, tables, project),
        _slot(system, health, _start(position) if noted is not None else None, is_own, ours),
    ]
    (log,) = await rows(connection, QUERIES["log_written"])
    found += log_kept(log["kept"], log["written"], log["seconds"])
    return health, found + [each async for each in _abandoned(system, connection, names.slot)]


def _names(system: System, project: str | None, followed: Followed | None) -> Followed:
    if followed is not None:
        return resolved(system, followed)
    return following.names_of(system, project or "<project id>")


def _start(position: str | None) -> WalPosition | None:
    start = WalPosition.known(position)
    return start if start is not None and start.phase == "stream" else None


def _slot(
    system: System, health: SlotHealth, start: WalPosition | None, is_own: bool, ours: Collection[str]
) -> Finding:
    if health.wal_status == "missing":
        return _missing(system, health, start)
    if health.wrong:
        return bad("slot", f"the slot {health.slot} {health.wrong}", another(health.slot))
    if not is_own:
        return bad("slot", foreign(health.slot), another(health.slot))
    reader = _PROCESS.fullmatch(health.reader)
    if reader is not None and reader[1] not in ours:
        return _taken(health)
    return _held(system, health, start)


def _missing(system: System, health: SlotHealth, start: WalPosition | None) -> Finding:
    if start is None:
        return note("slot", f"slot {health.slot} does not exist yet; the first run makes it")
    return bad("slot", f"the slot {health.slot} is gone: changes may have been missed", _again(system))


def _taken(health: SlotHealth) -> Finding:
    return bad(
        "slot",
        f"{health.slot} is in use by {health.reader}, which is no process of this project that its hub knows of",
        "does it work with a copy of this project's hub? Stop it, or give one of the two an id of its own: "
        "docs/operating.md, A copy of a project",
    )


def _held(system: System, health: SlotHealth, start: WalPosition | None) -> Finding:
    if not health.usable:
        why = health.reason or health.wrong or "its WAL was removed"
        return bad("slot", f"{health.slot} is of no use any more: {why}", _again(system))
    if start is not None and health.confirmed and parse_lsn(health.confirmed) > start.end:
        return bad("slot", f"{health.slot} is ahead of what the hub has read: {MOVED}", _again(system))
    kept = f"{health.slot} keeps {health.retained_bytes / 1e6:.1f} MB of WAL"
    if health.wal_status == "unreserved":
        return warning(
            "slot", f"{kept} and is about to be lost", "start `fieldwarden run`; raise max_slot_wal_keep_size"
        )
    if health.retained_bytes > _MUCH_WAL:
        return warning("slot", kept, "start `fieldwarden run`, or drop the slot if this project is not used any more")
    return good("slot", kept)


def log_kept(kept: int, written: int, seconds: float | None) -> list[Finding]:
    """Whether the server keeps enough of its log for a slot that is not read for a while: a restart, a failover.

    `kept` bytes (negative: without a limit), of a log that grew by `written` bytes in `seconds`."""
    rate = written / seconds if seconds and seconds > 0 else 0.0
    if kept < 0 or rate == 0 or kept / rate >= _WHILE:
        return []
    return [
        warning(
            "slot",
            f"max_slot_wal_keep_size is {kept / 1e6:.0f} MB, and the server writes {rate / 1e6:.1f} MB of log a "
            f"second: a slot that is not read for {kept / rate:.0f} seconds is lost, and all is to be read again",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '{math.ceil(rate * _WHILE / (1 << 20))}MB' or more, then "
            "SELECT pg_reload_conf()",
        )
    ]


async def _abandoned(system: System, connection: Connection, own: str) -> AsyncIterator[Finding]:
    """Slots named as ours are, which nobody reads: of a project that was thrown away, they fill the disk for ever."""
    named = f"^fieldwarden_([0-9a-z]+_)?{re.escape(system.name)}$"
    for slot in await rows(connection, QUERIES["abandoned_slots"], [own, named]):
        yield warning(
            "slot",
            f"nobody reads by the slot {slot['name']}, which is not this project's; it keeps "
            f"{(slot['retained'] or 0) / 1e6:.1f} MB of WAL",
            f"if the project that made it is gone: select pg_drop_replication_slot('{slot['name']}')",
        )


def _again(system: System) -> str:
    return f"read everything again with `fieldwarden run --rebaseline {system.name}`"
