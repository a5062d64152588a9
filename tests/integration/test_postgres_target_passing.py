"""A value that must be unique passes from row to row: swapped, shifted, reused, without a delete and without harm."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.ports.target import WriteResult
from tests.integration.target_world import World, stream

PARTY = """
create table party (
    id bigint generated always as identity primary key,
    ext text unique, code text {null}, company int not null default 1, name text, {unique}
);
create function kept() returns trigger language plpgsql as $$ begin raise exception 'a row was deleted'; end $$;
create trigger kept before delete on party for each row when (current_setting('test.deleting', true) is null)
    execute function kept();
"""
FIELDS = ("code", "name")


def world(dsn: str, unique: str = "unique (code)", null: str = "", **more: Any) -> World:
    return World(dsn, stream(fields=FIELDS, **more), ddl=PARTY.format(unique=unique, null=null))


async def three(world: World) -> list[str]:
    return [await world.made(f"r-{code}", code=code, name=code) for code in "abc"]


def done(results: list[WriteResult]) -> bool:
    return all((each.status, each.differing, each.refused) == ("applied", {}, {}) for each in results)


def codes(world: World) -> list[str | None]:
    return [code for (code,) in world.sql("select code from party order by id")]


@pytest.mark.parametrize("null", ["", "not null"])
@pytest.mark.parametrize("unique", ["unique (code)", "unique (company, code)", "exclude using btree (code with =)"])
async def test_two_rows_that_swap_a_value_both_get_it(database: str, null: str, unique: str) -> None:
    async with world(database, unique, null) as target:
        first, second, _ = await three(target)
        results = await target.write(
            target.update(first, {"code": "a", "name": "a"}, code="b", name="first"),
            target.update(second, {"code": "b", "name": "b"}, code="a", name="second"),
        )
        assert done(results), results
        assert codes(target) == ["b", "a", "c"]
        assert target.sql("select name from party order by id") == [("first",), ("second",), ("c",)]


async def test_values_that_go_round_over_three_rows_arrive(database: str) -> None:
    async with world(database, "unique nulls not distinct (code)") as target:
        keys = await three(target)
        moves = zip(keys, "abc", "bca", strict=True)
        assert done(await target.write(*(target.update(key, {"code": was}, code=now) for key, was, now in moves)))
        assert codes(target) == ["b", "c", "a"]


@pytest.mark.parametrize("backwards", [False, True])
async def test_values_that_shift_over_many_rows_arrive(database: str, backwards: bool) -> None:
    async with world(database, null="not null") as target:
        number = 60
        keys = [await target.made(f"r-{n}", code=f"{n:03}") for n in range(number)]
        writes = [target.update(key, {"code": f"{n:03}"}, code=f"{n + 1:03}") for n, key in enumerate(keys)]
        assert done(await target.write(*(reversed(writes) if backwards else writes)))
        assert codes(target) == [f"{n + 1:03}" for n in range(number)]


async def test_a_value_is_reused_after_the_row_that_had_it_was_deleted(database: str) -> None:
    async with world(database) as target:
        first, *_ = await three(target)
        target.sql(f"alter database {target.person.info.dbname} set test.deleting = 'yes'")
        await target.target.close()
        results = await target.write(target.create("r-new", code="a", name="new"), target.delete(first))
        assert done(results), results
        assert target.row("ext, name", "code = 'a'") == ("r-new", "new")


@pytest.mark.parametrize("name", ["public.party", "customers"])
async def test_a_value_that_nobody_gives_up_is_refused_and_says_who_has_it(database: str, name: str) -> None:
    async with world(database, "unique (company, code)", name=name, table="public.party") as target:
        first, second, third = await three(target)
        taken, swapped, other = await target.write(
            target.update(first, {"code": "a"}, code="c"),
            target.update(second, {"code": "b"}, code="a"),
            target.create("r-x", code="c", name="x"),
        )
        assert [each.status for each in (taken, swapped, other)] == ["rejected"] * 3
        assert "23505" in taken.reason
        assert (taken.holder, swapped.holder, other.holder) == (third, first, third)
        assert codes(target) == ["a", "b", "c"], "nothing of it stays behind"


async def test_what_is_unique_in_a_table_that_a_trigger_writes_refuses_its_row_alone(database: str) -> None:
    async with world(database) as target:
        first, second, _ = await three(target)
        target.sql("""create table outbox (note text unique);
            create function noted() returns trigger language plpgsql as
                $$ begin insert into outbox values (new.name); return new; end $$;
            create trigger noted after update on party for each row execute function noted()""")
        assert done(await target.write(target.update(first, {"name": "a"}, name="x")))
        again, other = await target.write(
            target.update(second, {"name": "b"}, name="x"), target.update(first, {"name": "x"}, name="y")
        )
        assert (again.status, again.holder, other.status) == ("rejected", None, "applied")
        assert "23505" in again.reason


async def test_a_swap_that_somebody_came_before_is_left_undone_whole(database: str) -> None:
    async with world(database) as target:
        first, second, _ = await three(target)
        target.sql("update party set code = 'z' where id = %s", int(second))
        one, two = await target.write(
            target.update(first, {"code": "a"}, code="b"), target.update(second, {"code": "b"}, code="a")
        )
        assert (one.status, one.differing) == ("applied", {})
        assert (two.status, two.differing) == ("applied", {"code": "z"})
        assert codes(target) == ["b", "z", "c"]
