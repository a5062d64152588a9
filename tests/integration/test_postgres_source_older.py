"""The source against PostgreSQL 16, which the embedded wheel brings too."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.server.host import binaries
from tests.conftest import THROW_AWAY
from tests.integration.reading import ask, reading, run, stream, system
from tests.integration.reading import source as direct


@pytest.fixture(scope="module")
def older() -> Iterator[str]:
    older_binaries = binaries().parent.parent / "pginstall" / "bin"
    if not older_binaries.is_dir():
        pytest.skip("the embedded wheel brings no second PostgreSQL")
    folder = Path(tempfile.mkdtemp(prefix="fieldwarden-older-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fieldwarden.engine.hub.server.embedded.binaries", lambda: older_binaries)
        server = EmbeddedServer(folder, settings=THROW_AWAY | {"logical_decoding_work_mem": "64kB"})
        try:
            server.start()
            yield server.dsn()
        finally:
            server.stop("immediate")
            shutil.rmtree(folder)


async def test_baseline_changes_and_streamed_transactions(older: str) -> None:
    assert 140000 <= int(ask(older, "show server_version_num")) < 180000
    run(older, "create table account (id int primary key, name text)", "insert into account values (0, 'old')")
    crm = system(stream("public.account", ("id",), ("name",)))
    assert [finding.message for finding in await probe(crm, older) if not finding.ok] == []
    async with reading(direct(crm, older, spill_bytes=1000)) as reader:
        await reader.baseline()
        with psycopg.connect(older) as connection:
            connection.execute("insert into account select i, repeat('x', 50) from generate_series(1, 1000) i")
            connection.execute("savepoint s")
            connection.execute("insert into account select i, repeat('x', 50) from generate_series(2001, 3000) i")
            connection.execute("rollback to s")
        run(older, "update account set id = -1 where id = 0", "delete from account where id = 1", "truncate account")
        changes = await reader.count(1004)
        health = await reader.source.health()
    assert [change.operation for change in changes[-3:]] == ["update", "delete", "truncate"]
    assert changes[-3].old_values == ("0", UNKNOWN)
    assert [change.values[0] for change in changes[1:1001]] == [str(number) for number in range(1, 1001)]
    assert health.usable
    assert ask(older, "select sum(stream_count) from pg_stat_replication_slots") > 0
    async with reading(direct(crm, older), reader.positions[-1]) as again:
        run(older, "insert into account values (5)")
        await again.count(1)
