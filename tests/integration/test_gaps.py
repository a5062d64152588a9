"""Changes that were not read are gone while `fieldwarden run` works: `on_gap: rebaseline` mends that by itself."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from tests.integration.cli_project import Run, Shop, make_shop
from tests.patience import eventually

ALDER, BIRCH, CEDAR = "DE811907980", "FR40303265045", "NL001234567B01"
DROP_SLOT = "select pg_drop_replication_slot('SLOT')"
GAPS = [
    pytest.param(DROP_SLOT, "the replication slot SLOT is gone", id="slot-dropped"),
    pytest.param("drop publication SLOT", "the publication SLOT is gone", id="publication-dropped"),
]


def mending(shop: Shop) -> Shop:
    shop.edit("systems/crm.yaml", "streams:", "on_gap: rebaseline\nstreams:")
    shop.settle()
    return shop


def customers(shop: Shop, system: str) -> list[tuple[object, ...]]:
    """What a system holds, in one spelling."""
    table, key = ("account", "vat_number") if system == "crm" else ("party", "tax_number")
    return shop.sql(system, f"select {key}, name, credit_limit from {table} order by {key}")


@contextlib.contextmanager
def unheard(shop: Shop, run: Run) -> Iterator[str]:
    """What is done meanwhile in the CRM the process does not hear of: its slot's name."""
    slot = shop.slot("crm")
    run.process.send_signal(signal.SIGSTOP)
    try:
        reader = f"select active_pid from pg_replication_slots where slot_name = '{slot}'"
        shop.sql("crm", f"select pg_terminate_backend(({reader}))")
        eventually(lambda: shop.sql("crm", reader) == [(None,)], "the walsender's end")
        yield slot
    finally:
        run.process.send_signal(signal.SIGCONT)


def begun(shop: Shop) -> int:
    """How often the ledger says that a new baseline has begun."""
    ((number,),) = shop.sql(
        "hub", "select count(*) from fieldwarden.ledger_entry where strpos(body, '\"rebaselined\"') > 0"
    )
    return int(number)


@pytest.mark.parametrize(("statement", "message"), GAPS)
def test_it_reads_everything_again_and_finds_what_went_meanwhile(shop: Shop, statement: str, message: str) -> None:
    mending(shop)
    with shop.running() as run:
        run.await_ready()
        with unheard(shop, run) as slot:
            shop.sql("crm", f"delete from account where vat_number = '{BIRCH}'")
            shop.sql("crm", f"update account set name = 'Cedar Ltd' where vat_number = '{CEDAR}'")
            shop.sql("crm", "insert into account (name, vat_number) values ('Fir', 'NL123456782B01')")
            shop.sql("crm", statement.replace("SLOT", slot))
        said = run.await_event("source.rebaselined")
        assert message.replace("SLOT", slot) in said["message"]
        eventually(lambda: shop.sql("erp", "select 1 from party where name = 'Fir'"), "the row that came meanwhile")
        shop.sql("crm", f"update account set name = 'Alder Ltd' where vat_number = '{ALDER}'")
        eventually(lambda: shop.sql("hub", "select 1 from fieldwarden.record where retired"), "the row that went")
        assert 'fieldwarden_rebaselines_total{system="crm"} 1.0' in run.get("/metrics")[1]
        code, body = shop.call("status")
        assert code == 0, body
        [begun] = body["result"]["rebaselined"]
        assert (begun["system"], begun["baseline"]) == ("crm", 2)
        assert message.replace("SLOT", slot) in begun["why"]
        run.await_ready()
        assert run.end()[0] == 143
    shop.settle()
    ((retired,),) = shop.sql("hub", "select golden ->> 'tax_id' from fieldwarden.record where retired")
    assert retired == BIRCH
    crm = customers(shop, "crm")
    assert crm == [row for row in customers(shop, "erp") if row[0] != BIRCH]
    assert {row[1] for row in crm} >= {"Alder Ltd", "Cedar Ltd", "Fir"}
    shop.is_sound()


@pytest.mark.long
def test_the_ledger_says_who_began_it_and_why(shop: Shop) -> None:
    mending(shop)
    with shop.running() as run:
        run.await_ready()
        with unheard(shop, run) as slot:
            shop.sql("crm", DROP_SLOT.replace("SLOT", slot))
        run.await_event("source.rebaselined")
    export = shop.folder / "out.jsonl"
    code, body = shop.call_here("audit", "export", "--format", "jsonl", "--output", str(export))
    assert code == 0, body
    assert "fieldwarden run of" in export.read_text()
    assert "by itself: crm: the replication slot" in export.read_text()
    assert begun(shop) == 1


@pytest.mark.long
def test_rows_that_went_in_a_mass_are_held_for_a_person(shop: Shop) -> None:
    settings = shop.folder / "fieldwarden.yaml"
    settings.write_text(settings.read_text() + "limits: {deletes: {share: 0.1, number: 1, window: 1h}}\n")
    mending(shop)
    before = customers(shop, "erp")
    with shop.running() as run:
        run.await_ready()
        with unheard(shop, run) as slot:
            shop.sql("crm", "delete from account")
            shop.sql("crm", DROP_SLOT.replace("SLOT", slot))
        run.await_event("source.rebaselined")
        eventually(
            lambda: shop.sql("hub", "select 1 from fieldwarden.set_aside where kind = 'brake'"), "held deletions"
        )
    shop.settle()
    assert shop.sql("hub", "select 1 from fieldwarden.record where retired") == []
    assert customers(shop, "erp") == before


@pytest.mark.long
def test_a_slot_that_the_server_gave_up_is_mended_too(shop: Shop, tmp_path: Path) -> None:
    """On a server of its own: what slots may keep is one setting for all of them."""
    with EmbeddedServer(tmp_path / "server").use() as server:
        for name in ("crm", "erp"):
            server.ensure_database(name)
        lone = make_shop(tmp_path / "lone", shop.hub, server.dsn("crm"), server.dsn("erp"))
        mending(lone)
        with lone.running() as run:
            run.await_ready()
            with unheard(lone, run) as slot:
                lone.sql("crm", f"delete from account where vat_number = '{BIRCH}'")
                lone.sql("crm", "alter system set max_slot_wal_keep_size = '1MB'")
                lone.sql("crm", "select pg_reload_conf()")
                lost = f"select 1 from pg_replication_slots where slot_name = '{slot}' and wal_status = 'lost'"
                eventually(lambda: lone.sql("crm", lost) or not _more_log(lone), "the slot to be given up")
                lone.sql("crm", "alter system reset max_slot_wal_keep_size")
                lone.sql("crm", "select pg_reload_conf()")
            assert f"the server gave up the replication slot {slot}" in run.await_event("source.rebaselined")["message"]
            eventually(lambda: lone.sql("hub", "select 1 from fieldwarden.record where retired"), "the row that went")


def _waits_for_the_column(event: dict[str, Any]) -> bool:
    return event["event"] == "source.retrying" and "has no column name" in event["message"]


def _more_log(shop: Shop) -> bool:
    """Fills the log's present file, and has the server look at its slots."""
    shop.sql("crm", "select pg_logical_emit_message(false, 'filler', repeat('x', 100000)), pg_switch_wal()")
    shop.sql("crm", "checkpoint")
    return True


def test_a_server_that_is_another_is_a_matter_for_a_person(shop: Shop) -> None:
    mending(shop)
    shop.sql(
        "hub",
        'update fieldwarden.partition set position = regexp_replace(position, \'"server":"[0-9]+"\', \'"server":"7"\')'
        " where source = 'crm'",
    )
    with shop.running() as run:
        event = run.await_event("source.halted")
        assert "another server" in event["message"]
        assert "--rebaseline crm" in event["suggestion"]
        assert run.event("source.rebaselined") is None


@pytest.mark.long
def test_no_baseline_begins_that_could_not_be_read(shop: Shop) -> None:
    """A column that is mapped is gone: its stream is parked, and what the others have missed is not read again either
    until that is mended; deliveries of what is known go on meanwhile. Then it goes on by itself."""
    mending(shop)
    with shop.running() as run:
        run.await_ready()
        with unheard(shop, run) as slot:
            shop.sql("crm", "alter table account rename name to title")
            shop.sql("crm", f"update account set title = 'Cedar Ltd' where vat_number = '{CEDAR}'")
            shop.sql("crm", DROP_SLOT.replace("SLOT", slot))
        eventually(lambda: [event for event in run.events() if _waits_for_the_column(event)], "why it waits")
        assert begun(shop) == 0
        ((read,),) = shop.sql("hub", "select read_at is not null from fieldwarden.source where name = 'crm'")
        assert read, "nobody waits for rows that cannot be read"
        shop.sql("crm", "alter table account rename title to name")
        run.await_event("source.rebaselined")
        eventually(lambda: shop.sql("erp", "select 1 from party where name = 'Cedar Ltd'"), "what was missed")
        assert run.event("source.halted") is None
    assert begun(shop) == 1
