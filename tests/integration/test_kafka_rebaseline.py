"""A gap in a topic: said, halted, and mended by a new baseline that finds what was missed, deletes too."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stack import Stack
from stack.topics import read
from tests.integration.cli_project import Run, await_standstill
from tests.integration.kafka_project import KafkaShop
from tests.patience import eventually

LEFT_OUT = """
transforms: drop, transforms.drop.type: org.apache.kafka.connect.transforms.Filter, transforms.drop.predicate: contact,
predicates: contact, predicates.contact.type: org.apache.kafka.connect.transforms.predicates.TopicNameMatches,
predicates.contact.pattern: PREFIX.public.contact"""
"""Options by which the connector tells nothing of a table any more."""


@pytest.fixture
def shop(kafka_shop: KafkaShop, make_database: Callable[..., str]) -> KafkaShop:
    kafka_shop.environment["HUB_DSN"] = make_database()
    return kafka_shop


async def lose(bootstrap: str, topic: str, number: int) -> None:
    """Retention takes the first records of a topic before they are read."""
    await read(bootstrap, topic, count=number)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=number)})
    finally:
        await admin.close()


def emails(shop: KafkaShop) -> list[str]:
    with psycopg.connect(shop.environment["HUB_DSN"]) as hub:
        return [email for (email,) in hub.execute("select golden ->> 'email' from fieldwarden.record order by 1")]


def customers(shop: KafkaShop) -> dict[str, bool]:
    """Name -> whether the record's row is there, as the hub has it."""
    with psycopg.connect(shop.environment["HUB_DSN"]) as hub:
        rows = hub.execute(
            "select r -> 'fields' ->> 'name', r ->> 'deleted'"
            " from fieldwarden.record, json_array_elements(contributions::json) r"
        )
        return {name: deleted is None for name, deleted in rows}


def test_what_was_lost_unread_is_a_gap_that_a_new_baseline_mends(shop: KafkaShop, stack: Stack) -> None:
    shop.sql("insert into account (name, credit) values ('Ada', 1), ('Bob', 2), ('Cyd', 3)")
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert code == 0, body
    assert customers(shop) == {"Ada": True, "Bob": True, "Cyd": True}

    shop.sql("delete from account where name = 'Bob'")
    shop.sql("update account set name = 'Cyrus' where name = 'Cyd'")
    shop.sql("insert into account (name, credit) values ('Dee', 4)")
    asyncio.run(lose(stack.bootstrap, f"{shop.prefix}.public.account", 7))  # a delete has a tombstone, too
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert code == 1
    assert "records that were not read are gone" in body["error"]["message"]

    code, body = shop.call("run", "--until-idle", "--port", "0", "--rebaseline", "crm")
    assert code == 0, body
    assert customers(shop) == {"Ada": True, "Bob": False, "Cyrus": True, "Dee": True}
    assert shop.call("audit", "verify")[0] == 0

    shop.sql("update account set name = 'Ada L' where name = 'Ada'")
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0
    assert customers(shop)["Ada L"]


def test_a_table_that_is_mapped_later_is_read_by_a_new_baseline_before_anything_is_delivered(shop: KafkaShop) -> None:
    file = shop.folder / "systems" / "crm.yaml"
    whole = file.read_text()
    file.write_text(whole.partition("  public.contact:")[0])
    shop.sql("insert into account (name, credit) values ('Ada', 1), ('Bob', 2)")
    shop.sql("insert into contact select id, id, lower(name) || '@example.com' from account")
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert code == 0, body
    assert emails(shop) == [None, None]

    file.write_text(whole)
    code, body = shop.call("apply")
    assert code == 0, body
    assert not body["result"]["reading"][0]["by_itself"]
    assert shop.call("connector", "register")[0] == 0
    code, body = shop.call("run", "--until-idle", "--port", "0")
    assert code == 1, body
    assert "public.contact came into the mapping after the baseline" in body["error"]["message"]

    code, body = shop.call("run", "--until-idle", "--port", "0", "--rebaseline", "crm")
    assert code == 0, body
    assert emails(shop) == ["ada@example.com", "bob@example.com"]


def test_rows_that_the_connector_leaves_out_are_not_taken_for_gone_while_their_table_holds_them(
    shop: KafkaShop,
) -> None:
    shop.sql("insert into account (name) values ('Ada'), ('Bob')")
    shop.sql("insert into contact select id, id, lower(name) || '@example.com' from account")
    assert shop.call("connector", "register")[0] == 0
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0
    assert emails(shop) == ["ada@example.com", "bob@example.com"]

    shop.edit("systems/crm.yaml", "options: {", f"options: {{{LEFT_OUT.replace('PREFIX', shop.prefix)}, ")
    assert shop.call("connector", "register")[0] == 0
    shop.sql("delete from contact where id = 2")
    result = shop.invoke("run", "--until-idle", "--port", "0", "--rebaseline", "crm")
    assert result.exit_code == 0, result.output
    assert emails(shop) == ["ada@example.com", None]
    assert "they are there, though nobody told of them" in result.output


# --- on_gap: rebaseline ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def stopped(run: Run, shop: KafkaShop, stack: Stack) -> Iterator[None]:
    """While the process stands still: of an update, the fourth record, it may still hear, of nothing behind that.

    The broker answers a question that it has with the next record and whatever stands behind it by then; hence the
    update, alone, or what is to be lost might come in that answer."""
    run.process.send_signal(signal.SIGSTOP)
    try:
        await_standstill(run.process)
        shop.sql("update account set credit = 9 where name = 'Ada'")
        asyncio.run(read(stack.bootstrap, f"{shop.prefix}.public.account", count=4))
        yield
    finally:
        run.process.send_signal(signal.SIGCONT)


async def remove(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()


@pytest.mark.parametrize("kind", ["records deleted", "topic made anew"])
def test_a_gap_is_mended_while_it_runs_and_what_went_meanwhile_is_noticed(
    shop: KafkaShop, stack: Stack, kind: str
) -> None:
    shop.edit("systems/crm.yaml", "streams:", "on_gap: rebaseline\nstreams:")
    shop.edit("fieldwarden.yaml", "onboarding", "limits: {deletes: {share: 0.5, number: 3, window: 1h}}\nonboarding")
    shop.sql("insert into account (name, credit) values ('Ada', 1), ('Bob', 2), ('Cyd', 3)")
    assert shop.call("connector", "register")[0] == 0
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0
    topic = f"{shop.prefix}.public.account"
    with shop.running("--log-format", "json") as run:
        run.await_ready()
        with stopped(run, shop, stack):
            shop.sql("delete from account where name = 'Bob'")
            shop.sql("update account set name = 'Cyrus' where name = 'Cyd'")
            shop.sql("insert into account (name, credit) values ('Dee', 4)")
            asyncio.run(lose(stack.bootstrap, topic, 8))  # a delete has a tombstone, too
            if kind == "topic made anew":
                asyncio.run(remove(stack.bootstrap, topic))
                shop.sql("update account set credit = 5 where name = 'Dee'")  # its only record
        assert run.await_event("source.rebaselined")["system"] == "crm"
        eventually(lambda: customers(shop) == {"Ada": True, "Bob": False, "Cyrus": True, "Dee": True}, "all to be told")
        shop.sql("update account set name = 'Ada L' where name = 'Ada'")
        eventually(lambda: customers(shop).get("Ada L"), "news after that")
        code, body = shop.call("status")
        assert [(each["system"], each["baseline"]) for each in body["result"]["rebaselined"]] == [("crm", 2)], code
    assert shop.call("audit", "verify")[0] == 0


def test_rows_that_went_in_a_mass_during_a_gap_are_held(shop: KafkaShop, stack: Stack) -> None:
    shop.edit("systems/crm.yaml", "streams:", "on_gap: rebaseline\nstreams:")
    shop.edit("fieldwarden.yaml", "onboarding", "limits: {deletes: {share: 0.1, number: 1, window: 1h}}\nonboarding")
    shop.edit("entities/customer.yaml", "fields:", "delete: {authority: [crm]}\nfields:")
    shop.sql("insert into account (name, credit) values ('Ada', 1), ('Bob', 2), ('Cyd', 3)")
    assert shop.call("connector", "register")[0] == 0
    assert shop.call("run", "--until-idle", "--port", "0")[0] == 0
    with shop.running("--log-format", "json") as run:
        run.await_ready()
        with stopped(run, shop, stack):
            shop.sql("delete from account where name <> 'Ada'")
            asyncio.run(lose(stack.bootstrap, f"{shop.prefix}.public.account", 8))
        run.await_event("source.rebaselined")
        eventually(lambda: held(shop) == 2, "what went to be held")
    assert customers(shop) == {"Ada": True, "Bob": True, "Cyd": True}


def held(shop: KafkaShop) -> int:
    code, body = shop.call("deletes", "list")
    assert code == 0, body
    return len(body["result"]["deletions"])
