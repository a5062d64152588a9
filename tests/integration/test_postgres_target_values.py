"""What arrives is exactly what was sent, or the write is rejected with a reason; nothing is rounded or cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldwarden.connectors.postgres.writing.groups import copy_text
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.conftest import drop_database
from tests.integration.target_world import World, stream
from tests.patience import within


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedServer) -> Iterator[str]:
    """One database for the whole module: most tests here are small and many."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("create database target_values")
    yield postgres.dsn("target_values")
    drop_database(postgres, "target_values")


@pytest.fixture
def database(shared: str) -> str:
    """The shared database, emptied."""
    with psycopg.connect(shared, autocommit=True) as admin:
        admin.execute("drop schema public cascade; create schema public")
    return shared


@pytest.fixture(scope="module")
def scratch(shared: str) -> Iterator[psycopg.Connection]:
    """A table for many examples, which an emptied schema leaves alone."""
    with psycopg.connect(shared, autocommit=True) as connection:
        connection.execute("create temp table copied (a text, b text)")
        yield connection


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "\\",
        "\\N",
        "\\.",
        "\t",
        "\n",
        "\r\n",
        "a\\tb",
        "'\"%s{}$1",
        "Zoë 😀 \u200b",
        "\x01\x02\x7f",
        "x" * 100_000,
    ],
)
async def test_text_arrives_as_it_is(database: str, value: str) -> None:
    async with World(database) as world:
        key = await world.made(name=value, phone=None)
        assert world.row() == (value, None)
        result = await world.one(world.update(key, {"name": value}, name="other", phone=value))
        assert not result.differing
        assert world.row() == ("other", value)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*[st.none() | st.text(st.characters(exclude_characters="\x00", codec="utf-8"))] * 2)))
def test_copy_text_is_what_postgres_reads_back(
    scratch: psycopg.Connection, rows: list[tuple[str | None, str | None]]
) -> None:
    scratch.execute("truncate copied")
    with scratch.cursor() as cursor, cursor.copy("copy copied from stdin") as copy:
        copy.write(copy_text([list(row) for row in rows]).encode())
    assert sorted(scratch.execute("select * from copied").fetchall(), key=repr) == sorted(rows, key=repr)


TAKEN = [
    ("numeric(10,2)", "12.5", "12.50"),
    ("numeric(10,2)", "12.500", "12.50"),
    ("numeric", "0.1000", "0.1000"),
    ("integer", "5000.00", "5000"),
    ("double precision", "1234.50", "1234.5"),
    ("real", "0.10", "0.1"),
    ("varchar(3)", "abc", "abc"),
    ("char(3)", "ab", "ab "),
    ("date", "2026-01-31", "2026-01-31"),
    ("date", "2026-01-31T00:00:00.000000Z", "2026-01-31"),
    ("timestamp(0)", "2026-01-31T10:00:00.000000Z", "2026-01-31 10:00:00"),
    ("timestamptz", "2026-01-31T10:00:00.123456Z", "2026-01-31 10:00:00.123456+00"),
    ("boolean", "true", "t"),
    ("uuid", "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000001"),
    ("jsonb", '{"a": 1}', '{"a": 1}'),
    ("json", '{"a":  1}', '{"a":  1}'),
    ("mood", "glad", "glad"),
    ("cents", "1.25", "1.25"),
    ("folded", "Acme", "Acme"),
]
REJECTED = [
    ("numeric(10,2)", "12.3456", "numeric(10,2)"),
    ("numeric(10,2)", "123456789012", "22003"),
    ("numeric(10,2)", "twelve", "22P02"),
    ("integer", "12.5", "integer"),
    ("smallint", "40000", "22003"),
    ("double precision", "12345678901234567.89", "double precision"),
    ("varchar(3)", "abcd", "character varying(3)"),
    ("varchar(3)", "abc ", "character varying(3)"),
    ("char(3)", "abcd", "character(3)"),
    ("date", "2026-01-31T10:00:00.000000Z", "date"),
    ("date", "2026-02-30", "22008"),
    ("timestamp(0)", "2026-01-31T10:00:00.500000Z", "timestamp(0)"),
    ("boolean", "maybe", "22P02"),
    ("uuid", "123", "22P02"),
    ("json", "{", "22P02"),
    ("mood", "furious", "22P02"),
    ("cents", "1.255", "numeric(10,2)"),
    ("cents", "-1.25", "cents_check"),
    ("text", "a\x00b", "22021"),
    ("text", "a\ud800b", "Unicode"),
]


def typed(kind: str) -> str:
    return f"""
create type mood as enum ('glad', 'sad');
create domain cents as numeric(10,2) check (value >= 0);
create domain folded as text;
create table party (id int generated always as identity primary key, ext text unique, name text, v {kind})
"""


@pytest.mark.long
@pytest.mark.parametrize(("kind", "value", "kept"), TAKEN)
async def test_a_value_that_fits_is_kept(database: str, kind: str, value: str, kept: str) -> None:
    async with World(database, stream(fields=("name", "v")), ddl=typed(kind)) as world:
        created = await world.one(world.create("r-1", v=value))
        assert (created.status, created.differing, created.reason) == ("applied", {}, "")
        assert world.row("format('%s', v)") == (kept,)
        emptied = await world.one(world.update(str(created.key), {"v": value}, v=None))
        assert (emptied.status, emptied.differing) == ("applied", {})
        filled = await world.one(world.update(str(created.key), {"v": None}, v=value))
        assert (filled.status, filled.differing) == ("applied", {})
        assert world.row("format('%s', v)") == (kept,)
        before = world.row("xmin")
        assert (await world.one(world.update(str(created.key), {"v": None}, v=value))).differing == {}
        assert world.row("xmin") == before


@pytest.mark.long
@pytest.mark.parametrize(("kind", "value", "why"), REJECTED)
async def test_a_value_that_does_not_fit_is_refused_alone(database: str, kind: str, value: str, why: str) -> None:
    async with World(database, stream(fields=("name", "v")), ddl=typed(kind)) as world:
        good, bad = await world.write(world.create("r-1", name="a"), world.create("r-2", name="b", v=value))
        key = str(good.key)
        updated, refused, alone = await world.write(
            world.update(key, {"name": "a"}, name="c"),
            world.update(str(bad.key), {"name": "b"}, name="d", v=value),
            world.update(key, v=value),
        )
        assert [each.status for each in (good, bad, updated, refused, alone)] == ["applied"] * 4 + ["rejected"]
        for result in (bad, refused, alone):
            assert why in result.refused["v"], result
            assert value not in result.refused["v"]
        assert world.sql("select name, v from party order by name") == [("c", None), ("d", None)]


async def test_a_type_that_cannot_be_checked_is_said_to_be_so(database: str) -> None:
    async with World(database, stream(fields=("name", "v")), ddl=typed("numeric(5,-2)")) as world:
        with pytest.raises(EnvironmentUnfit, match=r"type numeric\(5,-2\) cannot be written to"):
            await world.write(world.create(v="100"))


async def test_the_reason_names_the_field_where_it_can(database: str) -> None:
    async with World(database, stream(fields=("name", "amount"), columns={"amount": "v"}), ddl=typed("int")) as world:
        result = await world.one(world.create(amount="x"))
        assert result.reason == "a value is not valid for its column's type (field amount, SQLSTATE 22P02)"
        result = await world.one(world.create("r-2", name="a", amount="1.5"))
        assert result.refused == {"amount": "amount: the column v is integer and cannot hold the value exactly"}


FIELDS = ("name", "phone", "credit", "terms")


async def test_a_default_that_takes_no_null_refuses_that_field_only(database: str) -> None:
    ddl = """create table party (id int generated always as identity primary key, ext text unique,
                                 name text, phone text not null default 'Unknown')"""
    async with World(database, stream(fields=("name", "phone")), ddl=ddl) as world:
        key = await world.made(name="a")
        result = await world.one(world.update(key, {"name": "a", "phone": "Unknown"}, name="b", phone=None))
        assert (result.status, result.differing, list(result.refused)) == ("applied", {}, ["phone"])
        assert "SQLSTATE 23502" in result.refused["phone"]
        assert world.row() == ("b", "Unknown")


async def test_several_fields_may_be_refused_each_with_its_reason(database: str) -> None:
    async with World(database, stream(fields=FIELDS), ddl=BAD_ROWS) as world:
        key = await world.made(name="a", phone="1")
        was = {"name": "a", "phone": "1"}
        result = await world.one(world.update(key, was, name="refuse me", phone="2", credit="1.234", terms="9"))
        assert (result.status, sorted(result.refused)) == ("applied", ["credit", "name", "terms"])
        assert "function refuse" in result.refused["name"]
        assert "cannot hold the value exactly" in result.refused["credit"]
        assert "party_terms_fkey" in result.refused["terms"]
        assert world.row("name, phone, credit, terms") == ("a", "2", None, None)


async def test_what_goes_together_is_refused_together(database: str) -> None:
    async with World(database, stream(fields=FIELDS), ddl=BAD_ROWS) as world:
        key = await world.made(name="a", phone="1")
        write = world.update(key, {"name": "a", "phone": "1"}, name="b", phone="2", credit="-1.00")
        write.blocks = (("phone", "credit"),)
        result = await world.one(write)
        assert (result.status, sorted(result.refused)) == ("applied", ["credit", "phone"])
        assert world.row("name, phone, credit") == ("b", "1", None)
        created = world.create("r-2", name="c", phone="3", credit="x")
        created.blocks = (("phone", "credit"),)
        assert sorted((await world.one(created)).refused) == ["credit", "phone"]
        assert world.row("name, phone, credit", "ext = 'r-2'") == ("c", None, None)


async def test_somebody_elses_edit_beside_a_refused_field_is_still_told(database: str) -> None:
    async with World(database, stream(fields=FIELDS), ddl=BAD_ROWS) as world:
        key = await world.made(name="a", phone="1")
        world.sql("update party set phone = 'edited'")
        result = await world.one(world.update(key, {"name": "a", "phone": "1"}, name="b", phone="2", credit="-1.00"))
        assert (result.status, result.differing, list(result.refused)) == ("applied", {"phone": "edited"}, ["credit"])
        assert world.row() == ("b", "edited")


BAD_ROWS = """
create table other (id int primary key);
create table party (
    id int generated always as identity primary key, ext text unique, name text not null, phone text unique,
    credit numeric(10,2) constraint credit_not_negative check (credit >= 0), terms int references other);
create function refuse() returns trigger language plpgsql as
$$ begin if new.name = 'refuse me' then raise exception 'secret value %', new.name; end if;
         if new.name = 'odd' then raise exception 'secret value' using errcode = 'XY123'; end if; return new; end $$;
create trigger refuse before insert or update on party for each row execute function refuse()
"""


async def test_bad_rows_and_fields_are_told_apart_and_the_rest_goes_through(database: str) -> None:
    mapped = stream(fields=("name", "phone", "credit", "terms"))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"name": None, "phone": "no name"}, "column name, SQLSTATE 23502"),
        ({"name": "a", "phone": "taken"}, "constraint party_phone_key, SQLSTATE 23505"),
        ({"name": "a", "phone": None, "credit": "-1.00"}, "constraint credit_not_negative, SQLSTATE 23514"),
        ({"name": "a", "phone": None, "terms": "9"}, "constraint party_terms_fkey, SQLSTATE 23503"),
        ({"name": "refuse me", "phone": None}, "function refuse, SQLSTATE P0001"),
        ({"name": "odd", "phone": None}, "function refuse, SQLSTATE XY123"),
        ({"name": "a", "phone": None, "terms": "nine"}, "field terms, SQLSTATE 22P02"),
    ]
    async with World(database, mapped, ddl=BAD_ROWS) as world:
        await world.made("r-taken", name="first", phone="taken")
        good = [world.create(f"r-{n}", name=f"n{n}", phone=str(n)) for n in range(40)]
        mixed = list(good)
        for n, (values, _) in enumerate(bad):
            mixed.insert(n * 5, world.create(f"bad-{n}", **values))
        results = await world.write(*mixed)
        answers = {write.record: result for write, result in zip(mixed, results, strict=True)}
        for n, (_, why) in enumerate(bad):
            result = answers[f"bad-{n}"]
            by_field = [name for name in ("credit", "terms") if name in bad[n][0]]
            assert (result.status, list(result.refused)) == ("applied" if by_field else "rejected", by_field)
            assert why in str(result.refused or result.reason)
            assert "secret" not in str(result)
        assert all((answers[write.record].status, answers[write.record].refused) == ("applied", {}) for write in good)
        assert world.sql("select count(*), count(credit), count(terms) from party") == [(44, 0, 0)]


async def test_what_is_refused_of_an_update_is_refused_alone(database: str) -> None:
    async with World(database, stream(fields=("name", "credit")), ddl=BAD_ROWS) as world:
        keys = [result.key for result in await world.write(*(world.create(f"r-{n}", name="a") for n in range(9)))]
        writes = [
            world.update(str(key), {"name": "a"}, name="refuse me" if n % 4 == 0 else "b", credit="1.00")
            for n, key in enumerate(keys)
        ]
        refused = [list(result.refused) for result in await world.write(*writes)]
        assert refused == [["name"] if n % 4 == 0 else [] for n in range(9)]
        assert world.sql("select name, count(*), count(credit) from party group by 1 order by 1") == [
            ("a", 3, 3),
            ("b", 6, 6),
        ]


@pytest.mark.long
@pytest.mark.parametrize("value", [{"name": "refuse me"}, {"name": "a", "credit": "x"}])
async def test_a_whole_batch_of_bad_rows_is_answered_in_time(database: str, value: dict[str, str]) -> None:
    async with World(database, stream(fields=("name", "credit")), ddl=BAD_ROWS) as world:
        writes = [world.create(f"r-{n}", **value) for n in range(2_000)]
        async with within(60):
            results = await world.write(*writes, world.create("good", name="good"))
        assert [result.status for result in results] == [("rejected" if len(value) == 1 else "applied")] * 2_000 + [
            "applied"
        ]
        assert world.sql("select count(*) from party where name = 'good' or name = 'a' and credit is null") == [
            (1 if len(value) == 1 else 2_001,)
        ]


async def test_a_constraint_that_waits_for_commit_still_rejects_one_row(database: str) -> None:
    ddl = """create table other (id int primary key);
             create table party (id int generated always as identity primary key, ext text unique, name text,
                                 v int constraint v_is_there references other deferrable initially deferred)"""
    async with World(database, stream(fields=("name", "v")), ddl=ddl) as world:
        good, bad = await world.write(world.create("r-1", name="a"), world.create("r-2", v="9"))
        assert (good.status, bad.status) == ("applied", "rejected")
        assert "v_is_there" in bad.reason
