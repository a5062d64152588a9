"""Sessions with a system's PostgreSQL server, and what their failures mean for the engine.

The one place where psycopg's exceptions of the source half become ours; the cause is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.words import of_code, words
from fieldwarden.engine.dsn import read
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.engine.process import NEVER_CUT_OFF, NOTICED, session_mark, session_name
from fieldwarden.rules.secret import Secretive, revealed

_PORTABLE_TEXT = {
    "datestyle": "ISO",
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",  # a backslash in a string is one, as what renders our SQL takes it
}
LARGE_MESSAGE = 4 << 20
"""Bytes of a message for whose sake a connection is given up: libpq keeps a buffer of its size as long as it lasts."""
_UNFIT = ("password", "authentication", "does not exist", "pg_hba", "permission denied", "must be superuser")
_NOT_YET = ("starting up", "shutting down", "in recovery mode", "too many", "remaining connection slots")


def conninfo(dsn: Secretive, **more: str) -> str:
    """`dsn` with text in portable form, nothing timing out on us, and a dead peer noticed in half a minute.

    To be called for a connection that is made at once. Raises EnvironmentUnfit if it is not a connection string."""
    given = read(dsn, conninfo_to_dict)
    settings = {**_PORTABLE_TEXT, **NEVER_CUT_OFF}
    options = " ".join([given.get("options", ""), *(f"-c {k}={v}" for k, v in settings.items())])
    defaults = {**NOTICED, "application_name": session_name()}
    missing = {name: value for name, value in defaults.items() if name not in given}
    return make_conninfo(revealed(dsn), **missing, options=options.strip(), client_encoding="UTF8", **more)


async def connect(system: str, dsn: Secretive, **more: str) -> psycopg.AsyncConnection[TupleRow]:
    """A session in autocommit. Raises EnvironmentUnfit if trying again is pointless, else TransientError."""
    with translated(system):
        return await psycopg.AsyncConnection.connect(conninfo(dsn, **more), autocommit=True)


async def take_bytes_as_they_are(system: str, connection: psycopg.AsyncConnection[TupleRow]) -> None:
    """Of a database in SQL_ASCII, which knows no encoding: else the server itself refuses to send a row with a text
    that is not UTF-8, and every row behind it. Raises TransientError, EnvironmentUnfit."""
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        with translated(system):
            await connection.execute("set client_encoding to 'SQL_ASCII'")


async def end_sessions(system: str, dsn: Secretive, process: str) -> None:
    """End whatever another process of ours has open here: it hangs, or is gone without a word, and its slot, or rows
    that it has locked, would be kept until the server noticed. Raises TransientError, EnvironmentUnfit."""
    async with await connect(system, dsn) as connection:
        with translated(system):
            await connection.execute(QUERIES["end_sessions"], {"mark": session_mark(process)})


@contextmanager
def translated(system: str) -> Iterator[None]:
    """psycopg's errors inside become TransientError or EnvironmentUnfit, naming the system."""
    try:
        yield
    except psycopg.Error as error:
        raise _meaning(system, error) from error


def _meaning(system: str, error: psycopg.Error) -> EngineError:
    text = words(error)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return EnvironmentUnfit(
            f"{system}: a privilege is missing: {text}",
            suggestion=f"grant it, then run `fieldwarden doctor` to see whether anything else is missing in {system}",
        )
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire) and not of_code(error):
        return EnvironmentUnfit(
            f"{system}: a text in the database is not valid UTF-8, which an encoding of SQL_ASCII lets pass",
            suggestion="mend the text, or move the data to a UTF8 database",
        )
    if isinstance(error, psycopg.errors.ObjectInUse):
        return TransientError(f"{system}: {text}", suggestion="it is tried again until the other session ends")
    if isinstance(error, psycopg.errors.ConfigurationLimitExceeded):
        return EnvironmentUnfit(f"{system}: {text}", suggestion="raise max_replication_slots and max_wal_senders")
    if "WAL sender" in text or "REPLICATION attribute" in text:
        return EnvironmentUnfit(
            f"{system}: the role may not stream changes: {text}",
            suggestion="ALTER ROLE ... REPLICATION (on a managed service, its own replication role)",
        )
    connecting = error.sqlstate is None and isinstance(error, psycopg.OperationalError)
    if connecting and any(word in text for word in _UNFIT) and not any(word in text for word in _NOT_YET):
        return EnvironmentUnfit(
            f"{system}: cannot connect: {text}", suggestion=f"check the connection string of {system}"
        )
    lost = isinstance(error, psycopg.OperationalError) or (error.sqlstate or "")[:2] in ("08", "40", "53", "57")
    if lost:
        return TransientError(f"{system}: {text}", suggestion=f"check that the server of {system} is up")
    return EnvironmentUnfit(
        f"{system}: the server refused: {text}", suggestion=f"run `fieldwarden doctor` to check {system}"
    )


async def rows(
    connection: psycopg.AsyncConnection[TupleRow], query: bytes, parameters: Any = None
) -> list[dict[str, Any]]:
    """One catalogue query's rows by column name."""
    async with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()
