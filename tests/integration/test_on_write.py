"""Columns of the application that each of our writes sets: together with what is written, never a reason to write."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.engine.guard import check_statement
from fieldwarden.rules.expressions import now, parse
from fieldwarden.rules.rulebook import System
from tests.builders import postgres
from tests.integration.cli_project import Shop
from tests.integration.target_world import PARTY, World, stream

TOUCHED = """,
    write_date timestamp, write_day date, at timestamptz, write_uid integer, shown varchar(40), version integer
)
"""
DDL = PARTY.rstrip().removesuffix(")") + TOUCHED
SET = {
    "write_date": now(),
    "write_day": now(),
    "at": now(),
    "write_uid": parse("7"),
    "shown": parse("upper(name) || coalesce(phone, '-')"),
    "version": parse("coalesce(version, 0) + 1"),
}


async def test_a_write_sets_them_as_the_row_is_after_it(database: str) -> None:
    async with World(database, stream(on_write=SET), ddl=DDL) as world:
        created = await world.one(world.create(name="Ada", phone=None))
        assert world.row("write_uid, shown, version") == (7, "ADA-", 1)
        key = str(created.key)
        await world.one(world.update(key, {"name": "Ada", "phone": None}, name="Bea", phone="1"))
        assert world.row("write_uid, shown, version") == (7, "BEA1", 2)


async def test_the_time_is_that_of_the_columns_zone(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as person:
        named = sql.Identifier(person.info.dbname)
        person.execute(sql.SQL("alter database {} set timezone = 'Asia/Tokyo'").format(named))
    async with World(database, stream(on_write=SET), ddl=DDL) as world:
        await world.one(world.create(name="Ada"))
        assert world.row("abs(extract(epoch from write_date - (at at time zone 'UTC'))), now() - at < '1 min'") == (
            0,
            True,
        )
        assert world.row("write_day = (at at time zone 'UTC')::date") == (True,)


async def test_what_changes_nothing_else_does_not_touch_them(database: str) -> None:
    async with World(database, stream(on_write=SET), ddl=DDL) as world:
        created = await world.one(world.create(name="Ada"))
        await world.one(world.update(str(created.key), {"name": "Ada"}, name="Ada"))
        await world.one(world.create(name="Ada"))
        assert world.row("version") == (1,)
        lost = await world.one(world.update(str(created.key), {"name": "Eve"}, name="Bea"))
        assert lost.differing
        assert world.row("version, shown") == (1, "ADA-")


async def test_a_value_that_the_column_cannot_hold_is_refused_with_its_row_alone(database: str) -> None:
    async with World(database, stream(on_write=SET), ddl=DDL) as world:
        good, bad = await world.write(world.create(name="Ada"), world.create("r-2", name="x" * 50))
        assert (good.status, bad.status) == ("applied", "rejected")
        assert world.row("name") == ("Ada",)


def test_the_guard_knows_them() -> None:
    party = stream(on_write=SET)
    check_statement(party, "update", ("public", "party"), "UPDATE public.party AS t SET write_uid = 7 WHERE id = 1")
    with pytest.raises(Exception, match="'kind'"):
        check_statement(party, "update", ("public", "party"), "UPDATE public.party AS t SET kind = 'x' WHERE id = 1")


async def test_doctor_says_what_cannot_be_set(database: str) -> None:
    more = {"double": parse("1"), "nowhere": parse("2"), "shown": parse("name + 1"), "kind": parse("lower(nobody)")}
    party = stream(on_write=more)
    async with World(
        database, party, ddl=DDL.rstrip().removesuffix(")") + ", double text generated always as (name) stored)"
    ):
        found = await probe(System("erp", 0, postgres(), {party.name: party}), database)
    said = [each.message for each in found if not each.ok]
    assert "public.party.double is a generated column, which on_write cannot set" in said
    assert "public.party has no column nowhere" in said
    assert "public.party has no column nobody" in said
    assert any(each.startswith("public.party, on_write shown: ") for each in said)


def test_they_are_no_edit_and_start_no_writing(shop: Shop) -> None:
    shop.sql("erp", "alter table party add write_date timestamptz, add write_uid int")
    shop.edit(
        "systems/erp.yaml",
        "    key: id\n",
        "    key: id\n    changed_at: write_date\n    on_write: {write_date: now(), write_uid: 7}\n",
    )
    shop.settle()
    shop.sql("crm", "update account set name = 'Alder' where vat_number = 'DE811907980'")
    shop.settle()
    [(name, uid, written)] = shop.sql("erp", "select name, write_uid, write_date from party where id = 4000")
    assert (name, uid) == ("Alder", 7)
    assert shop.settle()
    assert shop.sql("erp", "select write_date from party where id = 4000") == [(written,)]
    shop.holds_what_is_golden()
