"""The hub in PostgreSQL through what a database does to it: lost connections, lost replies, crashes, deadlocks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import string
from pathlib import Path

import psycopg
import pytest

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.migrate import migrate
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.store import PostgresHub
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from tests.contract.hub_builder import ask, log
from tests.integration.hub_records import ACCOUNT, A, B, commit, commit_one, record
from tests.patience import until


@pytest.fixture
def hub(postgres_hub: PostgresHub) -> PostgresHub:
    return postgres_hub


# --- faults ------------------------------------------------------------------------------------------------------


async def test_a_lost_connection_is_transient_and_the_next_transaction_works(hub: PostgresHub, hub_dsn: str) -> None:
    lease = await hub.lease(Lane("crm"))

    async def interrupted() -> None:
        async with hub.ingest(lease) as tx:
            assert await tx.records([A]) == {}
            ask(
                hub_dsn, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%ingest%'"
            )
            await tx.commit(IngestOutcome(records=[record()]), rulebook="book")

    with pytest.raises(TransientError) as caught:
        await interrupted()
    assert isinstance(caught.value.__cause__, psycopg.Error)
    async with hub.ingest(lease) as tx:
        assert await tx.records([A]) == {}
        await tx.commit(IngestOutcome(records=[record()]), rulebook="book")


async def test_what_the_database_can_never_store_is_not_tried_for_ever(hub: PostgresHub) -> None:
    incompressible = "".join(random.Random(1).choices(string.ascii_letters, k=6000))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        await commit(hub, records=[record()], match_keys={A: ("customer", [("name", incompressible)])})
    await commit(hub, records=[record()])


@pytest.mark.long
async def test_a_server_that_crashes_loses_nothing_committed(crashable_postgres: EmbeddedServer) -> None:
    server = crashable_postgres
    migrate(server.dsn())
    hub = PostgresHub(server.dsn())
    try:
        await commit(hub, records=[record(name="x")], links=[(ACCOUNT, A)], dirty=[("erp", A)])
        lease = await hub.lease(Lane("crm"))
        async with hub.ingest(lease) as tx:
            await tx.saw([ACCOUNT])
            await tx.commit(IngestOutcome(), rulebook="book")
        await asyncio.to_thread(server.stop, "immediate")
        for attempt in (hub.lease(Lane("crm")), hub.claim("erp", 1), hub.releasable("crm", 1)):
            with pytest.raises(TransientError):
                await attempt
        await asyncio.to_thread(server.start)
        async with hub.ingest(lease) as tx:
            assert await tx.unseen([ACCOUNT]) == set(), "what was seen is not forgotten in a crash"
            assert list(await tx.records([A])) == [A]
        (claim,) = await hub.claim("erp", 10)
        assert claim.record.golden == {"name": "x"}
    finally:
        await hub.close()


async def test_when_the_reply_to_commit_is_lost_the_next_worker_is_told(hub_dsn: str, tmp_path: Path) -> None:
    async with SwallowingProxy(hub_dsn, tmp_path) as proxy:
        hub = PostgresHub(proxy.dsn)
        try:
            lease, part = await hub.lease(Lane("crm")), await log(hub)
            await commit_one(hub, lease, part, "1", records=[record()])
            proxy.swallow = True
            with pytest.raises(TransientError):
                await commit_one(hub, lease, part, "2", records=[record(B)])
            proxy.swallow = False
            assert (await log(hub)).position == "2", "it did take effect"
            assert ask(hub_dsn, "select count(*) from record") == [(2,)]
        finally:
            await hub.close()


@pytest.mark.long
async def test_a_deadlock_is_transient(hub: PostgresHub, hub_dsn: str) -> None:
    await commit(hub, records=[record(A), record(B)])
    leases = [await hub.lease(Lane("crm")), await hub.lease(Lane("erp"))]
    met = asyncio.Barrier(2)

    async def cross(index: int) -> None:
        async with hub.ingest(leases[index]) as tx:
            await tx.records([(A, B)[index]])
            await met.wait()
            await tx.records([(B, A)[index]])
            await tx.commit(IngestOutcome(), rulebook="book")

    outcomes = await asyncio.gather(cross(0), cross(1), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "TransientError"]


async def test_cancelling_a_transaction_leaves_the_hub_usable(hub: PostgresHub, hub_dsn: str) -> None:
    lease = await hub.lease(Lane("crm"))
    with psycopg.connect(hub_dsn, options="-c search_path=fieldwarden") as other:
        other.execute("select from source where name = 'crm' for update")

        async def blocked() -> None:
            async with hub.ingest(lease):
                raise AssertionError("entered")

        task = asyncio.create_task(blocked())
        waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        await until(lambda: ask(hub_dsn, waits), "the transaction to wait for the lock")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with hub.ingest(lease) as tx:
        await tx.commit(IngestOutcome(), rulebook="book")


class SwallowingProxy:
    """Stands between a client and the server; with `swallow`, it passes a COMMIT on and keeps the reply."""

    def __init__(self, dsn: str, folder: Path) -> None:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
        self._server = f"{given['host']}/.s.PGSQL.{given['port']}"
        self._listening = str(folder / ".s.PGSQL.5432")
        self._tasks: set[asyncio.Task[None]] = set()
        self.dsn = psycopg.conninfo.make_conninfo(dsn, host=str(folder), port=5432)
        self.swallow = False

    async def __aenter__(self) -> SwallowingProxy:
        self._listener = await asyncio.start_unix_server(self._serve, self._listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        reader, writer = await asyncio.open_unix_connection(self._server)
        committing = asyncio.Event()

        async def replies() -> None:
            while (data := await reader.read(65536)) and not committing.is_set():
                back.write(data)

        replying = asyncio.create_task(replies())
        try:
            while not replying.done() and (data := await client.read(65536)):
                if self.swallow and b"COMMIT" in data:
                    committing.set()
                writer.write(data)
                if committing.is_set():
                    await replying
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            replying.cancel()
            for end in (writer, back):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
