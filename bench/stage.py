"""The stage: a source server and a destination server of our own, one business table, and backlogs of changes.

Both servers are durable (fsync and synchronous commits, the embedded server's defaults). The source has a server to
itself, so that what the contenders write is not in the log that they read. All tables are the same; a backlog is
committed to the source while nobody reads it, and leaves one moment in `updated_at` of every row it touched, by which
its last row is recognised elsewhere.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.figures import Checksum
from bench.processes import children_cpu
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from stack.process import free_port

COLUMNS = {
    "id": "bigint primary key",
    "name": "text not null",
    "email": "text not null",
    "city": "text",
    "country": "text",
    "amount": "numeric(14,2)",
    "terms": "text",
    "phone": "text",
    "active": "boolean",
    "updated_at": "timestamptz",
}
TABLE = f"create table customer ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"

_PROCEDURES = """
create procedure add_customers(first bigint, last bigint, step bigint, moment timestamptz) language plpgsql as $$
begin
    for start in first..last by step loop
        insert into customer
        select n, 'Customer ' || n || ' Trading Ltd', 'office@customer-' || n || '.example',
            (array['Paris', 'Rome', 'Berlin', 'Madrid'])[n % 4 + 1], (array['FR', 'IT', 'DE', 'ES'])[n % 4 + 1],
            (n * 7919 % 10000000)::numeric / 100, 'NET' || n % 3 * 30, '+33 1 ' || lpad(n::text, 8, '0'), n % 7 > 0,
            moment
        from generate_series(start, least(start + step - 1, last)) as n;
        commit;
    end loop;
end $$;
create procedure edit_customers(first bigint, last bigint, step bigint, moment timestamptz) language plpgsql as $$
begin
    for start in first..last by step loop
        update customer set amount = amount + 1.25, phone = phone || '.', updated_at = moment
        where id between start and least(start + step - 1, last);
        commit;
    end loop;
end $$;
"""
_CHECKSUM = "select count(*), coalesce(sum(hashtextextended(c::text, 0)::numeric), 0)::text from customer c"
_POLL_SECONDS = 0.004
_PATIENCE_SECONDS = 60.0


class Stuck(Exception):
    """Something that had to happen did not."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Committed changes of the rows `first` to `last`, all marked with `moment`."""

    first: int
    last: int
    moment: str

    @property
    def rows(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class Stage:
    """`changes` counts what was committed to the source so far."""

    source: EmbeddedServer
    destination: EmbeddedServer
    folder: Path
    inserted: int = 0
    changes: int = 0
    rounds: int = 0

    @property
    def source_dsn(self) -> str:
        return self.source.dsn("source")

    def dsn(self, database: str) -> str:
        """`target`, `native` and `raw` hold the table; `hub` is ours."""
        return self.destination.dsn(database)

    def add(self, rows: int, step: int) -> Backlog:
        """Commit new rows, `step` rows to a transaction."""
        first, self.inserted = self.inserted + 1, self.inserted + rows
        return self._commit("add_customers", first, self.inserted, step)

    def edit(self, rows: int, step: int) -> Backlog:
        """Commit an edit of three columns of the first `rows` rows."""
        return self._commit("edit_customers", 1, min(rows, self.inserted), step)

    def _commit(self, procedure: str, first: int, last: int, step: int) -> Backlog:
        self.rounds += 1
        with psycopg.connect(self.source_dsn, autocommit=True) as connection:
            connection.execute("set synchronous_commit = off")  # only making the backlog need not be durable at once
            moment = f"2026-01-01 00:{self.rounds // 60 % 60:02}:{self.rounds % 60:02}+00"
            connection.execute(f"call {procedure}(%s, %s, %s, %s)", [first, last, step, moment])
            connection.execute("checkpoint")
        self.changes += last - first + 1
        return Backlog(first, last, moment)

    def checksum(self, dsn: str) -> Checksum:
        with psycopg.connect(dsn) as connection:
            row = connection.execute(_CHECKSUM).fetchone()
        assert row is not None
        return Checksum(*row)

    def settle_down(self) -> None:
        """Let no contender pay for the pages that another one dirtied."""
        with psycopg.connect(self.destination.dsn(), autocommit=True) as connection:
            connection.execute("checkpoint")

    def cpu(self) -> dict[int, float]:
        """CPU seconds so far of every process of both servers; empty where the system does not tell."""
        return {
            process: seconds
            for server in (self.source, self.destination)
            for process, seconds in children_cpu(int((server.data / "postmaster.pid").read_text().split()[0])).items()
        }

    def arrived(self, dsn: str, backlog: Backlog) -> float:
        """Wait until the whole backlog is in a table; the moment (of `time.perf_counter`) when that was seen.

        Until the last row shows, one row is looked up at a time; only then are all counted."""
        last = "select 1 from customer where id = %s and updated_at = %s"
        all_rows = "select count(*) from customer where id between %s and %s and updated_at = %s"
        with psycopg.connect(dsn, autocommit=True) as connection:
            patience = _PATIENCE_SECONDS + backlog.rows / 1000
            wait_until(
                lambda: connection.execute(last, [backlog.last, backlog.moment]).fetchone() is not None, patience
            )
            place = [backlog.first, backlog.last, backlog.moment]
            wait_until(lambda: connection.execute(all_rows, place).fetchone() == (backlog.rows,))
            return time.perf_counter()


def wait_until(true: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Raises Stuck after so many seconds of waiting in vain."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Stuck("what was waited for did not happen; the logs of the run tell why")
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def staged(
    targets: Sequence[str] = ("target", "native", "raw"), hubs: Sequence[str] = ("hub",), *, tcp: bool = False
) -> Iterator[Stage]:
    """Both servers, running, with a source and empty targets; gone without a trace afterwards. `tcp`: on ports, too."""
    folder = Path(tempfile.mkdtemp(prefix="fieldwarden-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        servers = [EmbeddedServer(folder / name, port=free_port() if tcp else None) for name in ("from", "to")]
        for server in servers:
            stack.callback(server.stop, "immediate")
            server.start()
        stage = Stage(servers[0], servers[1], folder)
        servers[0].ensure_database("source")
        for database in (*targets, *hubs):
            servers[1].ensure_database(database)
        for dsn in (stage.source_dsn, *map(stage.dsn, targets)):
            with psycopg.connect(dsn) as connection:
                connection.execute(TABLE)
        with psycopg.connect(stage.source_dsn) as connection:
            connection.execute(_PROCEDURES)
        yield stage
