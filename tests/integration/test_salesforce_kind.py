"""The kind `salesforce`, from its files to its records: validated, examined, read, written to and looked at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldwarden.sandbox.pubsub.serving import Pace, Server
from tests.integration.cli_project import Project
from tests.integration.salesforce_org import EXT, RestOrg
from tests.integration.test_kinds import PARTY, laid_out

FILES = {
    "fieldwarden.yaml": 'project: crm\nsystems: [erp, crm]\nonboarding: automatic\nhub: {dsn: "${env:HUB_DSN}"}\n',
    "entities/customer.yaml": """
entity: customer
identity: {match: [email]}
delete: {authority: [crm]}
fields:
  email: {type: text}
  name: {type: text, owner: erp, protected: true, seed_from: [crm]}
  phone: {type: text, strategy: recency, among: [erp, crm]}
""",
    "systems/erp.yaml": """
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
streams:
  public.party:
    entity: customer
    key: id
    external_id: ext
    create: true
    on_retire: delete
    fields: {email: email, name: name, phone: phone}
""",
    "systems/crm.yaml": """
system: crm
connector:
  kind: salesforce
  url: "${env:CRM_URL}"
  client_id: 3MVG9
  client_secret: "${env:CRM_SECRET}"
  pubsub: PUBSUB
streams:
  Account:
    entity: customer
    key: Id
    external_id: Ext__c
    create: true
    fields: {email: Description, name: Name, phone: Phone}
""",
}


class Orgs:
    """An org that runs in a thread of its own, since the program is another process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.rest = RestOrg()
        self.server: Server

    def do(self, what: Callable[[RestOrg], Any]) -> Any:
        """Something that people do there."""
        found: Future[Any] = Future()
        self._loop.call_soon_threadsafe(lambda: found.set_result(what(self.rest)))
        return found.result()

    def later(self, seconds: int) -> None:
        """Time goes by there."""
        self.do(lambda rest: setattr(rest, "now", rest.now + 1_000 * seconds))

    def __enter__(self) -> Orgs:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self.rest = await RestOrg().__aenter__()
        self.server = await Server(self.rest.bus, pace=Pace(keepalive=0.2)).__aenter__()

    async def _stop(self) -> None:
        await self.server.stop()
        await self.rest.__aexit__()


class Crm(Project):
    """A project of a PostgreSQL and an org, with what both hold."""

    orgs: Orgs

    def parties(self) -> set[tuple[str | None, ...]]:
        with psycopg.connect(self.environment["ERP_DSN"]) as connection:
            return {tuple(row) for row in connection.execute("select email, name, phone from party")}

    def accounts(self) -> set[tuple[str | None, ...]]:
        rows = self.orgs.do(lambda rest: list(rest.rows("Account").values()))
        return {(each.get("Description"), each.get("Name"), each.get("Phone")) for each in rows}

    def edit_erp(self, statement: str) -> None:
        with psycopg.connect(self.environment["ERP_DSN"], autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def opened(tmp_path: Path, hub: str, erp: str) -> Iterator[Crm]:
    with Orgs() as orgs, psycopg.connect(erp, autocommit=True) as connection:
        connection.execute(PARTY.encode())
        environment = {"HUB_DSN": hub, "ERP_DSN": erp, "CRM_URL": orgs.rest.url, "CRM_SECRET": "hush-hush"}
        files = {name: text.replace("PUBSUB", orgs.server.address) for name, text in FILES.items()}
        project = Crm(laid_out(tmp_path / "crm", files), environment=environment)
        project.orgs = orgs
        yield project


@pytest.fixture
def crm(tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Crm]:
    with opened(tmp_path, make_database(), make_database()) as project:
        yield project


def test_an_org_is_validated_examined_replicated_shown_and_compared(crm: Crm) -> None:
    crm.edit_erp("insert into party (email, name, phone) values ('ann@x.test', 'Ann', '1'), ('bob@x.test', 'Bob', '2')")
    bob = crm.orgs.do(
        lambda rest: rest.org.create("Account", {"Description": "bob@x.test", "Name": "Robert", "Phone": "22"})
    )
    cy = crm.orgs.do(lambda rest: rest.org.create("Account", {"Description": "cy@x.test", "Name": "Cy", "Phone": "3"}))

    assert crm.call("validate")[0] == 0
    code, body = crm.call("doctor")
    assert code == 0, body

    code, body = crm.call("run", "--until-idle")
    assert code == 0, body
    assert crm.accounts() == crm.parties()
    assert {row[:2] for row in crm.parties()} == {("ann@x.test", "Ann"), ("bob@x.test", "Bob"), ("cy@x.test", "Cy")}

    crm.orgs.later(10)
    crm.orgs.do(lambda rest: rest.org.update([cy], {"Phone": "33"}))
    crm.orgs.do(lambda rest: rest.org.update([bob], {"Name": "Mallory"}))
    crm.edit_erp("update party set name = 'Anna' where email = 'ann@x.test'")
    code, body = crm.call("run", "--until-idle")
    assert code == 0, body
    assert crm.accounts() == crm.parties()
    assert {("cy@x.test", "Cy", "33"), ("ann@x.test", "Anna", "1")} < crm.parties()
    assert ("bob@x.test", "Bob") in {row[:2] for row in crm.accounts()}

    made = crm.orgs.do(lambda rest: len(rest.bus.events))
    code, body = crm.call("run", "--until-idle")
    assert crm.orgs.do(lambda rest: len(rest.bus.events)) == made, "our own changes come back, and lead to no others"
    assert all(
        each[EXT] for each in crm.orgs.do(lambda rest: list(rest.rows("Account").values())) if each["Name"] == "Anna"
    )
    crm.is_sound()


def test_an_org_that_lost_our_place_is_read_again_by_itself(crm: Crm) -> None:
    crm.edit("systems/crm.yaml", "system: crm\n", "system: crm\non_gap: rebaseline\n")
    ann = crm.orgs.do(lambda rest: rest.org.create("Account", {"Description": "ann@x.test", "Name": "Ann"}))
    crm.orgs.do(lambda rest: rest.org.create("Account", {"Description": "bob@x.test", "Name": "Bob"}))
    assert crm.call("run", "--until-idle")[0] == 0
    assert {row[0] for row in crm.parties()} == {"ann@x.test", "bob@x.test"}
    crm.orgs.later(10)
    crm.orgs.do(lambda rest: rest.org.delete(ann))
    crm.orgs.do(lambda rest: rest.org.create("Account", {"Description": "cy@x.test", "Name": "Cy"}))
    crm.orgs.do(lambda rest: rest.bus.forget())
    crm.orgs.later(80 * 3_600)
    code, body = crm.call("run", "--until-idle")
    assert code == 0, body
    assert {row[0] for row in crm.parties()} == {"bob@x.test", "cy@x.test"}


def test_a_secret_that_is_wrong_is_named_by_doctor(crm: Crm) -> None:
    crm.orgs.do(lambda rest: setattr(rest, "token", ""))
    code, body = crm.call("doctor")
    assert code == 3
    assert "hush-hush" not in str(body)
