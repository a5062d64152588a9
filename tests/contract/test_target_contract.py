"""What every target promises, said once, and held against the real one and the fake."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from fieldwarden.connectors.salesforce.writing.target import SalesforceTarget
from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Target, Write, WriteResult, answers
from fieldwarden.engine.testing import MemoryTarget, TargetRow
from fieldwarden.engine.testing.vendor import KINDS, Manners, Vendor, VendorTarget
from fieldwarden.rules.rulebook import System
from tests.builders import postgres, rulebook
from tests.integration.salesforce_org import EXT, RestOrg, logged_in
from tests.integration.target_world import World, stream

FIELDS = ("name", "phone")
TOO_LONG = "0123456789"
PARTY, ADDRESS = "public.party", "public.address"
DDL = """
create table party (id bigint generated always as identity primary key, ext text unique, name text,
                    phone text check (length(phone) < 10));
create table address (id bigint generated always as identity primary key, party_id bigint unique references party,
                      city text)
"""


class Bench(Protocol):
    """A target, and a way to look at its rows and edit them behind its back."""

    target: Target

    def rows(self, stream: str) -> dict[str, dict[str, Value]]: ...
    def edit(self, stream: str, key: str, field: str, value: Value) -> None: ...
    def remove(self, stream: str, key: str) -> None: ...


class RealBench:
    def __init__(self, dsn: str) -> None:
        below = {"external_id": None, "parent": PARTY, "parent_columns": ("party_id",), "conflict": ("party_id",)}
        self.world = World(dsn, stream(PARTY, FIELDS), stream(ADDRESS, ("city",), **below), ddl=DDL)
        self.target: Target = self.world.target

    def rows(self, stream: str) -> dict[str, dict[str, Value]]:
        fields = FIELDS if stream == PARTY else ("city",)
        found = self.world.sql(f"select id::text, {', '.join(fields)} from {stream}")
        return {key: dict(zip(fields, values, strict=True)) for key, *values in found}

    def edit(self, stream: str, key: str, field: str, value: Value) -> None:
        self.world.sql(f"update {stream} set {field} = %s where id = %s", value, key)

    def remove(self, stream: str, key: str) -> None:
        self.world.sql(f"delete from {stream} where id = %s", key)


class MemoryBench:
    def __init__(self) -> None:
        self.memory = MemoryTarget("erp", refuse=self._refuse)
        self.target: Target = self.memory

    def _refuse(self, _stream: str, name: str, value: Value) -> str:
        return "it is too long" if name == "phone" and len(value or "") >= 10 else ""

    def rows(self, stream: str) -> dict[str, dict[str, Value]]:
        return {key: dict(row.values) for key, row in self.memory.rows.get(stream, {}).items()}

    def edit(self, stream: str, key: str, field: str, value: Value) -> None:
        row: TargetRow = self.memory.rows[stream][key]
        row.values[field] = value

    def remove(self, stream: str, key: str) -> None:
        del self.memory.rows[stream][key]


class VendorBench(MemoryBench):
    """A service with one call per record, on its good days."""

    def __init__(self, manners: Manners) -> None:
        vendor = Vendor("erp", manners, refuse=self._refuse)
        self.memory = vendor.memory
        self.target = VendorTarget(vendor)


class SalesforceBench:
    """Salesforce's REST API, as the sandbox's org has it."""

    def __init__(self, org: RestOrg, target: Target) -> None:
        self.org = org
        self.target = target

    def rows(self, stream: str) -> dict[str, dict[str, Value]]:
        columns = {"name": "Name", "phone": "Phone"} if stream == PARTY else {"city": "City__c"}
        rows = self.org.rows("Account" if stream == PARTY else "Site__c")
        return {key: {name: row.get(column) for name, column in columns.items()} for key, row in rows.items()}

    def edit(self, _stream: str, key: str, field: str, value: Value) -> None:
        self.org.org.records[key][{"name": "Name", "phone": "Phone"}[field]] = value

    def remove(self, _stream: str, key: str) -> None:
        del self.org.org.records[key]


@asynccontextmanager
async def salesforce() -> AsyncIterator[Bench]:
    columns = {"name": "Name", "phone": "Phone", "city": "City__c"}
    below = {"table": "Site__c", "parent": PARTY, "parent_columns": ("Account__c",)}
    streams = [
        stream(PARTY, FIELDS, columns=columns, key=("Id",), external_id=EXT, table="Account"),
        stream(ADDRESS, ("city",), columns=columns, key=("Id",), external_id=EXT, **below),
    ]
    async with RestOrg() as org, logged_in(org) as session:
        system = System("erp", 0, postgres(), {each.name: each for each in streams})
        yield SalesforceBench(org, SalesforceTarget(session, system, rulebook().entities))


@pytest.fixture(params=["memory", "vendor", "salesforce", "postgres"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "salesforce":
        async with salesforce() as made:
            yield made
        return
    if request.param != "postgres":
        yield MemoryBench() if request.param == "memory" else VendorBench(KINDS["unique ids"])
        return
    real = RealBench(request.getfixturevalue("database"))
    async with real.world:
        yield real


tokens = itertools.count(1)


def create(record: str, /, *, to: str = PARTY, parent: str | None = None, **values: Value) -> Write:
    return Write(next(tokens), record, to, "create", None, values, parent_key=parent)


def update(key: str, was: dict[str, Value], /, **values: Value) -> Write:
    token = next(tokens)
    return Write(token, "r-1", PARTY, "update", key, values, was, turn=str(token))


def delete(key: str, /, *, to: str = PARTY) -> Write:
    return Write(next(tokens), "r-1", to, "delete", key, {})


async def one(bench: Bench, write: Write) -> WriteResult:
    (result,) = await answers(bench.target, [write])
    assert result.token == write.token
    return result


async def made(bench: Bench, record: str = "r-1", /, **values: Value) -> str:
    result = await one(bench, Write(next(tokens), record, PARTY, "create", None, values))
    assert result.key is not None
    return result.key


async def test_a_created_row_has_the_values_and_a_key(bench: Bench) -> None:
    result = await one(bench, create("r-1", name="Acme", phone=None))
    assert (result.status, result.differing) == ("applied", {})
    assert result.key is not None
    assert bench.rows(PARTY) == {result.key: {"name": "Acme", "phone": None}}


async def test_creating_twice_yields_one_row_that_is_not_overwritten(bench: Bench) -> None:
    key = await made(bench, "r-1", name="Acme", phone="1")
    bench.edit(PARTY, key, "phone", "edited")
    again = await one(bench, create("r-1", name="Acme", phone="1"))
    assert (again.status, again.key, again.differing) == ("applied", key, {"phone": "edited"})
    assert bench.rows(PARTY) == {key: {"name": "Acme", "phone": "edited"}}


async def test_a_child_row_is_created_once_below_its_parent(bench: Bench) -> None:
    key = await made(bench, "r-1", name="Acme")
    first = await one(bench, create("r-1", to=ADDRESS, parent=key, city="Bonn"))
    again = await one(bench, create("r-1", to=ADDRESS, parent=key, city="Bonn"))
    assert first.key == again.key
    assert [row["city"] for row in bench.rows(ADDRESS).values()] == ["Bonn"]


async def test_an_update_is_compare_and_set_field_by_field(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    bench.edit(PARTY, key, "phone", "edited")
    result = await one(bench, update(key, {"name": "Acme", "phone": "1"}, name="Acme AG", phone="2"))
    assert (result.status, result.key, result.differing) == ("applied", key, {"phone": "edited"})
    assert bench.rows(PARTY)[key] == {"name": "Acme AG", "phone": "edited"}


async def test_a_field_of_which_nothing_was_expected_is_written_over_null_only(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone=None)
    result = await one(bench, update(key, {}, name="other", phone="1"))
    assert (result.status, result.differing) == ("applied", {"name": "Acme"})
    assert bench.rows(PARTY)[key] == {"name": "Acme", "phone": "1"}


async def test_an_unguarded_field_is_written_whatever_the_row_holds_and_the_others_are_not(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    bench.edit(PARTY, key, "phone", "N99?")
    bench.edit(PARTY, key, "name", "edited")
    write = update(key, {"name": "Acme"}, name="Acme AG", phone="2")
    write.unguarded = frozenset({"phone"})
    result = await one(bench, write)
    assert (result.status, result.differing) == ("applied", {"name": "edited"})
    assert bench.rows(PARTY)[key] == {"name": "edited", "phone": "2"}
    again = await one(bench, write)
    assert again.differing == {"name": "edited"}, "there is nothing left to write, and nothing is written"


async def test_delivering_again_is_done_and_changes_nothing(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    write = update(key, {"name": "Acme"}, name="Acme AG")
    assert (await one(bench, write)).differing == {}
    again = await one(bench, write)
    assert (again.status, again.key, again.differing) == ("applied", key, {})
    assert bench.rows(PARTY)[key] == {"name": "Acme AG", "phone": "1"}


async def test_null_and_the_empty_string_differ(bench: Bench) -> None:
    key = await made(bench, name="", phone=None)
    result = await one(bench, update(key, {"name": None, "phone": ""}, name="x", phone="y"))
    assert result.differing == {"name": "", "phone": None}


async def test_a_row_that_is_gone_is_missing(bench: Bench) -> None:
    key = await made(bench, name="Acme")
    bench.remove(PARTY, key)
    assert (await one(bench, update(key, {"name": "Acme"}, name="x"))).status == "missing"


async def test_a_deleted_row_is_gone(bench: Bench) -> None:
    key = await made(bench, name="Acme")
    assert (await one(bench, delete(key))).status == "applied"
    assert bench.rows(PARTY) == {}


async def test_deleting_again_is_done(bench: Bench) -> None:
    key = await made(bench, name="Acme")
    await one(bench, delete(key))
    assert (await one(bench, delete(key))).status == "applied"


async def test_every_write_gets_its_own_answer(bench: Bench) -> None:
    first, second = await made(bench, "r-1", name="A"), await made(bench, "r-2", name="B")
    bench.edit(PARTY, second, "name", "edited")
    writes = [
        update(second, {"name": "B"}, name="B2"),
        create("r-3", name="C"),
        delete(first),
        update("4711", {}, name="x"),
    ]
    results = {result.token: result for result in await answers(bench.target, writes)}
    told = [(results[write.token].status, results[write.token].differing) for write in writes]
    assert told == [("applied", {"name": "edited"}), ("applied", {}), ("applied", {}), ("missing", {})]
    assert sorted(str(row["name"]) for row in bench.rows(PARTY).values()) == ["C", "edited"]


async def test_a_field_that_the_target_refuses_holds_up_no_other(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    result = await one(bench, update(key, {"name": "Acme", "phone": "1"}, name="Acme AG", phone=TOO_LONG))
    assert (result.status, result.key, result.differing, list(result.refused)) == ("applied", key, {}, ["phone"])
    assert TOO_LONG not in result.refused["phone"]
    assert bench.rows(PARTY)[key] == {"name": "Acme AG", "phone": "1"}


async def test_where_nothing_is_left_to_write_the_write_is_rejected_with_the_fields(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    result = await one(bench, update(key, {"phone": "1"}, phone=TOO_LONG))
    assert (result.status, list(result.refused)) == ("rejected", ["phone"])
    assert result.reason


async def test_a_row_is_created_without_what_is_refused_of_it(bench: Bench) -> None:
    result = await one(bench, create("r-1", name="Acme", phone=TOO_LONG))
    assert (result.status, list(result.refused)) == ("applied", ["phone"])
    [row] = bench.rows(PARTY).values()
    assert (row["name"], row.get("phone")) == ("Acme", None)


async def test_what_goes_together_is_refused_together(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    write = update(key, {"name": "Acme", "phone": "1"}, name="Acme AG", phone=TOO_LONG)
    write.blocks = (("name", "phone"),)
    result = await one(bench, write)
    assert (result.status, sorted(result.refused)) == ("rejected", ["name", "phone"])
    assert bench.rows(PARTY)[key] == {"name": "Acme", "phone": "1"}


async def test_what_goes_together_is_written_together_or_left_to_who_changed_a_part(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    write = update(key, {"name": "Acme", "phone": "1"}, name="Acme AG", phone="2")
    write.blocks = (("name", "phone"),)
    bench.edit(PARTY, key, "name", "edited")
    result = await one(bench, write)
    assert (result.status, result.differing) == ("applied", {"name": "edited", "phone": "1"})
    assert bench.rows(PARTY)[key] == {"name": "edited", "phone": "1"}
    bench.edit(PARTY, key, "name", "Acme AG")  # what is wanted: nobody stands in the way
    assert (await one(bench, write)).differing == {}
    assert bench.rows(PARTY)[key] == {"name": "Acme AG", "phone": "2"}
    assert (await one(bench, write)).differing == {}, "writing again is safe"


async def test_a_part_that_is_as_it_should_be_guards_the_rest_of_its_block(bench: Bench) -> None:
    key = await made(bench, name="Acme", phone="1")
    write = update(key, {"name": "Acme", "phone": "1"}, name="Acme", phone="2")
    write.blocks = (("name", "phone"),)
    bench.edit(PARTY, key, "name", "edited")
    assert (await one(bench, write)).differing == {"name": "edited", "phone": "1"}
    assert bench.rows(PARTY)[key] == {"name": "edited", "phone": "1"}


async def test_nothing_to_write_is_no_trouble(bench: Bench) -> None:
    assert list(await answers(bench.target, [])) == []


async def test_a_closed_target_may_be_closed_again(bench: Bench) -> None:
    await bench.target.close()
    await bench.target.close()
