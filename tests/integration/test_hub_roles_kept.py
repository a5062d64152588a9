"""Roles of a hub keep their rights: through migrations, another version's rights, processes that begin together."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

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
from fieldwarden.engine.hub.roles import HubRoles, printed
from fieldwarden.engine.hub.views.checkup import check_up
from fieldwarden.operations.init import lay_out
from fieldwarden.operations.project import opened
from tests.integration.cli_project import Project, Shop
from tests.integration.hub_roles import entered, refused, rights_in
from tests.integration.reading import ask, run
from tests.patience import eventually


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

    def interrupted(connection: object, schema: str) -> None:
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
