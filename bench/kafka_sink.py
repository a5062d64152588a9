"""The yardstick on Kafka: Debezium's own JDBC sink, tuned.

It is held shut by a lock on its table: its tasks run, have read the few rows committed before the backlog, and
wait for the table with their first statement. So nothing of the backlog is decoded before it is opened, though some of
it may have been fetched. Between runs the connector is paused, so that its consumers, its connections and what its
virtual machine has compiled stay as they are.

Settings: Debezium's reference for its JDBC connector, 3.6; Kafka Connect's `consumer.override.` (KIP-458). Tried on
this table, by CPU per row: batches of 5,000 cost a seventh less than 2,000, these a tenth less than the default of 500;
UNNEST costs the server a third less than batched INSERTs; the reduction buffer costs little where no row occurs twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.kafka_costs import KafkaRun
from bench.kafka_stage import TOPIC, KafkaStage
from bench.stage import Backlog, Stuck, wait_until

_TUNED = {
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
    "topics": TOPIC,
    "insert.mode": "upsert",
    "primary.key.mode": "record_key",
    "delete.enabled": "true",
    "schema.evolution": "none",
    "collection.name.format": "${source.table}",
    "batch.size": "5000",
    "use.reduction.buffer": "true",
    "dialect.postgres.unnest.insert.enabled": "true",
    "consumer.override.auto.offset.reset": "earliest",
    "consumer.override.max.poll.records": "5000",
    "consumer.override.fetch.min.bytes": "1048576",
    "consumer.override.fetch.max.wait.ms": "100",
    "consumer.override.max.partition.fetch.bytes": "8388608",
}
_WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


@dataclass(slots=True)
class Sink:
    """`tasks` tasks of one connector, writing to the database `target`."""

    stage: KafkaStage
    target: str
    tasks: int
    _lock: psycopg.Connection | None = None

    lacks = (
        "the JDBC sink copies what it reads: it decides nothing, guards nothing (it overwrites whatever the target "
        "holds), keeps no ledger, has no match of identities, no rules, no mapping but of names, no recognition of its "
        "own echoes, one source for each table; after a crash it writes some rows once more (at least once)"
    )

    def prepare(self) -> None:
        """Register it; its tasks run, and have nothing to read."""
        way = {name: str(value) for name, value in conninfo_to_dict(self._server(tcp=True)).items()}
        settings = {
            **_TUNED,
            "tasks.max": str(self.tasks),
            "connection.url": f"jdbc:postgresql://{way['host']}:{way['port']}/{self.target}?reWriteBatchedInserts=true",
            "connection.username": way["user"],
            "connection.password": way["password"],
        }
        wait_until(lambda: httpx.put(f"{self._address}/config", json=settings, timeout=30).is_success)
        self._wait_for("RUNNING")
        # A task that waits for its table cannot take part in a rebalance: both must have their partitions by then.
        asyncio.run(self.stage.settled(f"connect-{self._name}", self.tasks))
        self._say("pause", "PAUSED")

    def shut(self) -> None:
        """From here on it waits for its table as soon as there is anything to read."""
        self._lock = psycopg.connect(self._server())
        self._lock.execute("lock table customer in access exclusive mode")
        self._say("resume", "RUNNING")

    def run(self, backlog: Backlog) -> KafkaRun:
        stage = self.stage.stage
        assert self._lock is not None, "it has to be shut before the backlog is made"
        with self._lock as lock:
            with psycopg.connect(self._server(), autocommit=True) as watch:
                wait_until(lambda: watch.execute(_WAITING).fetchone() == (self.tasks,))
            meter = self.stage.meter()
            opened = time.perf_counter()
            lock.commit()
            seconds = stage.arrived(self._server(), backlog) - opened
            costs = meter.read(seconds)
        self._lock = None
        self._say("pause", "PAUSED")
        return KafkaRun(backlog.rows, seconds, costs=costs)

    def _server(self, *, tcp: bool = False) -> str:
        return self.stage.stage.destination.dsn(self.target, tcp=tcp)

    @property
    def _name(self) -> str:
        return self.target.replace("_", "-")

    @property
    def _address(self) -> str:
        return f"{self.stage.kafka.connect_url}/connectors/{self._name}"

    def _say(self, word: str, state: str) -> None:
        wait_until(lambda: httpx.put(f"{self._address}/{word}", timeout=30).is_success)
        self._wait_for(state)

    def _wait_for(self, state: str) -> None:
        def reached() -> bool:
            answer = httpx.get(f"{self._address}/status", timeout=30)
            tasks: list[dict[str, Any]] = answer.json()["tasks"] if answer.is_success else []
            for task in tasks:
                if task["state"] == "FAILED":
                    raise Stuck(f"the JDBC sink failed:\n{task['trace'][:4000]}")
            return [task["state"] for task in tasks] == [state] * self.tasks

        wait_until(reached)
