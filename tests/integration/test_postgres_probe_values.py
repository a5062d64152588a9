"""What `doctor` says of the rows that are there: times ahead of the clock, values that a normaliser makes one."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.engine.ports.finding import Finding
from fieldwarden.rules.loading import rulebook_from_documents
from tests.integration.reading import run


async def found(database: str, subject: str, match: object = "name", **stream: object) -> list[Finding]:
    fields = {name: {"type": "text"} for name in ("name", "number")}
    entity = {"entity": "customer", "identity": {"match": [match]}, "fields": fields}
    system = {
        "system": "crm",
        "connector": {"kind": "postgres", "dsn": "x"},
        "streams": {"public.account": {"entity": "customer", "key": "id", "fields": {n: n for n in fields}, **stream}},
    }
    rules = rulebook_from_documents([entity], [system])
    findings = await probe(rules.systems["crm"], database, rules.entities)
    return [each for each in findings if each.subject == subject]


@pytest.fixture
def account(database: str) -> str:
    run(
        database,
        "create table account (id int primary key, name text, number text, edited timestamp, kind text default 'a')",
        "insert into account values (1, 'C++', '1-11', now() at time zone 'Asia/Tokyo'),"
        " (2, 'C', '11-1', '-infinity'), (3, 'c ', '111', null), (4, ' C', null, null), (5, '-', 'x', null)",
    )
    return database


@pytest.mark.parametrize(
    ("match", "said"),
    [
        (
            {"name": "alphanumeric"},
            "1 of 5 values of name as alphanumeric in public.account are written in several ways",
        ),
        ({"name": "case"}, "1 of 5 values"),
        ({"number": "digits"}, "1 of 4 values of number as digits"),
        (
            [{"name": "case"}, "number"],
            "no two of 4 values of name as case and number in",
        ),
    ],
)
async def test_values_that_a_normaliser_makes_one_are_counted(account: str, match: object, said: str) -> None:
    [finding] = await found(account, "match", match)
    assert finding.message.startswith(said)
    assert finding.level == ("ok" if said.startswith("no") else "warning")
    assert "C" not in finding.message, "a count, and no value"


async def test_exact_keys_need_no_count_and_other_rows_are_none_of_the_streams(account: str) -> None:
    assert await found(account, "match") == []
    [finding] = await found(account, "match", {"name": "alphanumeric"}, where="kind = 'b'")
    assert finding.level == "ok"


async def test_a_time_ahead_of_the_servers_clock_is_a_zone_that_is_not_said(account: str) -> None:
    [finding] = await found(account, "changed_at", changed_at="edited")
    assert finding.level == "warning"
    assert "ahead of the server's clock, read as UTC" in finding.message
    assert await found(account, "changed_at", changed_at="edited", timezone="Asia/Tokyo") == []
    assert await found(account, "changed_at", changed_at="edited at time zone 'Asia/Tokyo'") == []
