"""The Connect client on a bad day: rebalances, answers that were lost, and what nobody understands. Over real HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.connectors.debezium.connect.client import Connect, ConnectRefused, UnknownConnector
from fieldwarden.connectors.debezium.connect.states import KeyProblem, cause
from fieldwarden.connectors.debezium.kafka.access import Endpoint
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.rules.scrubbing import scrub
from tests.integration.connect_server import REBALANCE, TIMED_OUT, Answer, ConnectServer, connect_server

CONFIG = {"connector.class": "x.Y", "topic.prefix": "crm"}
STORED = {**CONFIG, "name": "crm"}
CONFIG_PATH, STATUS = "/connectors/crm/config", "/connectors/crm/status"
NONE: Answer = (404, {"error_code": 404, "message": "Connector crm not found"})


@pytest.fixture
def server() -> Iterator[ConnectServer]:
    with connect_server() as it:
        yield it


@pytest.fixture
async def connect(server: ConnectServer) -> AsyncIterator[Connect]:
    async with Connect.open(Endpoint(server.url), patience=5.0) as it:
        yield it


def opened(url: str, **more: Any) -> AbstractAsyncContextManager[Connect]:
    return Connect.open(Endpoint(url, **more), patience=0.5)


def status(state: str, *tasks: tuple[str, str]) -> Answer:
    body = {
        "name": "crm",
        "connector": {"state": state, "worker_id": "w:1"},
        "tasks": [{"id": n, "state": s, "worker_id": "w:1", "trace": trace} for n, (s, trace) in enumerate(tasks)],
        "type": "source",
    }
    return 200, body


# --- registering -----------------------------------------------------------------------------------------------


async def test_registering_says_whether_it_is_new(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", CONFIG_PATH, NONE, (200, STORED))
    server.answers("PUT", CONFIG_PATH, (201, {}), (200, {}))
    assert await connect.register("crm", CONFIG) is True
    assert await connect.register("crm", CONFIG) is False


async def test_a_rebalance_is_waited_out(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", CONFIG_PATH, REBALANCE, NONE)
    server.answers("PUT", CONFIG_PATH, REBALANCE, REBALANCE, (201, {}))
    assert await connect.register("crm", CONFIG) is True
    assert server.asked.count(("PUT", CONFIG_PATH)) == 3


@pytest.mark.parametrize("lost", [TIMED_OUT, None], ids=["timed out", "cut"])
async def test_a_lost_answer_whose_change_was_made_is_not_made_again(
    server: ConnectServer, connect: Connect, lost: Answer
) -> None:
    server.answers("GET", CONFIG_PATH, NONE, (200, STORED))
    server.answers("PUT", CONFIG_PATH, lost)
    assert await connect.register("crm", CONFIG) is True
    assert server.asked.count(("PUT", CONFIG_PATH)) == 1


@pytest.mark.parametrize("lost", [TIMED_OUT, None], ids=["timed out", "cut"])
async def test_a_lost_answer_whose_change_was_not_made_is_tried_again(
    server: ConnectServer, connect: Connect, lost: Answer
) -> None:
    server.answers("GET", CONFIG_PATH, (200, {**STORED, "topic.prefix": "old"}))
    server.answers("PUT", CONFIG_PATH, lost, (200, {}))
    assert await connect.register("crm", CONFIG) is False
    assert server.asked.count(("PUT", CONFIG_PATH)) == 2


async def test_a_cluster_that_stays_busy_is_given_up_with_its_own_words(server: ConnectServer) -> None:
    server.answers("GET", CONFIG_PATH, NONE)
    server.answers("PUT", CONFIG_PATH, TIMED_OUT)
    async with opened(server.url) as connect:
        with pytest.raises(TransientError, match=r"stays busy: Request timed out\."):
            await connect.register("crm", CONFIG)


async def test_a_configuration_that_is_refused(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", CONFIG_PATH, NONE)
    words = "Connector configuration is invalid and contains the following 1 error(s):\nA password=hunter2 is wrong"
    server.answers("PUT", CONFIG_PATH, (400, {"error_code": 400, "message": words}))
    with pytest.raises(ConnectRefused, match=r"refuses \(400\): .*following 1 error") as error:
        await connect.register("crm", CONFIG)
    assert "hunter2" not in error.value.message


async def test_validation_is_by_key_and_knows_the_name(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", "/connector-plugins", (200, [{"class": "x.Y"}]))
    found = [
        {"value": {"name": "slot.name", "errors": ["too long", "and odd"]}},
        {"value": {"name": "topic.prefix", "errors": []}},
    ]
    server.answers("PUT", "/connector-plugins/x.Y/config/validate", (200, {"configs": found}))
    assert await connect.problems("crm", CONFIG) == [
        KeyProblem("slot.name", "too long"),
        KeyProblem("slot.name", "and odd"),
    ]
    assert server.bodies[-1] == STORED


async def test_a_plugin_that_is_missing_is_said_before_anything_is_validated(
    server: ConnectServer, connect: Connect
) -> None:
    server.answers("GET", "/connector-plugins", (200, [{"class": "x.Z"}]))
    with pytest.raises(EnvironmentUnfit, match=r"has no plugin x\.Y"):
        await connect.problems("crm", CONFIG)


# --- looking ---------------------------------------------------------------------------------------------------


async def test_running_means_every_task_too(server: ConnectServer, connect: Connect) -> None:
    trace = (
        "org.apache.kafka.connect.errors.ConnectException: An exception occurred\n\tat a.B.c(B.java:1)\n"
        "Caused by: org.postgresql.util.PSQLException: FATAL: no\n\tat d.E\n"
        "Caused by: java.net.ConnectException: refused, password=hunter2\n\t... 3 more\n"
    )
    server.answers(
        "GET",
        STATUS,
        status("RUNNING", ("RUNNING", ""), ("FAILED", trace)),
        status("RUNNING", ("RUNNING", "")),
        status("RUNNING"),
        status("PAUSED", ("PAUSED", "")),
    )
    failed = await connect.state("crm")
    assert (failed.state, failed.running, failed.failed) == ("RUNNING", False, True)
    assert failed.errors == ["ConnectException: An exception occurred <- ConnectException: refused, password ..."]
    assert (await connect.state("crm")).running
    assert not (await connect.state("crm")).running, "a connector without a task moves nothing"
    paused = await connect.state("crm")
    assert (paused.running, paused.failed) == (False, False)


async def test_starting_is_watched_until_it_runs_or_has_failed(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", STATUS, NONE, status("RUNNING"), status("RUNNING", ("RUNNING", "")))
    state = await connect.started("crm", 5)
    assert state is not None
    assert state.running
    server.answers("GET", STATUS, status("UNASSIGNED"), status("RUNNING", ("FAILED", "x.Y: no")))
    state = await connect.started("crm", 5)
    assert state is not None
    assert state.failed


async def test_an_unknown_connector_is_named(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", STATUS, NONE)
    server.answers("POST", "/connectors/crm/restart?includeTasks=true&onlyFailed=true", NONE)
    server.answers("PUT", "/connectors/crm/pause", NONE)
    server.answers("DELETE", "/connectors/crm", NONE)
    for action in (connect.state, connect.restart, connect.pause, connect.delete):
        with pytest.raises(UnknownConnector, match="has no connector crm"):
            await action("crm")


async def test_a_deletion_whose_answer_was_lost_has_been_made(server: ConnectServer, connect: Connect) -> None:
    server.answers("DELETE", "/connectors/crm", TIMED_OUT)
    server.answers("GET", CONFIG_PATH, NONE)
    await connect.delete("crm")
    assert server.asked.count(("DELETE", "/connectors/crm")) == 1


async def test_stopping_returns_when_the_tasks_have_ended(server: ConnectServer, connect: Connect) -> None:
    server.answers("PUT", "/connectors/crm/stop", (204, ""))
    server.answers(
        "GET", STATUS, status("RUNNING", ("RUNNING", "")), status("STOPPED", ("STOPPED", "")), status("STOPPED")
    )
    await connect.stop("crm", 5)
    assert server.asked.count(("GET", STATUS)) == 3


# --- whoever answers there -------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    async with opened("http://127.0.0.1:1") as connect:
        with pytest.raises(EnvironmentUnfit, match=r"Kafka Connect at http://127\.0\.0\.1:1 cannot be reached"):
            await connect.names()


async def test_credentials_are_sent_and_their_refusal_is_said(server: ConnectServer) -> None:
    server.answers("GET", "/connectors", (200, []), (401, "Unauthorized"))
    async with opened(server.url, username="me", password="hunter2") as connect:
        assert await connect.names() == []
        sent = server.headers[-1]["Authorization"].removeprefix("Basic ")
        assert base64.b64decode(sent) == b"me:hunter2"
        with pytest.raises(EnvironmentUnfit, match="refuses the credentials") as error:
            await connect.names()
    assert "hunter2" not in str(error.value)


async def test_something_else_answers_there(server: ConnectServer, connect: Connect) -> None:
    with pytest.raises(ConnectRefused) as error:
        await connect.names()
    assert error.value.suggestion == "is this address Kafka Connect's?"


@pytest.mark.parametrize("body", ["<html>hello</html>", {"message": "hi"}, [], 1])
async def test_something_else_answers_politely(server: ConnectServer, connect: Connect, body: Any) -> None:
    server.answers("GET", STATUS, (200, body))
    with pytest.raises(ConnectRefused, match="does not speak as Kafka Connect does"):
        await connect.state("crm")


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(EnvironmentUnfit, match="cannot be read"):
        async with opened("https://127.0.0.1:1", ca_file=str(tmp_path / "ca.pem")):
            pass


async def test_names_are_quoted(server: ConnectServer, connect: Connect) -> None:
    server.answers("GET", "/connectors/a%2Fb%20c/config", (200, {}))
    assert await connect.configuration("a/b c") == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 host=x", "password=*** host=x"),
        ("postgresql://me:hunter2@db/crm", "postgresql://me:***@db/crm"),
        ("postgresql://me:hun@ter2@db/crm", "postgresql://me:***@db/crm"),
        ('"sasl.password": "hun ter2", x', '"sasl.password": "***", x'),
        ("Authorization: Basic aHVudGVyMg== x", "Authorization: *** x"),
        ("api_key=hunter2", "api_key=***"),
        ("plain words", "plain words"),
    ],
)
def test_passwords_in_other_programs_words_are_blotted_out(text: str, shown: str) -> None:
    assert scrub(text) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("a.DataException: Invalid value: ada@x for field email", "DataException: Invalid value: ..."),
        ("a.DataException: Invalid value ada@x for field email", "DataException: Invalid value ..."),
        ("a.NumberFormatException: For input string: \"ada\"", "NumberFormatException: For input string: ..."),
        ("a.DateTimeParseException: Text 'ada' could not be parsed", "DateTimeParseException: Text ..."),
        ("a.IllegalArgumentException: Invalid UUID string: ada", "IllegalArgumentException: Invalid UUID string: ..."),
        ("a.PSQLException: Bad value for type timestamp : ada", "PSQLException: Bad value for type timestamp : ..."),
        ("a.PSQLException: invalid input of uuid: \"O\"ada\"", "PSQLException: invalid input of uuid: ..."),
        ("a.PSQLException: ERROR: a row, Key (email)=(ada)", "PSQLException: ERROR: a row, Key (email) ..."),
        ("a.ConnectException: no place for Record{key=Struct{id=ada}}", "ConnectException: no place for Record ..."),
        ("a.ConnectException: cannot read [ada, b]", "ConnectException: cannot read ..."),
        ("a.PSQLException: ERROR: never for ada@example.org", "PSQLException: ERROR: never for ..."),
        ("a.PSQLException: ERROR: nobody at +44 1947 820199 ada", "PSQLException: ERROR: nobody at ..."),
        ("a.PSQLException: ERROR: not to DE89370400440532013000 ada", "PSQLException: ERROR: not to ..."),
    ],
)  # fmt: skip
def test_the_values_of_rows_stay_out_of_other_programs_words(line: str, shown: str) -> None:
    assert cause(f"{line}\n\tat x") == shown
    assert "ada" not in cause(f"x.ConnectException: no\nCaused by: {line}\n\tat x")


@pytest.mark.parametrize(
    "line",
    [
        'PSQLException: ERROR: replication slot "fieldwarden_crm" is active for PID 974',
        'PSQLException: FATAL: password authentication failed for user "app"',
        'PSQLException: FATAL: no pg_hba.conf entry for replication connection from host "127.0.0.1", user "app"',
        'PSQLException: ERROR: null value in column "name" of relation "account" violates not-null constraint',
        "PSQLException: Connection to localhost:5432 refused. Check that the hostname and port are correct",
        "DebeziumException: Couldn't obtain encoding for database crm",
        "TimeoutException: Timeout expired after 60000 ms while waiting for topic metadata",
    ],
)
def test_what_a_person_can_act_on_stays(line: str) -> None:
    assert cause(f"org.x.{line}\n\tat x") == line


def test_what_is_said_of_settings_stays() -> None:
    said = "Invalid value later for configuration snapshot.mode: Value must be one of initial, never"
    assert cause(f"org.apache.kafka.common.config.ConfigException: {said}\n\tat x") == f"ConfigException: {said}"


def test_a_trace_of_one_line_is_said_once() -> None:
    assert cause("java.lang.IllegalStateException: no\n\tat x") == "IllegalStateException: no"
    assert cause("") == ""
