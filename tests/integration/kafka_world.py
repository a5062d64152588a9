"""Topics as Debezium fills them, and a worker that reads them, step by step, into a hub.

`Topics` produces records in Debezium's envelope (JSON with schemas). `Worker` has a source, and does with its batches
what the pipeline does: commit to the hub, with the fence, then acknowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.consumer import Timeouts
from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.connectors.debezium.reading.baselines import positions_at
from fieldwarden.connectors.debezium.reading.lag import KafkaLag
from fieldwarden.connectors.debezium.reading.source import KafkaSource
from fieldwarden.engine.change import RawChange
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.source import Batch, Start
from fieldwarden.rules.rulebook import Entity, Field, FieldMap, Policy, Stream, System, Unit
from fieldwarden.rules.values import parse_type
from stack.topics import create_topics
from tests.builders import BEGUN, debezium
from tests.patience import Patience, within

ACCOUNT, CONTACT = "public.account", "public.contact"
COLUMNS = {ACCOUNT: ("id", "name", "credit"), CONTACT: ("id", "account_id", "email")}
QUICK = Timeouts(session=6_000, heartbeat=500, rebalance=10_000, drain=5_000)
_TYPES = {"id": "int32", "account_id": "int32"}


def system(prefix: str, columns: Sequence[str] = ("name", "credit"), **settings: str) -> System:
    """Accounts, with these of their columns mapped, and below them contacts."""
    account = Stream("crm", ACCOUNT, "customer", ("id",), _maps(*columns))
    contact = Stream("crm", CONTACT, "contact", ("id",), _maps("email"), parent=ACCOUNT, parent_columns=("account_id",))
    streams = {each.name: each for each in (account, contact)}
    return System("crm", 0, debezium(prefix=prefix, **settings), streams)


def _maps(*columns: str) -> dict[str, FieldMap]:
    return {column: FieldMap(column, column) for column in columns}


def entities() -> dict[str, Entity]:
    def entity(name: str, fields: Mapping[str, str]) -> Entity:
        units = {each: Unit(each, (each,), Policy("source_priority", ("crm",))) for each in fields}
        typed = {each: Field(each, parse_type(kind)) for each, kind in fields.items()}
        return Entity(name, typed, tuple(units.values()), units)

    described = {"customer": {"name": "text", "credit": "decimal(14,2)"}, "contact": {"email": "text"}}
    return {name: entity(name, fields) for name, fields in described.items()}


def event(
    stream: str, op: str, columns: Mapping[str, Any], types: Mapping[str, str] | None = None, snapshot: str = "false"
) -> bytes:
    """One change as Connect's JsonConverter writes Debezium's envelope."""
    kinds = {name: _TYPES.get(name, "string") for name in columns} | dict(types or {})
    row = {
        "type": "struct",
        "optional": True,
        "name": f"x.{stream}.Value",
        "fields": [{"field": name, "type": kinds[name], "optional": name != "id"} for name in columns],
    }
    source = {
        "type": "struct",
        "optional": False,
        "name": "io.debezium.connector.postgresql.Source",
        "field": "source",
        "fields": [
            {"field": "ts_ms", "type": "int64", "optional": False},
            {"field": "snapshot", "type": "string", "optional": True},
            {"field": "txId", "type": "int64", "optional": True},
        ],
    }
    op_field = {"field": "op", "type": "string", "optional": False}
    schema = {
        "type": "struct",
        "optional": False,
        "name": f"x.{stream}.Envelope",
        "fields": [*({**row, "field": side} for side in ("before", "after")), source, op_field],
    }
    image = None if op in "dt" else dict(columns)
    told = {"ts_ms": 1000, "snapshot": snapshot, "txId": 7}
    payload = {"before": None, "after": image, "source": told, "op": op}
    return json.dumps({"schema": schema, "payload": payload}).encode()


def key(number: int) -> bytes:
    fields = [{"field": "id", "type": "int32", "optional": False}]
    schema = {"type": "struct", "optional": False, "name": "x.Key", "fields": fields}
    return json.dumps({"schema": schema, "payload": {"id": number}}).encode()


class Topics:
    """The topics of one connector. Use as a context: the producer is idempotent and waits for nothing else."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.prefix = prefix
        self.bootstrap = bootstrap
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")

    async def __aenter__(self) -> Topics:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    def topic(self, stream: str) -> str:
        return f"{self.prefix}.{stream}"

    async def make(self, **partitions: int) -> None:
        """`make(account=2)`: topics with so many partitions."""
        await create_topics(self.bootstrap, {self.topic(f"public.{name}"): n for name, n in partitions.items()})

    async def make_again(self, stream: str, partitions: int) -> None:
        """A topic that was deleted: Kafka needs a moment to forget it."""
        patience = Patience()
        while True:
            try:
                return await create_topics(self.bootstrap, {self.topic(stream): partitions})
            except AssertionError:
                assert not patience.over(), "Kafka does not forget the old topic"
                await asyncio.sleep(0.05)

    async def account(self, number: int, name: str = "Ada", partition: int = 0, **more: Any) -> None:
        values = {"id": number, "name": name, "credit": "1.00"}
        await self.put(ACCOUNT, key(number), event(ACCOUNT, "c", values), partition, **more)

    async def accounts(self, numbers: range, partition: int = 0, name: str = "Ada") -> None:
        """Many at once."""
        sent = []
        for number in numbers:
            value = event(ACCOUNT, "c", {"id": number, "name": name, "credit": "1.00"})
            sent.append(await self._producer.send(self.topic(ACCOUNT), value, key(number), partition=partition))
        await asyncio.gather(*sent)

    async def contact(self, number: int, account: int, partition: int = 0, **more: Any) -> None:
        values = {"id": number, "account_id": account, "email": f"{number}@example.com"}
        await self.put(CONTACT, key(number), event(CONTACT, "c", values), partition, **more)

    async def put(
        self, stream: str, key: bytes | None, value: bytes | None, partition: int = 0, at: int | None = None
    ) -> None:
        """Any record; `at` is its time in ms."""
        await self._producer.send_and_wait(self.topic(stream), value, key, partition=partition, timestamp_ms=at)


class Worker:
    """One member of the group `prefix`; several of one prefix share its topics and one hub."""

    def __init__(
        self, bootstrap: str, prefix: str, hub: Hub, *, number: int = 1, dsn: str | None = None, **options: Any
    ) -> None:
        self.hub = hub
        self.number = number
        self.changes: list[RawChange] = []
        self.batches: list[Batch] = []
        self.held: dict[str, str] = {}
        described = system(prefix, options.pop("columns", ("name", "credit")), slot=prefix)
        brokers = options.pop("brokers", None) or Brokers(bootstrap)
        registry: Registry | None = options.pop("registry", None)
        self.lookout = KafkaLag(described, brokers, dsn)
        self.source = KafkaSource(
            described,
            entities(),
            brokers,
            registry,
            group=prefix,
            hub=hub,
            lookout=self.lookout,
            idle_seconds=options.pop("idle_seconds", 0.2),
            timeouts=options.pop("timeouts", QUICK),
            **options,
        )

    async def begin_again(self) -> None:
        """A new baseline, before anything is read."""
        number = (await self.hub.baseline("crm")).number + 1
        positions = positions_at(await self.lookout.ends(), number)
        await self.hub.begin_again("crm", number, positions, BEGUN)
        await self.lookout.close()

    async def __aenter__(self) -> Worker:
        self._lease = await self.hub.lease(Lane("crm", self.number))
        await self.source.open(Start(partial(self.hub.take, "crm"), self._lease.baseline))
        self._stream = self.source.batches()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.aclose()
        await self.source.close()

    async def step(self, *, commit: bool = True) -> Batch:
        """The next batch, made durable."""
        async with within():
            batch = await anext(self._stream)
        if commit:
            await self.commit(batch)
        return batch

    async def commit(self, batch: Batch) -> None:
        async with self.hub.ingest(self._lease) as tx:
            await tx.commit(IngestOutcome(), rulebook="book", parts=batch.parts)
        self.changes += batch.changes
        self.batches.append(batch)
        self.held |= {name: part.message for name, part in batch.parts.items() if part.message is not None}
        await self.source.acknowledge(batch)

    async def until(self, done: Callable[[], object]) -> None:
        """Step until `done`."""
        while not done():
            await self.step()

    async def count(self, number: int) -> list[RawChange]:
        await self.until(lambda: len(self.changes) >= number)
        return self.changes

    async def work(self) -> None:
        """Step until cancelled."""
        while True:
            await self.step()

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """It steps by itself meanwhile; what stops it is raised."""
        task = asyncio.create_task(self.work())
        try:
            yield
        finally:
            stopped = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=not stopped)

    def keys(self) -> list[str]:
        """The rows told of, in order."""
        return [str(change.values[change.relation.columns.index("id")]) for change in self.changes]
