"""What every hub keeps of the live rulebook: nothing that was decided by other rules is ever stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from fieldwarden.engine.errors import RulesChanged
from fieldwarden.engine.hub.rules import LiveRules
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.testing import MemoryHub
from tests.builders import CUSTOMER, rulebook
from tests.contract.hub_builder import A, log, record

RULES = rulebook()
OTHER = rulebook({**CUSTOMER, "fields": {**CUSTOMER["fields"], "terms": {"type": "text"}}})


@pytest.fixture
async def live(hub: Hub, request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Makes RULES the live rulebook."""
    rules = None
    if isinstance(hub, PostgresHub):
        rules = LiveRules(request.getfixturevalue("hub_dsn"), "fieldwarden", lambda: 1)

    async def begin() -> None:
        if rules is not None:
            await rules.begin(RULES)
        elif isinstance(hub, MemoryHub):
            hub.live = RULES.hash

    yield begin
    if rules is not None:
        await rules.close()


async def store(hub: Hub, by: str) -> None:
    lease = await hub.lease(Lane("crm"))
    parts = {LOG: replace(await log(hub), position="7")}
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(records=[record(name="A")]), rulebook=by, parts=parts)


async def stored(hub: Hub) -> tuple[bool, str | None]:
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        found = A in await tx.records([A])
    return found, (await log(hub)).position


async def test_a_batch_that_was_decided_by_the_live_rules_is_stored(
    hub: Hub, live: Callable[[], Awaitable[None]]
) -> None:
    await live()
    await store(hub, RULES.hash)
    assert await stored(hub) == (True, "7")


async def test_nothing_of_a_batch_that_was_decided_by_other_rules_is_stored(
    hub: Hub, live: Callable[[], Awaitable[None]]
) -> None:
    await live()
    with pytest.raises(RulesChanged):
        await store(hub, OTHER.hash)
    assert (await stored(hub))[0] is False


async def test_nothing_is_claimed_by_whoever_plans_by_other_rules(
    hub: Hub, live: Callable[[], Awaitable[None]]
) -> None:
    await live()
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        outcome = IngestOutcome(records=[record(name="A")], dirty=[("erp", A)])
        await tx.commit(outcome, rulebook=RULES.hash)
    assert isinstance(hub, (PostgresHub, MemoryHub))
    hub.rulebook = OTHER.hash
    assert await hub.claim("erp", 10) == []
    hub.rulebook = RULES.hash
    assert [each.record.id for each in await hub.claim("erp", 10)] == [A]


async def test_where_no_rulebook_is_live_any_will_do(hub: Hub) -> None:
    await store(hub, OTHER.hash)
    assert (await stored(hub))[0] is True
