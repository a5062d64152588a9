"""The stack itself: what the tests of the Kafka source rest on is there, and behaves as the real thing."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from stack import Stack, artefacts, connectors, topics, why_unfit
from stack import __main__ as by_hand
from stack.connectors import avro

TABLE = "create table customer (id int primary key, name text); insert into customer values (1, 'Ada')"


def fill(dsn: str, statement: str = TABLE) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


async def test_a_row_that_is_inserted_comes_out_of_its_topic(
    stack: Stack, database: str, debezium: Callable[..., str]
) -> None:
    fill(database)
    prefix = debezium(database, "public.customer")
    fill(database, "insert into customer values (2, 'Grace')")
    snapshot, insert = await topics.read(stack.bootstrap, f"{prefix}.public.customer", count=2)
    assert json.loads(snapshot.value)["payload"]["op"] == "r"
    change = json.loads(insert.value)["payload"]
    assert (change["op"], change["after"]) == ("c", {"id": 2, "name": "Grace"})
    assert json.loads(insert.key)["payload"] == {"id": 2}


async def test_the_registry_knows_the_schema_of_a_row_in_avro(
    registry: Stack, database: str, debezium: Callable[..., str]
) -> None:
    fill(database)
    prefix = debezium(database, "public.customer", avro(registry.registry.native_address))
    (record,) = await topics.read(registry.bootstrap, f"{prefix}.public.customer", count=1)
    assert record.value[:1] == b"\0", "Confluent's framing begins with a zero and the schema's id in four bytes"
    number = int.from_bytes(record.value[1:5])
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{registry.registry_url}/schemas/ids/{number}")
    schema = json.loads(answer.json()["schema"])
    assert (schema["namespace"], schema["name"]) == (f"{prefix}.public.customer", "Envelope")


async def test_a_topic_has_the_partitions_it_was_made_with(kafka: Stack, prefix: str) -> None:
    await topics.create_topics(kafka.bootstrap, {prefix: 3}, retention__ms="1000000")
    assert await topics.partitions(kafka.bootstrap, prefix) == {0, 1, 2}


def test_both_debezium_plugins_are_there(stack: Stack) -> None:
    plugins = {plugin["class"] for plugin in httpx.get(f"{stack.connect_url}/connector-plugins").json()}
    assert plugins >= {
        "io.debezium.connector.postgresql.PostgresConnector",
        "io.debezium.connector.jdbc.JdbcSinkConnector",
    }


async def test_broker_and_connect_come_back_where_they_were(
    crashable_stack: Stack, database: str, over_tcp: Callable[[str], str], prefix: str
) -> None:
    stack, topic = crashable_stack, f"{prefix}.public.customer"
    stack.start()
    fill(database)
    connectors.register(
        stack.connect_url,
        prefix,
        connectors.postgres_source(over_tcp(database), prefix=prefix, tables="public.customer"),
    )
    before = await topics.read(stack.bootstrap, topic, count=1)
    stack.broker.kill()
    stack.connect.kill()
    assert not stack.broker.answers()
    assert not stack.connect.running()
    stack.start()
    fill(database, "insert into customer values (2, 'Grace')")
    after = await topics.read(stack.bootstrap, topic, count=2)
    assert after[0] == before[0]
    connectors.delete(stack.connect_url, prefix)


def test_a_stack_is_shared_by_its_state_file_and_leaves_nothing(crashable_stack: Stack) -> None:
    first, second = crashable_stack, Stack(crashable_stack.state)
    first.start_broker()
    second.start_broker()
    assert first.broker.pid == second.broker.pid
    second.broker.send(signal.SIGSTOP)
    second.stop()
    assert not first.broker.running()
    assert not first.folder.exists()
    assert not first.state.exists()


def test_what_is_not_ours_is_never_stopped(crashable_stack: Stack) -> None:
    """An id from before a reboot may belong to anybody by now."""
    broker = crashable_stack.broker
    broker.folder.mkdir(parents=True)
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        (broker.folder / "pid").write_text(str(bystander.pid))
        broker.kill()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_part_that_does_not_start_says_what_it_printed(
    crashable_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = crashable_stack.broker
    monkeypatch.setattr(broker, "arguments", lambda: ["no.such.Program"])
    with pytest.raises(artefacts.StackUnfit, match=r"(?s)broker ended instead of starting.*Could not find or load"):
        broker.start()


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_a_machine_without_java_or_maven_is_told_what_is_missing(
    missing: str, java: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "mvn":
        (tmp_path / "java").symlink_to(shutil.which("java") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(artefacts, "TARGET", tmp_path)
    assert f"no program `{missing}`" in (why_unfit() or "")


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_without_java_the_stacks_tests_skip_but_not_where_they_must_run(ci: str, outcome: str, tmp_path: Path) -> None:
    chosen = f"{__file__}::{test_both_debezium_plugins_are_there.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-rs", chosen],
        capture_output=True,
        text=True,
        check=False,
        cwd=artefacts.POM.parents[1],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path), "CI": ci},
    )
    assert outcome in done.stdout
    assert "no program `java`: install Java 17" in done.stdout


def test_make_stack_says_how_to_reach_each_part_and_make_stack_stop_ends_them(
    java: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_hand, "STATE", tmp_path / "state.json")
    try:
        assert by_hand.main(["start"]) == 0
        shown = capsys.readouterr().out
        assert by_hand.main(["start"]) == 0
        assert capsys.readouterr().out == shown, "a second start finds the same stack"
        ways = dict(re.findall(r"(\w+)=(\S+)", shown))
        assert httpx.get(f"{ways['CONNECT_URL']}/connectors").json() == []
        assert httpx.get(f"{ways['SCHEMA_REGISTRY_URL']}/subjects").json() == []
        psycopg.connect(
            host=ways["PGHOST"], port=int(ways["PGPORT"]), user=ways["PGUSER"], password=ways["PGPASSWORD"]
        ).close()
        host, port = ways["KAFKA_BOOTSTRAP"].split(":")
        socket.create_connection((host, int(port))).close()
        stack = Stack(tmp_path / "state.json")
    finally:
        assert by_hand.main(["stop"]) == 0
    assert not any(part.running() for part in (stack.broker, stack.connect, stack.registry, stack.postgres))
    assert not stack.folder.exists()
    assert by_hand.main(["stop"]) == 0
