"""What the QuickBooks sandbox holds of FEEDS' facts, over HTTP as a program sees it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fieldwarden.sandbox.quickbooks.vendor import CLIENT, REALM, SECRET, QuickBooks
from tests.sandbox.inbox import Inbox
from tests.sandbox.playing import NOON, Played

pytestmark = pytest.mark.long

COMPANY = f"/v3/company/{REALM}"
DAY = 86400.0


def refreshed(played: Played, token: str, client: tuple[str, str] = (CLIENT, SECRET)) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return played.http.post("/oauth2/v1/tokens/bearer", data=form, auth=client)


@pytest.fixture
def books(quickbooks_sandbox: Played) -> Played:
    """Logged in."""
    token = refreshed(quickbooks_sandbox, "refresh").json()["access_token"]
    quickbooks_sandbox.http.headers["authorization"] = f"Bearer {token}"
    return quickbooks_sandbox


def post(played: Played, entity: str, body: Any, **query: str) -> httpx.Response:
    return played.http.post(f"{COMPANY}/{entity.lower()}", json=body, params=query)


def made(played: Played, entity: str, body: Any) -> Any:
    answer = post(played, entity, body)
    assert answer.status_code == 200, answer.text
    return answer.json()[entity]


def get(played: Played, entity: str, key: str) -> Any:
    return played.http.get(f"{COMPANY}/{entity.lower()}/{key}").json()[entity]


def invoiced(played: Played, amount: str = "100.00") -> Any:
    line = {
        "Amount": float(amount),
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}},
    }
    return made(played, "Invoice", {"CustomerRef": {"value": "1"}, "Line": [line]})


def code(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    return str(answer.json()["Fault"]["Error"][0]["code"])


def queried(played: Played, text: str) -> Any:
    answer = played.http.get(f"{COMPANY}/query", params={"query": text})
    assert answer.status_code == 200, answer.text
    return answer.json()["QueryResponse"]


def changes(played: Played, entities: str, since: str) -> list[Any]:
    answer = played.http.get(f"{COMPANY}/cdc", params={"entities": entities, "changedSince": since})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["CDCResponse"][0]["QueryResponse"])


# --- logging in ----------------------------------------------------------------------------------------------


def test_a_refresh_token_is_good_for_one_use(quickbooks_sandbox: Played) -> None:
    first = refreshed(quickbooks_sandbox, "refresh").json()
    again = refreshed(quickbooks_sandbox, "refresh")
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refreshed(quickbooks_sandbox, first["refresh_token"]).status_code == 200


def test_an_access_token_ends_after_an_hour_and_another_company_is_not_ours(books: Played) -> None:
    assert books.http.get("/v3/company/1/customer/1").status_code == 403
    books.pass_by(3600)
    refused = books.http.get(f"{COMPANY}/customer/1")
    assert (refused.status_code, refused.json()["fault"]["error"][0]["code"]) == (401, "3200")


def test_a_wrong_client_is_told(quickbooks_sandbox: Played) -> None:
    assert refreshed(quickbooks_sandbox, "refresh", (CLIENT, "wrong")).json() == {"error": "invalid_client"}


# --- writing -------------------------------------------------------------------------------------------------


def test_each_change_takes_the_sync_token_on_and_an_older_one_is_stale(books: Played) -> None:
    customer = made(books, "Customer", {"DisplayName": "Zoë AG"})
    assert customer["SyncToken"] == "0"
    change = {"Id": customer["Id"], "SyncToken": "0", "sparse": True, "Notes": "x"}
    assert made(books, "Customer", change)["SyncToken"] == "1"
    assert code(post(books, "Customer", change)) == "5010"
    books.arm("stale_token")
    assert code(post(books, "Customer", {**change, "SyncToken": "1"})) == "5010"


def test_a_sparse_update_leaves_what_it_does_not_tell_and_a_full_one_clears_it(books: Played) -> None:
    known = made(books, "Customer", {"DisplayName": "A", "Notes": "n", "CompanyName": "C"})
    sparse = made(books, "Customer", {"Id": known["Id"], "SyncToken": "0", "sparse": True, "CompanyName": "D"})
    assert (sparse["Notes"], sparse["CompanyName"]) == ("n", "D")
    full = made(books, "Customer", {"Id": known["Id"], "SyncToken": "1", "DisplayName": "A"})
    assert not {"Notes", "CompanyName"} & full.keys()


@pytest.mark.parametrize(
    ("entity", "body", "wanted"),
    [
        ("Customer", {"Colour": "red", "DisplayName": "A"}, "2010"),
        ("Customer", {"CompanyName": "A"}, "2020"),
        ("Customer", {"DisplayName": "Alder Analytics GmbH"}, "6240"),
        ("Invoice", {"CustomerRef": {"value": "999"}, "Line": [{"Amount": 1}]}, "2500"),
        ("Invoice", {"CustomerRef": {"value": "1"}, "Line": [{"Amount": "x"}]}, "2020"),
        ("Invoice", {"CustomerRef": {"value": "1"}, "Line": [{"Amount": 1}], "DocNumber": "1001"}, "6140"),
        ("Customer", {"Id": "999", "SyncToken": "0"}, "610"),
    ],
)
def test_what_cannot_be_written_has_its_code(books: Played, entity: str, body: Any, wanted: str) -> None:
    assert code(post(books, entity, body)) == wanted


def test_what_nobody_writes_is_ignored(books: Played) -> None:
    assert made(books, "Customer", {"DisplayName": "A", "Balance": 99, "MetaData": {}})["Balance"] == 0


def test_a_request_id_is_answered_again_and_nothing_is_done_twice(books: Played) -> None:
    books.arm("lost_answer")
    with pytest.raises(httpx.RemoteProtocolError):
        post(books, "Customer", {"DisplayName": "Once"}, requestid="r1")
    again = post(books, "Customer", {"DisplayName": "Once"}, requestid="r1").json()["Customer"]
    assert queried(books, "select * from Customer where DisplayName = 'Once'")["Customer"] == [again]


def test_a_transaction_is_deleted_and_a_customer_is_made_inactive(books: Played) -> None:
    invoice = invoiced(books)
    answer = post(books, "Invoice", {"Id": invoice["Id"], "SyncToken": "0"}, operation="delete")
    assert answer.json()["Invoice"] == {"status": "Deleted", "domain": "QBO", "Id": invoice["Id"]}
    assert books.http.get(f"{COMPANY}/invoice/{invoice['Id']}").status_code == 400
    assert code(post(books, "Customer", {"Id": "1", "SyncToken": "0"}, operation="delete")) == "6000"
    made(books, "Customer", {"Id": "1", "SyncToken": "0", "sparse": True, "Active": False})
    assert queried(books, "select * from Customer where Id = '1'") == {}
    assert len(queried(books, "select * from Customer where Id = '1' and Active in (true, false)")["Customer"]) == 1


def test_a_payment_changes_its_invoice_and_the_customers_balance_but_not_the_customer(books: Played) -> None:
    before = get(books, "Customer", "1")
    invoice = invoiced(books, "100.10")
    line = {"Amount": 40.05, "LinkedTxn": [{"TxnId": invoice["Id"], "TxnType": "Invoice"}]}
    payment = made(books, "Payment", {"CustomerRef": {"value": "1"}, "TotalAmt": 50, "Line": [line]})
    assert payment["UnappliedAmt"] == 9.95
    paid = get(books, "Invoice", invoice["Id"])
    assert (paid["Balance"], paid["SyncToken"]) == (60.05, "1")
    after = get(books, "Customer", "1")
    assert Decimal(str(after["Balance"])) - Decimal(str(before["Balance"])) == Decimal("60.05")
    assert after["MetaData"] == before["MetaData"]
    post(books, "Payment", {"Id": payment["Id"], "SyncToken": "0"}, operation="delete")
    assert get(books, "Invoice", invoice["Id"])["Balance"] == 100.10


def test_a_voided_invoice_stays_with_nothing_in_it(books: Played) -> None:
    invoice = invoiced(books)
    answer = post(books, "Invoice", {"Id": invoice["Id"], "SyncToken": "0"}, operation="void").json()["Invoice"]
    assert (answer["TotalAmt"], answer["Balance"], answer["PrivateNote"]) == (0, 0, "Voided")


def test_money_has_two_places_on_the_wire(books: Played) -> None:
    invoice = invoiced(books, "100.10")
    assert '"TotalAmt":100.10' in books.http.get(f"{COMPANY}/invoice/{invoice['Id']}").text


def test_a_batch_answers_200_with_a_fault_beside_what_was_done(books: Played) -> None:
    items = [
        {"bId": "1", "operation": "create", "Customer": {"DisplayName": "A"}},
        {"bId": "2", "operation": "create", "Customer": {}},
        {"bId": "3", "Query": "select count(*) from Item"},
    ]
    answer = books.http.post(f"{COMPANY}/batch", json={"BatchItemRequest": items})
    assert answer.status_code == 200
    first, second, third = answer.json()["BatchItemResponse"]
    assert first["Customer"]["DisplayName"] == "A"
    assert second["Fault"]["Error"][0]["code"] == "2020"
    assert third["QueryResponse"] == {"totalCount": 5}


# --- reading -------------------------------------------------------------------------------------------------


def test_a_query_has_pages_an_order_and_conditions(books: Played) -> None:
    assert queried(books, "select count(*) from Customer") == {"totalCount": 20}
    page = queried(books, "SELECT * FROM Customer ORDERBY DisplayName DESC STARTPOSITION 3 MAXRESULTS 2")
    names = sorted((each["DisplayName"] for each in books.records("Customer")), key=str.lower, reverse=True)
    assert [each["DisplayName"] for each in page["Customer"]] == names[2:4]
    assert (page["startPosition"], page["maxResults"]) == (3, 2)
    assert len(queried(books, "select * from Customer where DisplayName like '%Analytics%'")["Customer"]) == 3
    big = queried(books, "select * from Invoice where TotalAmt >= '20' and TotalAmt < '22'")["Invoice"]
    assert sorted(each["TotalAmt"] for each in big) == [20.96]
    assert queried(books, "select * from Invoice where TotalAmt > '99999'") == {}


@pytest.mark.parametrize("text", ["delete from Customer", "select * from Clients", "select * from Item where", "x"])
def test_a_query_that_cannot_be_read_is_refused(books: Played, text: str) -> None:
    assert code(books.http.get(f"{COMPANY}/query", params={"query": text})) == "4000"


def test_changes_tell_the_deleted_by_their_status_and_have_whole_seconds(books: Played) -> None:
    invoice = invoiced(books)
    post(books, "Invoice", {"Id": invoice["Id"], "SyncToken": "0"}, operation="delete")
    made(books, "Customer", {"DisplayName": "A"})
    customers, invoices = changes(books, "Customer,Invoice", NOON)
    assert customers["Customer"][0]["MetaData"]["LastUpdatedTime"] == "2026-11-28T04:00:00-08:00"
    [gone] = invoices["Invoice"]
    assert (gone["status"], gone["Id"]) == ("Deleted", invoice["Id"])


def test_changes_end_at_a_thousand_objects_in_all_without_a_word(books: Played) -> None:
    books.admin("POST", "make", {"table": "Invoice", "count": 900, "quiet": True})
    books.admin("POST", "make", {"table": "Payment", "count": 800, "quiet": True})
    invoices, payments = changes(books, "Invoice,Payment", NOON)
    assert (len(invoices["Invoice"]) + len(payments["Payment"]), len(payments["Payment"]) < 800) == (1000, True)


def test_changes_of_more_than_thirty_days_ago_are_refused(books: Played) -> None:
    answer = books.http.get(f"{COMPANY}/cdc", params={"entities": "Customer", "changedSince": "2020-01-01T00:00:00Z"})
    assert code(answer) == "6000"


def test_a_fault_can_stand_in_a_200(books: Played) -> None:
    books.arm("error_in_200")
    answer = post(books, "Customer", {"DisplayName": "A"})
    assert (answer.status_code, "Fault" in answer.json()) == (200, True)
    assert queried(books, "select * from Customer where DisplayName = 'A'") == {}


# --- webhooks ------------------------------------------------------------------------------------------------


def test_a_webhook_names_what_changed_and_is_signed_over_its_body(books: Played, inbox: Inbox) -> None:
    books.admin("POST", "hooks", {"url": inbox.url})
    customer = made(books, "Customer", {"DisplayName": "A"})
    books.arm("legacy_hook")
    books.admin("PATCH", f"records/Customer/{customer['Id']}", {"Notes": "n"})
    books.hooks_sent()
    [event], legacy = inbox.bodies()
    assert (event["type"], event["intuitentityid"], event["intuitaccountid"]) == (
        "qbo.customer.created.v1",
        customer["Id"],
        REALM,
    )
    [changed] = legacy["eventNotifications"][0]["dataChangeEvent"]["entities"]
    assert (changed["name"], changed["id"], changed["operation"]) == ("Customer", customer["Id"], "Update")
    for body, headers in inbox.taken:
        signed = hmac.new(QuickBooks.secret.encode(), body, hashlib.sha256).digest()
        assert headers["intuit-signature"] == base64.b64encode(signed).decode()
