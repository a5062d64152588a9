"""A target that keeps something else than it was given, and one that is not there: neither holds up anybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.engine.delivering.conclusion import ATTEMPTS
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.faults.test_server_restarts import databases
from tests.faults.world import SCHEMA, World, make_world
from tests.patience import eventually

pytestmark = pytest.mark.long

BEFORE = """
create function shout() returns trigger language plpgsql as $$ begin
    new.phone := upper(new.phone);
    return new;
end $$;
create trigger shout before insert or update on customer for each row execute function shout();
"""
AFTER = """
create function shout() returns trigger language plpgsql as $$ begin
    update customer set phone = upper(phone) where id = new.id and phone <> upper(phone);
    return null;
end $$;
create trigger shout after insert or update on customer for each row execute function shout();
"""


def phone(world: World, number: str, customer: str, n: int) -> None:
    """Somebody at the CRM enters a phone number."""
    at = f"timestamptz '2020-01-01' + {n} * interval '1 second'"
    world.by_hand("crm", f"update account set phone = '{number}', phoned_at = {at} where tax = '{customer}'")


def letters(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return found


def states(world: World) -> dict[str, str]:
    """Source -> how it fares, as `status` says."""
    code, body = world.call("status")
    assert code == 0, body
    return {source["name"]: source["state"] for source in body["result"]["sources"]}


@pytest.mark.parametrize("trigger", [BEFORE, AFTER], ids=["before", "after"])
def test_a_target_that_upper_cases_what_it_is_given(
    trigger: str, tmp_path: Path, make_database: Callable[[], str]
) -> None:
    world = make_world(tmp_path / "world", make_database)
    world.rest()
    world.sql("billing", trigger)
    with world.running():
        phone(world, "ext. 1", "T-1", 1)
        parked = f"select 1 from {SCHEMA}.dirty where status = 'parked'"
        eventually(lambda: world.sql("hub", parked), "the delivery to be parked")
        (letter,) = eventually(lambda: letters(world), "the dead letter")
        assert (letter["kind"], letter["system"], letter["entity"]) == ("delivery", "billing", "customer")
        assert "rewrites phone" in letter["reason"] or "does not keep" in letter["reason"]
        assert "ext" not in letter["reason"].lower()
        # The same customer's other fields, and other customers, go on.
        world.by_hand("erp", "update party set name = 'Others Ltd' where tax = 'T-2'")
        eventually(lambda: world.sql("billing", "select 1 from customer where label = 'Others Ltd'"), "T-2's name")
        world.by_hand("erp", "update party set name = 'Still Here Ltd' where tax = 'T-1'")
        eventually(lambda: world.sql("billing", "select 1 from customer where label = 'Still Here Ltd'"), "T-1's name")
        eventually(lambda: world.sql("hub", parked), "the phone to be parked, as before")

    ours = [t for t in world.touches("billing") if t.row.get("vat") == "T-1" and "phone" in t.changed()]
    assert 1 <= len(ours) <= 4 * ATTEMPTS, f"{len(ours)} writes"
    assert world.sql("crm", "select phone from account where tax = 'T-1'") == [("ext. 1",)], "it is not the CRM's word"
    world.ledger_is_whole()

    world.sql("billing", "drop trigger shout on customer")
    assert world.call("deadletter", "retry", "--reason", "tried", "--all")[0] == 0
    world.rest()
    world.check_agreement()
    assert letters(world) == []


def test_a_target_that_is_down_holds_up_nobody_else(
    tmp_path: Path, make_database: Callable[[], str], crashable_postgres: EmbeddedServer
) -> None:
    world = make_world(tmp_path / "world", make_database, databases(crashable_postgres, "billing"))
    world.rest()
    with world.running() as run:
        run.await_ready()
        crashable_postgres.stop()
        world.by_hand("erp", "update party set credit_limit = 77.50 where tax = 'T-1'")
        phone(world, "ext. 2", "T-2", 2)
        eventually(
            lambda: world.sql("crm", "select 1 from account where credit_limit = 77.50"), "the ERP's word in crm"
        )
        eventually(lambda: "billing is retrying" in run.get("/readyz")[1], "billing to be named")
        eventually(lambda: {states(world)[name] for name in ("crm", "erp")} == {"streaming"}, "the others to stream")
        crashable_postgres.start()
        eventually(lambda: world.sql("billing", "select 1 from customer where credit = 77.50"), "billing to catch up")
        assert run.end()[0] == 143
    world.rest()
    world.check()
