"""The application whose tables we follow: its own statements never fail because of our publication."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.probe import Finding, probe
from fieldwarden.engine.errors import EnvironmentUnfit
from tests.builders import debezium
from tests.integration.reading import ask, reading, run, stream, system
from tests.integration.reading import source as direct

CRM = system(stream("public.account", ("id",), ("name",)))
UPDATE = "update account set name = 'b' where id = 1"


async def wrong(dsn: str, crm: object = CRM) -> list[Finding]:
    return [finding for finding in await probe(crm, dsn) if not finding.ok]  # type: ignore[arg-type]


async def refused(dsn: str) -> EnvironmentUnfit:
    """The source does not begin, and leaves no publication of the table behind."""
    with pytest.raises(EnvironmentUnfit) as raised:
        async with reading(direct(CRM, dsn)):
            pass
    assert ask(dsn, "select count(*) from pg_publication_tables") == 0
    assert raised.value.suggestion
    return raised.value


async def test_a_stored_generated_column_that_is_not_mapped_does_not_stop_the_applications_updates(
    database: str,
) -> None:
    run(
        database,
        "create table account (id int primary key, name text, shout text generated always as (upper(name)) stored)",
        "alter table account replica identity full",
        "insert into account values (1, 'a')",
    )
    assert await wrong(database) == []
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        run(database, UPDATE)
        changes = await reader.count(2)
    assert changes[1].values == ("1", "b")


async def test_a_generated_column_that_comes_while_we_follow_does_not_stop_the_applications_updates(
    database: str,
) -> None:
    run(
        database,
        "create table account (id int primary key, name text)",
        "alter table account replica identity full",
        "insert into account values (1, 'a')",
    )
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
        run(database, "alter table account add shout text generated always as (upper(name)) stored", UPDATE)
        changes = await reader.count(2)
    assert changes[1].values == ("1", "b")


async def test_a_publication_made_before_we_published_generated_columns_is_mended_when_reading_goes_on(
    database: str,
) -> None:
    run(
        database,
        "create table account (id int primary key, name text)",
        "alter table account replica identity full",
        "insert into account values (1, 'a')",
    )
    async with reading(direct(CRM, database)) as reader:
        await reader.baseline()
    name = ask(database, "select pubname from pg_publication")
    run(
        database,
        f"alter publication {name} set (publish_generated_columns = none)",
        "alter table account add shout text generated always as (upper(name)) stored",
    )
    async with reading(direct(CRM, database), reader.positions[-1]) as again:
        run(database, UPDATE)
        assert (await again.count(1))[0].values == ("1", "b")


@pytest.mark.parametrize(
    ("ddl", "said", "remedy"),
    [
        (
            "create table account (id int primary key, name text, shout text generated always as (upper(name)));"
            " alter table account replica identity full",
            "virtual generated column",
            "REPLICA IDENTITY DEFAULT",
        ),
        (
            "create table account (id int primary key, name text); alter table account replica identity nothing",
            "no replica identity",
            "REPLICA IDENTITY DEFAULT",
        ),
        ("create table account (id int, name text)", "no ", "ADD PRIMARY KEY (id)"),
        ("create unlogged table account (id int primary key, name text)", "unlogged", "SET LOGGED"),
        (
            "create table account (id int, name text) partition by range (id);"
            " create table account_1 partition of account for values from (0) to (10);"
            " alter table account replica identity full",
            "account_1",
            "account_1",
        ),
        (
            "create table account (id int primary key, name text) partition by range (id);"
            " create table account_1 partition of account for values from (0) to (10);"
            " alter table account_1 replica identity nothing",
            "account_1",
            "ALTER TABLE public.account_1",
        ),
        (
            "create table account (id int primary key, name text) partition by range (id);"
            " create unlogged table account_1 partition of account for values from (0) to (10)",
            "account_1",
            "ALTER TABLE public.account_1 SET LOGGED",
        ),
    ],
)
async def test_a_table_that_cannot_be_followed_without_harm_is_refused_before_anything_is_published(
    database: str, ddl: str, said: str, remedy: str
) -> None:
    run(database, *ddl.split(";"), "insert into account values (1, 'a')")
    found = await wrong(database)
    assert any(said in finding.message and remedy in finding.suggestion for finding in found), found
    assert said in (await refused(database)).message
    run(database, UPDATE)


async def test_tables_that_inherit_from_a_followed_one_are_not_published_with_it(database: str) -> None:
    run(
        database,
        "create table account (id int primary key, name text)",
        "create table special (extra text) inherits (account)",
        "insert into special values (1, 'a', 'x')",
    )
    async with reading(direct(CRM, database)) as reader:
        assert await reader.baseline() == []
        run(database, UPDATE)
    assert ask(database, "select array_agg(tablename::text) from pg_publication_tables") == ["account"]


async def test_a_foreign_publication_that_stops_the_applications_updates_is_named(database: str) -> None:
    run(
        database,
        "create table account (id int primary key, name text, shout text generated always as (upper(name)) stored)",
        "alter table account replica identity full",
        "create publication theirs for table account with (publish_via_partition_root)",
    )
    crm = system(*CRM.streams.values(), publication="theirs")
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        run(database, UPDATE)
    (found,) = await wrong(database, crm)
    assert "publish_generated_columns = stored" in found.suggestion
    with pytest.raises(EnvironmentUnfit, match="generated") as raised:
        async with reading(direct(crm, database)):
            pass
    assert "publish_generated_columns = stored" in raised.value.suggestion


async def test_a_foreign_publication_that_leaves_out_a_mapped_column_is_named(database: str) -> None:
    run(
        database,
        "create table account (id int primary key, name text)",
        "create publication theirs for table account (id) with (publish_via_partition_root)",
    )
    crm = system(*CRM.streams.values(), publication="theirs")
    (found,) = await wrong(database, crm)
    assert "account.name" in found.message


async def test_doctor_names_a_publication_of_debezium_that_would_stop_the_applications_updates(database: str) -> None:
    run(
        database,
        "create table account (id int primary key, name text, shout text generated always as (upper(name)) stored)",
        "alter table account replica identity full",
    )
    crm = replace(CRM, settings=debezium(slot="dbz", publication="dbz_pub"))
    (found,) = await wrong(database, crm)
    assert "CREATE PUBLICATION dbz_pub" in found.suggestion
    assert "publish_generated_columns = stored" in found.suggestion
    run(
        database,
        "create publication dbz_pub for table account with"
        " (publish_generated_columns = stored, publish_via_partition_root)",
    )
    assert await wrong(database, crm) == []
