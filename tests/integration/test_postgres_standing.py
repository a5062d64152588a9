"""Which rows a table holds: by keys as the engine writes them, whatever their columns' types."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.looking.still_there import standing
from fieldwarden.engine.change import key_text
from fieldwarden.engine.errors import EnvironmentUnfit
from tests.integration.reading import run, stream

ACCOUNT = stream("public.account", ("id",), ("name",))


async def test_those_that_are_there_are_told_from_those_that_are_not(database: str) -> None:
    run(
        database,
        'create table "line"(tenant uuid, "No." numeric(8,2), primary key (tenant, "No."))',
        "insert into line select '6ba7b810-9dad-11d1-80b4-00c04fd430c8', n from unnest(array[1.5, 2]) as n",
    )
    line = stream("public.line", ("tenant", "No."), ())
    upper = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"
    there, spelt, gone = (key_text(parts) for parts in ((upper.lower(), "1.50"), (upper, "2.0"), (upper, "3.00")))
    assert await standing("crm", database, line, [gone, spelt, there]) == {there, spelt}
    assert await standing("crm", database, line, []) == set()


async def test_a_key_that_its_column_cannot_hold_names_no_row(database: str) -> None:
    run(
        database,
        "create table account (id int primary key, name text)",
        "insert into account values (1, 'a'), (2, 'b')",
    )
    assert await standing("crm", database, ACCOUNT, ["x", "2", "9" * 30]) == {"2"}


async def test_a_table_or_key_that_is_not_there_is_said(database: str) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"crm: public\.account has no column id that can be read"):
        await standing("crm", database, ACCOUNT, ["1"])
