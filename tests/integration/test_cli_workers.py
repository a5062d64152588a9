"""Several `fieldwarden run` as real processes on one project: they share its work, whatever becomes of one of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from fieldwarden.engine.ports.duties import SHARDS
from fieldwarden.operations.audit import verify
from fieldwarden.operations.shell.audit import text
from tests.integration.cli_project import Run, Shop
from tests.patience import eventually

SHARDS_OF_CRM = {f"target:crm/{shard}" for shard in SHARDS}
DUTIES = {"source:crm", "source:erp", *SHARDS_OF_CRM, *(f"target:erp/{shard}" for shard in SHARDS)}
HALF = len(DUTIES) // 2
LEASE = 2


@pytest.fixture
def shop(shop: Shop) -> Shop:
    with (shop.folder / "fieldwarden.yaml").open("a") as settings:
        settings.write(f"run: {{lease: {LEASE}s}}\n")
    return shop


@pytest.fixture
def two(shop: Shop) -> Iterator[tuple[Run, Run]]:
    """Two processes that share the work."""
    with shop.running() as first:
        first.await_ready()
        with shop.running() as second:
            eventually(lambda: all(len(held) == HALF for held in shares(shop).values()), "an even share")
            for run in (first, second):
                run.await_ready()
            yield first, second


def shares(shop: Shop) -> dict[int, set[str]]:
    """Process id -> its duties, of those that do not hang."""
    rows = shop.sql(
        "hub",
        "select split_part(w.name, ':', 2)::int, array_remove(array_agg(d.name), null) from fieldwarden.worker w"
        " left join fieldwarden.duty d on d.holder = w.token and d.until > clock_timestamp()"
        " where w.until > clock_timestamp() group by w.number",
    )
    return {pid: set(names) for pid, names in rows}


def all_held(held: dict[int, set[str]], everything: set[str]) -> dict[int, set[str]]:
    """Who has what, if five of six have one each and these are all; empty else."""
    each_one = sorted(map(len, held.values())) == [0, 1, 1, 1, 1, 1]
    return held if each_one and set().union(*held.values()) == everything else {}


def status(shop: Shop) -> dict[str, Any]:
    code, body = shop.call("status")
    assert code == 0
    result: dict[str, Any] = body["result"]
    return result


def edit(shop: Shop, limit: int) -> None:
    shop.sql("erp", f"update party set credit_limit = {limit} where tax_number = 'ATU12345675'")
    shop.sql("crm", f"update account set email = 'n{limit}@cedar.example' where vat_number = 'NL001234567B01'")


def arrived(shop: Shop, limit: int) -> bool:
    there = shop.sql("crm", f"select 1 from account where credit_limit = {limit}")
    back = shop.sql("erp", f"select 1 from party where email = 'n{limit}@cedar.example'")
    return bool(there and back)


def check(shop: Shop) -> None:
    """Both agree, nothing was decided twice, and the ledger verifies."""
    assert shop.settle()["decisions"] == 0
    held = [
        shop.sql("crm", "select vat_number, email, credit_limit from account order by 1"),
        shop.sql("erp", "select tax_number, email, credit_limit from party order by 1"),
    ]
    assert held[0] == held[1]
    assert len(held[0]) == 4, "nothing was created twice"
    twice = shop.sql(
        "hub",
        "select record, said->'row', said->>'position', said->>'event' from fieldwarden.ledger_entry,"
        " lateral (select body::jsonb) as entry (said) group by 1, 2, 3, 4 having count(*) > 1",
    )
    assert not twice
    report = asyncio.run(verify(shop.hub, "fieldwarden"))
    assert report.ok, text(report)
    shop.holds_what_is_golden()


EACH_OF_ITS_OWN = {"crm.source": 1, "erp.source": 1, "crm.target": 2, "erp.target": 2}


def told_duties(shop: Shop) -> dict[int, int]:
    """Worker -> how many duties `status` says it has; all of them are somebody's."""
    workers = status(shop)["workers"]
    held = {duty for worker in workers for duty in worker["duties"]}
    return {worker["number"]: len(worker["duties"]) for worker in workers} if held == DUTIES else {}


def told_connectors(runs: tuple[Run, ...]) -> Counter[str]:
    """Connector -> by how many processes it is told of."""
    return Counter(each["connector"] for run in runs for each in json.loads(run.get("/readyz")[1])["connectors"])


@pytest.mark.long
def test_two_share_the_work_and_one_alone_does_it_all(shop: Shop, two: tuple[Run, Run]) -> None:
    edit(shop, 9001)
    eventually(lambda: arrived(shop, 9001), "edits on both sides")
    eventually(lambda: told_duties(shop) == {1: HALF, 2: HALF}, "status to say it", lambda: status(shop)["workers"])
    eventually(lambda: told_connectors(two) == EACH_OF_ITS_OWN, "each to tell of what it does itself")

    assert two[1].end(signal.SIGTERM)[0] == 143
    assert two[1].process.pid not in shares(shop), "who leaves, leaves nothing behind"
    eventually(lambda: shares(shop) == {two[0].process.pid: DUTIES}, "the other to take it")
    edit(shop, 9002)
    eventually(lambda: arrived(shop, 9002), "edits on both sides")
    assert two[0].end()[0] == 143
    check(shop)


@pytest.mark.long
def test_one_is_killed_and_the_other_takes_over_at_once(shop: Shop, two: tuple[Run, Run]) -> None:
    killed, other = two
    killed.process.kill()
    edit(shop, 9003)
    eventually(lambda: arrived(shop, 9003), "edits on both sides")
    eventually(lambda: shares(shop).get(other.process.pid) == DUTIES, "all to be the other's")
    other.await_ready()
    other.end()
    check(shop)


@pytest.mark.long
def test_one_hangs_past_its_lease_and_goes_on_later(shop: Shop, two: tuple[Run, Run]) -> None:
    hanging, other = two
    hanging.process.send_signal(signal.SIGSTOP)
    edit(shop, 9004)
    eventually(lambda: arrived(shop, 9004), "edits on both sides")
    eventually(lambda: shares(shop) == {other.process.pid: DUTIES}, "all to be the other's")
    edit(shop, 9005)
    hanging.process.send_signal(signal.SIGCONT)
    eventually(lambda: len(shares(shop).get(hanging.process.pid, ())) == HALF, "an even share again")
    eventually(lambda: arrived(shop, 9005), "edits on both sides")
    hanging.await_ready()
    for run in two:
        assert run.end()[0] == 143
    check(shop)


@pytest.mark.long
def test_a_process_with_nothing_to_do_stands_by_and_ends_at_once(shop: Shop) -> None:
    """Six processes for five duties: erp is read, and each of crm's shards is another's."""
    shop.edit("systems/erp.yaml", "system: erp\n", "system: erp\nmode: source\n")
    shop.edit("systems/erp.yaml", "    create: true\n", "")
    shop.edit("systems/crm.yaml", "system: crm\n", "system: crm\nmode: target\n")
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(shop.running())]
        runs[0].await_ready()
        runs += [stack.enter_context(shop.running()) for _ in range(5)]
        everything = {"source:erp", *SHARDS_OF_CRM}
        held = eventually(lambda: all_held(shares(shop), everything), "one with nothing to do, the others with all")
        idle = next(run for run in runs if not held[run.process.pid])
        code, body = eventually(lambda: "standby" in idle.get("/readyz")[1] and idle.get("/readyz"), "standby")
        assert (code, json.loads(body)["ready"]) == (503, False)
        assert idle.get("/livez")[0] == 200
        busy = next(run for run in runs if run is not idle)
        busy.process.kill()
        idle.await_ready()
        assert idle.end(signal.SIGINT)[0] == 130


@pytest.mark.long
def test_a_source_is_read_anew_by_whoever_is_told_to(shop: Shop, two: tuple[Run, Run]) -> None:
    """And by nobody else: the one that reads it now gives it up, and deliveries wait until it is done."""
    with shop.running("--rebaseline", "crm") as third:
        third.await_ready()
        eventually(lambda: "source:crm" in shares(shop).get(third.process.pid, ()), "it to read crm")
        eventually(
            lambda: shop.sql("hub", "select 1 from fieldwarden.source where name = 'crm' and read_at is not null"),
            "all rows to be read",
        )
        edit(shop, 9006)
        eventually(lambda: arrived(shop, 9006), "edits on both sides")
        assert shop.sql("hub", "select baseline from fieldwarden.source where name = 'crm'") == [(2,)]
        assert shop.sql("hub", "select baseline from fieldwarden.partition where source = 'crm'") == [(2,)]
        for run in (*two, third):
            run.end()
    check(shop)


def test_a_bounded_run_beside_another_ends_when_all_is_delivered(shop: Shop) -> None:
    with shop.running() as run:
        run.await_ready()
        edit(shop, 9007)
        code, body = shop.call("run", "--until-idle", "--port", "0")
        assert (code, body["result"]["stopped_by"]) == (0, "idle")
        assert arrived(shop, 9007)
        eventually(lambda: shares(shop) == {run.process.pid: DUTIES}, "its share to be taken back")
        run.end()
    check(shop)


@pytest.mark.long
def test_a_bounded_run_is_told_what_holds_up_another(shop: Shop) -> None:
    shop.settle()
    shop.sql("crm", f"select pg_drop_replication_slot('{shop.slot('crm')}')")
    with shop.running() as run:
        run.await_event("source.halted")
        code, body = shop.call("run", "--until-idle", "--port", "0")
        assert (code, body["error"]["code"]) == (1, "run_failed")
        assert "crm is halted" in body["error"]["message"]
