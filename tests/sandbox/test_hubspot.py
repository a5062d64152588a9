"""What the HubSpot sandbox holds of FEEDS' facts, over HTTP as a program sees it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from fieldwarden.sandbox.hubspot.vendor import SECRET
from tests.sandbox.inbox import Inbox
from tests.sandbox.playing import Played

pytestmark = pytest.mark.long

CONTACTS = "/crm/v3/objects/contacts"


def created(played: Played, table: str = "contacts", **properties: str) -> str:
    answer = played.http.post(f"/crm/v3/objects/{table}", json={"properties": properties})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def found(played: Played, **body: Any) -> Any:
    answer = played.http.post(f"{CONTACTS}/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def by(name: str, operator: str, **more: Any) -> list[Any]:
    return [{"filters": [{"propertyName": name, "operator": operator, **more}]}]


def test_a_list_goes_by_id_and_shows_what_was_asked_for(hubspot_sandbox: Played) -> None:
    met: list[str] = []
    query = {"limit": "10", "properties": "email,city"}
    while True:
        page = hubspot_sandbox.http.get(CONTACTS, params=query).json()
        met += [each["id"] for each in page["results"]]
        if "paging" not in page:
            break
        query["after"] = page["paging"]["next"]["after"]
    assert met == [each["hs_object_id"] for each in hubspot_sandbox.records("contacts")]
    properties = page["results"][0]["properties"]
    assert {"email", "city", "hs_object_id", "createdate", "lastmodifieddate"} == properties.keys()


def test_the_dated_path_answers_as_the_numbered_one(hubspot_sandbox: Played) -> None:
    dated = hubspot_sandbox.http.get("/crm/objects/2026-03/contacts").json()["results"]
    assert dated == hubspot_sandbox.http.get(CONTACTS).json()["results"]


def test_what_is_archived_is_listed_apart_and_has_its_time(hubspot_sandbox: Played) -> None:
    key = created(hubspot_sandbox, email="gone@example.com")
    assert hubspot_sandbox.http.delete(f"{CONTACTS}/{key}").status_code == 204
    assert hubspot_sandbox.http.delete(f"{CONTACTS}/{key}").status_code == 204
    assert hubspot_sandbox.http.get(f"{CONTACTS}/{key}").status_code == 404
    [gone] = hubspot_sandbox.http.get(CONTACTS, params={"archived": "true"}).json()["results"]
    assert (gone["id"], gone["archived"], gone["archivedAt"]) == (key, True, "2026-11-28T12:00:00.000Z")


def test_a_search_lags_and_a_read_by_id_does_not(hubspot_sandbox: Played) -> None:
    key = created(hubspot_sandbox, email="new@example.com")
    groups = by("email", "EQ", value="NEW@example.com")
    assert found(hubspot_sandbox, filterGroups=groups)["total"] == 0
    assert hubspot_sandbox.http.get(f"{CONTACTS}/{key}").status_code == 200
    hubspot_sandbox.pass_by(11)
    assert [each["id"] for each in found(hubspot_sandbox, filterGroups=groups)["results"]] == [key]


@pytest.mark.parametrize(
    ("operator", "more", "names"),
    [
        ("EQ", {"value": "b"}, ["b"]),
        ("NEQ", {"value": "b"}, ["a", "c"]),
        ("GT", {"value": "a"}, ["b", "c"]),
        ("BETWEEN", {"value": "a", "highValue": "b"}, ["a", "b"]),
        ("IN", {"values": ["a", "c"]}, ["a", "c"]),
        ("NOT_IN", {"values": ["a", "c"]}, ["b"]),
        ("HAS_PROPERTY", {}, ["a", "b", "c"]),
        ("NOT_HAS_PROPERTY", {}, []),
        ("CONTAINS_TOKEN", {"value": "*B"}, ["b"]),
    ],
)
def test_a_filter_finds_what_its_operator_says(
    hubspot_sandbox: Played, operator: str, more: Any, names: list[str]
) -> None:
    for each in hubspot_sandbox.records("contacts"):
        hubspot_sandbox.admin("DELETE", f"records/contacts/{each['hs_object_id']}")
    for name in "abc":
        created(hubspot_sandbox, lastname=name)
    hubspot_sandbox.pass_by(11)
    results = found(hubspot_sandbox, filterGroups=by("lastname", operator, **more))["results"]
    assert [each["properties"]["lastname"] for each in results] == names


def test_times_are_searched_by_milliseconds(hubspot_sandbox: Played) -> None:
    key = created(hubspot_sandbox, lastname="now")
    hubspot_sandbox.pass_by(11)
    groups = by("lastmodifieddate", "GTE", value="1795867200000")
    assert [each["id"] for each in found(hubspot_sandbox, filterGroups=groups)["results"]] == [key]
    groups = by("lastmodifieddate", "GTE", value="1795867200001")
    assert found(hubspot_sandbox, filterGroups=groups)["total"] == 0


def test_a_search_ends_at_ten_thousand(hubspot_sandbox: Played) -> None:
    refused = hubspot_sandbox.http.post(f"{CONTACTS}/search", json={"limit": 100, "after": "9901"})
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    assert found(hubspot_sandbox, limit=100, after="9900")["results"] == []


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"colour": "red"}, "PROPERTY_DOESNT_EXIST"),
        ({"createdate": "2026-01-01T00:00:00Z"}, "READ_ONLY_VALUE"),
        ({"hs_object_id": "7"}, "READ_ONLY_VALUE"),
        ({"annualrevenue": "much"}, "INVALID_DOUBLE"),
    ],
)
def test_what_may_not_be_written_is_refused_by_name(hubspot_sandbox: Played, properties: Any, code: str) -> None:
    answer = hubspot_sandbox.http.post("/crm/v3/objects/companies", json={"properties": properties})
    assert answer.status_code == 400
    assert code in answer.json()["message"]


def test_a_payment_cannot_be_written(hubspot_sandbox: Played) -> None:
    answer = hubspot_sandbox.http.post("/crm/v3/objects/commerce_payments", json={"properties": {}})
    assert answer.status_code == 405


def test_a_unique_value_is_there_once_and_can_be_had_again_when_its_holder_is_gone(hubspot_sandbox: Played) -> None:
    key = created(hubspot_sandbox, email="one@example.com")
    again = hubspot_sandbox.http.post(CONTACTS, json={"properties": {"email": "one@example.com"}})
    assert (again.status_code, again.json()["category"]) == (409, "CONFLICT")
    assert key in again.json()["message"]
    hubspot_sandbox.http.delete(f"{CONTACTS}/{key}")
    assert created(hubspot_sandbox, email="one@example.com") != key


def test_an_object_is_found_by_a_unique_property(hubspot_sandbox: Played) -> None:
    key = created(hubspot_sandbox, erp_id="C7")
    answer = hubspot_sandbox.http.get(f"{CONTACTS}/C7", params={"idProperty": "erp_id"})
    assert answer.json()["id"] == key
    assert hubspot_sandbox.http.get(f"{CONTACTS}/x", params={"idProperty": "lastname"}).status_code == 400


def test_an_upsert_makes_one_object_however_often_it_comes(hubspot_sandbox: Played) -> None:
    row = {"id": "C7", "idProperty": "erp_id", "properties": {"lastname": "A"}}
    answers = [hubspot_sandbox.http.post(f"{CONTACTS}/batch/upsert", json={"inputs": [row]}) for _ in range(2)]
    first, second = (answer.json()["results"][0] for answer in answers)
    assert (first["new"], second["new"], first["id"]) == (True, False, second["id"])


def test_a_batch_says_of_each_row_what_came_of_it(hubspot_sandbox: Played) -> None:
    rows = [{"properties": {"lastname": "A"}}, {"properties": {"colour": "red"}}]
    answer = hubspot_sandbox.http.post(f"{CONTACTS}/batch/create", json={"inputs": rows})
    assert answer.status_code == 207
    assert (len(answer.json()["results"]), answer.json()["numErrors"]) == (1, 1)
    keys = [answer.json()["results"][0]["id"], "1"]
    read = hubspot_sandbox.http.post(f"{CONTACTS}/batch/read", json={"inputs": [{"id": key} for key in keys]})
    assert [each["context"]["ids"] for each in read.json()["errors"]] == [["1"]]
    hubspot_sandbox.arm("partial_batch")
    assert hubspot_sandbox.http.post(f"{CONTACTS}/batch/create", json={"inputs": rows[:1]}).status_code == 207


def test_an_object_tells_what_it_is_associated_with(hubspot_sandbox: Played) -> None:
    contact = created(hubspot_sandbox, lastname="A")
    company = created(hubspot_sandbox, "companies", name="B")
    path = f"/crm/v4/objects/contacts/{contact}/associations/default/companies/{company}"
    assert hubspot_sandbox.http.put(path).status_code == 200
    answer = hubspot_sandbox.http.get(f"{CONTACTS}/{contact}", params={"associations": "companies"}).json()
    assert answer["associations"]["companies"]["results"] == [{"id": company, "type": "contact_to_company"}]


def test_the_properties_say_who_writes_them(hubspot_sandbox: Played) -> None:
    told = hubspot_sandbox.http.get("/crm/v3/properties/contacts").json()["results"]
    known = {each["name"]: each for each in told}
    assert known["createdate"]["modificationMetadata"]["readOnlyValue"] is True
    assert known["email"]["hasUniqueValue"] is True


def test_a_token_is_good_for_half_an_hour_and_can_be_refreshed(hubspot_sandbox: Played) -> None:
    form = {"grant_type": "refresh_token", "client_id": "client", "client_secret": SECRET, "refresh_token": "refresh"}
    told = hubspot_sandbox.http.post("/oauth/v1/token", data=form).json()
    headers = {"authorization": f"Bearer {told['access_token']}"}
    assert hubspot_sandbox.http.get(CONTACTS, headers=headers).status_code == 200
    hubspot_sandbox.pass_by(told["expires_in"])
    refused = hubspot_sandbox.http.get(CONTACTS, headers=headers)
    assert (refused.status_code, refused.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert hubspot_sandbox.http.post("/oauth/v1/token", data={**form, "refresh_token": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("fault", "status", "category"),
    [("daily_limit", 429, "RATE_LIMITS"), ("missing_scope", 403, "MISSING_SCOPES"), ("throttle", 429, "RATE_LIMITS")],
)
def test_its_faults_speak_its_words(hubspot_sandbox: Played, fault: str, status: int, category: str) -> None:
    hubspot_sandbox.arm(fault)
    answer = hubspot_sandbox.http.get(CONTACTS)
    assert (answer.status_code, answer.json()["category"]) == (status, category)


def test_a_webhook_brings_a_change_of_each_property_signed_over_address_body_and_time(
    hubspot_sandbox: Played, inbox: Inbox
) -> None:
    key = created(hubspot_sandbox, lastname="A")
    hubspot_sandbox.admin("POST", "hooks", {"url": inbox.url})
    hubspot_sandbox.http.patch(f"{CONTACTS}/{key}", json={"properties": {"lastname": "B", "city": "Köln"}})
    hubspot_sandbox.admin("PATCH", f"records/contacts/{key}", {"lastname": "C"})
    hubspot_sandbox.hooks_sent()
    first, second = inbox.bodies()
    assert [(each["propertyName"], each["propertyValue"]) for each in first] == [("lastname", "B"), ("city", "Köln")]
    assert {each["subscriptionType"] for each in first} == {"contact.propertyChange"}
    assert (first[0]["changeSource"], second[0]["changeSource"]) == ("INTEGRATION", "CRM_UI")
    body, headers = inbox.taken[0]
    signed = b"POST" + inbox.url.encode() + body + headers["x-hubspot-request-timestamp"].encode()
    code = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["x-hubspot-signature-v3"] == code
