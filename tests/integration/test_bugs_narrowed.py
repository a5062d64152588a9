"""A bug that one record meets parks that record; everything else goes on, in the process as it is run."""

from __future__ import annotations

import asyncio
import os

import pytest

from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.hub.views.overview import Overview
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import ScriptedSource
from tests.builders import rulebook
from tests.integration.cli_project import COMMAND, Shop, execute
from tests.patience import called, until
from tests.unit.engine.test_loops import account

KEYS = ("C-1", "C\0-2", "C-3")
"""PostgreSQL keeps every character but one."""


def run_with(shop: Shop, failpoint: str = "") -> str:
    """`run --until-idle` as a process; its log."""
    done = called(
        [COMMAND, "run", "--until-idle", "--json", "--port", "0", "--project", shop.folder],
        env=os.environ | shop.environment | {"FIELDWARDEN_FAILPOINT": failpoint},
    )
    assert "Traceback" not in done.stderr
    return done.stderr


def letters(shop: Shop) -> list[tuple[str, str, str]]:
    found = shop.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return [(letter["kind"], letter["system"], letter["reason"]) for letter in found]


def names(shop: Shop, system: str) -> list[str]:
    table = {"crm": "account", "erp": "party"}[system]
    return [name for (name,) in shop.sql(system, f"select name from {table} order by name")]


def test_a_change_that_meets_a_bug_is_a_dead_letter_until_the_bug_is_gone(shop: Shop) -> None:
    log = run_with(shop, "ingest.deciding:4001:bug")
    [(kind, system, reason)] = letters(shop)
    assert (kind, system) == ("data", "erp")
    assert "a bug in Fieldwarden met this change (fingerprint " in reason
    assert "bug.found" in log
    assert "Dogwood" not in log, "no values"
    assert "Birch Foods" in names(shop, "erp"), "the others were delivered"
    assert "Dogwood Paper" not in names(shop, "crm")

    assert shop.call_here("deadletter", "retry", "--reason", "tried", "--all")[0] == 0
    run_with(shop)
    assert letters(shop) == []
    assert "Dogwood Paper" in names(shop, "crm")


@pytest.mark.long
def test_a_delivery_that_meets_a_bug_is_a_dead_letter_and_the_others_are_made(shop: Shop) -> None:
    run_with(shop)
    ((record,),) = execute(
        shop.hub, "select record::text from fieldwarden.crosswalk where system = 'erp' and key = '4001'"
    )
    shop.sql("crm", "update account set name = name || ' Ltd'")
    run_with(shop, f"delivery.planning:{record}:bug")
    [(kind, system, reason)] = letters(shop)
    assert (kind, system) == ("delivery", "erp")
    assert "a bug in Fieldwarden met this delivery (fingerprint " in reason
    assert names(shop, "erp") == ["Alder & Sons Ltd", "Birch Foods Ltd", "Cedar Labs Ltd", "Dogwood Paper"]
    shop.call_here("deadletter", "retry", "--reason", "tried", f"erp:{record}")
    run_with(shop)
    assert letters(shop) == []
    assert "Dogwood Paper Ltd" in names(shop, "erp")


async def test_a_value_that_the_hub_cannot_keep_is_its_changes_and_nobody_elses(hub_dsn: str) -> None:
    hub, overview = PostgresHub(hub_dsn), Overview(hub_dsn)
    changes = [account(n, key, name=f"Company {n}") for n, key in enumerate(KEYS, 1)]
    source, stop = ScriptedSource("crm", changes), asyncio.Event()
    running = asyncio.create_task(Pipeline(rulebook(), source, hub, Telemetry()).run(stop))
    await until(lambda: source.acknowledged or running.done(), "the changes to be acknowledged")
    stop.set()
    await running
    [letter] = await overview.dead_letters()
    assert (letter.kind, letter.key[:16]) == ("data", "key with SHA-256"), "its key goes by a name"
    assert [each.live for each in await overview.records()] == [2]
    kept = await overview.values_of(letter.id)
    assert kept is not None
    assert "C\0-2" in kept.values
    await overview.close()
    await hub.close()
