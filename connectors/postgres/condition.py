"""Whether a server understands a condition that a person wrote, before anybody else is asked to read by it."""

from __future__ import annotations

import psycopg
from psycopg import sql

from connectors.postgres.session import connect, translated
from engine.errors import EngineError


class ConditionRefused(EngineError):
    """The server does not understand the condition; the message has its words, and no row's value."""

    code = "condition_refused"
    exit_code = 2


async def check_condition(system: str, dsn: str, table: str, where: str) -> None:
    """Plan a query by `where` (trusted SQL) over "schema.table", read-only, without running it.

    Raises ConditionRefused, EnvironmentUnfit, TransientError."""
    connection = await connect(system, dsn)
    try:
        query = sql.SQL("explain select from {} where ").format(sql.Identifier(*table.split(".", 1))).as_bytes(None)
        with translated(system):
            await connection.set_read_only(True)
        async with connection.transaction():
            await connection.execute(query + where.encode())
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
        said = error.diag.message_primary or "it is no SQL condition"
        raise ConditionRefused(
            f"{system} does not understand the condition: {said}",
            suggestion=error.diag.message_hint or f"write it as SQL over the columns of {table}",
        ) from error
    except psycopg.Error as error:
        with translated(system):
            raise error
    finally:
        await connection.close()
