"""The hub's roles on a real server: each can do its work, and nothing else; the ledger is what nobody can rewrite."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub import migrate as migrating
from fieldwarden.engine.hub import roles as rights
from fieldwarden.engine.hub.migrate import (
    SCHEMA,
    admit,
    known_migrations,
    make_roles,
    migrate,
    migrate_for,
    renew_rights,
)
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.roles import HubRoles, printed
from fieldwarden.engine.hub.views.checkup import check_up
from fieldwarden.operations.demo.demo import Tally
from fieldwarden.operations.init import lay_out
from fieldwarden.operations.project import opened
from tests.builders import rulebook
from tests.contract.test_hub_statements import EXAMPLES, SOME, UTILITY, _code, _numbered
from tests.integration.cli_project import Project, Shop
from tests.integration.reading import ask, run
from tests.patience import eventually

_numbers = itertools.count(1)
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def named(database: str) -> Iterator[HubRoles]:
    """Names that no other test has; the roles of these names go after the test."""
    number = f"{os.getpid()}_{next(_numbers)}"
    roles = HubRoles(*(f"{each}_{number}" for each in ("owner", "runtime", "reader", "auditor")))
    yield roles
    drop(database, *roles.named)


def drop(dsn: str, *names: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in names:
            if connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
                connection.execute(f'drop owned by "{name}" cascade'.encode())
                connection.execute(f'drop role "{name}"'.encode())


@pytest.fixture
def roled(database: str, named: HubRoles) -> str:
    """A hub with its roles; the DSN is its superuser's."""
    make_roles(database, named)
    return database


def entered(dsn: str, role: str) -> str:
    return make_conninfo(dsn, user=role)


def refused(dsn: str, statement: str) -> bool:
    """Whether the server refuses the statement for want of a right (and for nothing else)."""
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(f"set search_path to {SCHEMA}".encode())
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    return False


def rights_in(dsn: str) -> list[tuple[Any, ...]]:
    """Who owns each thing in the hub's schema and may do what with it, columns included."""
    found: list[tuple[Any, ...]] = ask(
        dsn,
        f"""
        select array_agg(told order by told::text) from (
            select c.relname, '' as part, c.relowner::regrole::text as owner, c.relacl::text as acl
            from pg_class c where c.relnamespace = '{SCHEMA}'::regnamespace and c.relkind in ('r', 'v', 'S')
            union all select c.relname, a.attname, '', a.attacl::text from pg_attribute a
            join pg_class c on c.oid = a.attrelid where c.relnamespace = '{SCHEMA}'::regnamespace and attacl is not null
            union all select proname, '', proowner::regrole::text, proacl::text from pg_proc
            where pronamespace = '{SCHEMA}'::regnamespace
            union all select nspname, '', nspowner::regrole::text, nspacl::text from pg_namespace
            where nspname = '{SCHEMA}'
        ) as told""",
    )
    return found


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


# --- migrations -------------------------------------------------------------------------------------------------


def test_the_runtime_starts_on_a_hub_that_is_up_to_date(roled: str, named: HubRoles) -> None:
    assert migrate(entered(roled, named.runtime)) == []


def test_the_runtime_is_told_who_has_to_migrate(
    roled: str, named: HubRoles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in known_migrations():
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    number = len(known_migrations()) + 1
    (tmp_path / f"{number:04}_later.sql").write_text("create table later (n int); create table nobodys (n int);")
    with pytest.raises(EnvironmentUnfit, match=f"older than this program, .* {named.runtime} may not") as caught:
        migrate(entered(roled, named.runtime), folder=tmp_path)
    assert "fieldwarden hub migrate" in caught.value.suggestion

    monkeypatch.setattr(rights, "RIGHTS", {**rights.RIGHTS, "later": "select, insert"})
    monkeypatch.setattr(rights, "READABLE", {**rights.READABLE, "later": ("n",)})
    assert migrate(entered(roled, named.owner), folder=tmp_path) == [f"{number:04}_later"]
    assert migrate(entered(roled, named.runtime), folder=tmp_path) == []
    run(entered(roled, named.runtime), f"insert into {SCHEMA}.later values (1)")
    assert ask(entered(roled, named.reader), f"select n from {SCHEMA}.later") == 1
    for role in named.runtime, named.reader, named.auditor:
        assert refused(entered(roled, role), "select from nobodys")
    assert refused(entered(roled, named.reader), "select body from ledger_entry")


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Migrations of the version to come: it has a table more, which the runtime fills."""
    for each in known_migrations():
        (tmp_path / f"{each.name}.sql").write_bytes(each.script)
    (tmp_path / f"{len(known_migrations()) + 1:04}_later.sql").write_text("create table later (n int)")
    monkeypatch.setattr(rights, "RIGHTS", {**rights.RIGHTS, "later": "select, insert"})
    monkeypatch.setattr(rights, "AUDITED", {**rights.AUDITED, "later": ()})
    return tmp_path


def test_a_migration_changes_nothing_for_roles_that_hub_roles_did_not_make(
    roled: str, named: HubRoles, later: Path, make_role: Callable[..., str]
) -> None:
    """Whole tables, some columns, even the right to add to the ledger: what others were given stays, and no more."""
    run(roled, f"create view {SCHEMA}.theirs as select 1 as n")
    usage = f"grant usage on schema {SCHEMA} to {{}}"
    theirs = f"grant select on {SCHEMA}.theirs to {{}}"
    given = ("select", "select (lane)", "insert")
    others = [make_role(roled, usage, theirs, f"grant {each} on {SCHEMA}.ledger_entry to {{}}") for each in given]
    run(roled, f"grant select on {SCHEMA}.record to public")
    assert len(migrate(entered(roled, named.owner), folder=later)) == 1
    for role in others:
        assert not refused(role, "select n from theirs")
        assert not refused(role, "select id from record"), "what everybody has stays, too"
        for table in ("set_aside", "match_key", "later", "row_name_key"):
            assert refused(role, f"select from {table}")
    assert not refused(others[0], "select * from ledger_entry")
    assert [refused(role, "select body from ledger_entry") for role in others] == [False, True, True]
    assert not refused(entered(roled, named.auditor), "select n from later")
    run(entered(roled, named.runtime), f"insert into {SCHEMA}.later values (1)")


def test_a_role_that_was_shut_out_is_not_let_in_again_by_a_migration(roled: str, named: HubRoles, later: Path) -> None:
    run(roled, f'revoke all on schema {SCHEMA} from "{named.auditor}"')
    migrate(entered(roled, named.owner), folder=later)
    assert refused(entered(roled, named.auditor), f"select from {SCHEMA}.ledger_entry")
    assert ask(roled, f"select has_table_privilege('{named.auditor}', '{SCHEMA}.later', 'select')") is False


def test_roles_that_were_made_in_turn_are_all_given_what_new_tables_need(
    roled: str, named: HubRoles, make_role: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    second = make_role(roled)
    name = str(ask(second, "select current_user::text"))
    make_roles(roled, HubRoles(named.owner, name, "", name))
    migrate(entered(roled, named.owner), folder=request.getfixturevalue("later"))
    for role in second, entered(roled, named.runtime):
        run(role, f"insert into {SCHEMA}.later values (1)")
    assert not refused(second, "select * from migration"), "it is the auditor as well"


def test_somebody_elses_table_in_the_schema_does_not_stop_a_migration(
    roled: str, named: HubRoles, later: Path, make_role: Callable[..., str]
) -> None:
    other = ask(make_role(roled), "select current_user::text")
    run(roled, f"create table {SCHEMA}.foreign_one ()", f'alter table {SCHEMA}.foreign_one owner to "{other}"')
    assert len(migrate(entered(roled, named.owner), folder=later)) == 1
    run(entered(roled, named.runtime), f"insert into {SCHEMA}.later values (1)")


def test_a_migration_whose_rights_cannot_be_given_is_made_again(
    roled: str, named: HubRoles, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights come with the last migration or not at all: a hub that is up to date lacks none."""

    def interrupted(connection: Connection, schema: str) -> None:
        raise KeyboardInterrupt

    owner = entered(roled, named.owner)
    with monkeypatch.context() as patched:
        patched.setattr(rights, "renew", interrupted)
        with pytest.raises(KeyboardInterrupt):
            migrate(owner, folder=later)
    run(roled, f"alter table {SCHEMA}.dirty owner to current_user")
    with pytest.raises(EnvironmentUnfit, match=r"older than this program, .* permission denied for table dirty"):
        migrate(owner, folder=later)
    run(roled, f'alter table {SCHEMA}.dirty owner to "{named.owner}"')
    assert len(migrate(owner, folder=later)) == 1
    run(entered(roled, named.runtime), f"insert into {SCHEMA}.later values (1)")


def test_a_role_without_rights_is_told_how_it_gets_them(roled: str, named: HubRoles) -> None:
    run(roled, f'revoke all on {SCHEMA}.migration from "{named.runtime}"')
    with pytest.raises(EnvironmentUnfit, match="no rights") as caught:
        migrate(entered(roled, named.runtime))
    assert "fieldwarden hub roles" in caught.value.suggestion


def test_roles_that_cannot_be_made_leave_everything_as_it_was(roled: str, named: HubRoles) -> None:
    before = rights_in(roled)
    other = HubRoles(named.owner, f"{named.runtime}_2", named.reader, named.auditor)
    with pytest.raises(EnvironmentUnfit, match="nothing was changed") as caught:
        make_roles(entered(roled, named.owner), other)
    assert "--print" in caught.value.suggestion
    assert rights_in(roled) == before


# --- roles that are there already -----------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["the program", "its print"])
def test_rights_are_given_again_while_the_hub_is_at_work(roled: str, named: HubRoles, by: str) -> None:
    """Somebody reads in one transaction, somebody writes in another: what is the owner's already is not locked."""
    before = rights_in(roled)
    run(roled, f'revoke select on {SCHEMA}.record from "{named.runtime}"')
    with psycopg.connect(roled) as reading, psycopg.connect(entered(roled, named.runtime)) as writing:
        reading.execute(f"select count(*) from {SCHEMA}.record".encode())
        writing.execute(f"insert into {SCHEMA}.rulebook select * from {SCHEMA}.rulebook".encode())
        writing.execute(f"select nextval('{SCHEMA}.mark')".encode())
        make_roles(roled, named) if by == "the program" else run(roled, printed(named, SCHEMA))
    assert rights_in(roled) == before


def test_a_hub_is_not_handed_over_while_somebody_works_in_it(database: str, named: HubRoles) -> None:
    """Nor is anybody else held up by it: it is refused at once, and whose transaction has to end is said."""
    migrate(database)
    before = rights_in(database)
    with psycopg.connect(database, application_name="a clerk") as clerk:
        clerk.execute(f"select count(*) from {SCHEMA}.record".encode())
        with pytest.raises(EnvironmentUnfit, match=r"nothing was changed: .* to its owner") as caught:
            make_roles(database, named)
        assert f"session {clerk.info.backend_pid} of postgres (a clerk)" in caught.value.message
    assert "superuser" not in caught.value.suggestion
    assert rights_in(database) == before
    make_roles(database, named)
    assert ask(database, f"select count(*) from pg_class where relowner = '{named.owner}'::regrole") > 0


def test_a_comment_of_somebody_elses_on_our_table_means_nothing_to_us(
    roled: str, named: HubRoles, request: pytest.FixtureRequest
) -> None:
    run(roled, f"comment on table {SCHEMA}.migration is '{{ours}} do not touch'")
    make_roles(roled, named)
    assert len(migrate(entered(roled, named.owner), folder=request.getfixturevalue("later"))) == 1
    run(entered(roled, named.runtime), f"insert into {SCHEMA}.later values (1)")


def test_who_is_no_owner_gives_no_rights(roled: str, named: HubRoles, make_role: Callable[..., str]) -> None:
    """PostgreSQL only warns of many a grant that it does not make; nobody is to take that for a success."""
    stranger = make_role(
        roled, f"grant usage on schema {SCHEMA} to {{}}", f"grant select on {SCHEMA}.migration to {{}}"
    )
    before = rights_in(roled)
    for dsn in (stranger, *(entered(roled, each) for each in (named.runtime, named.reader, named.auditor))):
        with pytest.raises(EnvironmentUnfit, match="nothing was changed: permission denied") as caught:
            make_roles(dsn, named)
        assert "superuser" in caught.value.suggestion
        for change in ("delete from made_role", "update made_role set kind = 'runtime'"):
            assert refused(dsn, change)
    assert rights_in(roled) == before


def test_what_no_superuser_could_do_either_is_not_laid_on_rights(roled: str, named: HubRoles) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"nothing was changed: role name .* is reserved") as caught:
        make_roles(roled, HubRoles(named.owner, "pg_runtime", "", ""))
    assert "superuser" not in caught.value.suggestion


# --- rights that another version gives -------------------------------------------------------------------------


@pytest.fixture
def otherwise(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on the program gives the runtime a right more, and the auditor one less; no table is new."""

    def changed() -> None:
        monkeypatch.setattr(rights, "RIGHTS", {**rights.RIGHTS, "mark_key": "select, insert"})
        monkeypatch.setattr(rights, "AUDITED", {k: v for k, v in rights.AUDITED.items() if k != "seen"})

    return changed


async def test_rights_that_differ_from_another_versions_are_seen_and_renewed(
    roled: str, named: HubRoles, otherwise: Callable[[], None], make_role: Callable[..., str]
) -> None:
    grant = f"grant usage on schema {SCHEMA} to {{}}"
    theirs = make_role(roled, grant, f"grant select on {SCHEMA}.seen to {{}}")
    run(roled, f'revoke all on schema {SCHEMA} from "{named.reader}"')
    owner, runtime, auditor = (entered(roled, each) for each in (named.owner, named.runtime, named.auditor))
    assert (await check_up(runtime, SCHEMA)).outdated == ()
    assert renew_rights(runtime) == []
    otherwise()
    assert (await check_up(runtime, SCHEMA)).outdated == (named.auditor, named.runtime), "who was shut out stays so"
    assert refused(runtime, "insert into mark_key select * from mark_key")
    with pytest.raises(EnvironmentUnfit, match=f"{named.runtime} may not renew them") as caught:
        renew_rights(runtime)
    assert "fieldwarden hub migrate" in caught.value.suggestion
    assert renew_rights(owner) == [named.auditor, named.runtime]
    assert not refused(runtime, "insert into mark_key select * from mark_key where false")
    assert refused(auditor, "select from seen")
    assert not refused(theirs, "select from seen")
    assert (await check_up(runtime, SCHEMA)).outdated == ()
    assert renew_rights(owner) == []


def test_an_embedded_hub_gives_the_rights_of_this_version_at_its_start(
    database: str, named: HubRoles, otherwise: Callable[[], None]
) -> None:
    def begin() -> None:
        admit(database, SCHEMA, named.runtime)
        migrate_for(database, SCHEMA, named.runtime)

    begin()
    make_roles(database, HubRoles(named.owner, "", "", named.auditor))
    before = rights_in(database)
    begin()
    assert rights_in(database) == before
    otherwise()
    begin()
    assert not refused(entered(database, named.runtime), "insert into mark_key select * from mark_key where false")
    assert refused(entered(database, named.auditor), "select from seen")


@pytest.mark.long
def test_doctor_and_hub_migrate_speak_of_rights_that_another_version_gave(
    roled: str, named: HubRoles, otherwise: Callable[[], None], shop: Shop
) -> None:
    def told() -> list[dict[str, str]]:
        checks = shop.call_here("doctor")[1]["result"]["checks"]
        return [each for each in checks if each["subject"] == "rights"]

    by_roles = f'dsn: "{entered(roled, named.runtime)}", owner_dsn: "{entered(roled, named.owner)}"'
    shop.edit("fieldwarden.yaml", 'dsn: "${env:HUB_DSN}"', by_roles)
    assert told() == []
    otherwise()
    (said,) = told()
    assert (said["about"], said["level"]) == ("hub", "warning")
    assert named.runtime in said["message"]
    assert "hub migrate" in said["suggestion"]
    for renewed in sorted([named.runtime, named.reader, named.auditor]), []:
        assert shop.call_here("hub", "migrate")[1]["result"] == {"applied": [], "renewed": renewed}
    assert told() == []


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


# --- the embedded hub -------------------------------------------------------------------------------------------


@pytest.fixture
def embedding() -> Iterator[Project]:
    """The starter project on its own server; not below pytest's folder, which nobody else may pass."""
    with tempfile.TemporaryDirectory(prefix="fieldwarden-roles-") as place:
        lay_out(Path(place) / "shop")
        yield Project(Path(place) / "shop")


@pytest.mark.long
def test_the_engine_enters_an_embedded_hub_as_the_runtime(embedding: Project) -> None:
    """Also one that was made before there were roles, whose superuser the engine was."""
    project = embedding
    with opened(project.folder):  # one server for all of it
        for command in ("doctor", "status", "doctor"):
            code, body = project.call_here(command)
            assert code == 0, body
        roles = {c["about"]: c["level"] for c in body["result"]["checks"] if c["subject"] == "role"}
        assert roles == {"crm": "note", "erp": "note"}, "of the hub there is nothing to say, of sample systems calmly"
        with opened(project.folder) as inside:
            runtime, owner, schema = inside.hub_dsn.reveal(), inside.owner_dsn.reveal(), inside.hub_schema
        assert ask(runtime, "select current_user::text") == "fieldwarden_runtime"
        assert refused(runtime, "delete from ledger_entry")
        run(owner, "drop owned by fieldwarden_runtime", "drop role fieldwarden_runtime")
        for command in ("doctor", "status"):
            code, body = project.call_here(command)
            assert code == 0, body
        assert not refused(runtime, f"select 1 from {schema}.record for update")


# --- together ---------------------------------------------------------------------------------------------------


def test_processes_that_begin_together_on_a_new_hub_all_enter_it(database: str, named: HubRoles) -> None:
    def begin(_: int) -> bool:
        admit(database, SCHEMA, named.runtime)
        migrate_for(database, SCHEMA, named.runtime)
        return refused(entered(database, named.runtime), "insert into ledger_entry select * from ledger_entry")

    with ThreadPoolExecutor(8) as together:
        assert list(together.map(begin, range(8))) == [False] * 8


@pytest.mark.long
def test_rights_are_given_in_turn_and_the_turn_is_not_waited_for_without_end(
    database: str, named: HubRoles, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database)
    monkeypatch.setattr(migrating, "_SILENT_SECONDS", 0.1)
    monkeypatch.setattr(migrating, "_TURN_SECONDS", 1)
    acts: list[Callable[[], object]] = [
        lambda: admit(database, SCHEMA, named.runtime),
        lambda: migrate_for(database, SCHEMA, named.runtime),
        lambda: make_roles(database, named),
    ]
    with psycopg.connect(database, autocommit=True, application_name="a clerk") as clerk:
        clerk.execute("select pg_advisory_lock(%s)", [migrating._LOCK])
        for act in acts:
            with pytest.raises(EnvironmentUnfit, match=rf"session {clerk.info.backend_pid} of postgres \(a clerk\)"):
                act()
        clerk.execute("select pg_advisory_unlock(%s)", [migrating._LOCK])
        for act in acts:
            act()
        clerk.execute("select pg_advisory_lock(%s)", [migrating._LOCK])
        admit(database, SCHEMA, named.runtime)  # who lacks nothing does not wait


def test_who_holds_the_turn_is_said_while_it_is_waited_for(
    database: str, named: HubRoles, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(database)
    monkeypatch.setattr(migrating, "_SILENT_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)  # a command that ran in this process before may have made it quieter
    with (
        psycopg.connect(database, autocommit=True, application_name="a clerk") as clerk,
        ThreadPoolExecutor(1) as aside,
    ):
        clerk.execute("select pg_advisory_lock(%s)", [migrating._LOCK])
        waiting = aside.submit(admit, database, SCHEMA, named.runtime)
        eventually(lambda: caplog.messages, "the wait to be told of")
        clerk.execute("select pg_advisory_unlock(%s)", [migrating._LOCK])
        waiting.result()
        holder = f"the session {clerk.info.backend_pid} of postgres (a clerk)"
    assert caplog.messages == [f"waiting for {holder}, who holds the hub's schema 'fieldwarden'"]
