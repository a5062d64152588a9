"""What the Stripe sandbox holds of FEEDS' facts, over HTTP as a program sees it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.sandbox.playing import Played

DAY = 86400.0


def asked(played: Played, path: str, **query: Any) -> Any:
    answer = played.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wrong(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def customer(played: Played, key: str = "", **fields: str) -> Any:
    headers = {"idempotency-key": key} if key else {}
    return played.http.post("/v1/customers", data=fields, headers=headers)


def draft(played: Played, amount: int = 5000) -> str:
    whose = played.records("customers")[0]["id"]
    made = played.http.post("/v1/invoices", data={"customer": whose, "currency": "eur"}).json()["id"]
    item = {"customer": whose, "invoice": made, "amount": str(amount), "currency": "eur"}
    assert played.http.post("/v1/invoiceitems", data=item).status_code == 200
    return str(made)


def kinds(played: Played) -> list[str]:
    """The types of all events, oldest first."""
    return [each["type"] for each in played.records("events")]


# --- keys of the API -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"), [("", "did not provide"), ("sk_live_51HxAbCd", "Invalid API Key provided: sk_live_")]
)
def test_a_key_that_is_none_or_of_live_is_refused_and_not_repeated(stripe_sandbox: Played, key: str, said: str) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    error = wrong(httpx.get(f"{stripe_sandbox.url}/v1/customers", headers=headers, trust_env=False), 401)
    assert said in error["message"]
    assert not key or key not in error["message"]


# --- pages ---------------------------------------------------------------------------------------------------


def test_a_list_is_newest_first_and_both_ways(stripe_sandbox: Played) -> None:
    every = [each["id"] for each in stripe_sandbox.records("customers")][::-1]
    first = asked(stripe_sandbox, "/v1/customers", limit=10)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (every[:10], True)
    second = asked(stripe_sandbox, "/v1/customers", limit=100, starting_after=every[9])
    assert ([each["id"] for each in second["data"]], second["has_more"]) == (every[10:], False)
    back = asked(stripe_sandbox, "/v1/customers", limit=3, ending_before=every[9])
    assert [each["id"] for each in back["data"]] == every[6:9]


def test_a_cursor_that_was_deleted_meanwhile_still_counts(stripe_sandbox: Played) -> None:
    every = [each["id"] for each in stripe_sandbox.records("customers")][::-1]
    stripe_sandbox.admin("DELETE", f"records/customers/{every[4]}")
    page = asked(stripe_sandbox, "/v1/customers", limit=5, starting_after=every[4])
    assert [each["id"] for each in page["data"]] == every[5:10]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"starting_after": "cus_none"}, "starting_after"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_list_asked_wrongly_names_the_parameter(stripe_sandbox: Played, query: Any, param: str) -> None:
    assert wrong(stripe_sandbox.http.get("/v1/customers", params=query), 400)["param"] == param


def test_a_page_can_be_made_to_repeat_and_a_cursor_to_expire(stripe_sandbox: Played) -> None:
    first = asked(stripe_sandbox, "/v1/customers", limit=3)
    after = first["data"][-1]["id"]
    stripe_sandbox.arm("repeated_page")
    assert asked(stripe_sandbox, "/v1/customers", limit=3, starting_after=after) == first
    stripe_sandbox.arm("expired_cursor")
    answer = stripe_sandbox.http.get("/v1/customers", params={"starting_after": after})
    assert wrong(answer, 400)["code"] == "resource_missing"
    assert asked(stripe_sandbox, "/v1/customers", limit=3, starting_after=after) != first


def test_a_list_can_be_narrowed_by_when_its_objects_were_made(stripe_sandbox: Played) -> None:
    stamps = [each["created"] for each in stripe_sandbox.records("customers")]
    page = asked(stripe_sandbox, "/v1/customers", limit=100, **{"created[gt]": stamps[9], "created[lte]": stamps[14]})
    assert [each["created"] for each in page["data"]] == [
        each for each in stamps[::-1] if stamps[9] < each <= stamps[14]
    ]


def test_two_objects_can_have_one_second(stripe_sandbox: Played) -> None:
    stamps = [each["created"] for each in stripe_sandbox.records("customers")]
    assert len({*stamps}) < len(stamps)


def test_the_first_ten_lines_stand_in_the_invoice_and_all_in_its_list(stripe_sandbox: Played) -> None:
    invoice = draft(stripe_sandbox)
    whose = stripe_sandbox.records("customers")[0]["id"]
    for number in range(11):
        item = {"customer": whose, "invoice": invoice, "amount": str(number), "currency": "eur"}
        stripe_sandbox.http.post("/v1/invoiceitems", data=item)
    embedded = asked(stripe_sandbox, f"/v1/invoices/{invoice}")["lines"]
    assert (len(embedded["data"]), embedded["has_more"], embedded["total_count"]) == (10, True, 12)
    lines = asked(stripe_sandbox, embedded["url"], limit=100)
    assert [each["amount"] for each in lines["data"]] == [5000, *range(11)]


def test_a_search_does_not_see_yet_what_a_list_sees(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, email="new@example.com").json()["id"]
    query = {"query": "email:'new@example.com'"}
    assert asked(stripe_sandbox, "/v1/customers/search", **query)["data"] == []
    assert [each["id"] for each in asked(stripe_sandbox, "/v1/customers", email="new@example.com")["data"]] == [made]
    stripe_sandbox.pass_by(61)
    assert [each["id"] for each in asked(stripe_sandbox, "/v1/customers/search", **query)["data"]] == [made]
    stripe_sandbox.http.post(f"/v1/customers/{made}", data={"email": "other@example.com"})
    assert asked(stripe_sandbox, "/v1/customers/search", **query)["data"][0]["email"] == "new@example.com"


def test_a_search_has_pages_and_its_own_language(stripe_sandbox: Played) -> None:
    stripe_sandbox.pass_by(61)
    query = "metadata['erp_id']:'C00003' OR metadata['erp_id']:'C00004'"
    first = asked(stripe_sandbox, "/v1/customers/search", query=query, limit=1)
    second = asked(stripe_sandbox, "/v1/customers/search", query=query, limit=1, page=first["next_page"])
    found = [*first["data"], *second["data"]]
    assert [each["metadata"]["erp_id"] for each in found] == ["C00004", "C00003"]
    assert (first["has_more"], second["has_more"], second["next_page"]) == (True, False, None)
    assert wrong(stripe_sandbox.http.get("/v1/customers/search", params={"query": "email="}), 400)["param"] == "query"


# --- writes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"balance": "12.5"}, "parameter_invalid_integer", "balance"),
        ({"address[planet]": "Mars"}, "parameter_unknown", "address[planet]"),
        ({"id": "cus_mine"}, "parameter_unknown", "id"),
        ({"created": "1"}, "parameter_unknown", "created"),
    ],
)
def test_what_may_not_be_written_is_refused_by_name(
    stripe_sandbox: Played, fields: dict[str, str], code: str, param: str
) -> None:
    error = wrong(stripe_sandbox.http.post("/v1/customers", data=fields), 400)
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


def test_metadata_are_merged_by_name_and_an_empty_text_unsets(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, name="A", phone="1", **{"metadata[a]": "1", "metadata[b]": "2"}).json()["id"]
    changes = {"phone": "", "metadata[a]": "", "metadata[c]": "3"}
    changed = stripe_sandbox.http.post(f"/v1/customers/{made}", data=changes).json()
    assert (changed["name"], changed["phone"], changed["metadata"]) == ("A", None, {"b": "2", "c": "3"})


def test_a_deleted_customer_says_so_and_is_in_no_list(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, name="A").json()["id"]
    stripe_sandbox.http.delete(f"/v1/customers/{made}")
    assert asked(stripe_sandbox, f"/v1/customers/{made}") == {"id": made, "object": "customer", "deleted": True}
    assert made not in [each["id"] for each in asked(stripe_sandbox, "/v1/customers")["data"]]


def test_a_key_answers_again_for_a_day_and_then_it_is_new(stripe_sandbox: Played) -> None:
    first = customer(stripe_sandbox, "k1", name="A")
    again = customer(stripe_sandbox, "k1", name="A")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert wrong(customer(stripe_sandbox, "k1", name="B"), 400)["type"] == "idempotency_error"
    stripe_sandbox.pass_by(DAY)
    assert customer(stripe_sandbox, "k1", name="A").json()["id"] != first.json()["id"]


def test_a_500_is_kept_under_its_key_and_a_parameter_that_is_wrong_is_not(stripe_sandbox: Played) -> None:
    stripe_sandbox.arm("stored_500")
    wrong(customer(stripe_sandbox, "k1", name="A"), 500)
    wrong(customer(stripe_sandbox, "k1", name="A"), 500)
    assert customer(stripe_sandbox, "k2", name="A").status_code == 200
    wrong(customer(stripe_sandbox, "k3", colour="red"), 400)
    assert customer(stripe_sandbox, "k3", name="A").status_code == 200


def test_a_lost_answer_is_found_under_its_key(stripe_sandbox: Played) -> None:
    stripe_sandbox.arm("lost_answer")
    with pytest.raises(httpx.RemoteProtocolError):
        customer(stripe_sandbox, "k1", name="Lost")
    found = customer(stripe_sandbox, "k1", name="Lost").json()["id"]
    assert [each["id"] for each in stripe_sandbox.records("customers") if each["name"] == "Lost"] == [found]


# --- invoices ------------------------------------------------------------------------------------------------


def test_nobody_writes_a_status(stripe_sandbox: Played) -> None:
    invoice = draft(stripe_sandbox)
    error = wrong(stripe_sandbox.http.post(f"/v1/invoices/{invoice}", data={"status": "paid"}), 400)
    assert (error["code"], error["param"]) == ("parameter_unknown", "status")


STATES = {
    "draft": (),
    "open": ("finalize",),
    "paid": ("finalize", "pay"),
    "void": ("finalize", "void"),
    "uncollectible": ("finalize", "mark_uncollectible"),
}
LEADS = {
    ("draft", "finalize"): "open",
    ("open", "pay"): "paid",
    ("open", "void"): "void",
    ("open", "mark_uncollectible"): "uncollectible",
    ("open", "send"): "open",
    ("uncollectible", "pay"): "paid",
    ("uncollectible", "void"): "void",
}


@pytest.mark.parametrize("action", ["finalize", "pay", "void", "mark_uncollectible", "send"])
@pytest.mark.parametrize("state", STATES)
def test_an_invoice_goes_from_state_to_state_as_stripe_says(stripe_sandbox: Played, state: str, action: str) -> None:
    invoice = draft(stripe_sandbox)
    for step in STATES[state]:
        stripe_sandbox.http.post(f"/v1/invoices/{invoice}/{step}")
    answer = stripe_sandbox.http.post(f"/v1/invoices/{invoice}/{action}")
    after = LEADS.get((state, action))
    assert answer.status_code == (200 if after else 400)
    assert asked(stripe_sandbox, f"/v1/invoices/{invoice}")["status"] == (after or state)


def test_a_finalized_invoice_keeps_its_money_and_cannot_be_deleted(stripe_sandbox: Played) -> None:
    invoice = draft(stripe_sandbox)
    stripe_sandbox.http.post(f"/v1/invoices/{invoice}/finalize")
    change = stripe_sandbox.http.post(f"/v1/invoices/{invoice}", data={"description": "late"})
    assert wrong(change, 400)["code"] == "invoice_not_editable"
    noted = stripe_sandbox.http.post(f"/v1/invoices/{invoice}", data={"metadata[erp]": "7"})
    assert noted.json()["metadata"] == {"erp": "7"}
    wrong(stripe_sandbox.http.delete(f"/v1/invoices/{invoice}"), 400)


def test_a_draft_is_deleted_and_gone(stripe_sandbox: Played) -> None:
    invoice = draft(stripe_sandbox)
    assert stripe_sandbox.http.delete(f"/v1/invoices/{invoice}").json()["deleted"] is True
    wrong(stripe_sandbox.http.get(f"/v1/invoices/{invoice}"), 404)


def test_a_declined_card_leaves_the_invoice_open_and_a_second_try_pays(stripe_sandbox: Played) -> None:
    invoice = draft(stripe_sandbox)
    stripe_sandbox.http.post(f"/v1/invoices/{invoice}/finalize")
    stripe_sandbox.arm("card_declined")
    assert wrong(stripe_sandbox.http.post(f"/v1/invoices/{invoice}/pay"), 402)["code"] == "card_declined"
    assert kinds(stripe_sandbox)[-1] == "invoice.payment_failed"
    paid = stripe_sandbox.http.post(f"/v1/invoices/{invoice}/pay").json()
    assert (paid["status"], paid["attempt_count"], paid["amount_paid"]) == ("paid", 2, 5000)


def test_a_credit_note_takes_from_what_is_due_and_what_is_left_of_the_total_is_its_bound(
    stripe_sandbox: Played,
) -> None:
    invoice = draft(stripe_sandbox)
    stripe_sandbox.http.post(f"/v1/invoices/{invoice}/finalize")
    note = stripe_sandbox.http.post("/v1/credit_notes", data={"invoice": invoice, "amount": "2000"})
    assert note.json()["number"].endswith("-CN-01")
    assert asked(stripe_sandbox, f"/v1/invoices/{invoice}")["amount_remaining"] == 3000
    wrong(stripe_sandbox.http.post("/v1/credit_notes", data={"invoice": invoice, "amount": "3001"}), 400)
    stripe_sandbox.http.post("/v1/credit_notes", data={"invoice": invoice, "amount": "3000"})
    assert asked(stripe_sandbox, f"/v1/invoices/{invoice}")["status"] == "paid"


# --- events --------------------------------------------------------------------------------------------------


def test_an_event_tells_the_object_what_was_before_and_whose_request_it_was(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, name="A", **{"metadata[a]": "1"}).json()["id"]
    headers = {"idempotency-key": "fieldwarden-1"}
    changes = {"name": "B", "metadata[b]": "2"}
    request = stripe_sandbox.http.post(f"/v1/customers/{made}", data=changes, headers=headers).headers["request-id"]
    event = asked(stripe_sandbox, "/v1/events", limit=1)["data"][0]
    assert (event["type"], event["data"]["object"]["name"]) == ("customer.updated", "B")
    assert event["data"]["previous_attributes"] == {"name": "A", "metadata": {"b": None}}
    assert event["request"] == {"id": request, "idempotency_key": "fieldwarden-1"}


def test_what_a_person_does_has_no_request(stripe_sandbox: Played) -> None:
    key = stripe_sandbox.records("customers")[0]["id"]
    stripe_sandbox.admin("PATCH", f"records/customers/{key}", {"name": "By hand"})
    [event] = stripe_sandbox.records("events")
    assert event["request"] == {"id": None, "idempotency_key": None}


def test_what_changes_nothing_is_no_event(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, name="A").json()["id"]
    stripe_sandbox.http.post(f"/v1/customers/{made}", data={"name": "A"})
    assert kinds(stripe_sandbox) == ["customer.created"]


@pytest.mark.parametrize("query", [{"type": "customer.*"}, {"types[]": ["customer.updated", "customer.created"]}])
def test_events_can_be_asked_by_their_types(stripe_sandbox: Played, query: Any) -> None:
    made = customer(stripe_sandbox, name="A").json()["id"]
    stripe_sandbox.http.post("/v1/products", data={"name": "P"})
    stripe_sandbox.http.post(f"/v1/customers/{made}", data={"name": "B"})
    found = [each["type"] for each in asked(stripe_sandbox, "/v1/events", **query)["data"]]
    assert found == ["customer.updated", "customer.created"]


def test_events_are_there_for_thirty_days(stripe_sandbox: Played) -> None:
    customer(stripe_sandbox, name="Old")
    old = asked(stripe_sandbox, "/v1/events")["data"][0]["id"]
    stripe_sandbox.pass_by(30 * DAY + 1)
    customer(stripe_sandbox, name="New")
    assert [each["data"]["object"]["name"] for each in asked(stripe_sandbox, "/v1/events")["data"]] == ["New"]
    wrong(stripe_sandbox.http.get(f"/v1/events/{old}"), 404)
    thin = stripe_sandbox.http.get("/v2/core/events", headers={"stripe-version": "2026-10-28.endive"}).json()
    assert len(thin["data"]) == 1


def test_a_thin_event_names_the_object_and_not_what_it_holds(stripe_sandbox: Played) -> None:
    made = customer(stripe_sandbox, name="A").json()["id"]
    headers = {"stripe-version": "2026-10-28.endive"}
    [event] = stripe_sandbox.http.get("/v2/core/events", headers=headers).json()["data"]
    assert event["related_object"] == {"id": made, "type": "customer", "url": f"/v1/customers/{made}"}
    assert event["type"] == "v1.customer.created"
    assert "data" not in event
    wrong(stripe_sandbox.http.get("/v2/core/events"), 400)
