"""The hub's roles on a real server: each can do its work, and nothing else; the ledger is what nobody can rewrite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub import roles as rights
from fieldwarden.engine.hub.migrate import (
    SCHEMA,
    make_roles,
    migrate,
)
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.roles import HubRoles, printed
from fieldwarden.engine.hub.views.checkup import check_up
from fieldwarden.operations.demo.demo import Tally
from tests.builders import rulebook
from tests.contract.test_hub_statements import EXAMPLES, SOME, UTILITY, _code, _numbered
from tests.integration.hub_roles import entered, refused, rights_in
from tests.integration.reading import ask, run

Connection = psycopg.Connection[tuple[Any, ...]]


# --- what is printed --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_is_printed_makes_the_very_roles_that_are_made_by_itself(
    roled: str, named: HubRoles, hub_dsn: str
) -> None:
    run(hub_dsn, printed(named, SCHEMA))
    assert rights_in(hub_dsn) == rights_in(roled)
    run(hub_dsn, printed(named, SCHEMA))
    assert rights_in(hub_dsn) == rights_in(roled), "a second time changes nothing"
    with psycopg.connect(hub_dsn, autocommit=True) as connection:
        for name in named.named:
            connection.execute(f'drop owned by "{name}" cascade'.encode())


def test_the_owner_can_give_the_rights_again_without_being_a_superuser(roled: str, named: HubRoles) -> None:
    before = rights_in(roled)
    run(roled, f'revoke select on {SCHEMA}.record from "{named.runtime}"')
    make_roles(entered(roled, named.owner), named)
    assert rights_in(roled) == before


def test_every_thing_in_the_schema_has_its_rights_stated(hub_dsn: str) -> None:
    query = f"""
        select relkind::text, relname from pg_class c where relnamespace = '{SCHEMA}'::regnamespace
        and relkind in ('r', 'v', 'S') and not exists (
            select from pg_depend d where d.objid = c.oid and d.deptype in ('i', 'a') and c.relkind = 'S')"""
    with psycopg.connect(hub_dsn) as connection:
        there = connection.execute(query.encode()).fetchall()
        functions = connection.execute(
            f"select proname || '(' || pg_get_function_identity_arguments(oid) || ')', proargtypes::regtype[]::text[]"
            f" from pg_proc where pronamespace = '{SCHEMA}'::regnamespace".encode()
        ).fetchall()
        columns: dict[str, list[str]] = dict(
            connection.execute(
                "select c.relname, array_agg(a.attname::text) from pg_class c"
                " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
                f" where c.relnamespace = '{SCHEMA}'::regnamespace group by 1".encode()
            ).fetchall()
        )
    assert {name for kind, name in there if kind == "r"} == set(rights.RIGHTS)
    assert {name for kind, name in there if kind == "v"} == set(rights.VIEWS)
    assert {name for kind, name in there if kind == "S"} == set(rights.SEQUENCES)
    assert {f"{name.partition('(')[0]}({', '.join(types)})" for name, types in functions} == set(rights.FUNCTIONS)
    for readable in (rights.READABLE, rights.AUDITED):
        for table, named in readable.items():
            assert set(named) <= set(columns[table]), table


@pytest.mark.long
def test_a_new_hub_is_begun_by_a_superuser_and_made_by_its_owner(
    database: str, named: HubRoles, make_database: Callable[..., str]
) -> None:
    """As the composition does: the first script, then `hub roles` by a role that may make neither roles nor schemas."""
    run(database, printed(named, SCHEMA, new=True))
    make_roles(entered(database, named.owner), named)
    other = make_database()
    make_roles(other, named)
    assert rights_in(database) == rights_in(other)
    with psycopg.connect(other, autocommit=True) as connection:
        for name in named.named:
            connection.execute(f'drop owned by "{name}" cascade'.encode())


# --- the runtime ------------------------------------------------------------------------------------------------


@pytest.fixture
def at_work(roled: str, named: HubRoles) -> Iterator[Connection]:
    """A superuser's connection that works as the runtime, with the landing tables of a session of the hub."""
    with psycopg.connect(roled, autocommit=True) as connection:
        connection.execute(f"set search_path to {SCHEMA}, pg_temp".encode())
        connection.execute(f'set role "{named.runtime}"'.encode())
        connection.execute(QUERIES["temporary_tables"])
        yield connection


COPIED = {name: _code(text).split()[1] for name, text in QUERIES.items() if _code(text).startswith("copy ")}


def lacks_a_right(connection: Connection, name: str) -> bool:
    """Whether a statement of the hub, run by its example and undone, is refused for want of a right. For a role without
    USAGE on the schema, its tables are not there."""
    with connection.transaction(force_rollback=True):
        try:
            if name in COPIED:
                with connection.cursor().copy(QUERIES[name]):
                    pass
                return False
            text, values = _numbered(name)
            connection.execute(b"deallocate all")
            connection.execute(f"prepare stated as {text}".encode())
            given = ", ".join(psycopg.sql.Literal(each).as_string(connection) for each in values)
            connection.execute(f"execute stated{f'({given})' if values else ''}".encode())
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
            return True
        except (psycopg.IntegrityError, psycopg.DataError):
            return False  # of an empty hub; rights were asked for before
    return False


def test_the_runtime_may_run_every_statement_of_the_hub(at_work: Connection) -> None:
    utility = {name for name, text in QUERIES.items() if _code(text).startswith(UTILITY)}
    asked = set(EXAMPLES) | set(COPIED)
    assert utility - asked <= {"temporary_tables", "plans"}
    assert [name for name in sorted(asked) if lacks_a_right(at_work, name)] == []
    at_work.execute(QUERIES["plans"])


def test_no_right_of_the_runtime_can_be_spared(at_work: Connection, named: HubRoles) -> None:
    """Each is taken away in turn, and some statement of the hub then fails."""
    code = {name: _code(text) for name, text in QUERIES.items() if name in {*EXAMPLES, *COPIED}}
    granted = [("", name, right) for name, each in {**rights.RIGHTS, **rights.VIEWS}.items() for right in listed(each)]
    granted += [("sequence", name, right) for name, each in rights.SEQUENCES.items() for right in listed(each)]
    granted += [("function", name, right) for name, each in rights.FUNCTIONS.items() for right in listed(each)]
    granted += [("schema", SCHEMA, "usage")]
    spared = set()
    for kind, name, right in granted:
        with at_work.transaction(force_rollback=True):
            at_work.execute("reset role")
            at_work.execute(f'revoke {right} on {kind} {name} from "{named.runtime}"'.encode())
            at_work.execute(f'set local role "{named.runtime}"'.encode())
            # A column's default calls the function, and all are in the schema: there no statement says the name.
            users = [each for each, text in code.items() if kind in ("function", "schema") or name in text]
            if not any(lacks_a_right(at_work, each) for each in users):
                spared.add((name, right))
    assert spared == {("migration", "select"), ("decision", "select"), ("made_role", "select")}, "see below"


def test_no_right_that_is_used_outside_of_the_store_can_be_spared(roled: str, named: HubRoles) -> None:
    """To enter, to have the tables in which changes land, to see that nothing is to be migrated, to sum up a demo."""
    database, runtime = ask(roled, "select current_database()"), entered(roled, named.runtime)
    run(roled, f"revoke all on database {database} from public")
    uses: dict[str, Callable[[], object]] = {
        f"connect on database {database}": lambda: run(runtime, "select 1"),
        f"temporary on database {database}": lambda: run(runtime, QUERIES["temporary_tables"].decode()),
        f"select on {SCHEMA}.migration": lambda: migrate(runtime),
        f"select on {SCHEMA}.decision": lambda: Tally.read(runtime, SCHEMA, rulebook()),
    }
    for right, use in uses.items():
        use()
        run(roled, f'revoke {right} from "{named.runtime}"')
        with pytest.raises((psycopg.Error, EnvironmentUnfit), match=r"permission denied|no rights in the schema"):
            use()
        run(roled, f'grant {right} to "{named.runtime}"')
    run(roled, f"update {SCHEMA}.made_role set rights = 'of another version'")
    assert asyncio.run(check_up(runtime, SCHEMA)).outdated
    run(roled, f'revoke select on {SCHEMA}.made_role from "{named.runtime}"')
    assert not asyncio.run(check_up(runtime, SCHEMA)).outdated, "nobody tells doctor then"


def listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


FORBIDDEN = [
    *(f"{what} ledger_{part}" for part in ("entry", "block") for what in ("delete from", "truncate", "drop table")),
    "update ledger_entry set body = ''",
    "update ledger_block set hash = ''",
    "select 1 from ledger_block for update",
    "alter table ledger_entry disable trigger all",
    "alter table ledger_entry enable row level security",
    "alter table ledger_block rename to gone",
    "create trigger mine before update on ledger_entry execute function suppress_redundant_updates_trigger()",
    "create rule mine as on insert to ledger_entry do instead nothing",
    "create view ledger as select 1",
    "create table mine ()",
    "update rulebook set body = ''",
    "delete from rulebook",
    "update migration set checksum = ''",
    "insert into migration (version, name, checksum) values (999, '', '')",
    "update project set id = 'x'",
    "delete from record",
    "truncate dirty",
    "alter sequence mark restart",
    "select setval('mark', 1)",
    "alter function shard_of(uuid) rename to gone",
    "set session_replication_role = replica",
    "create role mine",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_runtime_may_not(statement: str, roled: str, named: HubRoles) -> None:
    assert refused(entered(roled, named.runtime), statement)
    assert refused(entered(roled, named.auditor), statement)
    assert refused(entered(roled, named.reader), statement)


def test_a_refused_entry_cannot_be_taken_out_of_the_ledger(roled: str, named: HubRoles) -> None:
    """Case 4 of the issue: entry, block and everything after it would have to be rewritten."""
    runtime = entered(roled, named.runtime)
    run(
        runtime,
        f"insert into {SCHEMA}.ledger_block values ('crm', 1, '', '', '', '', 1, now(), '')",
        f"""insert into {SCHEMA}.ledger_entry values ('crm', 1, 1, '{SOME[0]}', 1, '{{"outcome":"refused"}}')""",
    )
    for role in named.runtime, named.reader, named.auditor:
        assert refused(entered(roled, role), "delete from ledger_entry where body like '%refused%'")
        assert refused(entered(roled, role), "update ledger_block set root = ''")
        assert refused(entered(roled, role), f'set role "{named.owner}"')
    assert ask(roled, f"select count(*) from {SCHEMA}.ledger_entry") == 1
    with pytest.raises(psycopg.errors.UniqueViolation):  # nor can another stand in its place
        run(runtime, f"insert into {SCHEMA}.ledger_entry values ('crm', 1, 1, '{SOME[0]}', 1, '')")


# --- readers ----------------------------------------------------------------------------------------------------

VALUES = {
    "ledger_entry": ["body"],
    "record": ["golden", "contributions"],
    "crosswalk": ["key", "sent"],
    "match_key": ["value"],
    "duplicate": ["value"],
    "joined": ["rows"],
    "set_aside": ["key", "payload", "reason", "await_key"],
    "dirty": ["result", "reason"],
    "seen": ["key"],
    "rekeyed": ["old_key", "key"],
    "pending": ["reason"],
    "decision": ["before", "after", "proposed"],
}
"""Where rows' values and keys stand."""


def test_the_reader_reads_everything_but_values_and_keys(roled: str, named: HubRoles) -> None:
    reader, auditor = entered(roled, named.reader), entered(roled, named.auditor)
    for table, columns in VALUES.items():
        for column in columns:
            assert refused(reader, f"select {column} from {table}"), (table, column)
            assert not refused(auditor, f"select {column} from {table}"), (table, column)
    for table, named_columns in rights.READABLE.items():
        assert not refused(reader, f"select {', '.join(named_columns) or '*'} from {table}"), table
