"""Bring the hub's schema to the version this program knows: plain numbered SQL files, applied once, in order.

Every file is applied in one transaction with its note in `migration`, under an advisory lock, so that two processes
that start at once take turns and a failed migration leaves nothing behind. An applied file never changes any more:
its checksum is compared at every start.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from engine.errors import EnvironmentUnfit
from engine.hub.conninfo import lasting

SCHEMA = "fieldwarden"
_OLDEST_SERVER = 150_000
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x6669656C64  # any number, as long as it stays
_TURN_SECONDS = 300
_HOLDER = """
    select pid, usename, application_name from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1 and classid::bigint << 32 | objid::bigint = %s
    and database = (select oid from pg_database where datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    script: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.script).hexdigest()


def known_migrations(folder: Path = _FOLDER) -> list[Migration]:
    """The migrations of this program in order; their numbers run from 1 without a gap."""
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    found = [Migration(int(path.name[:4]), path.stem, path.read_bytes()) for path in files]
    assert [each.version for each in found] == list(range(1, len(found) + 1)), "migrations are numbered 1, 2, 3 ..."
    return found


def migrate(dsn: str, schema: str = SCHEMA, folder: Path = _FOLDER) -> list[str]:
    """Create the schema or bring it up to date; the names of what was applied now (none: it was current).

    Raises EnvironmentUnfit if the server is too old or unreachable, the schema is newer than this program, or an
    applied migration is not the one this program knows.
    """
    try:
        connection = psycopg.connect(lasting(dsn, "migration"), autocommit=True)
    except psycopg.OperationalError as error:
        raise EnvironmentUnfit(
            "the hub's database cannot be reached", suggestion="check hub.dsn in fieldwarden.yaml"
        ) from error
    with connection:
        if connection.info.server_version < _OLDEST_SERVER:
            raise EnvironmentUnfit(
                f"the hub's PostgreSQL is {connection.info.server_version // 10_000}, and 15 is the oldest that works",
                suggestion="set hub.dsn to a newer server, or leave it out to use the embedded one",
            )
        return _apply(connection, schema, known_migrations(folder))


def _apply(connection: psycopg.Connection, schema: str, known: list[Migration]) -> list[str]:
    done: list[str] = []
    _take_turn(connection, schema)
    try:
        connection.execute("select set_config('client_min_messages', 'warning', false)")
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
        connection.execute(
            "create table if not exists migration (version integer primary key, name text not null,"
            " checksum text not null, applied_at timestamptz not null default clock_timestamp())"
        )
        applied = connection.execute("select version, checksum from migration order by version").fetchall()
        _check(schema, dict(applied), known)
        for each in known[len(applied) :]:
            _apply_one(connection, each)
            done.append(each.name)
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentUnfit(
            f"the hub's role may not create or change the schema {schema!r}: {error.diag.message_primary}",
            suggestion=f"grant it CREATE on the database, or make it the owner of the schema {schema}",
        ) from error
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
    return done


def _take_turn(connection: psycopg.Connection, schema: str) -> None:
    """Whoever may connect to the database can hold this lock: it is waited for as long as migrations take, not more."""
    connection.execute("select set_config('lock_timeout', %s, false)", [f"{_TURN_SECONDS}s"])
    try:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    except psycopg.errors.LockNotAvailable as error:
        holder = connection.execute(_HOLDER, [_LOCK]).fetchone()
        raise EnvironmentUnfit(
            f"the hub's schema {schema!r} has been locked for {_TURN_SECONDS} s by "
            + (f"the session {holder[0]} of {holder[1]} ({holder[2] or 'without a name'})" if holder else "a session"),
            suggestion="it may be migrating; else end it: select pg_terminate_backend(pid)",
        ) from error
    connection.execute("select set_config('lock_timeout', '0', false)")


def _check(schema: str, applied: dict[int, str], known: list[Migration]) -> None:
    if len(applied) > len(known):
        raise EnvironmentUnfit(
            f"the hub's schema {schema!r} is at version {max(applied)}, newer than this program's {len(known)}",
            suggestion="update fieldwarden",
        )
    for each in known[: len(applied)]:
        if applied.get(each.version) != each.checksum:
            raise EnvironmentUnfit(
                f"migration {each.name} was applied to the hub's schema {schema!r} in another form",
                suggestion="use the version of fieldwarden that made this hub, or start with an empty one",
            )


def _apply_one(connection: psycopg.Connection, each: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(each.script)
            connection.execute(
                "insert into migration (version, name, checksum) values (%s, %s, %s)",
                [each.version, each.name, each.checksum],
            )
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.Error as error:
        raise EnvironmentUnfit(
            f"migration {each.name} failed and was undone: {error.diag.message_primary or error}",
            suggestion="report this with the server's version; the hub is as it was before",
        ) from error
