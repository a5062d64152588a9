"""Poison in a topic: a dead letter that says where and why, until the next word of its row; everything else goes on."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from typing import Any

import fastavro
import httpx
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from stack import Stack
from stack.topics import read
from tests.faults.kafka import KafkaWorld
from tests.faults.world import SCHEMA
from tests.patience import eventually


@pytest.fixture
def registry(crashable_stack: Stack) -> str:
    """One of the test's own: it gives its ids in turn, so the next one is known before it is."""
    crashable_stack.start_registry()
    return crashable_stack.registry_url


@pytest.fixture
def world(kafka_world: KafkaWorld, registry: str) -> KafkaWorld:
    kafka_world.environment["REGISTRY"] = registry
    return kafka_world


def register(registry: str, schema: dict[str, Any]) -> int:
    answer = httpx.post(
        f"{registry}/subjects/{schema['name']}/versions", json={"schema": json.dumps(schema)}, timeout=30
    )
    return int(answer.raise_for_status().json()["id"])


def envelope(*columns: str) -> dict[str, Any]:
    """Debezium's envelope of an account in Avro."""
    text = ["null", "string"]
    fields = [{"name": "id", "type": "long"}, *({"name": name, "type": text, "default": None} for name in columns)]
    row = {"type": "record", "name": "Value", "fields": fields}
    source = [{"name": "ts_ms", "type": "long"}, {"name": "txId", "type": ["null", "long"], "default": None}]
    return {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", row], "default": None},
            {"name": "after", "type": ["null", "Value"], "default": None},
            {"name": "source", "type": {"type": "record", "name": "Source", "fields": source}},
            {"name": "op", "type": "string"},
        ],
    }


ACCOUNTS = envelope("tax", "phone", "phoned_at", "segment", "name", "credit_limit", "ext")


def in_avro(number: int, schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return struct.pack(">bI", 0, number) + stream.getvalue()


class Topic:
    """The accounts' topic, and what a stranger puts into it, as if it were of a row that is there."""

    def __init__(self, world: KafkaWorld) -> None:
        self.world = world
        self.name = world.topic("crm", "account")

    def id_of(self, tax: str) -> int:
        return int(self.world.sql("crm", f"select id from account where tax = '{tax}'")[0][0])

    def told_of(self, id: int) -> ConsumerRecord | None:
        """A record of Debezium's; strangers' keys may stand before it. Partitions are read in any order."""
        found = asyncio.run(read(self.world.stack.bootstrap, self.name, count=17))
        return next((each for each in found if json.loads(each.key).get("payload", {}).get("id") == id), None)

    def put(self, tax: str, value: bytes, key: bytes | None = None) -> str:
        """Behind all that Debezium has told of that customer, under its key or another; where it stands."""
        id = self.id_of(tax)
        record = eventually(lambda: self.told_of(id), f"Debezium's word on {tax}")

        async def send() -> str:
            producer = AIOKafkaProducer(bootstrap_servers=self.world.stack.bootstrap)
            await producer.start()
            try:
                put = await producer.send_and_wait(self.name, value, key=key or record.key, partition=record.partition)
            finally:
                await producer.stop()
            return f"{self.name}/{put.partition}@{put.offset}"

        return asyncio.run(send())


def letters(world: KafkaWorld, *filters: str) -> list[dict[str, Any]]:
    code, body = world.call("deadletter", "list", *filters)
    assert code == 0, body
    found: list[dict[str, Any]] = body["result"]["dead_letters"]
    return found


def at_place(world: KafkaWorld, place: str) -> dict[str, Any]:
    (letter,) = eventually(lambda: letters(world, "--place", place), f"the dead letter of {place}")
    found: dict[str, Any] = letter
    return found


def billing_holds(world: KafkaWorld, tax: str, column: str, value: str) -> bool:
    return bool(world.sql("billing", f"select 1 from customer where vat = '{tax}' and {column} = '{value}'"))


def await_segment(world: KafkaWorld, tax: str, segment: str) -> None:
    eventually(lambda: billing_holds(world, tax, "segment", segment), f"{tax}'s segment {segment!r} in billing")


def a_key_that_cannot_be_stored_is_refused(world: KafkaWorld, topic: Topic) -> None:
    place = topic.put("T-4", b'{"op":"d","source":{},"before":null}', key=rb'{"id":"\u0000"}')
    letter = at_place(world, place)
    assert "NUL character" in letter["reason"]
    assert letter["key"].startswith("key with SHA-256 ")
    assert world.call("deadletter", "discard", "--reason", "tried", letter["id"])[0] == 0


def bytes_that_are_no_json_are_kept(world: KafkaWorld, topic: Topic) -> dict[str, Any]:
    place = topic.put("T-1", b"\xff\xfe no JSON")
    letter = at_place(world, place)
    assert (letter["kind"], letter["system"], letter["stream"]) == ("data", "crm", "public.account")
    assert place in letter["reason"]
    _, shown = world.call("deadletter", "show", letter["id"], "--values")
    assert shown["result"]["values"]["(value)"].startswith("base64:")
    return letter


def a_schema_that_the_registry_does_not_know_is_named(world: KafkaWorld, topic: Topic, number: int) -> dict[str, Any]:
    row = {"id": topic.id_of("T-2"), "tax": "T-2", "segment": "by avro"}
    event = {"after": row, "source": {"ts_ms": 1_700_000_000_000, "txId": None}, "op": "u"}
    letter = at_place(world, topic.put("T-2", in_avro(number, ACCOUNTS, event)))
    assert (letter["kind"], letter["system"], letter["stream"]) == ("data", "crm", "public.account")
    assert f"schema registry does not know the id {number}" in letter["reason"]
    return letter


def a_number_that_no_decimal_is_is_put_right(world: KafkaWorld) -> None:
    """The limit is the ERP's: a value that cannot be read is refused like any other, and the row goes on."""
    world.by_hand("crm", "update account set credit_limit = 'NaN', segment = 'with a NaN' where tax = 'T-3'")
    await_segment(world, "T-3", "with a NaN")
    eventually(
        lambda: not world.sql("crm", "select 1 from account where tax = 'T-3' and credit_limit = 'NaN'"),
        "the NaN to be corrected",
    )


def all_else_goes_on(world: KafkaWorld) -> None:
    """Other rows, and other systems' words about the same customers."""
    world.by_hand("crm", "update account set segment = 'not held up' where tax = 'T-4'")
    world.by_hand("erp", "update party set name = 'Still Heard Ltd' where tax = 'T-1'")
    await_segment(world, "T-4", "not held up")
    eventually(lambda: billing_holds(world, "T-1", "label", "Still Heard Ltd"), "T-1's name")


def once_the_schema_is_known_it_is_applied(
    world: KafkaWorld, registry: str, number: int, letter: dict[str, Any]
) -> None:
    assert world.call("deadletter", "retry", "--reason", "tried", letter["id"])[0] == 0
    eventually(lambda: not at_place(world, letter["place"])["released"], "it to be tried, in vain")
    assert register(registry, ACCOUNTS) == number
    assert (
        world.call("deadletter", "retry", "--reason", "tried", "--all", "--place", letter["place"])[1]["result"][
            "retried"
        ]
        == 1
    )
    eventually(lambda: not letters(world, "--place", letter["place"]), "it to be applied")
    said = world.sql("hub", f"select body from {SCHEMA}.ledger_entry where body like '%by avro%'")
    assert len(said) >= 1, "the record itself was decided on"


def what_nobody_can_mend_is_pointless_with_the_next_word_of_its_row(
    world: KafkaWorld, undecodable: dict[str, Any]
) -> None:
    partition = undecodable["place"].partition("@")[0]
    assert undecodable["id"] in {each["id"] for each in letters(world, "--place", partition, "--kind", "data")}
    world.by_hand("crm", "update account set segment = 'later' where tax = 'T-1'")
    await_segment(world, "T-1", "later")
    assert undecodable["id"] not in {each["id"] for each in letters(world)}


def test_poison(world: KafkaWorld, registry: str) -> None:
    topic = Topic(world)
    unknown = register(registry, envelope("nothing_else")) + 1
    with world.running() as run:
        world.await_baselines(run)
        eventually(lambda: billing_holds(world, "F-1", "label", "Flow Ltd"), "all to be brought everywhere")
        a_key_that_cannot_be_stored_is_refused(world, topic)
        undecodable = bytes_that_are_no_json_are_kept(world, topic)
        unreadable = a_schema_that_the_registry_does_not_know_is_named(world, topic, unknown)
        a_number_that_no_decimal_is_is_put_right(world)
        all_else_goes_on(world)
        once_the_schema_is_known_it_is_applied(world, registry, unknown, unreadable)
        what_nobody_can_mend_is_pointless_with_the_next_word_of_its_row(world, undecodable)
        assert run.end()[0] == 143
    assert letters(world) == []
    world.rest()
    world.ledger_is_whole()
