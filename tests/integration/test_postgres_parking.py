"""A stream whose table cannot be followed any more is parked; the others flow, and it comes back once mended."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.reading.source import PostgresSource
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift, TransientError
from tests.builders import starting
from tests.integration.cli_project import Shop
from tests.integration.reading import Reader, ask, reading, run, stream, system
from tests.integration.reading import source as direct
from tests.patience import eventually

CRM = system(stream("public.account", ("id",), ("name",)), stream("public.contact", ("id",), ("name",)))
TABLES = [
    "create table account (id int primary key, name text)",
    "create table contact (id int primary key, name text)",
]


def source(dsn: str) -> PostgresSource:
    return direct(CRM, dsn, look_seconds=0.0)


async def interrupted(reader: Reader, at: str) -> str:
    """Read until the source is to be opened anew: from there, `at` if nothing came."""
    with pytest.raises(TransientError):
        await reader.until(lambda _: False)
    return reader.positions[-1] if reader.positions else at


async def baseline(dsn: str) -> str:
    run(dsn, *TABLES, "insert into account values (1, 'a')", "insert into contact values (1, 'c')")
    async with reading(source(dsn)) as reader:
        await reader.baseline()
    return reader.positions[-1]


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ("alter table account replica identity nothing", "alter table account replica identity default"),
        (
            "alter table account replica identity full, add shout text generated always as (upper(name)) virtual",
            "alter table account replica identity default",
        ),
        ("alter table account rename name to title", "alter table account rename title to name"),
        ("alter table account rename to gone", "alter table gone rename to account"),
    ],
)
async def test_one_stream_is_parked_while_others_flow_and_is_read_again_once_mended(
    database: str, damage: str, repair: str
) -> None:
    at = await baseline(database)
    async with reading(source(database), at) as reader:
        run(database, damage)
        at = await interrupted(reader, at)
    async with reading(source(database), at) as reader:
        parked = await reader.step()
        assert list(parked.parked) == ["public.account"]
        assert "account" in parked.parked["public.account"]
        table = "gone" if "gone" in damage else "account"
        run(database, f"update {table} set id = 2", "insert into contact values (2, 'd')")
        (change,) = await reader.count(1)
        assert (change.relation.stream, change.values) == ("public.contact", ("2", "d"))
        run(database, repair)
        at = await interrupted(reader, at)
    async with reading(source(database), at) as reader:
        (row,) = await reader.count(1)
        assert (row.operation, row.values) == ("observe", ("2", "a"))
        assert reader.told[-1].streams == ("public.account",)
        run(database, "update account set name = 'z'", "insert into contact values (3, 'e')")
        changes = await reader.count(3)
        assert [change.values for change in changes[1:]] == [("2", "z"), ("3", "e")]
        assert not reader.told[-1].parked


async def test_a_column_that_was_gone_for_a_moment_costs_its_stream_another_reading(database: str) -> None:
    at = await baseline(database)
    run(
        database,
        "alter table account rename name to title",
        "update account set title = 'x'",
        "alter table account rename title to name",
        "insert into contact values (2, 'd')",
    )
    again = direct(CRM, database)
    async with reading(again, at) as reader:
        at = await interrupted(reader, at)
    async with reading(again, at) as reader:
        await reader.until(lambda changes: {change.values for change in changes} >= {("1", "x"), ("2", "d")})
    assert reader.told[0].streams == ("public.account",)


async def test_a_stream_that_was_never_read_is_not_parked_since_its_rows_are_not_known(database: str) -> None:
    run(database, *TABLES, "alter table account replica identity nothing")
    with pytest.raises(EnvironmentUnfit, match="account"):
        await source(database).open(starting())


async def test_where_nothing_is_left_to_flow_the_source_stops_with_the_reason(database: str) -> None:
    at = await baseline(database)
    run(database, "alter table account rename name to title", "alter table contact rename name to title")
    with pytest.raises(SchemaDrift):
        await source(database).open(starting(at))


EVERY_STATE_KEPT = (
    "create table states (state text, message text)",
    "create function keep() returns trigger language plpgsql security definer as "
    "$$begin insert into public.states values (new.state, new.message); return null; end$$",
    "create trigger keep after update on fieldwarden.source for each row when (new.name = 'crm') "
    "execute function keep()",
)


@pytest.mark.long
def test_run_says_which_stream_is_parked_and_goes_on_by_itself(shop: Shop) -> None:
    shop.sql("crm", "create table note (id int primary key, account int references account, body text)")
    shop.edit(
        "systems/crm.yaml",
        "streams:",
        "streams:\n  public.note:\n    entity: customer\n    key: id\n    parent: {public.account: account}\n"
        "    mode: source\n    fields: {email: body}",
    )
    shop.settle()
    with shop.running() as run_:
        run_.await_ready()
        shop.sql("crm", "alter table note replica identity nothing")
        eventually(lambda: "public.note has no replica identity" in run_.get("/readyz")[1], "readyz says so")
        run_.await_event("source.parked")
        for statement in EVERY_STATE_KEPT:
            shop.sql("hub", statement)
        shop.sql("crm", "update note set body = 'x'")
        shop.sql("crm", "insert into account (name, vat_number) values ('flows', 'DE 9')")
        eventually(lambda: shop.sql("erp", "select 1 from party where name = 'flows'"), "the other stream flows")
        code, body = shop.call("status", "--check")
        assert code == 1
        assert not shop.sql("hub", "select state from states where message not like '%public.note%'"), "always"
        assert any("public.note" in each and "REPLICA IDENTITY DEFAULT" in each for each in body["result"]["halted"])
        shop.sql("crm", "alter table note replica identity default")
        run_.await_ready()
    assert ask(shop.crm, "select count(*) from pg_publication_tables where tablename = 'note'") == 1
