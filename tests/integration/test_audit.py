"""`audit verify` on a real hub: every byte of every ledger row counts, and every break is named where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.reading import Connection, begin, snapshot
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.views.audit import VerifyReport, verify
from fieldwarden.engine.ledger.chain import Break
from tests.integration.ledger_builder import Builder, record_id

SCHEMA = "fieldwarden"
Tamper = Callable[[Connection], Awaitable[Any]]


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedServer, hub_template: str) -> Iterator[str]:
    """Two lanes, blocks of one to four entries, records told of in both lanes. Whoever tampers with it rolls back."""
    name = "ledger_template"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name} template {hub_template}".encode())
        write(postgres.dsn(name))
        yield postgres.dsn(name)
        admin.execute(f"drop database {name} with (force)".encode())


def write(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        build = Builder(connection)
        build.block("crm", [build.change(n, {"name": f"Firm {n}", "email": f"{n}@x"}, linked="new") for n in range(4)])
        build.block("crm", [build.change(1, {"email": "one@x"})])
        build.block("erp", [build.change(1, {"name": "One"}), build.change(2, {"email": None}), build.change(5, {})])
        build.block("crm", [build.change(1, {"name": "Uno"}), build.change(3, {"email": "3@y"})])
        build.block("erp", [build.change(n, {"limit": "9.50"}) for n in (0, 1, 2)])
        build.block("crm", [build.change(0, {"name": "Zero"}, transaction="77")])
        build.records()


async def audited(dsn: str, *tampers: Tamper, named: int = 100) -> VerifyReport:
    """The report on a ledger that was tampered with, in a transaction that is rolled back."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await begin(connection, SCHEMA)
        for tamper in tampers:
            await tamper(connection)
        report = await verify(connection, named=named)
        await connection.rollback()
    return report


def run(statement: str, *values: Any) -> Tamper:
    return lambda connection: connection.execute(statement.encode(), values)


def names(report: VerifyReport) -> str:
    return "\n".join(map(str, report.breaks))


async def test_an_untouched_ledger_verifies(ledger: str) -> None:
    async with snapshot(ledger, SCHEMA) as connection:
        report = await verify(connection)
    assert report.ok, names(report)
    assert (report.blocks, report.entries, report.records, report.broken) == (6, 14, 5, 0)
    assert [(head.lane, head.blocks, head.height) for head in report.lanes] == [("crm", 4, 3), ("erp", 2, 1)]
    assert report.decisions == 17
    assert len(bytes.fromhex(report.lanes[0].hash)) == 32


async def test_an_empty_hub_verifies(hub_dsn: str) -> None:
    async with snapshot(hub_dsn, SCHEMA) as connection:
        report = await verify(connection)
    assert report.ok
    assert report.lanes == []


async def test_a_database_that_is_no_hub_is_said_to_be_none(database: str) -> None:
    with pytest.raises(EnvironmentUnfit, match="no schema 'elsewhere'"):
        async with snapshot(database, "elsewhere"):
            pass


FLIPS: dict[str, list[str]] = {
    "bytea": ["set_byte({c}, 0, get_byte({c}, 0) # 1)", "set_byte({c}, 31, get_byte({c}, 31) # 128)"],
    "text": [
        "overlay({c} placing chr(ascii(substr({c}, 1)) # 1) from 1 for 1)",
        "overlay({c} placing chr(ascii(substr({c}, length({c}))) # 1) from length({c}) for 1)",
        "overlay({c} placing chr(ascii(substr({c}, length({c}) / 2)) # 1) from length({c}) / 2 for 1)",
    ],
    "bigint": ["{c} # 64", "{c} # 4611686018427387904", "-1 - {c}"],
    "integer": ["{c} # 64", "{c} # 1073741824", "-1 - {c}"],
    "uuid": ["overlay({c}::text placing 'f' from 12 for 1)::uuid"],
    "timestamptz": ["{c} + interval '1 microsecond'", "'infinity'", "'294276-12-31'", "'4700-01-01 BC'"],
}
BLOCK = {
    "lane": "text",
    "height": "bigint",
    "previous": "bytea",
    "root": "bytea",
    "hash": "bytea",
    "rulebook": "text",
    "entries": "integer",
    "at": "timestamptz",
    "leaves": "bytea",
}
ENTRY = {
    "lane": "text",
    "height": "bigint",
    "ordinal": "integer",
    "record": "uuid",
    "version": "bigint",
    "body": "text",
}


@pytest.mark.parametrize("column", BLOCK)
async def test_one_flipped_byte_of_a_block_is_named(ledger: str, column: str) -> None:
    with psycopg.connect(ledger) as connection:
        rows = connection.execute("select lane, height from fieldwarden.ledger_block").fetchall()
    for flip in FLIPS[BLOCK[column]]:
        statement = f"update ledger_block set {column} = {flip.format(c=column)} where lane = %s and height = %s"
        for lane, height in rows:
            report = await audited(ledger, run(statement, lane, height))
            at = [each for each in report.breaks if (each.lane, each.height) == (lane, height)]
            assert at, f"{flip} of {lane} {height}: {names(report)}"


@pytest.mark.parametrize("column", ENTRY)
async def test_one_flipped_byte_of_an_entry_is_named(ledger: str, column: str) -> None:
    with psycopg.connect(ledger) as connection:
        rows = connection.execute("select lane, height, ordinal, record::text from fieldwarden.ledger_entry").fetchall()
    for flip in FLIPS[ENTRY[column]]:
        statement = (
            f"update ledger_entry set {column} = {flip.format(c=column)}"
            " where lane = %s and height = %s and ordinal = %s"
        )
        for lane, height, ordinal, record in rows:
            report = await audited(ledger, run(statement, lane, height, ordinal))
            at = [each for each in report.breaks if (each.lane, each.height) == (lane, height)]
            assert at, f"{flip} of {lane} {height} {ordinal}: {names(report)}"
            assert any(each.ordinal == ordinal or each.record == record for each in at), names(report)


async def test_an_entry_altered_together_with_the_list_of_hashes_leaves_the_block_to_be_named(ledger: str) -> None:
    report = await audited(
        ledger,
        run("update ledger_block set leaves = set_byte(leaves, 40, 0) where lane = 'crm' and height = 0"),
        run("update ledger_entry set body = replace(body, 'Firm 1', 'Form 1') where lane = 'crm' and height = 0"),
    )
    assert ("entry_altered", "crm", 0, None) in found(report, "entry_altered")


async def test_every_byte_of_a_lone_entry_counts_and_is_named_exactly(ledger: str) -> None:
    with psycopg.connect(ledger) as connection:
        row = connection.execute(
            "select length(body), record::text from fieldwarden.ledger_entry where lane = 'crm' and height = 3"
        ).fetchone()
    assert row is not None
    for place in range(1, row[0] + 1, 7):
        flip = "overlay(body placing chr(ascii(substr(body, %s)) # 1) from %s for 1)"
        report = await audited(
            ledger, run(f"update ledger_entry set body = {flip} where lane = 'crm' and height = 3", place, place)
        )
        first = report.breaks[0]
        assert (first.kind, first.lane, first.height, first.ordinal) == ("entry_altered", "crm", 3, 0)
        assert first.record == row[1]


Expected = set[tuple[str, str, int | None, int | None]]


def found(report: VerifyReport, *kinds: str) -> Expected:
    return {(each.kind, each.lane, each.height, each.ordinal) for each in report.breaks if each.kind in kinds}


async def test_a_deleted_entry_is_missed(ledger: str) -> None:
    report = await audited(ledger, run("delete from ledger_entry where lane = 'crm' and height = 0 and ordinal = 2"))
    assert found(report, "entry_missing", "entry_altered") == {("entry_missing", "crm", 0, 2)}
    assert any(each.record == record_id(2) and each.kind == "replay" for each in report.breaks)


async def test_a_deleted_block_is_missed_and_its_entries_stray(ledger: str) -> None:
    report = await audited(ledger, run("delete from ledger_block where lane = 'crm' and height = 2"))
    assert found(report, "block_missing") == {("block_missing", "crm", 2, None)}
    assert found(report, "entry_extra") == {("entry_extra", "crm", 2, 0), ("entry_extra", "crm", 2, 1)}


async def test_a_lane_without_its_first_block(ledger: str) -> None:
    whole = "where lane = 'erp' and height = 0"
    report = await audited(ledger, run(f"delete from ledger_block {whole}"), run(f"delete from ledger_entry {whole}"))
    assert found(report, "block_missing") == {("block_missing", "erp", 0, None)}


async def test_an_inserted_entry_is_extra(ledger: str) -> None:
    copy = (
        "insert into ledger_entry (lane, height, ordinal, record, version, body)"
        " select lane, height, 9, record, 7, body from ledger_entry where lane = 'crm' and height = 3"
    )
    report = await audited(ledger, run(copy))
    assert ("entry_extra", "crm", 3, 9) in found(report, "entry_extra")


async def test_an_inserted_block_breaks_the_chain(ledger: str) -> None:
    copy = (
        "insert into ledger_block select lane, 4, previous, root, hash, rulebook, 0, at, leaves"
        " from ledger_block where lane = 'crm' and height = 3"
    )
    report = await audited(ledger, run(copy))
    assert ("chain_broken", "crm", 4, None) in found(report, "chain_broken")


async def test_two_exchanged_entries_are_noticed(ledger: str) -> None:
    swap = "update ledger_entry set ordinal = 12 - ordinal where ordinal >= 10"
    report = await audited(
        ledger,
        run("update ledger_entry set ordinal = ordinal + 9 where lane = 'crm' and height = 0 and ordinal in (1, 2)"),
        run(swap),
    )
    assert found(report, "entry_altered") == {("entry_altered", "crm", 0, 1), ("entry_altered", "crm", 0, 2)}
    assert "stands where" in report.breaks[0].words


async def test_two_exchanged_blocks_are_noticed(ledger: str) -> None:
    swap = "update ledger_block set height = 13 - height where lane = 'crm' and height in (1, 2)"
    report = await audited(ledger, run(swap), run("update ledger_block set height = height - 10 where height > 10"))
    assert {(each.lane, each.height) for each in report.breaks} >= {("crm", 1), ("crm", 2)}


async def test_a_cut_tail_is_caught_by_the_records_versions(ledger: str) -> None:
    whole = "where lane = 'crm' and height = 3"
    report = await audited(ledger, run(f"delete from ledger_block {whole}"), run(f"delete from ledger_entry {whole}"))
    assert [(each.kind, each.record) for each in report.breaks] == [("record_differs", record_id(0))]
    assert "ledger ends with 2: entry 3 is missing" in report.breaks[0].words


async def test_a_rewritten_entry_with_a_rewritten_block_breaks_the_next_block(ledger: str) -> None:
    """Somebody who knows the formulas mends entry, root and hash of a block: the next block gives it away."""

    async def rewrite(connection: Connection) -> None:
        from fieldwarden.engine.ledger.entries import block_hash, leaf, merkle_root

        row = await (
            await connection.execute(
                "update ledger_entry set body = replace(body, 'one@x', 'two@x')"
                " where lane = 'crm' and height = 1 returning record::text, version, body"
            )
        ).fetchone()
        assert row is not None
        root = merkle_root([leaf(row[0], row[1], row[2].encode())])
        block = await (
            await connection.execute(
                "select previous, rulebook, (extract(epoch from at) * 1000000)::bigint"
                " from ledger_block where lane = 'crm' and height = 1"
            )
        ).fetchone()
        assert block is not None
        hashed = block_hash("crm", 1, block[0], root, block[1], 1, block[2])
        await connection.execute(
            "update ledger_block set root = %s, hash = %s where lane = 'crm' and height = 1", [root, hashed]
        )

    report = await audited(ledger, rewrite)
    assert ("chain_broken", "crm", 2, None) in found(report, "chain_broken")
    assert any(each.field == "email" and each.record == record_id(1) for each in report.breaks)


async def test_a_changed_golden_value_is_named_and_not_shown(ledger: str) -> None:
    change = """update record set golden = (golden::jsonb || '{"email": "secret@x"}')::json where id = %s"""
    report = await audited(ledger, run(change, record_id(3)))
    assert report.breaks == [
        Break(
            "record_differs",
            "the golden value of email differs from the ledger",
            record=record_id(3),
            entity="customer",
            field="email",
        )
    ]
    assert "secret" not in names(report)


@pytest.mark.parametrize(
    "statement",
    [
        "update record set version = version + 1 where id = %s",
        "update record set version = version - 1 where id = %s",
        "update record set retired = not retired where id = %s",
        "update record set entity = 'contact' where id = %s",
        "update record set golden = (golden::jsonb - 'name')::json where id = %s",
        """update record set golden = '{"name": 1}' where id = %s""",
        "delete from record where id = %s",
    ],
)
async def test_a_record_that_is_not_as_the_ledger_says_is_named(ledger: str, statement: str) -> None:
    report = await audited(ledger, run(statement, record_id(1)))
    assert {each.record for each in report.breaks} == {record_id(1)}


async def test_a_record_that_the_ledger_never_heard_of_is_named(ledger: str) -> None:
    add = "insert into record select %s, entity, version, revision, retired, golden, contributions from record limit 1"
    for number in (4, 9):  # between two others, and after the last
        report = await audited(ledger, run(add, record_id(number)))
        assert {each.record for each in report.breaks} == {record_id(number)}
        assert "holds no entry" in report.breaks[0].words


async def test_breaks_are_counted_beyond_those_named(ledger: str) -> None:
    report = await audited(ledger, run("update record set version = 70"), named=2)
    assert report.broken == 5
    assert len(report.breaks) == 2
    assert not report.ok


async def test_verifying_sees_one_moment_while_the_ledger_grows(hub_dsn: str) -> None:
    write(hub_dsn)
    async with snapshot(hub_dsn, SCHEMA) as connection:

        def grow() -> None:
            with psycopg.connect(hub_dsn) as writer:
                writer.execute("set search_path to fieldwarden")
                writer.execute("delete from ledger_block where lane = 'erp'")
                writer.execute("update record set version = 99")

        await asyncio.to_thread(grow)
        report = await verify(connection)
    assert report.ok, names(report)
