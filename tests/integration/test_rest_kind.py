"""Systems of kind `rest` in a project: an SAP that somebody else has built (mock-sap), and files that do not fit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from stack.process import free_port
from tests.integration.cli_project import Project
from tests.integration.rest_server import Served, serving
from tests.integration.rest_shop import FILE, Shop
from tests.patience import eventually

SERVICE = "/sap/opu/odata4/sap/api_businesspartner/srvd_a2x/sap/api_businesspartner/0001"
CLIENT, SECRET = "fieldwarden", "sap-secret-of-the-tests"
FILES = {
    "fieldwarden.yaml": """
project: sap
systems: [sap, erp]
onboarding: automatic
run: {port: 0}
hub: {dsn: "${env:HUB_DSN}"}
""",
    "entities/customer.yaml": """
entity: customer
identity: none
delete: {authority: [sap]}
fields:
  name: {type: text, owner: sap, protected: true}
  term: {type: text, owner: sap}
  blocked: {type: boolean, owner: sap}
""",
    "systems/erp.yaml": """
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
mode: target
streams:
  public.party:
    entity: customer
    key: id
    external_id: ext
    create: true
    on_retire: delete
    fields: {name: name, term: term, blocked: blocked}
""",
    "systems/sap.yaml": """
system: sap
connector:
  kind: rest
  vendor: sap_s4
  url: "${env:SAP_URL}"
  client_id: "${env:SAP_CLIENT}"
  client_secret: "${env:SAP_SECRET}"
mode: source
streams:
  business_partner:
    entity: customer
    key: id
    fields: {name: name, term: search_term, blocked: blocked}
""",
}
PARTY = """create table party (id int primary key generated always as identity, ext text unique, name text, term text,
    blocked boolean)"""


class Sap:
    """mock-sap, and a person who works in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=30)
        token = self.client.post(
            "/sap/bc/sec/oauth2/token", data={"grant_type": "client_credentials"}, auth=(CLIENT, SECRET)
        ).json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"
        self.client.headers["X-CSRF-Token"] = self.client.get(SERVICE + "/", headers={"X-CSRF-Token": "Fetch"}).headers[
            "x-csrf-token"
        ]

    def partners(self) -> set[tuple[Any, ...]]:
        found = self.client.get(f"{SERVICE}/BusinessPartner").json()["value"]
        return {
            (each["BusinessPartnerFullName"], each["SearchTerm1"], each["BusinessPartnerIsBlocked"]) for each in found
        }

    def edit(self, id: str, **values: str) -> None:
        path = f"{SERVICE}/BusinessPartner('{id}')"
        self.client.patch(path, json=values, headers={"If-Match": "*"}).raise_for_status()

    def delete(self, id: str) -> None:
        self.client.delete(f"{SERVICE}/BusinessPartner('{id}')", headers={"If-Match": "*"}).raise_for_status()


class Saps(Project):
    sap: Sap

    def parties(self) -> set[tuple[Any, ...]]:
        with psycopg.connect(self.environment["ERP_DSN"]) as connection:
            return {tuple(row) for row in connection.execute("select name, term, blocked from party")}


@pytest.fixture(scope="module")
def sap_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Asked for with a login."""
    port, log = free_port(), tmp_path_factory.mktemp("sap") / "log"
    words = ["--port", str(port), "--oauth", f"{CLIENT}:{SECRET}", "--token-ttl", "600", "-q"]
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "mocksap", *words], stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/_mock/health").status_code < 500
        except httpx.TransportError:
            return False

    try:
        eventually(answers, "mock-sap answers", log.read_text)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def saps(sap_url: str, tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Saps]:
    hub, erp = make_database(), make_database()
    httpx.post(f"{sap_url}/_mock/reset").raise_for_status()
    with psycopg.connect(erp, autocommit=True) as connection:
        connection.execute(PARTY.encode())
    environment = {"HUB_DSN": hub, "ERP_DSN": erp, "SAP_URL": sap_url, "SAP_CLIENT": CLIENT, "SAP_SECRET": SECRET}
    project = Saps(laid_out(tmp_path / "saps", FILES), environment=environment)
    project.sap = Sap(sap_url)
    yield project
    project.sap.client.close()


def laid_out(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip("\n"))
    return folder


def test_an_sap_of_somebody_elses_is_validated_examined_read_followed_and_compared(saps: Saps) -> None:
    assert saps.call("validate")[0] == 0
    code, body = saps.call("doctor")
    assert code == 0, body
    assert ("sap", "sap answers") in {(each["about"], each["message"]) for each in body["result"]["checks"]}
    code, body = saps.call("run", "--until-idle")
    assert code == 0, body
    assert saps.parties() == saps.sap.partners()
    assert len(saps.parties()) > 5

    saps.sap.edit("1000001", SearchTerm1="CHANGED", BusinessPartnerFullName="Another name")
    saps.sap.delete("1000003")
    code, body = saps.call("run", "--until-idle")
    assert code == 0, body
    assert saps.parties() == saps.sap.partners()
    assert any(term == "CHANGED" for _, term, _ in saps.parties())
    code, body = saps.call("check")
    assert code == 0, body
    saps.is_sound()


def test_a_wrong_secret_is_named_by_doctor_and_shown_nowhere(saps: Saps) -> None:
    saps.environment["SAP_SECRET"] = "hunter2-hunter2"
    code, body = saps.call_here("doctor")
    assert code == 3, body
    (wrong,) = (each for each in body["result"]["checks"] if each["level"] == "error")
    assert wrong["about"] == "sap"
    assert "client_secret" in wrong["suggestion"]
    assert "hunter2" not in str(body)


WRONG = {
    "another vendor": ("vendor: sap_s4", "vendor: sap_s5", "no file describes the vendor 'sap_s5'"),
    "no address": ('  url: "${env:SAP_URL}"\n', "", "each system of SAP S/4HANA (OData V4) has an address of its own"),
    "another login": (
        "  client_secret:",
        "  token:",
        "one logs in to SAP S/4HANA (OData V4) by client_id and client_secret",
    ),
    "a value": ("  vendor: sap_s4\n", "  vendor: sap_s4\n  values: {realm: x}\n", "is not asked for by 'realm'"),
    "another object": ("  business_partner:", "  business_partners:", "has no object 'business_partners' in its file"),
    "another column": ("term: search_term", "term: search_word", "business_partner has no column 'search_word'"),
    "another key": ("    key: id", "    key: customer", "the key of business_partner is id"),
    "writing": ("mode: source\n", "", "sap is only read"),
    "a secret in the open": ('"${env:SAP_SECRET}"', "hunter2", "a secret stands here in the open"),
}


@pytest.mark.parametrize("given", WRONG)
def test_a_file_that_does_not_fit_is_pointed_at(given: str, tmp_path: Path) -> None:
    was, is_, said = WRONG[given]
    project = Project(laid_out(tmp_path / "saps", FILES))
    project.edit("systems/sap.yaml", was, is_)
    code, body = project.call_here("validate")
    assert code == 2
    assert any(said in each["message"] for each in body["result"]["problems"]), body
    assert "hunter2" not in str(body)


# --- a vendor of the project's own ---------------------------------------------------------------------------

SHOP = {
    "fieldwarden.yaml": """
project: shop
systems: [shop, erp]
onboarding: automatic
run: {port: 0}
hub: {dsn: "${env:HUB_DSN}"}
""",
    "vendors/shop.yaml": FILE,
    "entities/customer.yaml": """
entity: customer
identity: none
fields:
  name: {type: text, owner: shop}
  amount: {type: "decimal(20,2)", owner: shop}
""",
    "systems/erp.yaml": """
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
mode: target
streams:
  public.party:
    entity: customer
    key: id
    external_id: ext
    create: true
    fields: {name: name, amount: amount}
""",
    "systems/shop.yaml": """
system: shop
connector: {kind: rest, vendor: shop, url: "${env:SHOP_URL}", token: "${env:SHOP_TOKEN}"}
mode: source
on_gap: rebaseline
streams:
  orders:
    entity: customer
    key: id
    fields: {name: name, amount: amount}
""",
}
SOLD = (
    "create table party (id int primary key generated always as identity, ext text unique, name text, amount numeric)"
)


class Shops(Project):
    shop: Shop
    served: Served

    def parties(self) -> set[tuple[Any, ...]]:
        with psycopg.connect(self.environment["ERP_DSN"]) as connection:
            return {tuple(row) for row in connection.execute("select name, amount::text from party")}


@pytest.fixture
def shops(tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Shops]:
    hub, erp = make_database(), make_database()
    with psycopg.connect(erp, autocommit=True) as connection:
        connection.execute(SOLD.encode())
    shop = Shop(now=time.time_ns() // 1000)
    with serving(shop) as served:
        environment = {"HUB_DSN": hub, "ERP_DSN": erp, "SHOP_URL": served.url, "SHOP_TOKEN": "token-of-the-tests"}
        project = Shops(laid_out(tmp_path / "shops", SHOP), environment=environment)
        project.shop, project.served = shop, served
        yield project


def test_a_vendor_of_the_projects_own_is_read_exactly(shops: Shops) -> None:
    shops.shop.put("orders", "o1", "Ann", "12345678901234567.10")
    code, body = shops.call("run", "--until-idle")
    assert code == 0, body
    assert shops.parties() == {("Ann", "12345678901234567.10")}


def test_an_expired_link_begins_a_new_baseline_by_itself(shops: Shops) -> None:
    for number in range(4):
        shops.shop.put("orders", f"o{number}", f"N{number}")
    code, body = shops.call("run", "--until-idle")
    assert code == 0, body
    shops.shop.put("orders", "o1", "changed")
    shops.shop.oldest_delta = len(shops.shop.log)
    code, body = shops.call("run", "--until-idle")
    assert code == 0, body
    assert {name for name, _ in shops.parties()} == {"N0", "changed", "N2", "N3"}


def test_a_mistake_in_a_vendors_file_is_pointed_at_in_that_file(shops: Shops) -> None:
    shops.edit("vendors/shop.yaml", "delta_link, next: \"$['@odata.deltaLink']\"", "delta_link, next: deltaLink")
    code, body = shops.call_here("validate")
    assert code == 2
    (problem,) = body["result"]["problems"]
    assert (problem["file"], problem["line"]) == ("vendors/shop.yaml", 29)
    assert "not a JSONPath" in problem["message"]
