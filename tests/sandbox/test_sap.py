"""What the SAP sandbox holds of FEEDS' facts, over HTTP as a program sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as Xml

import httpx
import pytest

from fieldwarden.sandbox.sap.vendor import CLIENT, DELTA_SECONDS, PAGE, SECRET, TOKEN_PATH
from tests.sandbox.playing import Played
from tests.sandbox.sap_client import ORDERS, ORDERS4, PARTNERS, PARTNERS4, TRACKED, Session


@pytest.fixture
def session(sap_sandbox: Played) -> Iterator[Session]:
    session = Session(sap_sandbox.url, (CLIENT, SECRET))
    yield session
    session.http.close()


def first(session: Session) -> Any:
    return session.get(PARTNERS, top="1")["d"]["results"][0]


def message(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]["message"]
    return str(told["value"] if isinstance(told, dict) else told)


def test_a_token_is_given_for_client_credentials_and_ends(sap_sandbox: Played) -> None:
    form = {"grant_type": "client_credentials"}
    token = sap_sandbox.http.post(TOKEN_PATH, data=form, auth=(CLIENT, SECRET)).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    assert sap_sandbox.http.get(PARTNERS, headers=headers).status_code == 200
    sap_sandbox.pass_by(3600)
    refused = sap_sandbox.http.get(PARTNERS, headers=headers)
    assert (refused.status_code, refused.headers["content-type"].split(";")[0]) == (401, "text/html")
    assert sap_sandbox.http.post(TOKEN_PATH, data=form, auth=(CLIENT, "x")).status_code == 401


def test_a_change_needs_a_token_of_its_own_session(sap_sandbox: Played, session: Session) -> None:
    other = Session(sap_sandbox.url, (CLIENT, SECRET))
    other.token = session.token
    body = {"OrganizationBPName1": "A"}
    refused = other.change("POST", PARTNERS, body)
    assert refused.headers["x-csrf-token"] == "Required"
    message(refused, 403)
    assert session.change("POST", PARTNERS, body).status_code == 201
    sap_sandbox.pass_by(1801)
    message(session.change("POST", PARTNERS, body), 403)
    other.http.close()


def test_a_change_needs_the_etag_of_what_was_read(session: Session) -> None:
    partner = first(session)
    path, etag = f"{PARTNERS}('{partner['BusinessPartner']}')", partner["__metadata"]["etag"]
    message(session.change("PATCH", path, {"SearchTerm1": "X"}), 428)
    changed = session.change("PATCH", path, {"SearchTerm1": "X"}, etag)
    assert (changed.status_code, changed.headers["etag"] != etag) == (204, True)
    message(session.change("PATCH", path, {"SearchTerm1": "Y"}, etag), 412)
    assert session.change("PATCH", path, {"SearchTerm1": "Y"}, "*").status_code == 204


def test_etags_of_one_second_differ_and_do_not_grow(session: Session) -> None:
    path = f"{PARTNERS}('{first(session)['BusinessPartner']}')"
    etags = [session.change("PATCH", path, {"SearchTerm1": str(number)}, "*").headers["etag"] for number in range(6)]
    assert len({*etags}) == 6
    assert etags != sorted(etags)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"Colour": "red"}, "'Colour' does not exist"),
        ({"CreationDate": "2026-01-01"}, "'CreationDate' cannot be written"),
        ({"BusinessPartnerIsBlocked": "perhaps"}, "Invalid value"),
    ],
)
@pytest.mark.parametrize("path", [PARTNERS, PARTNERS4])
def test_what_may_not_be_written_is_refused_by_name(session: Session, path: str, body: Any, said: str) -> None:
    assert said in message(session.change("POST", path, body), 400)


def test_the_two_versions_write_the_same_entity_differently(sap_sandbox: Played, session: Session) -> None:
    item = {"Material": "M", "RequestedQuantity": "2", "NetAmount": "10.10"}
    made = session.change("POST", ORDERS, {"SoldToParty": "1000001", "to_Item": {"results": [item, item]}})
    two = made.json()["d"]
    assert (two["TotalNetAmount"], two["CreationDate"]) == ("20.20", "/Date(1795824000000)/")
    four = session.get(f"{ORDERS4}('{two['SalesOrder']}')", expand="to_Item")
    assert (four["TotalNetAmount"], four["CreationDate"]) == (20.20, "2026-11-28T00:00:00Z")
    assert [each["SalesOrderItem"] for each in four["to_Item"]] == ["000010", "000020"]


def test_an_edit_of_an_item_changes_the_total_and_the_etag_of_its_order(session: Session) -> None:
    order = session.get(ORDERS4, top="1", expand="to_Item")["value"][0]
    item = order["to_Item"][0]["SalesOrderItem"]
    path = f"{ORDERS4}Item(SalesOrder='{order['SalesOrder']}',SalesOrderItem='{item}')"
    assert session.change("PATCH", path, {"NetAmount": 7}, "*").status_code == 204
    after = session.get(f"{ORDERS4}('{order['SalesOrder']}')")
    assert (after["TotalNetAmount"], after["@odata.etag"] != order["@odata.etag"]) == (7, True)


def test_pages_follow_by_next_links_and_the_delta_link_comes_with_the_last(
    sap_sandbox: Played, session: Session
) -> None:
    sap_sandbox.admin("POST", "make", {"table": "BusinessPartner", "count": 2 * PAGE})
    page = session.get(PARTNERS4, TRACKED)
    met = [each["BusinessPartner"] for each in page["value"]]
    while "@odata.nextLink" in page:
        assert "@odata.deltaLink" not in page
        page = session.get(page["@odata.nextLink"], TRACKED)
        met += [each["BusinessPartner"] for each in page["value"]]
    assert met == [each["BusinessPartner"] for each in sap_sandbox.records("BusinessPartner")]
    assert "@odata.deltaLink" in page
    two = session.get(PARTNERS)["d"]
    assert len(session.get(two["__next"])["d"]["results"]) == PAGE


def test_a_delta_tells_of_each_change_once_and_of_what_is_gone(sap_sandbox: Played, session: Session) -> None:
    link = session.get(ORDERS4, TRACKED)["@odata.deltaLink"]
    gone, changed = (each["SalesOrder"] for each in sap_sandbox.records("SalesOrder")[:2])
    for term in ("A", "B"):
        sap_sandbox.admin("PATCH", f"records/SalesOrder/{changed}", {"PurchaseOrderByCustomer": term})
    sap_sandbox.admin("DELETE", f"records/SalesOrder/{gone}")
    delta = session.get(link)
    here, removed = delta["value"]
    assert (here["SalesOrder"], here["PurchaseOrderByCustomer"]) == (changed, "B")
    assert removed["@id"].endswith(f"SalesOrder('{gone}')")
    assert removed["@removed"] == {"reason": "deleted"}
    assert session.get(delta["@odata.deltaLink"])["value"] == []


def test_what_changes_while_pages_are_read_stands_in_the_delta(sap_sandbox: Played, session: Session) -> None:
    sap_sandbox.admin("POST", "make", {"table": "BusinessPartner", "count": PAGE})
    page = session.get(PARTNERS4, TRACKED)
    key = page["value"][0]["BusinessPartner"]
    sap_sandbox.admin("PATCH", f"records/BusinessPartner/{key}", {"SearchTerm1": "MEANWHILE"})
    last = session.get(page["@odata.nextLink"], TRACKED)
    assert [each["BusinessPartner"] for each in session.get(last["@odata.deltaLink"])["value"]] == [key]


def test_a_delta_link_ends_after_a_week(sap_sandbox: Played, session: Session) -> None:
    link = session.get(ORDERS4, TRACKED)["@odata.deltaLink"]
    sap_sandbox.pass_by(DELTA_SECONDS + 1)
    message(session.http.get(link), 410)
    link = session.get(ORDERS4, TRACKED)["@odata.deltaLink"]
    sap_sandbox.arm("expired_cursor")
    message(session.http.get(link), 410)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("BusinessPartner eq '1000001'", 1),
        ("BusinessPartner ne '1000001'", 19),
        ("BusinessPartner ge '1000003' and BusinessPartner lt '1000005'", 2),
        ("BusinessPartner eq '1000001' or BusinessPartner eq '1000002'", 2),
        ("CreationDate gt 2026-11-20T00:00:00Z", 0),
        ("BusinessPartnerIsBlocked eq false", 20),
        ("startswith(BusinessPartnerFullName,'Brücke')", 2),
    ],
)
def test_a_condition_finds_what_it_says(session: Session, condition: str, count: int) -> None:
    assert len(session.get(PARTNERS4, filter=condition)["value"]) == count


def test_a_condition_of_v2_has_its_own_words_for_times(session: Session) -> None:
    found = session.get(
        ORDERS, filter="LastChangeDateTime ge datetimeoffset'2026-11-01T00:00:00Z'", inlinecount="allpages"
    )
    assert found["d"]["__count"] == "8"
    assert session.get(ORDERS, filter="LastChangeDate gt datetime'2026-11-20T00:00:00'")["d"]["results"] == []
    assert session.get(PARTNERS, filter="substringof('Analytics',BusinessPartnerFullName)")["d"]["results"]


@pytest.mark.parametrize("condition", ["foo eq 1", "BusinessPartner", "BusinessPartner eq '1' xor 1"])
def test_a_condition_that_is_none_is_refused(session: Session, condition: str) -> None:
    message(session.http.get(PARTNERS4, params={"$filter": condition}), 400)


def test_a_billing_document_is_not_written_but_cancelled_by_another(sap_sandbox: Played, session: Session) -> None:
    path = "/sap/opu/odata/sap/API_BILLING_DOCUMENT_SRV"
    key = sap_sandbox.records("BillingDocument")[0]["BillingDocument"]
    assert session.change("PATCH", f"{path}/A_BillingDocument('{key}')", {"PayerParty": "1"}, "*").status_code == 404
    cancelled = session.change("POST", f"{path}/Cancel?BillingDocument='{key}'").json()["d"]
    assert (cancelled["BillingDocumentType"], cancelled["CancelledBillingDocument"]) == ("S1", key)
    assert session.get(f"{path}/A_BillingDocument('{key}')")["d"]["BillingDocumentIsCancelled"] is True
    message(session.change("POST", f"{path}/Cancel?BillingDocument='{key}'"), 400)


def test_the_metadata_say_what_nobody_writes(session: Session) -> None:
    path = PARTNERS.rpartition("/")[0] + "/$metadata"
    root = Xml.fromstring(session.http.get(path).content)
    sap = "{http://www.sap.com/Protocols/SAPData}updatable"
    fixed = {each.get("Name"): each.get(sap) for each in root.iter() if each.tag.endswith("}Property")}
    assert (fixed["CreationDate"], fixed["SearchTerm1"]) == ("false", None)


def test_its_faults_speak_its_words(session: Session) -> None:
    played = Played(str(session.http.base_url))
    body = {"OrganizationBPName1": "A"}
    for fault, status in (("locked", 423), ("csrf_expired", 403)):
        played.arm(fault)
        message(session.change("POST", PARTNERS, body), status)
    played.arm("error_in_200")
    answer = session.change("POST", PARTNERS, body)
    assert (answer.status_code, '"severity":"error"' in answer.headers["sap-message"]) == (200, True)
    assert len(played.records("BusinessPartner")) == 20
    played.arm("no_tracking")
    assert "@odata.deltaLink" not in session.get(PARTNERS4, TRACKED)
    played.http.close()
