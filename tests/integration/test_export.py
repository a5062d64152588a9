"""`audit export`: every decision as a flat row, filtered, masked, in JSON Lines and CSV that say the same."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.errors import LedgerBroken
from fieldwarden.engine.hub.asking import MASK, UnknownName
from fieldwarden.engine.hub.views.export import COLUMNS, Filters
from fieldwarden.engine.ledger.entries import leaf
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.shell.audit import Format, written
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CUSTOMER, rulebook
from tests.integration.ledger_builder import RULEBOOK, Builder, record_id

SCHEMA = "fieldwarden"
ENTITY = CUSTOMER | {
    "fields": CUSTOMER["fields"] | {"phone": {**CUSTOMER["fields"]["phone"], "class": "personal"}},
}


@pytest.fixture
def rules() -> Rulebook:
    return rulebook(ENTITY)


@pytest.fixture
def hub(hub_dsn: str) -> str:
    with psycopg.connect(hub_dsn) as connection:
        build = Builder(connection)
        first = build.change(1, {"name": 'A "quoted", name', "phone": "+49 30 1"}, linked="new")
        build.block("crm", [first, build.change(2, {"name": "=cmd()"})])
        build.block("erp", [build.change(1, {"credit_limit": "-12.50"}, row=("erp", "public.party", "77"))])
        build.block("crm", [build.change(1, {"phone": None, "gone_field": "x"}, transaction="912")])
        build.block("crm", [build.change(3, {"name": ""}, entity="former_entity")])
    return hub_dsn


async def exported(
    hub: str, rules: Rulebook, format: Format = "jsonl", *, unmask: bool = False, **filters: Any
) -> list[dict[str, Any]]:
    out = io.StringIO()
    number = await written(LiveHub(hub, SCHEMA, rules), Filters(**filters), format, out, unmask=unmask)
    if format == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(out.getvalue())))
    else:
        rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(rows) == number
    return rows


async def test_one_row_per_decision_in_order_of_time(hub: str, rules: Rulebook) -> None:
    rows = await exported(hub, rules)
    assert [(row["lane"], row["height"], row["ordinal"], row["field"]) for row in rows] == [
        ("crm", 0, 0, "name"),
        ("crm", 0, 0, "phone"),
        ("crm", 0, 1, "name"),
        ("erp", 0, 0, "credit_limit"),
        ("crm", 1, 0, "phone"),
        ("crm", 1, 0, "gone_field"),
        ("crm", 2, 0, "name"),
    ]
    with psycopg.connect(hub) as connection:
        stored = connection.execute(
            "select record::text, version, body from fieldwarden.ledger_entry where lane = 'erp'"
        ).fetchone()
    assert stored is not None
    assert rows[3] == {
        "at": "2026-01-01T00:01:00.000001Z",
        "lane": "erp",
        "height": 0,
        "ordinal": 0,
        "entity": "customer",
        "record": record_id(1),
        "version": 2,
        "system": "erp",
        "stream": "public.party",
        "key": "77",
        "event": "said",
        "position": "0/2",
        "source_time": "2026-01-01T00:00:00.000000Z",
        "transaction": "",
        "field": "credit_limit",
        "outcome": "accepted",
        "proposed": "-12.50",
        "before": None,
        "after": "-12.50",
        "winner": "erp",
        "rule": "recency among crm, billing",
        "rulebook": RULEBOOK,
        "entry_hash": leaf(stored[0], stored[1], stored[2].encode()).hex(),
        "who": None,
        "why": None,
    }
    assert list(rows[3]) == list(COLUMNS)


async def test_personal_values_and_those_of_forgotten_fields_are_masked(hub: str, rules: Rulebook) -> None:
    masked = await exported(hub, rules)
    shown = await exported(hub, rules, unmask=True)
    assert [(row["proposed"], row["before"], row["after"]) for row in masked if row["field"] == "phone"] == [
        (MASK, None, MASK),
        (None, MASK, None),
    ]
    assert [row["after"] for row in masked if row["field"] == "gone_field"] == [MASK]
    assert [row["after"] for row in shown if row["field"] in ("phone", "gone_field")] == ["+49 30 1", None, "x"]


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({"entity": "customer", "field": "name"}, [("crm", 0, 0), ("crm", 0, 1)]),
        ({"record": record_id(1), "system": "crm"}, [("crm", 0, 0), ("crm", 0, 0), ("crm", 1, 0), ("crm", 1, 0)]),
        ({"system": "erp"}, [("erp", 0, 0)]),
        ({"outcome": "refused"}, []),
        ({"outcome": "accepted", "field": "credit_limit"}, [("erp", 0, 0)]),
        ({"field": "gone_field"}, [("crm", 1, 0)]),
        ({"entity": "former_entity"}, [("crm", 2, 0)]),
        (
            {"since": datetime(2026, 1, 1, 0, 1, 0, 1, UTC), "until": datetime(2026, 1, 1, 0, 2, 0, 1, UTC)},
            [("erp", 0, 0)],
        ),
    ],
)
async def test_filters(hub: str, rules: Rulebook, filters: dict[str, Any], places: list[tuple[str, int, int]]) -> None:
    rows = await exported(hub, rules, **filters)
    assert [(row["lane"], row["height"], row["ordinal"]) for row in rows] == places


@pytest.mark.parametrize(
    ("filters", "suggestion"),
    [
        ({"entity": "custmer"}, "customer"),
        ({"entity": "customer", "field": "nam"}, "name"),
        ({"outcome": "refuse"}, "refused"),
        ({"system": "crn"}, "crm"),
        ({"record": "C-1"}, "trail"),
    ],
)
async def test_a_filter_that_names_nothing_is_a_mistake(
    hub: str, rules: Rulebook, filters: dict[str, Any], suggestion: str
) -> None:
    with pytest.raises(UnknownName) as caught:
        await exported(hub, rules, **filters)
    assert suggestion in caught.value.suggestion
    assert caught.value.exit_code == 2


async def test_csv_says_what_json_says_but_for_formulas(hub: str, rules: Rulebook) -> None:
    lines = await exported(hub, rules, unmask=True)
    cells = await exported(hub, rules, "csv", unmask=True)
    for row, cell in zip(lines, cells, strict=True):
        expected = {name: "" if value is None else str(value) for name, value in row.items()}
        if expected["after"] in ("=cmd()", "+49 30 1"):
            expected |= {name: "'" + row[name] for name in ("proposed", "after")}
        if expected["before"] == "+49 30 1":
            expected["before"] = "'+49 30 1"
        assert cell == expected


async def test_postgresql_reads_the_csv_back_nulls_and_empty_texts_apart(hub: str, rules: Rulebook) -> None:
    out = io.StringIO()
    await written(LiveHub(hub, SCHEMA, rules), Filters(field="name"), "csv", out, unmask=True)
    with psycopg.connect(hub) as connection:
        columns = ", ".join(f'"{name}" text' for name in COLUMNS)
        connection.execute(f"create temp table back ({columns})".encode())
        with connection.cursor().copy("copy back from stdin (format csv, header)") as copy:
            copy.write(out.getvalue())
        rows = connection.execute("select before, after from back where record = %s", [record_id(3)]).fetchall()
        quoted = connection.execute("select after from back where record = %s", [record_id(1)]).fetchall()
    assert rows == [(None, "")]
    assert quoted == [('A "quoted", name',)]


async def test_an_entry_that_cannot_be_read_stops_the_export_by_name(hub: str, rules: Rulebook) -> None:
    with psycopg.connect(hub) as connection:
        connection.execute("update fieldwarden.ledger_entry set body = replace(body, '[', '{') where lane = 'erp'")
    with pytest.raises(LedgerBroken, match="lane erp, block 0, entry 0"):
        await exported(hub, rules)
