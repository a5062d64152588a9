"""The sandbox's Pub/Sub API keeps Salesforce's rules, as a client of somebody else's finds them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fieldwarden.sandbox.pubsub import pubsub_api_pb2 as api
from fieldwarden.sandbox.pubsub.bus import Bus
from fieldwarden.sandbox.pubsub.faults import NAMES, Faults
from fieldwarden.sandbox.pubsub.objects import Field, Object
from fieldwarden.sandbox.pubsub.org import ACCOUNT, CONTACT, Org
from fieldwarden.sandbox.pubsub.serving import Pace, Server

NOW = 1_772_000_000_000
WHO = (("accesstoken", "token-1"), ("instanceurl", "http://org.example"), ("tenantid", "00Dxx0000001gPLEAY"))
TOPIC = ACCOUNT.topic


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server(Bus([ACCOUNT, CONTACT]), pace=Pace(keepalive=0.05, idle=0.05)) as running:
        yield running


def org(server: Server) -> Org:
    return Org(server.bus, lambda: NOW)


async def ask(server: Server, *requests: api.FetchRequest, who: Any = WHO) -> list[api.FetchResponse]:
    """All answers until the stream ends."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = channel.stream_stream(
            "/eventbus.v1.PubSub/Subscribe", api.FetchRequest.SerializeToString, api.FetchResponse.FromString
        )(metadata=who)
        for request in requests:
            await call.write(request)
        found: list[api.FetchResponse] = []
        while isinstance(answer := await call.read(), api.FetchResponse):
            found.append(answer)
            if not answer.events:
                call.cancel()
                break
        return found


async def refused(server: Server, *requests: api.FetchRequest, who: Any = WHO) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(server, *requests, who=who)
    trailers = dict(error.value.trailing_metadata() or ())
    return error.value.code().name, str(trailers["error-code"]).removeprefix("sfdc.platform.eventbus.grpc.")


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 101, -1])
async def test_a_request_asks_for_one_to_a_hundred_events(server: Server, number: int) -> None:
    asked = await refused(server, api.FetchRequest(topic_name=TOPIC, num_requested=number))
    assert asked == ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")


async def test_later_requests_are_held_to_it_too(server: Server) -> None:
    first, then = api.FetchRequest(topic_name=TOPIC, num_requested=1), api.FetchRequest(num_requested=101)
    assert (await refused(server, first, then))[1] == "subscription.fetch.requested.events.invalid"


async def test_a_stream_stays_with_its_topic(server: Server) -> None:
    first = api.FetchRequest(topic_name=TOPIC, num_requested=1)
    then = api.FetchRequest(topic_name=CONTACT.topic, num_requested=1)
    assert (await refused(server, first, then))[1] == "subscription.fetch.topic.mismatch"


async def test_a_topic_that_is_not_there(server: Server) -> None:
    asked = api.FetchRequest(topic_name="/data/LeadChangeEvent", num_requested=1)
    assert await refused(server, asked) == ("NOT_FOUND", "topic.not.found")


@pytest.mark.parametrize(("replay", "code"), [(b"", "validation.failed"), (b"never given", "corrupted")])
async def test_a_replay_id_that_is_no_good(server: Server, replay: bytes, code: str) -> None:
    asked = api.FetchRequest(topic_name=TOPIC, replay_preset=api.CUSTOM, replay_id=replay, num_requested=1)
    assert await refused(server, asked) == ("INVALID_ARGUMENT", f"subscription.fetch.replayid.{code}")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("accesstoken", "stale", "service.auth.error"),
        ("tenantid", "", "service.auth.headers.invalid"),
        ("instanceurl", "org", "service.auth.headers.invalid"),
    ],
)
async def test_who_comes_in(server: Server, name: str, value: str, code: str) -> None:
    asked = api.FetchRequest(topic_name=TOPIC, num_requested=1)
    who = tuple({**dict(WHO), name: value}.items())
    assert await refused(server, asked, who=who) == ("UNAUTHENTICATED", code)


def test_a_fault_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(KeyError, match=", ".join(NAMES)):
        Faults().ask("fire")


# --- what is told -------------------------------------------------------------------------------------------------


async def test_the_latest_is_what_comes_from_now_on(server: Server) -> None:
    org(server).create("Account", {"Name": "Ann"})
    (quiet,) = await ask(server, api.FetchRequest(topic_name=TOPIC, num_requested=1))
    assert (list(quiet.events), quiet.pending_num_requested) == ([], 1)
    assert server.bus.after(quiet.latest_replay_id) == 1


async def test_only_as_many_come_as_were_asked_for_and_a_stream_that_asks_for_no_more_ends(server: Server) -> None:
    for number in range(5):
        org(server).create("Account", {"Name": f"n{number}"})
    answers = await ask(server, api.FetchRequest(topic_name=TOPIC, replay_preset=api.EARLIEST, num_requested=3))
    assert [len(each.events) for each in answers] == [3]
    assert answers[-1].pending_num_requested == 0


def test_a_custom_object_has_a_topic_of_its_own() -> None:
    assert Object("Bill__c", "a01", (Field("Amount__c", "currency"),)).topic == "/data/Bill__ChangeEvent"


async def test_a_client_of_somebody_else_s_reads_all_events_and_has_the_messages_that_we_have(server: Server) -> None:
    desk = org(server)
    id = desk.create("Account", {"Name": "Ann", "BillingCity": "Bonn", "AnnualRevenue": 12.5})
    desk.update([id], {"Phone": None, "BillingCity": "Berlin"})
    desk.change_unseen([id], {"Phone": "1"})
    desk.overflow("Account")
    desk.delete(id)
    client = [sys.executable, str(Path(__file__).with_name("pubsub_client.py")), server.address, TOPIC, "5"]
    process = await asyncio.create_subprocess_exec(*client, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    theirs, can_subscribe, *events = [json.loads(line) for line in told.decode().splitlines()]
    assert can_subscribe is True
    for name, message in api.DESCRIPTOR.message_types_by_name.items():
        ours = {each.name: [each.number, each.type, each.is_repeated] for each in message.fields}
        assert theirs[name] == ours, name
    heads = [each["ChangeEventHeader"] for each in events]
    assert [each["changeType"] for each in heads] == ["CREATE", "UPDATE", "GAP_UPDATE", "GAP_OVERFLOW", "DELETE"]
    assert [each["recordIds"] for each in heads] == [[id], [id], [id], ["000000000000000AAA"], [id]]
    assert (events[0]["Name"], events[0]["AnnualRevenue"], events[0]["BillingAddress"]["City"]) == ("Ann", 12.5, "Bonn")
    assert (events[1]["Name"], events[1]["BillingAddress"]["City"]) == (None, "Berlin")
    assert heads[1]["nulledFields"] == ["0x04"]
    assert heads[1]["changedFields"] == ["0x0400", "5-0x02"]
