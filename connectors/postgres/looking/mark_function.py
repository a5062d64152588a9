"""What `doctor` says of the function that sends marks: who may call it in a database that we write to.

PostgreSQL lets everybody. A mark that is not ours hides nothing, so that this is advice; where our own role may not
call it, nothing can be written.
"""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.engine.ports.finding import Finding, bad, note
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.rulebook import System


async def mark_findings(system: System, connection: psycopg.AsyncConnection[TupleRow]) -> list[Finding]:
    """Nothing of a system that we do not write to, or whose stream carries no marks."""
    written = any(stream.update_fields or stream.creates for stream in system.streams.values())
    if not written or not database_settings(system).read_directly:
        return []
    (found,) = await rows(connection, QUERIES["mark_rights"])
    grant = f"GRANT EXECUTE ON FUNCTION {found['functions']} TO {found['role']}"
    if not found["ours"]:
        what = "the role may not send logical messages, so that nothing can be written"
        return [bad("marks", what, grant)]
    if not found["everybody"]:
        return []
    what = (
        "everybody who may connect can send logical messages in the name of others; a mark that is not ours hides "
        "nothing and is reported, but nobody else needs the right"
    )
    return [note("marks", what, f"REVOKE EXECUTE ON FUNCTION {found['functions']} FROM PUBLIC; {grant}")]
