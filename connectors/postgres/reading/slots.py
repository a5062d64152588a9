"""The replication slot: what the server keeps for us, and whether it still holds all that we have not read.

A slot that is gone, was made anew, or has moved past the stored position means changes that nobody can read any more.
The server would start silently from where the slot is: the position is compared first, and a difference is a
declared gap (`SourceGap`), mended by a new baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.following import Memory, is_ours, names_of, resolved
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.position import WalPosition, lsn_text, parse_lsn
from fieldwarden.connectors.postgres.reading.server import Server, gap
from fieldwarden.connectors.postgres.session import rows, translated
from fieldwarden.engine.errors import SlotTaken, TransientError
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]

MOVED = "it was made anew, or moved on by somebody else (a copy of this project's hub?)"
COPIED = "if it works with a copy of this project's hub, see docs/operating.md, A copy of a project"


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """How the slot fares, for telemetry. Bytes of WAL; `wal_status` as pg_replication_slots has it, or "missing".

    `retained_bytes` is what the server keeps for us, `behind_bytes` what we have not acknowledged, `safe_bytes` what
    may still be written before the slot is lost (None: no limit). `reason` is why it is of no use any more,
    `wrong` why it can never be followed from this database, `confirmed` the LSN up to which it has been read, `reader`
    the session that streams from it.
    """

    slot: str
    wal_status: str
    active: bool = False
    retained_bytes: int = 0
    behind_bytes: int = 0
    safe_bytes: int | None = None
    reason: str = ""
    wrong: str = ""
    confirmed: str = ""
    reader: str = ""

    @property
    def usable(self) -> bool:
        return self.wal_status not in ("missing", "lost") and not self.reason and not self.wrong


async def check_slot(system: System, connection: Connection, name: str, start: WalPosition, server: Server) -> None:
    """With a stored position: the slot must still hold everything after it, and nobody else may stream from it.

    Raises SourceGap, SlotTaken; TransientError while it is in use."""
    check_same(system, start, server)
    slot = await _slot(system, connection, name)
    # Backups hold no slots: where one was restored, its log may well be past what was read of the former state.
    same = start.timeline in (0, server.timeline)
    since = "" if same else ", and since reading stopped the server was promoted, or restored to an earlier state"
    if slot is None:
        raise gap(system, f"the replication slot {name} is gone{since}", safe=same)
    _check_kind(system, name, slot, server.database)
    if reason := _given_up(slot):
        raise gap(system, f"the server gave up the replication slot {name} ({reason}){since}", safe=same)
    confirmed = parse_lsn(slot["confirmed_flush_lsn"])
    if confirmed > start.end:
        reader = f"; {slot['reader']} reads by it now" if slot["reader"] else ""
        raise gap(
            system,
            f"the replication slot {name} begins at {lsn_text(confirmed)}, after {lsn_text(start.end)}, where reading "
            f"stopped: {MOVED}{reader}",
        )
    _check_idle(system, name, slot)


def check_same(system: System, start: WalPosition, server: Server) -> None:
    """Raises SourceGap if this is not the server that was read before, or not as it was then."""
    if start.server and start.server != server.server:
        raise gap(system, "this is another server than the one that was read before")
    if start.end > server.end:
        raise gap(
            system,
            f"the server ends at {lsn_text(server.end)}, before what was read of it ({lsn_text(start.end)}): "
            "it was restored to an earlier state",
        )


async def take_place(
    system: System, connection: Connection, server: Server, memory: Memory, project: str, position: str | None
) -> Followed:
    """Settle on the names that a baseline follows, and clear away what was followed until now. `position` is the stored
    one, whatever it is. Raises TransientError, SlotTaken."""
    before, wanted = await memory.followed(system.name), names_of(system, project)
    former = resolved(system, before) if before is not None else None
    await make_room(system, connection, wanted.slot, server, ours=is_ours(wanted.slot, project, former))
    if former is not None and former.slot != wanted.slot:
        await leave_behind(system, connection, former.slot, server, WalPosition.known(position))
    await memory.follow(system.name, wanted)
    return wanted


async def make_room(system: System, connection: Connection, name: str, server: Server, *, ours: bool) -> None:
    """Before a baseline makes its slot: remove that of an interrupted or replaced one, if there is one.

    Raises TransientError while somebody streams from it, SlotTaken if it is not, or cannot be, `ours`."""
    slot = await _slot(system, connection, name)
    if slot is None:
        return
    _check_kind(system, name, slot, server.database)
    if not ours:
        raise SlotTaken(f"{system.name}: {foreign(name)}", suggestion=another(name), path=system.name)
    _check_idle(system, name, slot)
    await _drop(system, connection, name)


async def leave_behind(
    system: System, connection: Connection, name: str, server: Server, start: WalPosition | None
) -> None:
    """Remove the slot that was followed under another name until now, unless somebody else has taken it over."""
    slot = await _slot(system, connection, name)
    if slot is None or slot["active"] or _wrong(slot, server.database):
        return
    confirmed = slot["confirmed_flush_lsn"]
    if start is None or start.server != server.server or confirmed is None or parse_lsn(confirmed) > start.end:
        return  # nothing says that we were the last to read from it
    await _drop(system, connection, name)


async def _drop(system: System, connection: Connection, name: str) -> None:
    with translated(system.name):
        await connection.execute(QUERIES["drop_slot"], [name])


async def slot_health(system: str, connection: Connection, name: str) -> SlotHealth:
    with translated(system):
        found = await rows(connection, QUERIES["slot"], [name])
    if not found:
        return SlotHealth(name, "missing", reason="there is no such slot")
    slot = found[0]["slot"]
    return SlotHealth(
        name,
        slot["wal_status"] or "reserved",
        slot["active"],
        found[0]["retained"] or 0,
        found[0]["behind"] or 0,
        slot.get("safe_wal_size"),
        _given_up(slot),
        _wrong(slot, found[0]["database"]),
        slot["confirmed_flush_lsn"] or "",
        found[0]["reader"] or "",
    )


def _given_up(slot: dict[str, Any]) -> str:
    """Why the server keeps nothing for the slot any more; "" while it does. Before PostgreSQL 17 it gives no reason."""
    return slot.get("invalidation_reason") or ("its WAL was removed" if slot["wal_status"] == "lost" else "")


async def _slot(system: System, connection: Connection, name: str) -> dict[str, Any] | None:
    with translated(system.name):
        found = await rows(connection, QUERIES["slot"], [name])
    return found[0]["slot"] | {"reader": found[0]["reader"]} if found else None


def foreign(name: str) -> str:
    return (
        f"there is a replication slot {name} already, which this project did not make: another project, or a copy of "
        "this one with a hub of its own, reads by it"
    )


def another(name: str) -> str:
    return (
        "name another slot in the system file (connector: slot), which Fieldwarden then creates, or leave it out; if "
        f"nobody needs this one any more: select pg_drop_replication_slot('{name}')"
    )


def _check_idle(system: System, name: str, slot: Mapping[str, Any]) -> None:
    if slot["active"]:
        raise TransientError(
            f"{system.name}: the replication slot {name} is in use by the process {slot['active_pid']} of the server"
            + (f", {slot['reader']}" if slot["reader"] else ""),
            suggestion=f"stop the other `fieldwarden run`; {COPIED}",
        )


def _check_kind(system: System, name: str, slot: Mapping[str, Any], database: str) -> None:
    if wrong := _wrong(slot, database):
        raise SlotTaken(
            f"{system.name}: the replication slot {name} {wrong}", suggestion=another(name), path=system.name
        )


def _wrong(slot: Mapping[str, Any], database: str) -> str:
    """Why a slot can never be followed from this database, or nothing."""
    if slot["plugin"] != "pgoutput":
        return f"decodes with {slot['plugin'] or 'no plugin'}, not pgoutput"
    if slot["database"] != database:
        return f"belongs to the database {slot['database']} (names of slots are one to the whole server)"
    return "decodes two-phase transactions at PREPARE" if slot["two_phase"] else ""
