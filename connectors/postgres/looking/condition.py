"""Whether a server understands a condition that a person wrote, before anybody else is asked to read by it.

The condition is an expression of the rules, and so nothing but an expression (`rules.expressions`). Should it be more
than that after all, it still is part of one prepared statement, which is planned in a read-only transaction and never
run: the server takes no second statement there, and nothing that planning calls can write.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from fieldwarden.connectors.postgres.catalog import describe
from fieldwarden.connectors.postgres.looking.advice import instead
from fieldwarden.connectors.postgres.session import connect, translated
from fieldwarden.engine.errors import EngineError
from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.secret import Secretive


class ConditionRefused(EngineError):
    """A condition is none, or its table has no such rows; the message has no row's value."""

    code = "condition_refused"
    exit_code = 2


async def check_condition(system: str, dsn: Secretive, table: str, where: Expression) -> None:
    """Have the server plan a query by `where` over "schema.table", without running it.

    Raises ConditionRefused (it names a column that the table does not have, or the server's words), EnvironmentUnfit,
    TransientError."""
    connection = await connect(system, dsn)
    try:
        with translated(system):
            found = await describe(connection, [table])
            await connection.set_read_only(True)
        for each in found.values():
            _known(table, where, tuple(each.columns))
        query = sql.SQL("explain select from {} where ").format(sql.Identifier(*table.split(".", 1))).as_bytes(None)
        async with connection.transaction():
            # Prepared, since a text that is only executed may hold any number of statements.
            await connection.execute(query + where.condition().encode(), prepare=True)
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.InternalError) as error:
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


def _known(table: str, where: Expression, columns: tuple[str, ...]) -> None:
    for name in sorted(where.columns - {*columns}):
        raise ConditionRefused(f"{table} has no column {name!r}", suggestion=instead(name, columns))
