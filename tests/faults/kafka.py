"""The same world with the CRM and billing behind Debezium and Kafka; the ERP goes on being read directly.

What must hold is the same. Only what a baseline may have read at once, so that no single edit of it is decided on, is
known otherwise: nothing that was done after all rows had been read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx

from stack import Stack, connectors
from stack.topics import create_topics
from tests.faults import landscape
from tests.faults.people import People
from tests.faults.world import SCHEMA, World, make
from tests.integration.cli_project import Run
from tests.patience import eventually

BEHIND_KAFKA = ("crm", "billing")
TWO_PARTITIONS = ("crm.public.account", "billing.public.customer")
OF_TOPICS = "strpos(p.name, '/') > 0"
"""Of the parts `p` that the hub keeps the partitions of topics: what is read directly has one, too."""
_SETTINGS = """
kafka:
  servers: "${env:KAFKA}"
  group: GROUP
  connect: {url: "${env:CONNECT}"}
  registry: {url: "${env:REGISTRY}"}
run: {lease: 3s}
"""
_CONNECTOR = """
connector:
  kind: debezium
  dsn: "${env:DSN}"
  prefix: PREFIX
  name: PREFIX
  options: {poll.interval.ms: 20, heartbeat.interval.ms: 500, errors.max.retries: 0, slot.drop.on.stop: false}
"""


@dataclass
class KafkaWorld(World):
    """`prefix` goes before the names of topics, connectors and consumer group, where others share the stack."""

    direct: ClassVar[tuple[str, ...]] = ("erp",)
    prefix: str = ""
    stack: Stack = field(init=False)
    _marks: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _read_until: dict[str, int] = field(default_factory=dict)

    def connector(self, system: str) -> str:
        """Its name, and its topics' prefix."""
        return f"{self.prefix}{system}"

    def topic(self, system: str, table: str) -> str:
        return f"{self.connector(system)}.public.{table}"

    def register(self, *systems: str) -> None:
        for system in systems or BEHIND_KAFKA:
            code, body = self.call("connector", "register", system)
            assert code == 0, body

    def connect_says(self, system: str) -> str:
        """Kafka Connect's own words on how a connector fares."""
        return httpx.get(f"{self.stack.connect_url}/connectors/{self.connector(system)}/status", timeout=30).text

    # --- how far Kafka is read ---------------------------------------------------------------------------------

    def holders(self) -> dict[str, int | None]:
        """Partition -> id of the process that took it last."""
        return dict(
            self.sql(
                "hub",
                f"select p.name, split_part(w.name, ':', 2)::int from {SCHEMA}.partition p"
                f" left join {SCHEMA}.worker w on w.token = p.holder where {OF_TOPICS}",
            )
        )

    def partitions_of(self, run: Run) -> set[str]:
        return {name for name, pid in self.holders().items() if pid == run.process.pid}

    def epochs(self) -> dict[str, int]:
        return dict(self.sql("hub", f"select name, epoch from {SCHEMA}.partition p where {OF_TOPICS}"))

    def await_baselines(self, run: Run) -> None:
        """All rows have been read once; what people do from now on has to be decided on, each edit by itself."""
        run.await_event("run.started")
        eventually(self.is_read, "every first row")
        for system in landscape.SYSTEMS:
            ((lsn,),) = self.sql(system, "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
            self._read_until[system] = int(lsn)

    def read_until(self) -> dict[str, int]:
        return self._read_until or super().read_until()

    # --- people, seen through ----------------------------------------------------------------------------------

    def work(self, people: People, edits: int) -> None:
        enough = people.edits + edits
        eventually(lambda: people.edits >= enough, "people at work")

    def flows(self, people: People | None = None) -> None:
        """An edit of the CRM reaches billing, an answer to it from there the CRM: both connectors and we work.

        Others go on calmly meanwhile, lest on a busy machine it stands behind ever more of theirs."""
        with people.calm() if people else contextlib.nullcontext():
            for here, there in (("crm", "billing"), ("billing", "crm")):
                phone = self.phone(here)
                arrived = f"select 1 from {landscape.WATCHED[there][0]} where phone = '{phone}'"
                eventually(functools.partial(self.sql, there, arrived), f"{phone} in {there}", self.how_it_stands)

    def how_it_stands(self) -> list[object]:
        return [*map(self.connect_says, BEHIND_KAFKA), self.holders(), self.call("status")]

    def phone(self, system: str, tax: str = "F-1", edit: int = 0) -> str:
        """Somebody writes the newest phone number of a customer that nobody else calls; gives it."""
        n = edit or 1_000_000 + next(self._marks)
        table, column = {"crm": ("account", "tax"), "billing": ("customer", "vat")}[system]
        at = f"timestamptz '2020-01-01' + {n} * interval '1 second'"
        self.by_hand(system, f"update {table} set phone = 'mark {n}', phoned_at = {at} where {column} = '{tax}'")
        return f"mark {n}"

    def status(self) -> dict[str, Any]:
        code, body = self.call("status")
        assert code == 0, body
        result: dict[str, Any] = body["result"]
        return result


def make_kafka_world(
    folder: Path,
    stack: Stack,
    make_database: Callable[[], str],
    over_tcp: Callable[[str], str],
    prefix: str = "",
    *,
    topics: bool = True,
) -> KafkaWorld:
    """No connector is registered yet. With `topics`, those that are to have two partitions are made."""
    given = {name: over_tcp(make_database()) for name in BEHIND_KAFKA}
    world = make(KafkaWorld, folder, make_database, given)
    world.prefix, world.stack = prefix and f"{prefix}.", stack
    world.environment |= {"KAFKA": stack.bootstrap, "CONNECT": stack.connect_url, "REGISTRY": stack.registry_url}
    with (folder / "fieldwarden.yaml").open("a") as settings:
        settings.write(_SETTINGS.replace("GROUP", prefix or "faults"))
    for system in BEHIND_KAFKA:
        direct = f'connector: {{kind: postgres, dsn: "${{env:{system.upper()}_DSN}}"}}\n'
        text = _CONNECTOR.lstrip().replace("DSN", f"{system.upper()}_DSN").replace("PREFIX", world.connector(system))
        world.edit(f"systems/{system}.yaml", direct, text)
    world.by_hand("crm", "insert into account (tax, name) values ('F-1', 'Flow Ltd')")
    if topics:
        asyncio.run(create_topics(stack.bootstrap, {world.prefix + name: 2 for name in TWO_PARTITIONS}))
    return world


@contextlib.contextmanager
def kafka_world(
    folder: Path, stack: Stack, make_database: Callable[[], str], over_tcp: Callable[[str], str], prefix: str
) -> Iterator[KafkaWorld]:
    """A world whose connectors run, on a stack that others use as well: they are removed with it."""
    world = make_kafka_world(folder, stack, make_database, over_tcp, prefix)
    world.register()
    try:
        yield world
    finally:
        for system in BEHIND_KAFKA:
            connectors.delete(stack.connect_url, world.connector(system))
