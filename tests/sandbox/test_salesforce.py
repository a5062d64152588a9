"""simple-salesforce, which others wrote, speaks to the Salesforce sandbox, and plain HTTP where it has no words."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce  # type: ignore[attr-defined]
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.salesforce.vendor import CLIENT, SECRET, TOKEN_PATH
from tests.sandbox.playing import NOON, Played

pytestmark = pytest.mark.long

DATA = "/services/data/v65.0"


class Plainly(HTTPAdapter):
    """The client knows https only; on loopback it is spoken to without."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


@pytest.fixture
def org(salesforce_sandbox: Played) -> Played:
    """Logged in."""
    form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
    told = salesforce_sandbox.http.post(TOKEN_PATH, data=form).json()
    assert told["instance_url"] == salesforce_sandbox.url
    salesforce_sandbox.http.headers["authorization"] = f"Bearer {told['access_token']}"
    return salesforce_sandbox


@pytest.fixture
def client(org: Played) -> Iterator[Any]:
    session = requests.Session()
    session.mount("https://", Plainly())
    session.trust_env = False
    token = org.http.headers["authorization"].removeprefix("Bearer ")
    yield Salesforce(instance_url=org.url, session_id=token, session=session, version="65.0")
    session.close()


def code(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()[0]["errorCode"])


def keys(org: Played, name: str = "Account") -> list[str]:
    return [each["Id"] for each in org.records(name)]


# --- the client of others ------------------------------------------------------------------------------------


def test_the_client_writes_reads_and_deletes_a_record(client: Any) -> None:
    key = client.Account.create({"Name": "Brücke AG", "BillingCity": "Köln"})["id"]
    assert len(key) == 18
    assert client.Account.update(key, {"Phone": "1"}) == 204
    found = client.Account.get(key)
    assert (found["Name"], found["Phone"], found["attributes"]["type"]) == ("Brücke AG", "1", "Account")
    assert client.Account.delete(key) == 204
    with pytest.raises(SalesforceResourceNotFound):
        client.Account.get(key)


def test_the_client_upserts_by_an_external_id_and_learns_of_two(client: Any, org: Played) -> None:
    assert client.Account.upsert("Erp_Id__c/X1", {"Name": "A"}) == 201
    assert client.Account.upsert("Erp_Id__c/X1", {"Name": "B"}) == 200
    assert client.Account.get_by_custom_id("Erp_Id__c", "X1")["Name"] == "B"
    org.arm("ambiguous")
    client.Account.create({"Name": "C", "Erp_Id__c": "X1"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        client.Account.upsert("Erp_Id__c/X1", {"Name": "D"})
    assert [each["Name"] for each in org.records("Account") if each["Erp_Id__c"] == "X1"] == ["B", "C"]


def test_the_client_follows_all_pages_of_a_query(client: Any, org: Played) -> None:
    org.admin("POST", "make", {"table": "Account", "count": 430})
    met = [
        *client.query_all_iter("SELECT Id FROM Account ORDER BY Id", headers={"Sforce-Query-Options": "batchSize=200"})
    ]
    assert [each["Id"] for each in met] == sorted(keys(org))
    first = client.query("SELECT Id FROM Account ORDER BY Id", headers={"Sforce-Query-Options": "batchSize=200"})
    assert (first["totalSize"], first["done"], len(first["records"])) == (450, False, 200)


def test_the_client_finds_what_is_deleted_by_query_all_and_by_time(client: Any, org: Played) -> None:
    key = keys(org)[-1]
    org.admin("DELETE", f"records/Account/{key}")
    assert client.query(f"SELECT Id FROM Account WHERE Id = '{key}'")["totalSize"] == 0
    found = client.query(f"SELECT Id, IsDeleted FROM Account WHERE Id = '{key}'", include_deleted=True)["records"]
    assert [each["IsDeleted"] for each in found] == [True]
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    told = client.Account.deleted(noon - timedelta(minutes=1), noon + timedelta(minutes=1))
    assert [each["id"] for each in told["deletedRecords"]] == [key]


def test_the_client_reads_descriptions_and_limits(client: Any) -> None:
    fields = {each["name"]: each for each in client.Account.describe()["fields"]}
    assert (fields["Score__c"]["calculated"], fields["Score__c"]["updateable"]) == (True, False)
    assert fields["Erp_Id__c"]["externalId"] is True
    assert "Contact" in {each["name"] for each in client.describe()["sobjects"]}
    assert client.limits()["DailyApiRequests"]["Max"] == 15_000
    assert client.api_usage["api-usage"].total == 15_000


def test_the_client_fetches_a_bulk_query_in_pieces(client: Any, org: Played) -> None:
    pieces = [*client.bulk2.Account.query("SELECT Id, Name FROM Account", max_records=8)]
    lines = [line for piece in pieces for line in piece.strip().split("\n")[1:]]
    assert len(pieces) == 3
    assert [line.split(",")[0].strip('"') for line in lines] == keys(org)


def test_its_errors_are_the_clients_errors(client: Any, org: Played) -> None:
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
        client.query("SELECT Colour FROM Account")
    org.arm("request_limit")
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        client.query("SELECT Id FROM Account")
    org.arm("unable_to_lock")
    with pytest.raises(SalesforceMalformedRequest, match="UNABLE_TO_LOCK_ROW"):
        client.Account.create({"Name": "A"})
    org.pass_by(7201)
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Account")


# --- by plain HTTP -------------------------------------------------------------------------------------------


def assertion(**claims: Any) -> str:
    told = {"iss": CLIENT, "sub": "user@example.com", "aud": "https://login.salesforce.com", **claims}
    parts = (json.dumps(each).encode() for each in ({"alg": "RS256"}, told))
    return ".".join([*(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts), "c2ln"])


@pytest.mark.parametrize(("lasts", "status"), [(180, 200), (0, 400), (3600, 400)])
def test_a_jwt_is_good_for_a_few_minutes(salesforce_sandbox: Played, lasts: int, status: int) -> None:
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    form["assertion"] = assertion(exp=seconds_of(NOON) + lasts)
    assert salesforce_sandbox.http.post(TOKEN_PATH, data=form).status_code == status


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("Name LIKE '%analytics%'", 3),
        ("AnnualRevenue >= 5000 AND AnnualRevenue < 7000", 2),
        ("AnnualRevenue = 1000 OR (AnnualRevenue > 17000 AND NOT AnnualRevenue = 18000)", 2),
        ("Erp_Id__c IN ('AC000001', 'AC000002')", 2),
        ("Erp_Id__c NOT IN ('AC000001')", 19),
        ("Phone = null", 20),
        ("LastModifiedDate > 2026-11-20T00:00:00Z", 0),
        ("IsDeleted = false", 20),
    ],
)
def test_a_condition_finds_what_it_says(org: Played, where: str, count: int) -> None:
    answer = org.http.get(f"{DATA}/query", params={"q": f"SELECT count() FROM Account WHERE {where}"})
    assert answer.json()["totalSize"] == count


def test_a_query_shows_parents_in_the_order_that_it_names(org: Played) -> None:
    where = "WHERE Account.BillingCountry = 'DE' ORDER BY Account.Name DESC, Id LIMIT 3"
    text = f"SELECT LastName, Account.Name FROM Contact {where}"
    records = org.http.get(f"{DATA}/query", params={"q": text}).json()["records"]
    names = [each["Account"]["Name"] for each in records]
    assert len(names) == 3
    assert names == sorted(names, key=str.lower, reverse=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Client", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE (Name = 'A'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name 'A'", "MALFORMED_QUERY"),
        ("SELECT Owner.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE AnnualRevenue > 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(org: Played, text: str, wanted: str) -> None:
    assert code(org.http.get(f"{DATA}/query", params={"q": text})) == wanted


@pytest.mark.parametrize(
    ("name", "body", "wanted"),
    [
        ("Account", {"Colour": "red"}, "INVALID_FIELD"),
        ("Account", {"Name": "A", "Score__c": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Account", {"Name": "A", "CreatedDate": NOON}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Account", {"Phone": "1"}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": "A", "Erp_Id__c": "AC000001"}, "DUPLICATE_VALUE"),
        ("Account", {"Name": "A", "AnnualRevenue": "much"}, "JSON_PARSER_ERROR"),
        ("Contact", {"LastName": "A", "AccountId": "001xx0000999999"}, "INVALID_CROSS_REFERENCE_KEY"),
    ],
)
def test_what_cannot_be_written_has_its_code(org: Played, name: str, body: Any, wanted: str) -> None:
    assert code(org.http.post(f"{DATA}/sobjects/{name}", json=body)) == wanted


def test_only_an_account_is_guarded_by_its_etag(org: Played) -> None:
    for name, statuses in (("Account", [204, 412]), ("Contact", [204, 204])):
        path = f"{DATA}/sobjects/{name}/{keys(org, name)[0]}"
        etag = org.http.get(path).headers.get("etag", '"x"')
        answers = [org.http.patch(path, json={"Phone": each}, headers={"if-match": etag}) for each in "12"]
        assert [each.status_code for each in answers] == statuses


def test_if_unmodified_since_does_not_see_an_edit_of_the_same_second(org: Played) -> None:
    path = f"{DATA}/sobjects/Contact/{keys(org, 'Contact')[0]}"
    assert org.http.patch(path, json={"Phone": "1"}).status_code == 204
    headers = {"if-unmodified-since": org.http.get(path).headers["last-modified"]}
    assert org.http.patch(path, json={"Phone": "2"}, headers=headers).status_code == 204
    org.pass_by(1)
    org.http.patch(path, json={"Phone": "3"})
    assert org.http.patch(path, json={"Phone": "4"}, headers=headers).status_code == 412


def test_an_upsert_that_may_only_update_makes_nothing(org: Played) -> None:
    path = f"{DATA}/sobjects/Account/Erp_Id__c/NEW"
    assert code(org.http.patch(path, json={"Name": "A"}, params={"updateOnly": "true"}), 404) == "NOT_FOUND"
    assert len(keys(org)) == 20


@pytest.mark.parametrize("together", [False, True])
def test_the_rows_of_a_collection_succeed_each_for_itself_or_all_together(org: Played, together: bool) -> None:
    before = org.records("Account")
    first = {"attributes": {"type": "Account"}, "id": before[0]["Id"], "Phone": "new"}
    rows = [first, {"attributes": {"type": "Account"}, "id": before[1]["Id"], "Colour": "red"}]
    answer = org.http.patch(f"{DATA}/composite/sobjects", json={"allOrNone": together, "records": rows})
    assert answer.status_code == 200
    codes = [each["errors"][0]["statusCode"] if each["errors"] else "" for each in answer.json()]
    assert codes == (["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_FIELD"] if together else ["", "INVALID_FIELD"])
    assert org.records("Account")[0]["Phone"] == (None if together else "new")
    assert (org.records("Account") == before) is together


def test_what_is_made_and_deleted_together_is_taken_back_together(org: Played) -> None:
    before = org.records("Account")
    kind: dict[str, Any] = {"attributes": {"type": "Account"}}
    rows = [{**kind, "Name": "A", "Erp_Id__c": "N1"}, kind]
    org.http.post(f"{DATA}/composite/sobjects", json={"allOrNone": True, "records": rows})
    ids = f"{keys(org)[-1]},001xx0000999999"
    org.http.delete(f"{DATA}/composite/sobjects", params={"ids": ids, "allOrNone": "true"})
    assert org.records("Account") == before
    assert org.http.post(f"{DATA}/sobjects/Account", json=rows[0]).status_code == 201


def test_a_collection_upserts_by_external_id(org: Played) -> None:
    rows = [{"attributes": {"type": "Account"}, "Erp_Id__c": each, "Name": "A"} for each in ("AC000001", "NEW")]
    answer = org.http.patch(f"{DATA}/composite/sobjects/Account/Erp_Id__c", json={"records": rows}).json()
    assert [(each["success"], each["created"]) for each in answer] == [(True, False), (True, True)]


def test_a_composite_request_uses_what_it_was_answered_before(org: Played) -> None:
    account = {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "new", "body": {"Name": "A"}}
    contact: dict[str, Any] = {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "c"}
    contact |= {"body": {"LastName": "B", "AccountId": "@{new.id}"}}
    answer = org.http.post(f"{DATA}/composite", json={"compositeRequest": [account, contact]}).json()
    assert [each["httpStatusCode"] for each in answer["compositeResponse"]] == [201, 201]
    assert org.records("Contact")[-1]["AccountId"] == keys(org)[-1]


def test_a_locator_and_a_job_can_fail(org: Played) -> None:
    org.admin("POST", "make", {"table": "Account", "count": 200})
    headers = {"sforce-query-options": "batchSize=200"}
    page = org.http.get(f"{DATA}/query", params={"q": "SELECT Id FROM Account"}, headers=headers).json()
    org.arm("expired_cursor")
    assert code(org.http.get(page["nextRecordsUrl"])) == "INVALID_QUERY_LOCATOR"
    org.arm("bulk_failed")
    job = org.http.post(f"{DATA}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"}).json()
    assert org.http.get(f"{DATA}/jobs/query/{job['id']}").json()["state"] == "Failed"


def test_every_answer_says_how_much_of_the_day_is_used(org: Played) -> None:
    told = [org.http.get(f"{DATA}/limits").headers["sforce-limit-info"] for _ in range(2)]
    assert told == ["api-usage=1/15000", "api-usage=2/15000"]
