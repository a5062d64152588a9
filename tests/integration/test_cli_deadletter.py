"""Dead letters: listed without values, shown, tried again, dropped, singly and by filter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.cli_project import Shop

SECRET = "jane@private.example"
TOO_LARGE = "99999999999999"


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """Two edits in the ERP that the field's type cannot carry."""
    shop.sql("erp", "alter table party alter credit_limit type numeric")
    shop.settle()
    shop.sql("erp", f"update party set credit_limit = {TOO_LARGE}, email = '{SECRET}' where tax_number = 'ATU12345675'")
    shop.sql("erp", f"update party set credit_limit = {TOO_LARGE} where tax_number = 'DE 811907980'")
    shop.sql("erp", f"update party set credit_limit = {TOO_LARGE} where tax_number = 'DE811907980'")
    shop.settle()
    return shop


def call(shop: Shop, *words: str) -> tuple[int, dict[str, Any]]:
    reason = ["--reason", "mended in the ERP"] if words[0] in ("retry", "discard") else []
    return shop.call_here("deadletter", *words, *reason)


def ids(shop: Shop, *words: str) -> list[str]:
    code, body = call(shop, "list", *words)
    assert code == 0
    return [letter["id"] for letter in body["result"]["dead_letters"]]


@pytest.mark.long
def test_the_life_of_a_dead_letter(shop: Shop) -> None:
    _, body = call(shop, "list")
    letters = body["result"]["dead_letters"]
    assert [(each["kind"], each["system"]) for each in letters] == [("unreadable", "erp")] * 2
    assert {each["entity"] for each in letters} == {"customer"}
    assert TOO_LARGE not in json.dumps(body)
    assert SECRET not in json.dumps(body)
    assert all("credit_limit" in each["reason"] for each in letters), letters

    first, second = ids(shop)
    _, body = call(shop, "show", first)
    assert SECRET not in json.dumps(body)
    assert body["result"]["stream"] == "public.party"
    _, body = call(shop, "show", first, "--values")
    assert body["result"]["values"]["email"] == SECRET

    # Tried again as it is, it comes back; once its row says a value that can be read, it resolves itself.
    assert call(shop, "retry", first)[1]["result"] == {"retried": 1}
    shop.settle()
    assert len(ids(shop)) == 2
    shop.sql("erp", "update party set credit_limit = 5000 where tax_number = 'ATU12345675'")
    shop.settle()
    assert ids(shop) == [second]
    assert shop.sql("crm", "select credit_limit from account where vat_number = 'ATU12345675'")[0][0] == 5000

    _, body = call(shop, "discard", "--all", "--system", "erp", "--kind", "unreadable")
    assert body["result"] == {"discarded": 1}
    assert ids(shop) == []


def test_who_and_why_are_in_the_ledger(shop: Shop) -> None:
    first, second = ids(shop)
    for words in (["retry", first], ["discard", second], ["discard", second, "--reason", "  "]):
        code, body = shop.call_here("deadletter", *words)
        assert (code, body["error"]["code"]) == (2, "usage")
        assert "--reason" in body["error"]["message"]
    assert ids(shop) == [first, second], "without a reason nothing is done"
    assert call(shop, "retry", first)[0] == 0
    assert shop.call_here("deadletter", "discard", second, "--reason", "typed twice")[0] == 0
    bodies = shop.sql("hub", "select body from fieldwarden.ledger_entry where lane = '#people' order by height")
    acts = [json.loads(body) for (body,) in bodies]
    assert [(each["act"], each["why"]) for each in acts] == [
        ("retried", "mended in the ERP"),
        ("discarded", "typed twice"),
    ]
    assert all("@" in each["who"] for each in acts)
    assert acts[1]["details"] == {"number": "1", "letters": second}
    assert "2 acts of people" in shop.invoke("audit", "verify").stdout
    shop.sql("hub", "update fieldwarden.ledger_entry set body = replace(body, 'typed', 'said') where lane = '#people'")
    assert shop.call_here("audit", "verify")[0] == 1


def test_show_names_what_it_waits_for(shop: Shop) -> None:
    first, second = ids(shop)
    shown = call(shop, "show", first)[1]["result"]["waits_for"]
    assert shown.startswith("the next readable value of the row in erp; or a person")
    whole = "update fieldwarden.set_aside set kind = 'data' where id = " + first
    key = f"(select key from fieldwarden.set_aside where id = {first})"
    behind = f"update fieldwarden.set_aside set kind = 'behind', key = {key} where id = {second}"
    shop.sql("hub", whole)
    shop.sql("hub", behind)
    assert "a newer change of the whole row in erp" in call(shop, "show", first)[1]["result"]["waits_for"]
    assert f"dead letter {first} of the same row" in call(shop, "show", second)[1]["result"]["waits_for"]
    shop.sql(
        "hub",
        "update fieldwarden.set_aside set kind = 'parent', await_system = 'erp', await_stream = 'public.party', "
        f"await_key = '77' where id = {first}",
    )
    assert (
        "waits_for: the row 77 of erp public.party, and goes on by itself"
        in shop.invoke("deadletter", "show", first).stdout
    )


@pytest.mark.long
def test_filters(shop: Shop) -> None:
    assert len(ids(shop, "--system", "erp")) == 2
    assert ids(shop, "--system", "crm") == []
    assert ids(shop, "--kind", "ambiguous") == []
    assert len(ids(shop, "--entity", "customer")) == 2
    _, body = call(shop, "list", "--limit", "1")
    assert (len(body["result"]["dead_letters"]), body["result"]["more"]) == (1, True)
    assert call(shop, "retry", "--all", "--entity", "customer")[1]["result"] == {"retried": 2}


@pytest.mark.long
def test_what_waits_for_a_former_key_is_released_by_id_or_kind_only(shop: Shop) -> None:
    shop.sql(
        "hub", "update fieldwarden.set_aside set kind = 'rekey' where id = (select min(id) from fieldwarden.set_aside)"
    )
    code, body = shop.call("status")
    assert code == 0
    assert {(each["kind"], each["number"]) for each in body["result"]["set_aside"]} == {("rekey", 1), ("unreadable", 1)}
    shown = shop.invoke("status")
    assert "its row's former key has not all been told yet" in shown.stdout
    assert call(shop, "retry", "--all")[1]["result"] == {"retried": 1}
    assert call(shop, "retry", "--all", "--kind", "rekey")[1]["result"] == {"retried": 1}


@pytest.mark.long
def test_wrong_words(shop: Shop) -> None:
    for words in (["retry"], ["discard"], ["discard", "--system", "erp"], ["discard", "1", "--all"]):
        code, body = call(shop, *words)
        assert (code, body["error"]["code"]) == (2, "usage"), words
    for id in ("999999", "x", "9" * 40, "erp:1", "erp:00000000-0000-0000-0000-000000000000"):
        for verb in ("show", "retry", "discard"):
            code, body = call(shop, verb, id)
            assert (code, body["error"]["code"]) == (2, "no_such_dead_letter"), (verb, id)
    assert call(shop, "list", "--system", "cmr")[1]["error"]["code"] == "unknown_name"
    assert call(shop, "discard", "--all", "--entity", "custmer")[0] == 2
    assert len(ids(shop)) == 2, "nothing was discarded by a wrong word"


@pytest.mark.long
def test_people_read_a_table(shop: Shop) -> None:
    result = shop.invoke("deadletter", "list")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["id", "kind", "where", "entity", "since", "reason"]
    assert SECRET not in result.stdout
    result = shop.invoke("status")
    assert "set aside from" in result.stdout
