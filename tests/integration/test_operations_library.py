"""Operations as an API or a console calls them: a hub, its rules, who acts; values come back. There is no project, no
command line, and one event loop for all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.asking import UnknownName
from fieldwarden.engine.hub.rules import LiveRules
from fieldwarden.engine.hub.views.export import Filters
from fieldwarden.engine.principal import OS_USER, Principal
from fieldwarden.engine.running.ingest.session import microseconds
from fieldwarden.operations import audit, deadletter, deletes, stewards
from fieldwarden.operations.deadletter import NoSuchLetter, NothingChosen, Which
from fieldwarden.operations.explain import explain
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.trail import trail
from tests.integration.stage import RULES, SCHEMA, Stage

ANN = Principal("ann@desk", OS_USER)
BOT = Principal("billing-bot", "token")


@pytest_asyncio.fixture
async def stage(hub_dsn: str) -> AsyncIterator[Stage]:
    """Two customers that three systems share; what the ERP said of each last cannot be read."""
    rules = LiveRules(hub_dsn, SCHEMA, microseconds)
    await rules.begin(RULES, onboarded=True)
    await rules.close()
    stage = Stage(hub_dsn)
    for number, tax in ((1, "DE1"), (2, "DE2")):
        await stage.say("crm", "public.account", f"{number}", tax_id=tax, name=f"Acme {number}")
        await stage.say("erp", "public.party", f"{number}", tax_id=tax, name=f"ACME {number} Ltd", credit_limit="500")
        await stage.say("billing", "public.customer", f"{number}", tax_id=tax)
        await stage.say("erp", "public.party", f"{number}", credit_limit="plenty")
    yield stage
    await stage.hub.close()


@pytest.fixture
def hub(stage: Stage) -> LiveHub:
    return LiveHub(stage.dsn, SCHEMA, RULES)


def acts(dsn: str) -> list[dict[str, Any]]:
    """What the ledger says that people did, in its order."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select body from fieldwarden.ledger_entry where lane = '#people' order by height")
        return [json.loads(body) for (body,) in rows.fetchall()]


async def test_what_is_asked_comes_back_as_values(hub: LiveHub) -> None:
    found = await deadletter.letters(hub, Which(system="erp"), limit=1)
    assert [(each.kind, each.system, each.entity) for each in found.letters] == [("unreadable", "erp", "customer")]
    assert found.more
    assert isinstance(found.letters[0].since, datetime)
    one = await deadletter.letter(hub, found.letters[0].id, values=True)
    assert one.change is not None
    assert "plenty" in one.change.values

    story = await trail(hub, "customer", "crm:1")
    assert story.golden["name"] == "ACME 1 Ltd"
    why = await explain(hub, "customer", "credit_limit", story.record)
    assert why.value == "500.00"
    assert await stewards.alike(hub) == []
    assert (await deletes.held(hub)).counts == []
    assert (await audit.verify(hub.dsn, hub.schema)).ok


async def test_two_people_act_at_once_each_in_their_own_name(hub: LiveHub, stage: Stage) -> None:
    first, second = [each.id for each in (await deadletter.letters(hub, Which())).letters]
    one, two = [(await trail(hub, "customer", f"crm:{number}")).record for number in (1, 2)]

    retried, discarded, apart, story = await asyncio.gather(
        deadletter.retry(hub, ANN, [first], Which(), reason="mended"),
        deadletter.discard(hub, BOT, [second], Which(), reason="typed twice"),
        stewards.keep_apart(hub, BOT, one, two, reason="two branches"),
        trail(hub, "customer", one),
    )
    assert (retried, discarded, apart, story.record) == (1, 1, [one, two], one)
    told = {each["act"]: (each["who"], each["known_by"], each["why"]) for each in acts(stage.dsn)}
    assert told["retried"] == ("ann@desk", "os user", "mended")
    assert told["discarded"] == ("billing-bot", "token", "typed twice")

    left = await stewards.unlink(hub, ANN, RowRef("billing", "public.customer", "1"), reason="another's")
    assert left.left == one
    assert (await trail(hub, "customer", "billing:1")).record == left.record
    rows = [row async for row in audit.exported(hub, Filters())]
    assert {row.who for row in rows if row.lane == "#people"} == {"ann@desk", "billing-bot"}
    assert (await audit.verify(hub.dsn, hub.schema)).ok


async def test_what_cannot_be_done_is_one_of_our_errors_and_does_nothing(hub: LiveHub, stage: Stage) -> None:
    with pytest.raises(UnknownName):
        await deadletter.letters(hub, Which(system="bilings"))
    with pytest.raises(NothingChosen):
        await deadletter.retry(hub, ANN, [], Which(), reason="all?")
    with pytest.raises(NoSuchLetter):
        await deadletter.discard(hub, ANN, ["77"], Which(), reason="gone?")
    with pytest.raises(stewards.NotARecord):
        await stewards.join(hub, ANN, "1", "2", reason="the same")
    with pytest.raises(NothingChosen):
        await deletes.answer(hub, ANN, meant=True, reason="all?")
    with pytest.raises(EnvironmentUnfit):
        await deadletter.letters(LiveHub(stage.dsn, "elsewhere", RULES), Which())
    assert acts(stage.dsn) == []


def test_nobody_acts_without_a_name() -> None:
    with pytest.raises(ValueError, match="has a name"):
        Principal(" ", OS_USER)
