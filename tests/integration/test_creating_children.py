"""Child rows are created once: by a partial unique index, by a record id, or by looking for them under the parent."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.ports.target import WriteResult
from fieldwarden.rules.expressions import parse
from fieldwarden.rules.rulebook import Stream
from tests.integration.mechanisms import Parties
from tests.integration.target_world import WAITING, World, stream

DDL = """
create table party (id int primary key, ext text unique, name text);
create table mechanism (
    id int generated always as identity primary key, party_id int references party, type text, value text,
    main boolean not null default false, ext text unique);
create unique index one_main on mechanism (party_id, type) where main;
insert into party values (1, 'p1', 'Acme'), (2, 'p2', 'Bolt');
"""
LOOKED_UP = {"conflict": ("party_id",), "parent_row": ("public.party", ("id",))}
PARTIAL = {"conflict": ("party_id", "type"), "conflict_where": parse("main")}


def emails(**more: Any) -> Stream:
    settings: dict[str, Any] = {
        "external_id": None,
        "table": "public.mechanism",
        "parent": "public.party",
        "parent_columns": ("party_id",),
        "constants": {"type": "email"},
        "where": parse("type = 'email'"),
    }
    return stream("email", ("value",), **(settings | more))


def world(database: str, **more: Any) -> World:
    return World(database, stream(fields=("name",)), emails(**more), ddl=DDL)


def create(world: World, value: str, parent: str = "1", record: str = "r-1") -> Any:
    return world.create(record, on="email", parent=parent, value=value)


def rows(world: World) -> list[tuple[Any, ...]]:
    return world.sql("select party_id, type, value from mechanism order by id")


# --- looked up under a locked parent ------------------------------------------------------------------------------


async def test_a_row_that_is_there_already_is_found_and_not_made_again(database: str) -> None:
    async with world(database, **LOOKED_UP) as w:
        w.sql("insert into mechanism (party_id, type, value) values (1, 'phone', '1'), (2, 'email', 'there@x')")
        first, other = await w.write(create(w, "new@x"), create(w, "new@x", "2", "r-2"))
        assert (first.status, first.differing) == ("applied", {})
        assert (other.status, other.differing) == ("applied", {"value": "there@x"})
        assert rows(w) == [(1, "phone", "1"), (2, "email", "there@x"), (1, "email", "new@x")]
        again = await w.one(create(w, "other@x"))
        assert (again.key, again.differing) == (first.key, {"value": "new@x"})
        assert len(rows(w)) == 3


async def test_of_several_rows_that_are_there_the_first_answers(database: str) -> None:
    async with world(database, **LOOKED_UP) as w:
        w.sql("insert into mechanism (party_id, type, value) values (1, 'email', 'a'), (1, 'email', 'b')")
        result = await w.one(create(w, "c"))
        assert (result.status, result.key, result.differing) == ("applied", "1", {"value": "a"})


async def test_a_row_that_somebody_inserts_meanwhile_is_waited_for(database: str) -> None:
    async with world(database, **LOOKED_UP) as w:
        with psycopg.connect(database) as person:
            person.execute("insert into mechanism (party_id, type, value) values (1, 'email', 'theirs')")
            writing = asyncio.create_task(w.one(create(w, "ours")))
            await w.until(WAITING)
            person.commit()
        result: WriteResult = await writing
        assert (result.status, result.differing) == ("applied", {"value": "theirs"})
        assert rows(w) == [(1, "email", "theirs")]


async def test_two_writers_at_once_make_one_row(database: str) -> None:
    async with world(database, **LOOKED_UP) as one, World(database, *one.streams.values(), ddl="") as other:
        writes = [w.one(create(w, value)) for w, value in ((one, "a"), (other, "b")) for _ in (1,)]
        results = await asyncio.gather(*writes)
        assert {result.status for result in results} == {"applied"}
        assert len({result.key for result in results}) == 1
        assert len(rows(one)) == 1


async def test_a_row_that_would_not_be_one_of_the_stream_is_not_made(database: str) -> None:
    where = parse("type = 'email' and value like '%@%'")
    async with world(database, where=where, **LOOKED_UP) as w:
        wrong, right = await w.write(create(w, "no address"), create(w, "a@x", "2", "r-2"))
        assert wrong.status == "rejected"
        assert "`where` does not hold for what it would be created with" in wrong.reason
        assert right.status == "applied"
        assert rows(w) == [(2, "email", "a@x")]


# --- a partial unique index ---------------------------------------------------------------------------------------


async def test_a_partial_unique_index_makes_creating_twice_yield_one(database: str) -> None:
    constants = {"type": "email", "main": "true"}
    where = parse("type = 'email' and main")
    async with world(database, constants=constants, where=where, **PARTIAL) as w:
        w.sql("insert into mechanism (party_id, type, value) values (1, 'email', 'beside')")
        first = await w.one(create(w, "main@x"))
        again = await w.one(create(w, "main@x"))
        assert (first.status, again.status, again.key) == ("applied", "applied", first.key)
        assert rows(w) == [(1, "email", "beside"), (1, "email", "main@x")]


# --- a record's id in the child row -------------------------------------------------------------------------------


async def test_a_child_row_may_carry_the_records_id(database: str) -> None:
    async with world(database, external_id="ext") as w:
        first = await w.one(create(w, "a@x"))
        again = await w.one(create(w, "a@x"))
        assert (first.status, again.status, again.key) == ("applied", "applied", first.key)
        assert w.sql("select ext, value from mechanism") == [("r-1", "a@x")]


async def test_a_row_that_was_given_to_another_parent_is_not_taken_for_this_ones(database: str) -> None:
    async with world(database, external_id="ext") as w:
        await w.one(create(w, "a@x"))
        w.sql("update mechanism set party_id = 2")
        result = await w.one(create(w, "a@x"))
        assert result.status == "rejected"
        assert "another parent's" in result.reason


# --- the whole way ------------------------------------------------------------------------------------------------

CREATING = "    where: type = 'email'\n    create: true\n    set: {type: email}\n"


@pytest.fixture
def lacking(parties: Parties) -> Parties:
    """The CRM knows an e-mail that the ERP has no row for."""
    parties.edit("systems/erp.yaml", "    where: type = 'email'\n", CREATING)
    parties.crm("insert into account (name, tax, email) values ('Acme', 'T1', 'crm@x')")
    return parties


def test_an_email_is_created_in_a_table_in_which_nothing_is_unique(lacking: Parties) -> None:
    assert lacking.invoke("validate").exit_code == 0
    assert "creating twice" not in lacking.invoke("doctor").output
    lacking.settle()
    assert lacking.mechanisms() == [("email", "crm@x")]
    lacking.settle()
    lacking.crm("update account set email = 'new@x'")
    lacking.settle()
    assert lacking.mechanisms() == [("email", "new@x")]
    lacking.is_sound()


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "ddl"),
    [
        ("external_id: fieldwarden_id", "alter table mechanism add fieldwarden_id text unique"),
        (
            "unique: {columns: [party_id, type], where: sequence is null}",
            "create unique index on mechanism (party_id, type) where sequence is null",
        ),
    ],
)
def test_an_email_is_created_by_what_the_table_has(key: str, ddl: str, lacking: Parties) -> None:
    lacking.erp(ddl)
    lacking.edit("systems/erp.yaml", CREATING, f"{CREATING}    {key}\n")
    assert lacking.invoke("validate").exit_code == 0
    assert lacking.invoke("doctor").exit_code == 0
    lacking.settle()
    lacking.settle()
    assert lacking.mechanisms() == [("email", "crm@x")]
    lacking.is_sound()


def test_doctor_proposes_no_constraint_that_the_rows_there_do_not_keep(lacking: Parties) -> None:
    lacking.edit("systems/erp.yaml", CREATING, f"{CREATING}    unique: [party_id, type]\n")
    told = " ".join(lacking.invoke("doctor").output.split())
    assert "leave `unique` out" in told
    lacking.erp("create unique index on mechanism (party_id, type) where sequence is null")
    told = " ".join(lacking.invoke("doctor").output.split())
    assert "is unique only where (sequence IS NULL)" in told
    assert "ADD UNIQUE" not in told
