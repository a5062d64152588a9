"""A Debezium connector for a test: its settings, and its life over Kafka Connect's REST interface.

The product has a client of its own (connectors/debezium); a test of that client, or of the stack alone, must not rest
on it. Everything here waits with a deadline and says what Connect said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx
from psycopg.conninfo import conninfo_to_dict

from stack.artefacts import StackUnfit

_SECONDS = 60.0
_BUSY = (404, 409, 500, 503)  # 409 while Connect rebalances, 500 while it loses its leader, 404 until it has heard


def postgres_source(dsn: str, *, prefix: str, tables: str, **overrides: str) -> dict[str, str]:
    """Settings of a source over the database at `dsn` (over TCP, with a password).

    `prefix` (letters, digits, underscores) begins the topics' names and is the name of slot and publication;
    `tables` is Debezium's `table.include.list`. In `overrides` a double underscore stands for a dot
    (`snapshot__mode="no_data"`).
    """
    database = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    settings = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": database["host"],
        "database.port": database["port"],
        "database.user": database["user"],
        "database.password": database["password"],
        "database.dbname": database["dbname"],
        "plugin.name": "pgoutput",
        "slot.name": prefix,
        "publication.name": prefix,
        "publication.autocreate.mode": "filtered",
        "slot.drop.on.stop": "true",
        "topic.prefix": prefix,
        "table.include.list": tables,
        "poll.interval.ms": "20",
    }
    return settings | {name.replace("__", "."): value for name, value in overrides.items()}


def avro(registry: str) -> dict[str, str]:
    """Settings that make a connector write Avro in Confluent's framing; `registry` is `Registry.native_address`."""
    settings = {"schema.name.adjustment.mode": "avro"}
    for side in ("key", "value"):
        settings |= {
            f"{side}.converter": "io.apicurio.registry.utils.converter.AvroConverter",
            f"{side}.converter.apicurio.registry.url": registry,
            f"{side}.converter.apicurio.registry.auto-register": "true",
            f"{side}.converter.apicurio.registry.find-latest": "false",
            f"{side}.converter.apicurio.registry.as-confluent": "true",
            f"{side}.converter.apicurio.registry.use-id": "contentId",
            f"{side}.converter.apicurio.registry.headers.enabled": "false",
        }
    return settings


def register(connect: str, name: str, settings: Mapping[str, str], *, seconds: float = _SECONDS) -> None:
    """Create or change a connector and return when it and its task run. Raises StackUnfit with the task's error."""
    deadline = time.monotonic() + seconds
    while (answer := httpx.put(f"{connect}/connectors/{name}/config", json=dict(settings), timeout=30)).is_error:
        if answer.status_code not in _BUSY or time.monotonic() > deadline:
            raise StackUnfit(f"Kafka Connect refused {name}: {answer.status_code} {answer.text}")
        time.sleep(0.1)
    while (states := _states(connect, name)) != ["RUNNING", "RUNNING"]:
        if "FAILED" in states or time.monotonic() > deadline:
            raise StackUnfit(f"connector {name}: {httpx.get(f'{connect}/connectors/{name}/status').text}")
        time.sleep(0.05)


def delete(connect: str, name: str) -> None:
    """Remove a connector if it exists, and return when its tasks have ended, and with them its replication slot."""
    deadline = time.monotonic() + _SECONDS
    while (answer := httpx.delete(f"{connect}/connectors/{name}", timeout=30)).status_code not in (204, 404):
        if time.monotonic() > deadline:
            raise StackUnfit(f"Kafka Connect kept {name}: {answer.status_code} {answer.text}")
        time.sleep(0.1)


def _states(connect: str, name: str) -> list[str]:
    """The state of a connector and of each of its tasks; empty while Connect does not know."""
    answer = httpx.get(f"{connect}/connectors/{name}/status", timeout=30)
    if answer.is_error:
        return []
    status = answer.json()
    return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
