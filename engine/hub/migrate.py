"""Bring the hub's schema to the version this program knows: plain numbered SQL files, applied once, in order.

Every file is applied in one transaction with its note in `migration`, under an advisory lock, so that two processes
that start at once take turns and a failed migration leaves nothing behind. An applied file never changes any more:
its checksum is compared at every start.

Where the schema is up to date nothing but that is asked, so that a role which may only work in it can start.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub import roles
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.rules.secret import Secretive

log = logging.getLogger("fieldwarden.hub")  # the standard library's: on stderr too where no log was set up

SCHEMA = "fieldwarden"
_OLDEST_SERVER = 150_000
_FOLDER = Path(__file__).parent / "migrations"
_EXISTS = """
    select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = %s and c.relname = 'migration'"""
_MIGRATION = """
    create table migration (version integer primary key, name text not null, checksum text not null,
        applied_at timestamptz not null default clock_timestamp())"""
_LOCK = 0x6669656C64  # any number, as long as it stays
_TURN_SECONDS = 300
_SILENT_SECONDS = 2
_HOLDER = """
    select pid, usename, application_name from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1 and classid::bigint << 32 | objid::bigint = %s
    and database = (select oid from pg_database where datname = current_database())
"""
_AT_WORK = """
    select a.pid, a.usename, a.application_name from pg_locks l join pg_stat_activity a using (pid)
    join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = %s and l.granted and l.pid <> pg_backend_pid()
    and l.database = (select oid from pg_database where datname = current_database())
    order by a.xact_start limit 1
"""
"""Who has worked in the schema longest, without an end of his transaction."""


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


def migrate(dsn: Secretive, schema: str = SCHEMA, folder: Path = _FOLDER) -> list[str]:
    """Create the schema or bring it up to date; the names of what was applied now (none: it was current).

    Roles that `hub roles` made are given what its new tables need, together with the last migration or not at all; what
    others may do stays as it is. Raises EnvironmentUnfit if the server is too old
    or unreachable, the schema is newer than this program, an applied migration is not the one this program knows, or
    something is to be applied and the role may not.
    """
    with _connected(dsn) as connection:
        known = known_migrations(folder)
        if _is_current(connection, schema, known):
            return []
        with _turn(connection, schema):
            return _apply(connection, schema, known)


def renew_rights(dsn: Secretive, schema: str = SCHEMA) -> list[str]:
    """As the owner of a schema that is up to date: the roles that `hub roles` made have the rights that this version
    gives them; the names of those that had another's. Raises EnvironmentUnfit."""
    with _connected(dsn) as connection:
        if not roles.outdated(connection, schema):
            return []
        with _turn(connection, schema):
            found = roles.outdated(connection, schema)
            try:
                with connection.transaction():
                    roles.renew(connection, schema)
            except psycopg.errors.InsufficientPrivilege as error:
                raise EnvironmentUnfit(
                    f"the rights of {', '.join(found)} in the hub's schema {schema!r} are those of another version, "
                    f"and the hub's role {connection.info.user} may not renew them: {error.diag.message_primary}",
                    suggestion="as the schema's owner: `fieldwarden hub migrate` (by hub.owner_dsn)",
                ) from error
            return found


def make_roles(dsn: Secretive, wanted: roles.HubRoles, schema: str = SCHEMA) -> None:
    """Migrate, make the roles that are missing, and give them their rights: all of the rights, or nothing is changed.

    Whoever works in the hub is not held up. Raises EnvironmentUnfit, also where `dsn`'s role may not make roles or hand
    over the schema, or the schema is to be handed over while somebody works in it."""
    migrate(dsn, schema)
    with _connected(dsn) as connection, _turn(connection, schema):
        try:
            roles.set_up(connection, wanted, schema)
        except psycopg.Error as error:
            raise _not_made(connection, schema, error) from error


def _not_made(connection: psycopg.Connection[Any], schema: str, error: psycopg.Error) -> EnvironmentUnfit:
    what = "the hub's roles could not be made, and nothing was changed"
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
        worker = _session(connection.execute(_AT_WORK, [schema]).fetchone())
        return EnvironmentUnfit(
            f"{what}: the schema {schema!r} is to be handed over to its owner, and {worker} works in it",
            suggestion="stop the processes that work in the hub for the moment that this takes, and run it again",
        )
    why = error.diag.message_primary or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return EnvironmentUnfit(
            f"{what}: {why}",
            suggestion="run it once as a superuser (hub.owner_dsn), or have one run what "
            "`fieldwarden hub roles --print` prints",
        )
    return EnvironmentUnfit(
        f"{what}: {why} (SQLSTATE {error.sqlstate or 'unknown'})",
        suggestion="mend what the server names, and run it again; its log may say more",
    )


def admit(dsn: Secretive, schema: str, runtime: str) -> None:
    """Let a role into a hub of our own server, as whose superuser `dsn` comes: it is there afterwards, and may look at
    whatever schema there is. What it needs to work `migrate_for` gives it. Raises EnvironmentUnfit."""
    with _connected(dsn) as connection:
        if not roles.admission(connection, runtime, schema):
            return  # without a turn: nobody waits for a migration who needs nothing of it
        with _turn(connection, schema), connection.transaction():
            for statement in roles.admission(connection, runtime, schema):
                connection.execute(statement)


def migrate_for(dsn: Secretive, schema: str, runtime: str) -> list[str]:
    """As `migrate`, by a superuser, for a role that was admitted: it has the runtime's rights afterwards."""
    done = migrate(dsn, schema)
    # In turn, although it is current: whoever applied the last migration may not have given its rights yet.
    with _connected(dsn) as connection, _turn(connection, schema), connection.transaction():
        if done or not roles.works(connection, runtime, schema):
            for statement in roles.grants(roles.HubRoles("", runtime, "", ""), schema):
                connection.execute(statement)
        if roles.outdated(connection, schema):
            roles.renew(connection, schema)
    return done


def _connected(dsn: Secretive) -> psycopg.Connection[Any]:
    """A session in autocommit with a server that is new enough. Raises EnvironmentUnfit."""
    try:
        connection = psycopg.connect(lasting(dsn, "migration"), autocommit=True)
    except psycopg.OperationalError as error:
        raise EnvironmentUnfit(
            "the hub's database cannot be reached", suggestion="check hub.dsn in fieldwarden.yaml"
        ) from error
    if connection.info.server_version < _OLDEST_SERVER:
        connection.close()
        raise EnvironmentUnfit(
            f"the hub's PostgreSQL is {connection.info.server_version // 10_000}, and 15 is the oldest that works",
            suggestion="set hub.dsn to a newer server, or leave it out to use the embedded one",
        )
    return connection


def _is_current(connection: psycopg.Connection[Any], schema: str, known: list[Migration]) -> bool:
    """Whether nothing is to be applied, asked without any right but to read `migration`."""
    try:
        name = sql.Identifier(schema, "migration")
        if connection.execute(_EXISTS, [schema]).fetchone() is None:
            return False
        query = sql.SQL("select version, checksum from {} order by version").format(name)
        applied = connection.execute(query).fetchall()
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentUnfit(
            f"the hub's role {connection.info.user} has no rights in the schema {schema!r}",
            suggestion="as the schema's owner: fieldwarden hub roles, which gives them",
        ) from error
    _check(schema, dict(applied), known)
    return len(applied) == len(known)


def _apply(connection: psycopg.Connection[Any], schema: str, known: list[Migration]) -> list[str]:
    done: list[str] = []
    try:
        connection.execute("select set_config('client_min_messages', 'warning', false)")
        if connection.execute("select from pg_namespace where nspname = %s", [schema]).fetchone() is None:
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
        if connection.execute(_EXISTS, [schema]).fetchone() is None:
            connection.execute(_MIGRATION)
        applied = connection.execute("select version, checksum from migration order by version").fetchall()
        _check(schema, dict(applied), known)
        for each in known[len(applied) :]:
            _apply_one(connection, each, schema, last=each is known[-1])
            done.append(each.name)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _may_not(connection, schema, error) from error
    return done


@contextlib.contextmanager
def _turn(connection: psycopg.Connection[Any], schema: str) -> Iterator[None]:
    """Alone among all that migrate the schema or give rights in it. Raises EnvironmentUnfit as `_take_turn` does."""
    _take_turn(connection, schema)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [_LOCK])


def _take_turn(connection: psycopg.Connection[Any], schema: str) -> None:
    """Whoever may connect to the database can hold this lock: it is waited for as long as migrations take, not more,
    and after two seconds it is said once for whom."""
    try:
        _lock_within(connection, min(_SILENT_SECONDS, _TURN_SECONDS))
        return
    except psycopg.errors.LockNotAvailable:
        log.warning("waiting for %s, who holds the hub's schema %r", _holder(connection), schema)
    try:
        _lock_within(connection, _TURN_SECONDS)
    except psycopg.errors.LockNotAvailable as error:
        raise EnvironmentUnfit(
            f"the hub's schema {schema!r} has been locked for {_TURN_SECONDS} s by {_holder(connection)}",
            suggestion="it may be migrating; else end it: select pg_terminate_backend(pid)",
        ) from error


def _lock_within(connection: psycopg.Connection[Any], seconds: float) -> None:
    connection.execute("select set_config('lock_timeout', %s, false)", [f"{int(seconds * 1000)}ms"])
    connection.execute("select pg_advisory_lock(%s)", [_LOCK])
    connection.execute("select set_config('lock_timeout', '0', false)")


def _holder(connection: psycopg.Connection[Any]) -> str:
    return _session(connection.execute(_HOLDER, [_LOCK]).fetchone())


def _session(found: tuple[Any, ...] | None) -> str:
    return f"the session {found[0]} of {found[1]} ({found[2] or 'without a name'})" if found else "a session"


def _may_not(
    connection: psycopg.Connection[Any], schema: str, error: psycopg.errors.InsufficientPrivilege
) -> EnvironmentUnfit:
    there = connection.execute(_EXISTS, [schema]).fetchone()
    behind = "is older than this program, and" if there else "is not there yet, and"
    return EnvironmentUnfit(
        f"the hub's schema {schema!r} {behind} the hub's role {connection.info.user} may not create or change it: "
        f"{error.diag.message_primary}",
        suggestion="as its owner: `fieldwarden hub migrate` (by hub.owner_dsn, where that is given); a role that "
        "is to own a new one needs a grant of CREATE on the database",
    )


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


def _apply_one(connection: psycopg.Connection[Any], each: Migration, schema: str, *, last: bool) -> None:
    try:
        with connection.transaction():
            connection.execute(each.script)
            connection.execute(
                "insert into migration (version, name, checksum) values (%s, %s, %s)",
                [each.version, each.name, each.checksum],
            )
            if last:  # a schema that is up to date never lacks what its roles need, whenever we are interrupted
                roles.renew(connection, schema)
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.Error as error:
        raise EnvironmentUnfit(
            f"migration {each.name} failed and was undone: SQLSTATE {error.sqlstate} ({type(error).__name__})",
            suggestion="report this with the server's version; the hub is as it was before",
        ) from error
