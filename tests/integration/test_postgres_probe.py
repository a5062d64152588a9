"""`doctor`'s questions to a real server: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldwarden.connectors.postgres.looking.probe import Finding, probe
from fieldwarden.rules.expressions import parse
from fieldwarden.rules.rulebook import Entity, Field, FieldMap, Stream
from fieldwarden.rules.values import parse_type
from tests.integration.reading import Outlook, reading, run, stream, system
from tests.integration.reading import source as direct


def entity(**types: str) -> dict[str, Entity]:
    fields = {name: Field(name, parse_type(text)) for name, text in types.items()}
    return {"customer": Entity("customer", fields, (), {})}


def wrong(found: list[Finding]) -> list[str]:
    return [finding.message for finding in found if not finding.ok]


async def test_a_sound_system_has_nothing_wrong_before_and_after_its_first_run(database: str) -> None:
    run(database, "create table account (id int primary key, name text)")
    crm = system(stream("public.account", ("id",), ("name",)))
    found = await probe(crm, database)
    assert wrong(found) == []
    assert {finding.subject for finding in found if finding.level == "note"} == {"publication", "slot"}
    async with reading(direct(crm, database)) as reader:
        await reader.baseline()
    found = await probe(crm, database, footing=Outlook(at=reader.positions[-1]))
    assert {finding.level for finding in found} == {"ok"}
    assert "public.account fits its mapping" in {finding.message for finding in found}


async def test_everything_wrong_is_said_at_once(database: str) -> None:
    run(
        database,
        "create table account (id int, name text, limit_amount text, due timestamptz, price numeric, rate float8,"
        " open boolean, big numeric(20, 4), ext int, needed int not null)",
        "create table keyed (id int primary key, other int unique)",
    )
    account = Stream(
        "crm",
        "public.account",
        "customer",
        ("id",),
        {
            name: FieldMap(name, column)
            for name, column in {
                "name": "nmae",
                "amount": "limit_amount",
                "due": "due",
                "price": "price",
                "rate": "rate",
                "wide": "big",
                "day": "open",
            }.items()
        },
        external_id="ext",
        creates=True,
        conflict=("name",),
    )
    crm = system(account, stream("public.acount", ("id",), ()), stream("public.keyed", ("other",), ()))
    types = {"amount": "decimal(14,2)", "price": "decimal(14,2)", "rate": "decimal(14,2)", "wide": "decimal(14,2)"}
    found = await probe(crm, database, entity(name="text", due="date", day="date", **types))
    assert set(wrong(found)) == {
        "public.account has no column nmae",
        "public.account has no primary key or unique index on its key id",
        "public.account.open (boolean) cannot hold a date",
        "public.account.ext (integer) cannot carry a record id",
        "public.account.ext has no unique index, so creating twice would make two rows",
        "public.account has no unique constraint on name, so creating twice would make two rows",
        "public.account.needed is NOT NULL without a default, and creating a row does not set it",
        "there is no table public.acount",
        "the replica identity of public.keyed does not cover its key other",
    }
    by_column = {finding.column: finding for finding in found if finding.level in ("warning", "note")}
    assert by_column["limit_amount"].level == "warning"
    assert by_column["due"].level == "warning"
    assert by_column["price"].level == "note"
    assert by_column["rate"].level == "warning"
    assert "decimal(20,4)" in by_column["big"].suggestion
    suggestions = {finding.suggestion for finding in found}
    assert {"did you mean name?", "did you mean public.account?"} <= suggestions


async def test_an_expression_that_the_columns_types_do_not_allow_is_named(database: str) -> None:
    run(database, "create table account (id int primary key, name text, touched date)")
    mapped = {"name": FieldMap("name", None, parse("name + 1"))}
    account = Stream("crm", "public.account", "customer", ("id",), mapped, where=parse("touched > 3"))
    found = [each for each in await probe(system(account), database) if not each.ok]
    assert [each.subject for each in found] == ["expression", "expression"]
    assert found[0].message.startswith("public.account, where: ")
    assert found[1].message.startswith("public.account, field name: ")


async def test_missing_rights_are_named_column_by_column(database: str, make_role: Callable[..., str]) -> None:
    run(database, "create table account (id int primary key, name text, city text, ext text unique)")
    dsn = make_role(database, "grant select, update (city) on account to {}")
    account = Stream(
        "crm",
        "public.account",
        "customer",
        ("id",),
        {name: FieldMap(name, name) for name in ("name", "city")},
        external_id="ext",
        on_retire="delete",
        update_fields=("name", "city"),
    )
    found = wrong(await probe(system(account), dsn))
    assert "the role has no UPDATE privilege on public.account.name" in found
    assert "the role has no UPDATE privilege on public.account.city" not in found
    assert "the role has no DELETE privilege on public.account" in found
    assert any("the role may not stream changes" in message for message in found)
    assert any("the role may not make it" in message for message in found)


async def test_a_server_out_of_reach_is_one_finding(database: str) -> None:
    crm = system(stream("public.account", ("id",), ()))
    dsn = make_conninfo(database, dbname="no_such_database", password="hush")
    found = await probe(crm, dsn)
    assert [(finding.ok, finding.subject) for finding in found] == [(False, "connection")]
    assert "no_such_database" in found[0].message
    assert "hush" not in found[0].message


async def test_a_target_out_of_reach_takes_nothing_from_what_the_source_says(database: str) -> None:
    run(database, "create table account (id int primary key)")
    crm = system(stream("public.account", ("id",), ()))
    target = make_conninfo(database, dbname="no_such_database", password="hush")
    alone = await probe(crm, database)
    found = await probe(crm, database, target_dsn=target)
    *others, last = found
    assert (last.ok, last.subject, last.suggestion) == (False, "target connection", "check target_dsn of crm")
    assert "no_such_database" in last.message
    assert "hush" not in last.message
    assert {"server", "wal_level", "publication", "slot", "replication"} <= {each.subject for each in others}
    assert others == alone[: len(others)]


async def test_what_was_found_stays_said_where_the_server_goes_away_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, "create table account (id int primary key)")

    async def gone(*_: object) -> list[Finding]:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("fieldwarden.connectors.postgres.looking.probe.mark_findings", gone)
    first, *_, last = await probe(system(stream("public.account", ("id",), ())), database)
    assert (first.ok, first.message) == (True, "crm answers")
    assert (last.ok, last.subject) == (False, "connection")
    assert "is lost" in last.message


async def test_a_column_that_may_not_be_read_is_named_with_what_is_to_be_granted(
    database: str, make_role: Callable[..., str]
) -> None:
    run(database, "create schema closed", "create table closed.account (id int primary key, name text)")
    blind = make_role(database, "grant select (id) on closed.account to {}")
    crm = system(stream("closed.account", ("id",), ("name",), update_fields=("name",)))

    async def unread(dsn: str, target_dsn: str | None = None) -> list[Finding]:
        return [each for each in await probe(crm, dsn, target_dsn=target_dsn) if "may not read" in each.message]

    outside = await unread(database, blind)
    run(database, f"grant usage on schema closed to {conninfo_to_dict(blind)['user']}")
    reading_it, writing_it = await unread(blind), await unread(database, blind)
    grant = "GRANT SELECT (name) ON closed.account to the role"
    assert {each.column for each in outside} == {"id", "name"}
    assert {each.suggestion.partition("; ")[0] for each in outside} == {"GRANT USAGE ON SCHEMA closed to the role"}
    assert [(each.message, each.suggestion) for each in reading_it] == [
        ("the role may not read closed.account.name", grant)
    ]
    assert [(each.message, each.suggestion) for each in writing_it] == [
        ("the role that writes may not read closed.account.name", grant)
    ]


async def test_probing_changes_nothing(database: str) -> None:
    run(database, "create table account (id int primary key)")
    await probe(system(stream("public.account", ("id",), ())), database)
    with psycopg.connect(database) as connection:
        counts = connection.execute(
            "select (select count(*) from pg_publication),"
            " (select count(*) from pg_replication_slots where database = current_database())"
        ).fetchone()
    assert counts == (0, 0)
