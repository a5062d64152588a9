"""Mass deletion in the delete authority, on real PostgreSQL: nothing is retired until a person says it is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.cli_project import Shop

ROWS = 30
LIMITS = "limits: {deletes: {share: 0.5, number: 5, window: 1h}}\n"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    settings = shop.folder / "fieldwarden.yaml"
    settings.write_text(settings.read_text() + LIMITS)
    shop.sql("erp", "truncate party")
    shop.sql("crm", "truncate account")
    fill(shop)
    shop.settle()
    assert rows(shop) == (ROWS, ROWS)
    return shop


def fill(shop: Shop, first: int = 1, last: int = ROWS) -> None:
    """Rows of the CRM with keys of their own, as a reload of the table brings them."""
    shop.sql(
        "crm",
        "insert into account (id, name, vat_number, email) overriding system value "
        f"select n, 'Company ' || n, 'DE' || 100000000 + n, 'n' || n || '@x.example' "
        f"from generate_series({first}, {last}) n",
    )


def rows(shop: Shop) -> tuple[int, int]:
    """Live customers, and rows in the ERP."""
    ((live,),) = shop.sql("hub", "select count(*) from fieldwarden.record where not retired")
    ((parties,),) = shop.sql("erp", "select count(*) from party")
    return live, parties


def held(shop: Shop) -> list[dict[str, Any]]:
    code, body = shop.call_here("deletes", "list")
    assert code == 0, body
    return list(body["result"]["deletions"])


def answer(shop: Shop, word: str, *words: str) -> dict[str, Any]:
    code, body = shop.call_here("deletes", word, *words, "--reason", "asked in sales")
    assert code == 0, body
    return dict(body["result"])


@pytest.mark.long
def test_a_truncate_retires_nothing_until_it_is_approved(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    assert rows(shop) == (ROWS, ROWS)
    assert len(held(shop)) == ROWS

    code, body = shop.call_here("status", "--check")
    assert code == 1
    [asked] = body["result"]["held_deletions"]
    assert (asked["system"], asked["stream"], asked["number"]) == ("crm", "public.account", ROWS)
    assert "are they meant? `fieldwarden deletes approve --system crm" in asked["question"]
    assert asked["question"] in body["result"]["halted"]
    assert asked["question"] in shop.invoke("status").stdout

    # All else flows, a single delete too.
    fill(shop, 101, 102)
    shop.settle()
    shop.sql("crm", "delete from account where id = 101")
    shop.settle()
    assert (rows(shop)[0], len(held(shop))) == (ROWS + 1, ROWS)

    assert answer(shop, "approve", "--system", "crm") == {"approved": ROWS}
    shop.settle()
    assert (rows(shop)[0], held(shop)) == (1, [])
    bodies = shop.sql("hub", "select body from fieldwarden.ledger_entry where lane = '#people' order by height")
    act = json.loads(bodies[-1][0])
    assert (act["act"], act["why"], act["details"]["number"]) == ("deletes approved", "asked in sales", str(ROWS))
    assert shop.call_here("audit", "verify")[0] == 0
    assert shop.call_here("status", "--check")[0] == 0


@pytest.mark.long
def test_a_truncate_that_was_a_mistake_is_discarded(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    one, *_ = held(shop)
    assert answer(shop, "discard", str(one["id"])) == {"discarded": 1}
    assert answer(shop, "discard", "--system", "crm", "--stream", "public.account") == {"discarded": ROWS - 1}
    shop.settle()
    assert (rows(shop), held(shop)) == ((ROWS, ROWS), [])


@pytest.mark.long
def test_rows_that_come_back_take_themselves_off_the_list(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    fill(shop, 1, ROWS - 3)
    shop.settle()
    assert (rows(shop), len(held(shop))) == ((ROWS, ROWS), 3)
    assert answer(shop, "approve", "--system", "crm") == {"approved": 3}
    shop.settle()
    assert rows(shop)[0] == ROWS - 3
    assert shop.call_here("audit", "verify")[0] == 0


@pytest.mark.long
def test_an_edit_elsewhere_of_a_record_whose_deletion_is_held_waits_with_it(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    shop.sql("erp", "update party set credit_limit = 4711 where name = 'Company 7'")
    shop.sql("erp", "update party set credit_limit = 4712 where name = 'Company 8'")
    shop.settle()
    [parked] = [each for each in shop.call_here("status")[1]["result"]["targets"] if each["name"] == "crm"]
    assert parked["parked"] == 2
    shop.sql(
        "crm",
        "insert into account (id, name, vat_number) overriding system value values (7, 'Company 7', 'DE100000007')",
    )
    answer(shop, "approve", str(next(each["id"] for each in held(shop) if each["key"] == "8")))
    shop.settle()
    assert shop.sql("crm", "select credit_limit from account where id = 7") == [(4711,)]
    assert shop.sql("crm", "select count(*) from account") == [(1,)]
    assert shop.call_here("status")[1]["result"]["parked"] == []


def test_a_delete_of_most_rows_is_held_from_the_bound_on(shop: Shop) -> None:
    shop.sql("crm", "delete from account where id > 5")
    shop.settle()
    assert rows(shop) == (ROWS, ROWS), "one statement of few rows is looked at as a whole"
    assert len(held(shop)) == ROWS - 5


@pytest.mark.long
def test_clearing_all_dead_letters_answers_no_question(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    for word in ("retry", "discard"):
        code, body = shop.call_here("deadletter", word, "--all", "--reason", "tidying up")
        assert (code, list(body["result"].values())) == (0, [0])
    _, body = shop.call_here("deadletter", "show", str(held(shop)[0]["id"]))
    assert "fieldwarden deletes approve" in body["result"]["waits_for"]


@pytest.mark.long
def test_a_running_process_names_the_question(shop: Shop) -> None:
    with shop.running() as run:
        run.await_ready()
        shop.sql("crm", "truncate account")
        assert "are they meant?" in run.await_event("deletions.held")["message"]
        status, body = run.get("/readyz")
        assert (status, "are they meant?" in json.loads(body)["remarks"][0]) == (200, True)
        assert answer(shop, "approve", "--system", "crm") == {"approved": ROWS}


def test_wrong_words_are_told(shop: Shop) -> None:
    shop.sql("crm", "truncate account")
    shop.settle()
    for words, code in [
        ([], "usage"),
        (["7", "--system", "crm"], "usage"),
        (["999999"], "no_such_deletion"),
        (["--system", "crn"], "unknown_name"),
        (["--stream", "public.acount"], "unknown_name"),
    ]:
        found, body = shop.call_here("deletes", "approve", *words, "--reason", "why")
        assert (found, body["error"]["code"]) == (2, code), words
    assert len(held(shop)) == ROWS
