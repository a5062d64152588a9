"""What `doctor` says of the function that sends marks: who may call it in a database that we write to.

PostgreSQL lets everybody. A mark that is not ours hides nothing, so that this is advice; where our own role may not
call it, nothing can be written.
"""

from __future__ import annotations

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.looking.finding import Finding, bad, note
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.rules.rulebook import System

_RIGHTS = """
    select string_agg(p.oid::regprocedure::text, ', ' order by p.oid) as functions,
           bool_or(exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                           where grantee = 0 and privilege_type = 'EXECUTE')) as everybody,
           bool_and(has_function_privilege(p.oid, 'EXECUTE')) as ours, quote_ident(current_user) as role
    from pg_proc p
    where p.proname = 'pg_logical_emit_message' and p.pronamespace = 'pg_catalog'::regnamespace"""


async def mark_findings(system: System, connection: psycopg.AsyncConnection[TupleRow]) -> list[Finding]:
    """Nothing of a system that we do not write to, or whose stream carries no marks."""
    written = any(stream.update_fields or stream.creates for stream in system.streams.values())
    if not written or system.kind != "postgres":
        return []
    (found,) = await rows(connection, _RIGHTS)
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
