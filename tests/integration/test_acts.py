"""What people do is in the ledger: with who and why, in a lane of its own, chained like all else."""

from __future__ import annotations

import asyncio
import io

import msgspec
import psycopg
import pytest

from fieldwarden.engine.hub.acts import append
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.audit import VerifyReport, verify
from fieldwarden.engine.hub.views.export import Filters
from fieldwarden.engine.ledger.entries import PEOPLE, Act, decode_act, encode_act
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.shell.audit import written
from tests.builders import rulebook
from tests.integration.ledger_builder import RULEBOOK, START, Builder

SCHEMA = "fieldwarden"
DISCARDED = Act("discarded", "ada@desk", "typed twice", START, {"letter": "7", "system": "crm"})


async def noted(dsn: str, act: Act, *, rollback: bool = False) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(f"set search_path to {SCHEMA}".encode())
        await append(connection, act, RULEBOOK)
        if rollback:
            await connection.rollback()


async def audited(dsn: str) -> VerifyReport:
    async with snapshot(dsn, SCHEMA) as connection:
        return await verify(connection)


def change(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(f"set search_path to {SCHEMA}".encode())
        connection.execute(statement.encode())


@pytest.fixture
def hub(hub_dsn: str) -> str:
    with psycopg.connect(hub_dsn) as connection:
        build = Builder(connection)
        build.block("crm", [build.change(1, {"name": "Ada"}, linked="new")])
        build.records()
    return hub_dsn


def test_an_act_is_canonical_json() -> None:
    told = encode_act(Act("applied", "ada@desk", "", 5, {"old": "a", "new": "b"}))
    assert told == b'{"act":"applied","who":"ada@desk","why":"","at":5,"details":{"new":"b","old":"a"}}'
    assert encode_act(decode_act(told)) == told
    with pytest.raises(msgspec.DecodeError):
        decode_act(b'{"entity":"customer"}')


async def test_acts_are_verified_and_are_no_record(hub: str) -> None:
    await noted(hub, DISCARDED)
    await noted(hub, DISCARDED, rollback=True)
    await noted(hub, DISCARDED)
    report = await audited(hub)
    assert report.ok, report.breaks
    assert (report.acts, report.records, report.entries) == (2, 1, 3)
    assert [(head.lane, head.blocks) for head in report.lanes] == [(PEOPLE, 2), ("crm", 1)]


async def test_acts_at_the_same_time_follow_each_other(hub: str) -> None:
    await asyncio.gather(*(noted(hub, DISCARDED) for _ in range(8)))
    report = await audited(hub)
    assert report.ok, report.breaks
    assert report.acts == 8


@pytest.mark.parametrize(
    ("tampering", "kinds"),
    [
        ("update ledger_entry set body = replace(body, 'ada', 'eve') where lane = '#people'", {"entry_altered"}),
        ("delete from ledger_entry where lane = '#people'", {"entry_missing"}),
        (
            "update ledger_entry set record = (select id from record) where lane = '#people'",
            {"entry_altered", "replay"},
        ),
    ],
)
async def test_an_altered_act_is_named(hub: str, tampering: str, kinds: set[str]) -> None:
    await noted(hub, DISCARDED)
    change(hub, tampering)
    report = await audited(hub)
    assert {each.kind for each in report.breaks} == kinds
    assert all(each.lane == PEOPLE for each in report.breaks)


async def test_an_act_is_exported_with_who_and_why(hub: str) -> None:
    rules = rulebook()
    await noted(hub, DISCARDED)

    async def exported(filters: Filters) -> list[dict[str, str]]:
        out = io.StringIO()
        await written(LiveHub(hub, SCHEMA, rules), filters, "jsonl", out)
        return [msgspec.json.decode(line) for line in out.getvalue().splitlines()]

    assert [row["event"] for row in await exported(Filters(system="crm"))] == ["said"]
    act = next(row for row in await exported(Filters()) if row["lane"] == PEOPLE)
    assert (act["event"], act["who"], act["why"], act["rule"]) == (
        "discarded",
        "ada@desk",
        "typed twice",
        "letter 7, system crm",
    )
