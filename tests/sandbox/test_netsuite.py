"""What the NetSuite sandbox holds of FEEDS' facts, over HTTP as a program sees it."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.netsuite.vendor import CLIENT, RECORD, TOKEN_PATH
from tests.sandbox.playing import NOON, Played

pytestmark = pytest.mark.long

AT = int(seconds_of(NOON))
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def assertion(url: str, head: Any = None, **claims: Any) -> str:
    told = {
        "iss": CLIENT,
        "aud": url + TOKEN_PATH,
        "iat": AT,
        "exp": AT + 3600,
        "scope": ["rest_webservices"],
        **claims,
    }
    parts = ({"alg": "PS256", "kid": "k1", "typ": "JWT", **(head or {})}, told)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts), "c2ln"]
    )


def login(played: Played, assertion: str) -> httpx.Response:
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": assertion}
    return played.http.post(TOKEN_PATH, data=form)


@pytest.fixture
def books(netsuite_sandbox: Played) -> Played:
    """Logged in."""
    token = login(netsuite_sandbox, assertion(netsuite_sandbox.url)).json()["access_token"]
    netsuite_sandbox.http.headers["authorization"] = f"Bearer {token}"
    return netsuite_sandbox


def made(played: Played, kind: str, body: Any) -> str:
    answer = played.http.post(f"{RECORD}/{kind}", json=body)
    assert answer.status_code == 204, answer.text
    return answer.headers["location"].rpartition("/")[2]


def record(played: Played, kind: str, key: str) -> Any:
    return played.http.get(f"{RECORD}/{kind}/{key}", params={"expandSubResources": "true"}).json()


def invoiced(played: Played, customer: str, amount: str = "100.10") -> str:
    item = played.records("inventoryItem")[0]["id"]
    return made(
        played, "invoice", {"entity": {"id": customer}, "item": {"items": [{"item": {"id": item}, "rate": amount}]}}
    )


def queried(played: Played, text: str, **query: int) -> Any:
    path = "/services/rest/query/v1/suiteql"
    answer = played.http.post(path, json={"q": text}, params=query, headers={"prefer": "transient"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def code(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["o:errorDetails"][0]["o:errorCode"])


def first(played: Played) -> str:
    return str(played.records("customer")[0]["id"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "other"},
        {"aud": "https://example.com"},
        {"exp": AT},
        {"exp": AT + 7200},
        {"iat": AT + 3000, "exp": AT + 3600},
    ],
)
def test_an_assertion_has_to_be_of_this_client_for_this_address_and_this_hour(
    netsuite_sandbox: Played, wrong: Any
) -> None:
    assert login(netsuite_sandbox, assertion(netsuite_sandbox.url)).status_code == 200
    assert login(netsuite_sandbox, assertion(netsuite_sandbox.url, **wrong)).status_code == 400


@pytest.mark.parametrize("head", [{"alg": "RS256"}, {"alg": "none"}, {"kid": ""}])
def test_an_assertion_is_signed_by_an_algorithm_that_netsuite_takes(netsuite_sandbox: Played, head: Any) -> None:
    assert login(netsuite_sandbox, assertion(netsuite_sandbox.url, head)).status_code == 400
    assert login(netsuite_sandbox, "nothing").status_code == 400


def test_a_token_ends_after_an_hour(books: Played) -> None:
    assert books.http.get(f"{RECORD}/customer").status_code == 200
    books.pass_by(3600)
    assert code(books.http.get(f"{RECORD}/customer"), 401) == "INVALID_LOGIN"


def test_a_write_answers_204_and_where_the_record_is(books: Played) -> None:
    key = made(books, "customer", {"companyName": "Zoë AG", "subsidiary": {"id": "1"}})
    found = record(books, "customer", key)
    assert (found["companyName"], found["lastModifiedDate"]) == ("Zoë AG", NOON)
    answer = books.http.patch(f"{RECORD}/customer/{key}", json={"email": "a@example.com"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert record(books, "customer", key)["companyName"] == "Zoë AG"


def test_an_upsert_by_external_id_makes_one_record_however_often_it_comes(books: Played) -> None:
    body = {"companyName": "A", "subsidiary": {"id": "1"}}
    places = {books.http.put(f"{RECORD}/customer/eid:X1", json=body).headers["location"] for _ in range(2)}
    assert len(places) == 1
    assert record(books, "customer", "eid:X1")["externalId"] == "X1"
    again = books.http.post(f"{RECORD}/customer", json={**body, "externalId": "X1"})
    assert code(again) == "USER_ERROR"


@pytest.mark.parametrize(
    ("kind", "body", "wanted"),
    [
        ("customer", {"colour": "red", "subsidiary": {"id": "1"}}, "INVALID_CONTENT"),
        ("customer", {"companyName": "A"}, "USER_ERROR"),
        ("customer", {"subsidiary": {"id": "1"}, "lastModifiedDate": NOON}, "USER_ERROR"),
        ("invoice", {"entity": {"id": "999"}, "item": {"items": [{}]}}, "NONEXISTENT_ID"),
        ("invoice", {"item": {"items": [{}]}}, "USER_ERROR"),
    ],
)
def test_what_cannot_be_written_has_its_code(books: Played, kind: str, body: Any, wanted: str) -> None:
    answer = books.http.post(f"{RECORD}/{kind}", json=body)
    assert code(answer, 404 if wanted == "NONEXISTENT_ID" else 400) == wanted


def test_a_list_tells_ids_only_and_a_record_its_lines_only_if_asked(books: Played) -> None:
    page = books.http.get(f"{RECORD}/invoice", params={"limit": 5, "offset": 5}).json()
    assert [each.keys() for each in page["items"]] == [{"links", "id"}] * 5
    assert (page["count"], page["hasMore"], page["totalResults"]) == (5, True, 12)
    key = page["items"][0]["id"]
    assert books.http.get(f"{RECORD}/invoice/{key}").json()["item"].keys() == {"links"}
    assert record(books, "invoice", key)["item"]["items"][0]["line"] == 1


def test_a_payment_pays_an_invoice_and_its_deletion_opens_it_again(books: Played) -> None:
    invoice = invoiced(books, first(books))
    answer = books.http.post(f"{RECORD}/invoice/{invoice}/!transform/customerPayment", json={})
    payment = answer.headers["location"].rpartition("/")[2]
    paid = record(books, "invoice", invoice)
    assert (paid["status"]["refName"], paid["amountRemaining"]) == ("Paid In Full", 0)
    assert books.http.delete(f"{RECORD}/customerPayment/{payment}").status_code == 204
    assert record(books, "invoice", invoice)["amountRemaining"] == 100.10


def test_an_order_becomes_an_invoice(books: Played) -> None:
    order = books.records("salesOrder")[0]
    answer = books.http.post(f"{RECORD}/salesOrder/{order['id']}/!transform/invoice", json={})
    invoice = record(books, "invoice", answer.headers["location"].rpartition("/")[2])
    assert (invoice["createdFrom"]["id"], invoice["total"]) == (order["id"], order["total"])
    refused = books.http.post(f"{RECORD}/salesOrder/{order['id']}/!transform/customer", json={})
    assert refused.status_code == 400


def test_suiteql_answers_with_text_and_leaves_out_what_has_no_value(books: Played) -> None:
    key = invoiced(books, first(books))
    page = queried(
        books, f"SELECT id, tranid, memo, foreigntotal FROM transaction WHERE type = 'CustInvc' AND id = {key}"
    )
    assert page["items"] == [{"links": [], "id": key, "tranid": f"INV{key}", "foreigntotal": "100.10"}]
    joined = "transaction t JOIN transactionline l ON l.transaction = t.id"
    lines = queried(books, f"SELECT t.id, l.foreignamount FROM {joined} WHERE t.id = '{key}'")
    assert lines["items"][0]["foreignamount"] == "100.10"


def test_a_date_has_its_time_only_by_to_char(books: Played) -> None:
    key = made(books, "customer", {"companyName": "A", "subsidiary": {"id": "1"}})
    text = "SELECT lastmodifieddate AS plain, TO_CHAR(lastmodifieddate, 'YYYY-MM-DD HH24:MI:SS') AS whole FROM customer"
    [row] = queried(books, f"{text} WHERE id = '{key}'")["items"]
    assert (row["plain"], row["whole"]) == ("11/28/2026", "2026-11-28 12:00:00")
    since = "lastmodifieddate >= TO_DATE('2026-11-28 12:00:00', 'YYYY-MM-DD HH24:MI:SS')"
    assert [each["id"] for each in queried(books, f"SELECT id FROM customer WHERE {since}")["items"]] == [key]


def test_rows_that_order_by_does_not_tell_apart_move_between_pages(books: Played) -> None:
    books.admin("POST", "make", {"table": "customer", "count": 60})

    def paged(text: str) -> list[str]:
        pages = [queried(books, text, limit=20, offset=offset)["items"] for offset in (0, 20, 40, 60)]
        return [each["id"] for page in pages for each in page]

    every = {each["id"] for each in books.records("customer")}
    assert {*paged("SELECT id FROM customer ORDER BY lastmodifieddate, id")} == every
    assert len({*paged("SELECT id FROM customer ORDER BY isinactive")}) < len(every)
    assert len({*paged("SELECT id FROM customer")}) < len(every)


def test_what_was_deleted_is_told_by_a_table_of_its_own(books: Played) -> None:
    key = invoiced(books, first(books))
    books.http.delete(f"{RECORD}/invoice/{key}")
    assert code(books.http.get(f"{RECORD}/invoice/{key}"), 404) == "NONEXISTENT_ID"
    [row] = queried(books, "SELECT recordid, recordtypeid, deleteddate FROM DeletedRecord")["items"]
    assert (row["recordid"], row["recordtypeid"], row["deleteddate"]) == (key, "invoice", "11/28/2026")
    assert queried(books, f"SELECT id FROM transaction WHERE id = '{key}'")["items"] == []


def test_a_customer_with_transactions_cannot_be_deleted(books: Played) -> None:
    invoiced(books, first(books))
    assert code(books.http.delete(f"{RECORD}/customer/{first(books)}")) == "USER_ERROR"


@pytest.mark.parametrize(
    "text", ["DELETE FROM customer", "SELECT * FROM clients", "ATTACH 'x' AS y", "PRAGMA user_version", "SELECT", ""]
)
def test_a_query_can_only_read_and_has_to_be_one(books: Played, text: str) -> None:
    answer = books.http.post("/services/rest/query/v1/suiteql", json={"q": text}, headers={"prefer": "transient"})
    assert code(answer) == "INVALID_CONTENT"
    assert len(books.records("customer")) == 20


def test_a_query_needs_its_header_and_pages_that_fit(books: Played) -> None:
    path, body = "/services/rest/query/v1/suiteql", {"q": "SELECT id FROM customer"}
    assert code(books.http.post(path, json=body)) == "INVALID_HEADER"
    headers = {"prefer": "transient"}
    for wrong in ({"limit": 1001}, {"limit": 10, "offset": 5}):
        assert code(books.http.post(path, json=body, params=wrong, headers=headers)) == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("fault", "status", "wanted"),
    [
        ("throttle", 429, "CONCURRENCY_LIMIT_EXCEEDED"),
        ("restlet_limit", 400, "SSS_REQUEST_LIMIT_EXCEEDED"),
        ("missing_scope", 403, "INSUFFICIENT_PERMISSION"),
    ],
)
def test_its_faults_speak_its_words(books: Played, fault: str, status: int, wanted: str) -> None:
    books.arm(fault)
    assert code(books.http.get(f"{RECORD}/customer"), status) == wanted
