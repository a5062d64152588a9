"""One connection to the hub, opened when first needed and again when it was lost.

Here, and only here, psycopg's errors become the engine's: everything that may pass (a lost connection, a server that
restarts, a deadlock, a full disk) is a TransientError with its cause kept; the rest is a bug and goes through as it is.
So does a limit of the server's program (class 54, a value too long for an index): it would be met every time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.engine.hub.pieces import Line
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.rules.secret import Secretive

_PROGRAM_LIMIT = "54"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """psycopg's passing errors as TransientError, a missing right as EnvironmentUnfit. The messages hold no values:
    primary messages may quote them (that of a missing right names a thing of the schema, and nothing else)."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentUnfit(
            f"the hub's role lacks a right: {error.diag.message_primary}",
            suggestion="as the owner of the hub's schema: fieldwarden hub roles; then hub.dsn as the runtime",
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if (error.sqlstate or "").startswith(_PROGRAM_LIMIT):
            raise
        what = f"SQLSTATE {error.sqlstate}" if error.sqlstate else "the connection was lost"
        raise TransientError(
            f"the hub's database failed: {type(error).__name__}, {what}",
            suggestion="see the server's log; Fieldwarden tries again by itself",
        ) from error


@contextlib.contextmanager
def of_before() -> Iterator[None]:
    """What a schema lacks as EnvironmentUnfit. For commands that only ask: they do not migrate a server of the user's,
    and may meet a schema of before. To whoever works in the hub it is a bug."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction) as error:
        raise EnvironmentUnfit(
            f"the hub's schema lacks what this program asks for: {error.diag.message_primary}",
            suggestion="as its owner: fieldwarden hub migrate; if that says it is up to date, report this",
        ) from error


async def has_table(connection: Connection, name: str) -> bool:
    """Whether the hub's schema, in which names resolve, has this table: one of before may not."""
    row = await (await connection.execute("select to_regclass(%s) is not null", [name])).fetchone()
    return row is not None and bool(row[0])


async def has_column(connection: Connection, table: str, name: str) -> bool:
    """Whether such a table has this column."""
    asked = "select exists (select from pg_attribute where attrelid = to_regclass(%s) and attname = %s)"
    row = await (await connection.execute(asked, [table, name])).fetchone()
    return row is not None and bool(row[0])


class Session:
    """A connection for one purpose. `transaction` hands it out to one task at a time.

    `hot` prepares it for the set-based statements of `queries.sql`: landing tables, and plans by key only. `asking`: it
    may meet a schema of before."""

    def __init__(self, dsn: Secretive, schema: str, purpose: str, *, hot: bool = False, asking: bool = False) -> None:
        self._dsn = dsn
        self._hot = hot
        self._asking = asking
        self._schema = schema
        self._purpose = purpose
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection with no transaction begun; the first statement begins one. Whoever leaves without having
        committed has rolled back. Raises TransientError."""
        async with self._lock:
            with translated(), of_before() if self._asking else contextlib.nullcontext():
                connection = await self._connected()
                try:
                    yield connection
                finally:
                    await self._tidy(connection)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Connection:
        if self._connection is None:
            connection = await psycopg.AsyncConnection.connect(lasting(self._dsn, self._purpose))
            try:
                await connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(self._schema)))
                if self._hot:
                    await connection.execute(QUERIES["plans"])
                    await connection.execute(QUERIES["temporary_tables"])
                await connection.commit()
            except BaseException:
                await connection.close()
                raise
            connection.prepare_threshold = 2
            self._connection = connection
        return self._connection

    async def _tidy(self, connection: Connection) -> None:
        """Roll back what was left open; a connection that cannot do even that is given up."""
        status = connection.info.transaction_status
        if status == TransactionStatus.IDLE and not connection.closed:
            return
        try:
            if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                await connection.rollback()
                return
        except psycopg.Error:
            pass
        await self.close()


async def copied(connection: Connection, name: str, lines: Sequence[Line]) -> None:
    """Run a COPY of `queries.sql` with these rows; none is no statement at all. Rows in pieces can be sent once."""
    if not lines:
        return
    async with connection.cursor().copy(QUERIES[name]) as copy:
        try:
            whole = b"".join(lines)  # type: ignore[arg-type]
        except TypeError:  # some come in pieces
            for line in lines:
                for piece in (line,) if isinstance(line, bytes) else line:
                    await copy.write(piece)
        else:
            await copy.write(whole)


async def copied_links(connection: Connection, lines: Sequence[Line]) -> bool:
    """Link rows that nobody had linked a moment ago (`rows.link_row`). False, and nothing done, if somebody has."""
    if not lines:
        return True
    await connection.execute("savepoint linking")
    try:
        await copied(connection, "copy_links", lines)
    except psycopg.errors.UniqueViolation:
        await connection.execute("rollback to savepoint linking")
        return False
    await connection.execute("release savepoint linking")
    return True
