"""Records of an org are written over real HTTP: each once, nothing that it does not take, and every refusal told."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.writing.target import BATCH, SalesforceTarget
from fieldwarden.engine.change import Value
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, SchemaDrift, TargetBusy, TransientError
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.engine.ports.target import Intent, Write, WriteResult, answers
from fieldwarden.rules.rulebook import System
from tests.builders import postgres, rulebook
from tests.integration.salesforce_org import EXT, RestOrg, logged_in
from tests.integration.target_world import stream

COLUMNS = {
    "name": "Name",
    "phone": "Phone",
    "credit_limit": "AnnualRevenue",
    "segment": "Score__c",
    "city": "BillingCity",
}
tokens = itertools.count(1)


@dataclass
class Scene:
    org: RestOrg
    session: SalesforceSession
    target: SalesforceTarget

    async def one(self, write: Write) -> WriteResult:
        (result,) = await answers(self.target, [write])
        return result

    async def made(self, record: str = "r-1", **values: Value) -> str:
        return str((await self.one(create(record, **values))).key)


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    party = stream(
        "account",
        [*COLUMNS],
        columns=COLUMNS,
        key=("Id",),
        external_id=EXT,
        table="Account",
        constants={"Description": "-"},
    )
    async with RestOrg() as org, logged_in(org) as session:
        system = System("erp", 0, postgres(), {"account": party})
        yield Scene(org, session, SalesforceTarget(session, system, rulebook().entities))


def create(record: str, **values: Value) -> Write:
    return Write(next(tokens), record, "account", "create", None, values)


def update(key: str, was: dict[str, Value], **values: Value) -> Write:
    return Write(next(tokens), "r-1", "account", "update", key, values, was)


def intent(write: Write) -> Intent:
    return Intent(write.idempotency_key, write.record, "account", write.operation, write.key, None, 1, write.values)


# --- once, and exactly --------------------------------------------------------------------------------------------


async def test_a_new_record_carries_the_record_s_id_and_what_it_has_to_have(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    row = at.org.rows("Account")[key]
    assert (row[EXT], row["Description"], row["Name"]) == ("r-1", "-", "Acme")


async def test_amounts_are_exact_on_the_wire(at: Scene) -> None:
    await at.made("r-1", credit_limit="1234567890123.45")
    assert b'"AnnualRevenue":1234567890123.45' in at.org.bodies[0]


async def test_our_writes_carry_our_name(at: Scene) -> None:
    await at.made("r-1", name="Acme")
    assert {each.get("sforce-call-options") for each in at.org.headers[1:]} == {"client=fieldwarden-7"}


async def test_a_record_that_was_made_meanwhile_is_found_by_its_external_id(at: Scene) -> None:
    def meanwhile() -> None:
        at.org.org.create("Account", {EXT: "r-1", "Name": "theirs"})

    at.org.before_write = meanwhile
    result = await at.one(create("r-1", name="ours"))
    assert (result.status, result.differing) == ("applied", {"name": "theirs"})
    assert len(at.org.rows("Account")) == 1


async def test_an_answer_that_was_lost_is_looked_up(at: Scene) -> None:
    write = create("r-1", name="Acme")
    await at.target.look_up([intent(write)])
    at.org.answers = [(200, {"done": True, "records": []}), None]
    with pytest.raises(TransientError):
        await at.one(write)
    (found,) = await at.target.look_up([intent(write)])
    assert found.row in at.org.rows("Account")
    assert found.values == {"name": "Acme"}


async def test_what_never_came_is_not_found(at: Scene) -> None:
    (made, changed) = await at.target.look_up(
        [intent(create("r-9", name="A")), intent(update("001gone", {}, name="B"))]
    )
    assert (made.row, changed.row) == (None, None)


async def test_as_many_records_as_a_call_takes_go_in_three_requests(at: Scene) -> None:
    results = await answers(at.target, [create(f"r-{number}", name=f"n{number}") for number in range(BATCH)])
    assert {each.status for each in results} == {"applied"}
    assert [path for _, path in at.org.requests[2:]] == ["/query", "/composite/sobjects", "/composite/sobjects/Account"]


async def test_a_record_that_is_as_it_should_be_is_not_written(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    told = len(at.org.bus.events)
    assert (await at.one(update(key, {"name": "old"}, name="Acme"))).differing == {}
    assert len(at.org.bus.events) == told


async def test_a_part_of_an_address_is_written_by_its_own_name(at: Scene) -> None:
    key = await at.made("r-1", name="Acme", city="Bonn")
    await at.one(update(key, {"city": "Bonn"}, city="Berlin"))
    assert at.org.rows("Account")[key]["BillingCity"] == "Berlin"


# --- refusals -----------------------------------------------------------------------------------------------------


async def test_a_field_that_salesforce_computes_is_refused_and_the_others_are_written(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    result = await at.one(update(key, {"name": "Acme"}, name="B", segment="7"))
    assert (result.status, result.refused) == ("applied", {"segment": "Salesforce computes it"})
    assert at.org.rows("Account")[key]["Name"] == "B"


async def test_a_record_of_which_nothing_can_be_written_is_rejected(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    result = await at.one(update(key, {}, segment="7"))
    assert (result.status, [*result.refused]) == ("rejected", ["segment"])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("UNABLE_TO_LOCK_ROW", "busy"),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "refused"),
        ("REQUIRED_FIELD_MISSING", "rejected"),
        ("SOMETHING_NEW", "rejected"),
    ],
)
async def test_what_is_wrong_with_one_record_is_told_of_that_one(at: Scene, code: str, status: str) -> None:
    at.org.refuse["bad"] = (code, "")
    bad, good = await answers(at.target, [create("r-1", name="bad"), create("r-2", name="good")])
    assert (bad.status, good.status) == (status, "applied")
    assert "bad is bad" not in bad.reason
    if status == "busy":
        assert bad.pause > 0
    else:
        assert bad.said == "bad is bad"
        assert code in bad.reason


async def test_a_record_that_was_deleted_meanwhile_is_missing(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    at.org.before_write = lambda: at.org.org.delete(key)
    assert (await at.one(update(key, {"name": "Acme"}, name="B"))).status == "missing"


async def test_a_field_beyond_the_rules_is_never_sent(at: Scene) -> None:
    key = await at.made("r-1", name="Acme")
    target = at.target._streams["account"]
    object.__setattr__(target, "update_fields", ("phone",))
    sent = len(at.org.bodies)
    with pytest.raises(GuardViolation, match="name is not in the write set"):
        await at.one(update(key, {"name": "Acme"}, name="B"))
    assert len(at.org.bodies) == sent


# --- the org as a whole -------------------------------------------------------------------------------------------


async def test_an_external_id_that_is_not_unique_is_refused_before_anything_is_made(at: Scene) -> None:
    at.org.described[EXT] = {"unique": False}
    with pytest.raises(EnvironmentUnfit, match="does not tell records apart") as error:
        await at.one(create("r-1", name="Acme"))
    assert "External ID and Unique" in error.value.suggestion
    assert at.org.bodies == []


async def test_a_field_that_is_gone_stops_the_stream(at: Scene) -> None:
    at.org.described["Phone"] = {"gone": True}
    with pytest.raises(SchemaDrift, match="Salesforce describes no field Phone"):
        await at.one(create("r-1", name="Acme"))


@pytest.mark.parametrize(
    ("status", "told", "error"),
    [
        (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}], TargetBusy),
        (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "-"}], TargetBusy),
        (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "-"}], TransientError),
        (200, "<html>maintenance</html>", TransientError),
        (403, [{"errorCode": "INSUFFICIENT_ACCESS", "message": "-"}], EnvironmentUnfit),
        (400, [{"errorCode": "INVALID_FIELD", "message": "No such column 'X' on Account"}], EnvironmentUnfit),
        (200, [{"id": "001", "success": True}] * 2, DecodeError),
    ],
)
async def test_what_is_wrong_with_a_whole_request(at: Scene, status: int, told: Any, error: type[Exception]) -> None:
    await at.made("r-0", name="Acme")
    at.org.answers = [(200, {"done": True, "records": []}), (status, told)]
    with pytest.raises(error) as raised:
        await at.one(create("r-1", name="Acme"))
    assert "No such column" not in str(raised.value)


async def test_requests_that_are_used_up_are_waited_for_longer(at: Scene) -> None:
    await at.made("r-0", name="Acme")
    limit = (403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "-"}])
    pauses = []
    for usage in ("api-usage=18/5000", "api-usage=5000/5000"):
        at.org.usage, at.org.answers = usage, [limit]
        with pytest.raises(TargetBusy) as busy:
            await at.one(create("r-1", name="Acme"))
        pauses.append(busy.value.retry_after)
    assert pauses[0] < pauses[1]
    assert at.session.used == (5000, 5000)


async def test_a_token_that_ended_is_asked_for_anew_once(at: Scene) -> None:
    await at.made("r-0", name="Acme")
    at.org.token = "token-2"
    assert (await at.one(create("r-1", name="Acme"))).status == "applied"
    assert at.org.requests.count(("POST", "/services/oauth2/token")) == 2


async def test_a_login_that_is_refused_needs_a_person(at: Scene) -> None:
    refused = (401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
    at.org.answers = [refused, refused]
    with pytest.raises(EnvironmentUnfit, match="does not take our login") as error:
        await at.session.described("Account")
    assert "token-1" not in str(error.value)


async def test_an_object_that_is_not_there_says_so(at: Scene) -> None:
    with pytest.raises(EnvironmentUnfit, match="has no object Lead"):
        await at.session.described("Lead")
