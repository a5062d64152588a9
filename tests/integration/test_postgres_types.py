"""docs/postgres-types.md, walked on a real server: what each type is read as, and what comes of writing it back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from fieldwarden.rules.errors import ValueRefused
from fieldwarden.rules.values import parse_type
from tests.integration.reading import reading, run, source, system
from tests.integration.reading import stream as read_stream
from tests.integration.target_world import World, stream

PAGE = Path(__file__).resolve().parents[2] / "docs/postgres-types.md"
MADE = """
create type mood as enum ('glad', 'sad');
create domain euros as numeric(10,2) check (value >= 0);
create type point_of_sale as (city text, number int);
create type opening as range (subtype = time)
"""
REFUSED = "set aside"


class Case(NamedTuple):
    """One line of the table: a column's type, a value as SQL has it, the field's type, and what comes of it."""

    type: str
    value: str
    field: str
    read: str
    written: str


def cases() -> list[Case]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return [Case(*(part.strip().strip("`") for part in line.strip("|").split("|"))) for line in lines]


async def read_as(dsn: str, case: Case) -> str:
    run(dsn, *MADE.split(";\n"), f"create table t (id int primary key, v {case.type})")
    run(dsn, f"insert into t values (1, '{case.value}')")
    async with reading(source(system(read_stream("public.t", ("id",), ("v",))), dsn)) as reader:
        await reader.baseline()
        run(dsn, f"insert into t values (2, '{case.value}')")
        first, second = [change.values[1] for change in await reader.count(2)]
    assert first == second, "a first read and the stream bring the same text"
    assert isinstance(first, str)
    canonical = parse_type(case.field).canonical()
    try:
        return first if canonical is None else canonical(first)
    except ValueRefused:
        return REFUSED


async def written_back(dsn: str, case: Case) -> str:
    ddl = f"create table u (id int primary key, v {case.type}); insert into u values (1, null)"
    async with World(dsn, stream("public.u", ("v",), external_id=None, creates=False), ddl=ddl) as world:
        result = await world.one(world.update("1", v=case.read))
        if result.status != "applied" or result.refused:
            return "parked"
        ((same,),) = world.sql("select (select v::text from u) = (select v::text from t where id = 1)")
        return "the same" if same else str(world.sql("select v::text from u")[0][0])


def test_the_page_has_every_kind_of_type() -> None:
    assert len(cases()) >= 40


@pytest.mark.long
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.type} {case.value} as {case.field}")
async def test_a_type_is_read_and_written_as_the_page_says(database: str, case: Case) -> None:
    found = await read_as(database, case)
    assert found == case.read
    if found != REFUSED:
        assert await written_back(database, case) == case.written
