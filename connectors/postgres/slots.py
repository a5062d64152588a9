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

from connectors.postgres.position import Position, lsn_text, parse_lsn
from connectors.postgres.server import Server, gap
from connectors.postgres.session import rows, translated
from engine.errors import EnvironmentUnfit, TransientError
from rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]

_SLOT = """
    select to_jsonb(s) as slot, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint as retained,
           pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint as behind
    from pg_replication_slots s where slot_name = %s"""


@dataclass(frozen=True, slots=True)
class SlotHealth:
    """How the slot fares, for telemetry. Bytes of WAL; `wal_status` as pg_replication_slots has it, or "missing".

    `retained_bytes` is what the server keeps for us, `behind_bytes` what we have not acknowledged, `safe_bytes` what
    may still be written before the slot is lost (None: no limit). `reason` is why it is of no use any more.
    """

    slot: str
    wal_status: str
    active: bool = False
    retained_bytes: int = 0
    behind_bytes: int = 0
    safe_bytes: int | None = None
    reason: str = ""

    @property
    def usable(self) -> bool:
        return self.wal_status not in ("missing", "lost") and not self.reason


def slot_name(system: System) -> str:
    return system.settings.get("slot") or f"fieldwarden_{system.name}"


async def check_slot(system: System, connection: Connection, start: Position, server: Server) -> None:
    """With a stored position: the slot must still hold everything after it. Raises SourceGap, EnvironmentUnfit."""
    name = slot_name(system)
    if start.server and start.server != server.server:
        raise gap(system, "this is another server than the one that was read before")
    if start.end > server.end:
        raise gap(
            system,
            f"the server ends at {lsn_text(server.end)}, before what was read of it ({lsn_text(start.end)}): "
            "it was restored to an earlier state",
        )
    slot = await _slot(system, connection)
    if slot is None:
        raise gap(system, f"the replication slot {name} is gone")
    _check_kind(system, name, slot, server)
    reason = slot.get("invalidation_reason")
    if slot["wal_status"] == "lost" or reason:
        raise gap(system, f"the server gave up the replication slot {name} ({reason or 'its WAL was removed'})")
    confirmed = parse_lsn(slot["confirmed_flush_lsn"])
    if confirmed > start.end:
        raise gap(
            system,
            f"the replication slot {name} begins at {lsn_text(confirmed)}, after {lsn_text(start.end)}, where reading "
            "stopped: it was made anew or moved on by somebody else",
        )


async def drop_slot(system: System, connection: Connection, server: Server) -> None:
    """Remove the slot of an interrupted or replaced baseline, if there is one.

    Raises TransientError while somebody streams from it, EnvironmentUnfit if it cannot be ours."""
    name = slot_name(system)
    slot = await _slot(system, connection)
    if slot is None:
        return
    _check_kind(system, name, slot, server)
    if slot["active"]:
        raise TransientError(
            f"{system.name}: the replication slot {name} is in use by the process {slot['active_pid']} of the server",
            suggestion="stop the other `fieldwarden run`, or give this project another slot in the system file",
        )
    with translated(system.name):
        await connection.execute("select pg_drop_replication_slot(%s)", [name])


async def slot_health(system: System, connection: Connection) -> SlotHealth:
    name = slot_name(system)
    with translated(system.name):
        found = await rows(connection, _SLOT, [name])
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
        slot.get("invalidation_reason") or "",
    )


async def _slot(system: System, connection: Connection) -> dict[str, Any] | None:
    with translated(system.name):
        found = await rows(connection, _SLOT, [slot_name(system)])
    return found[0]["slot"] if found else None


def _check_kind(system: System, name: str, slot: Mapping[str, Any], server: Server) -> None:
    wrong = ""
    if slot["plugin"] != "pgoutput":
        wrong = f"decodes with {slot['plugin'] or 'no plugin'}, not pgoutput"
    elif slot["database"] != server.database:
        wrong = f"belongs to the database {slot['database']}"
    elif slot["two_phase"]:
        wrong = "decodes two-phase transactions at PREPARE"
    if wrong:
        raise EnvironmentUnfit(
            f"{system.name}: the replication slot {name} {wrong}",
            suggestion="name another slot in the system file (connector: slot), which Fieldwarden then creates",
        )
