"""Tables as wide as PostgreSQL allows: rows are created, looked at and updated, however many columns are mapped."""

from __future__ import annotations

import pytest

from tests.integration.target_world import World, stream
from tests.parts import first


def table(names: list[str], more: str = "") -> str:
    columns = ", ".join(f"{name} boolean" for name in names)
    return f"create table party (id int generated always as identity primary key, ext text unique, {columns}{more})"


@pytest.mark.parametrize("number", first(1, [101, 300, 1000]))
async def test_a_row_of_many_columns_is_created_and_updated(database: str, number: int) -> None:
    names = [f"c{n}" for n in range(number)]
    ddl = table(names)
    async with World(database, stream(fields=names), ddl=ddl) as world:
        key = await world.made("r-1", **dict.fromkeys(names, "t"))
        again = await world.one(world.create("r-1", **dict.fromkeys(names, "t")))
        assert (again.status, again.key, again.differing) == ("applied", key, {})
        world.sql(f"update party set {names[3]} = null, {names[-1]} = null")
        was = dict.fromkeys(names, "t")
        done = await world.one(world.update(key, was, **dict.fromkeys(names, "f")))
        assert (done.status, done.key, done.differing) == ("applied", key, {names[3]: None, names[-1]: None})
        ((row,),) = world.sql("select to_jsonb(party) - 'id' - 'ext' from party")
        assert row == {**dict.fromkeys(names, False), names[3]: None, names[-1]: None}
        missing = await world.one(world.update("77", was, **dict.fromkeys(names, "f")))
        assert missing.status == "missing"


@pytest.mark.long
async def test_one_refused_field_of_very_many_leaves_the_others_written(database: str) -> None:
    names = [f"c{n}" for n in range(520)]
    ddl = table(names, ", constraint always check (c510)")
    async with World(database, stream(fields=names), ddl=ddl) as world:
        key = await world.made("r-1", **dict.fromkeys(names, "t"))
        was = dict.fromkeys(names, "t")
        done = await world.one(world.update(key, was, **dict.fromkeys(names, "f")))
        assert (done.status, set(done.refused)) == ("applied", {"c510"})
        ((count,),) = world.sql("select count(*) from party, jsonb_each(to_jsonb(party)) where value = 'false'")
        assert count == 519


@pytest.mark.long
async def test_a_row_is_created_in_the_widest_table_there_can_be(database: str) -> None:
    names = [f"c{n}" for n in range(1598)]
    async with World(database, stream(fields=names), ddl=table(names)) as world:
        await world.made("r-1", **dict.fromkeys(names, "t"))
        ((count,),) = world.sql("select count(*) from party, jsonb_each(to_jsonb(party)) where value = 'true'")
        assert count == 1598
