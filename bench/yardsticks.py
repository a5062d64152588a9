"""What ours is measured against, and what each of them leaves undone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from bench.figures import Run
from bench.stage import Backlog, Stage, wait_until

_BATCH = 2_000


@dataclass(slots=True)
class Native:
    """PostgreSQL's own logical replication of the table into a table of the same shape.

    By default its subscription does not wait for the disk when it commits; `durable` makes it wait, as ours does."""

    stage: Stage
    durable: bool = False

    name = "native"

    @property
    def lacks(self) -> str:
        text = "native replication copies rows: no mapping, no identity, no rules, no ledger, nothing guarded"
        return text if self.durable else text + "; and its commits do not wait for the disk (its default)"

    def prepare(self) -> None:
        """The slot is made by hand, since the subscription must exist disabled."""
        with psycopg.connect(self.stage.source_dsn, autocommit=True) as source:
            source.execute("create publication native for table customer")
            source.execute("select pg_create_logical_replication_slot('native', 'pgoutput')")
        with self._connect() as native:
            native.execute(
                f"create subscription native connection '{_libpq(self.stage.source_dsn)}' publication native"
                " with (enabled = false, create_slot = false, slot_name = 'native', copy_data = false,"
                f" synchronous_commit = {'on' if self.durable else 'off'})".encode()
            )

    def run(self, backlog: Backlog) -> Run:
        stage = self.stage
        with self._connect() as native:
            servers = stage.cpu()
            opened = time.perf_counter()
            native.execute("alter subscription native enable")
            seconds = stage.arrived(stage.dsn("native"), backlog) - opened
            used = sum(after - servers.get(id, 0.0) for id, after in stage.cpu().items()) if servers else None
            native.execute("alter subscription native disable")
            gone = "select count(*) from pg_stat_subscription where pid is not null"
            wait_until(lambda: native.execute(gone).fetchone() == (0,))
        return Run(backlog.rows, seconds, None, used)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.stage.dsn("native"), autocommit=True)


@dataclass(slots=True)
class Raw:
    """The unguarded ceiling: COPY into a temporary table, one upsert, one commit, for every 2,000 rows."""

    stage: Stage

    name = "raw"
    lacks = (
        "the bare COPY with upsert reads no log: its rows lie ready in memory, in batches, already encoded; it decides "
        "nothing, keeps no ledger, and overwrites whatever the target holds"
    )

    def prepare(self) -> None:
        """Nothing: the table is there."""

    def run(self, backlog: Backlog) -> Run:
        stage = self.stage
        batches = self._batches(backlog)
        with psycopg.connect(stage.dsn("raw")) as raw:
            raw.execute("create temp table landing (like customer) on commit delete rows")
            raw.commit()
            servers = stage.cpu()
            opened = time.perf_counter()
            for batch in batches:
                with raw.cursor().copy("copy landing from stdin") as copy:
                    copy.write(batch)
                raw.execute(
                    "insert into customer select * from landing on conflict (id) do update set name = excluded.name,"
                    " email = excluded.email, city = excluded.city, country = excluded.country,"
                    " amount = excluded.amount, terms = excluded.terms, phone = excluded.phone,"
                    " active = excluded.active, updated_at = excluded.updated_at"
                )
                raw.commit()
            seconds = time.perf_counter() - opened
            used = sum(after - servers.get(id, 0.0) for id, after in stage.cpu().items()) if servers else None
        return Run(backlog.rows, seconds, None, used)

    def _batches(self, backlog: Backlog) -> list[bytes]:
        query = "copy (select * from customer where id between {} and {} order by id) to stdout"
        text = query.format(backlog.first, backlog.last).encode()
        with psycopg.connect(self.stage.source_dsn) as source, source.cursor().copy(text) as copy:
            lines = [bytes(line) for block in copy for line in bytes(block).splitlines(keepends=True)]
        return [b"".join(lines[start : start + _BATCH]) for start in range(0, len(lines), _BATCH)]


def _libpq(dsn: str) -> str:
    return dsn.replace("'", "''")
