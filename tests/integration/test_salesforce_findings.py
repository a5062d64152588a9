"""What doctor says of an org: each thing that would stop a run is named, with what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.looking.findings import findings
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.finding import Finding
from fieldwarden.rules.rulebook import System
from tests.builders import postgres
from tests.integration.salesforce_org import EXT, RestOrg, logged_in
from tests.integration.target_world import stream


@dataclass
class Scene:
    org: RestOrg
    session: SalesforceSession
    topic: bool | EnvironmentUnfit = True

    async def found(self, **more: Any) -> list[Finding]:
        how = {
            "columns": {"name": "Name", "phone": "Phone"},
            "key": ("Id",),
            "external_id": EXT,
            "table": "Account",
        } | more
        account = stream("account", ["name", "phone"], **how)
        return await findings(self.session, System("crm", 0, postgres(), {"account": account}), self.subscribe)

    async def subscribe(self, _topic: str) -> bool:
        if isinstance(self.topic, EnvironmentUnfit):
            raise self.topic
        return self.topic

    async def amiss(self, **more: Any) -> list[str]:
        return [each.message for each in await self.found(**more) if not each.ok]


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with RestOrg() as org, logged_in(org) as session:
        yield Scene(org, session)


async def test_an_org_that_fits_is_told_of_in_full(at: Scene) -> None:
    assert [each.message for each in await at.found()] == [
        "crm: Salesforce takes our login",
        "Account is there",
        "changes of Account are told on /data/AccountChangeEvent",
        "18 of 5,000 requests of 24 hours are used",
    ]


async def test_a_login_that_is_refused_is_all_there_is_to_say(at: Scene) -> None:
    at.org.answers = [(401, [{"errorCode": "INVALID_SESSION_ID", "message": "-"}])] * 2
    (found,) = await at.found()
    assert (found.ok, found.message) == (False, "erp: Salesforce does not take our login")


async def test_an_object_that_is_not_there(at: Scene) -> None:
    assert await at.amiss(table="Lead") == [
        "erp: Salesforce has no object Lead, or the user that we log in as may not see it"
    ]


async def test_a_field_that_is_hidden_from_us(at: Scene) -> None:
    at.org.described["Phone"] = {"gone": True}
    assert await at.amiss() == ["Account has no field Phone, or it is hidden"]


async def test_a_field_that_has_no_text(at: Scene) -> None:
    at.org.described["Phone"] = {"type": "address"}
    (message,) = await at.amiss()
    assert "map its parts" in message


async def test_a_field_that_cannot_be_written(at: Scene) -> None:
    at.org.described["Phone"] = {"updateable": False}
    (message,) = await at.amiss()
    assert message.startswith("Account.Phone cannot be written: Salesforce does not let it be changed")


async def test_a_field_that_is_computed_is_read_with_a_note(at: Scene) -> None:
    found = await at.found(columns={"name": "Name", "phone": "Score__c"}, update_fields=(), create_fields=())
    assert [each.level for each in found if each.column == "Score__c"] == ["note"]


async def test_an_external_id_that_is_not_unique(at: Scene) -> None:
    at.org.described[EXT] = {"unique": False}
    assert await at.amiss() == [f"Account.{EXT} does not tell records apart"]


async def test_an_object_whose_changes_are_not_captured(at: Scene) -> None:
    at.topic = EnvironmentUnfit("crm: no topic", suggestion="enable Change Data Capture")
    (found,) = (each for each in await at.found() if not each.ok)
    assert (found.subject, found.suggestion) == ("topic", "enable Change Data Capture")


async def test_a_topic_that_we_may_not_read(at: Scene) -> None:
    at.topic = False
    assert await at.amiss() == ["/data/AccountChangeEvent may not be read by the user that we log in as"]


async def test_requests_that_are_nearly_used_up(at: Scene) -> None:
    at.org.usage = "api-usage=4900/5000"
    assert (await at.found())[-1].level == "warning"
