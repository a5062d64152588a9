"""Fieldwarden on Kafka as anybody runs it: a project's folder, and one or more `fieldwarden run` processes.

They are held shut by a lock on the last partition that they take over: each has started, joined the consumer group and
been assigned its partitions, but has read nothing. Letting go of that lock opens them. They start one after the other:
the first waits for the lock with all partitions, and so is in front of whoever it then has to share them with.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.figures import Ledger
from bench.kafka_costs import KafkaRun
from bench.kafka_stage import PARTITIONS, PREFIX, KafkaStage
from bench.ours import ASIDE, BUSY, ENTITY, ROOT, STREAM
from bench.processes import peak_memory
from bench.stage import Backlog, Stuck, wait_until
from fieldwarden.engine.hub.migrate import SCHEMA, migrate
from fieldwarden.operations.audit import verify

_PROJECT = """
project: NAME
systems: [crm, erp]
onboarding: automatic
hub: {dsn: "${env:BENCH_HUB}"}
kafka:
  servers: "${env:BENCH_KAFKA}"
  connect: {url: "${env:BENCH_CONNECT}"}
run: {port: 0}
"""
_CRM = f"""
system: crm
mode: source
connector:
  kind: debezium
  dsn: "${{env:BENCH_CRM}}"
  prefix: {PREFIX}
  options: {{decimal.handling.mode: precise}}  # the sink cannot put decimals as text into a numeric column
"""
_FILES = {
    "fieldwarden.yaml": _PROJECT,
    "entities/customer.yaml": ENTITY,
    "systems/crm.yaml": _CRM + STREAM.lstrip("\n"),
    "systems/erp.yaml": 'system: erp\nmode: target\nconnector: {kind: postgres, dsn: "${env:BENCH_ERP}"}'
    + STREAM
    + "    create: true\n",
}
_READ = f"select exists (select from {SCHEMA}.source where name = 'crm' and read_at is not null)"
_TAKEN = f"select count(*) from {SCHEMA}.partition where source = 'crm'"
_SHUT = f"""
select from {SCHEMA}.partition where (source, name) = (select source, max(name) from {SCHEMA}.partition group by source)
for update
"""
_WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""
_PROGRAM = str(Path(sys.executable).with_name("fieldwarden"))


@dataclass(slots=True)
class Workers:
    """`count` processes of one project, with a hub and a target of their own."""

    stage: KafkaStage
    target: str
    hub: str
    count: int
    peak: int | None = None
    """Peak memory of the last run's largest process, in bytes."""

    def prepare(self) -> None:
        """Lay the project out, register the connector, and let the reading of the empty table end."""
        for name, text in _FILES.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("NAME", self._folder.name))
        migrate(self._server(self.hub))
        self._call("connector", "register", "crm")
        with self._asking() as hub, self._running() as processes:
            processes.append(self._start(0))
            self._wait(processes, lambda: hub.execute(_READ).fetchone() == (True,))
            self._wait(processes, lambda: hub.execute(_TAKEN).fetchone() == (PARTITIONS,))

    def shut(self) -> None:
        """Nothing: it does not run."""

    def run(self, backlog: Backlog) -> KafkaRun:
        stage = self.stage.stage
        with psycopg.connect(self._server(self.hub)) as lock, self._asking() as hub, self._running() as processes:
            lock.execute(_SHUT)
            for number in range(self.count):
                processes.append(self._start(number))
                self._wait(processes, lambda: hub.execute(_WAITING).fetchone() == (len(processes),))
            meter = self.stage.meter([process.pid for process in processes])
            opened = time.perf_counter()
            lock.commit()
            seconds = stage.arrived(self._server(self.target), backlog) - opened
            costs = meter.read(seconds)
            self._wait(processes, lambda: hub.execute(BUSY).fetchone() == (False,))
            peaks = [peak for process in processes if (peak := peak_memory(process.pid)) is not None]
            self.peak = max(peaks, default=None)
        return KafkaRun(backlog.rows, seconds, costs=costs)

    def verify(self) -> Ledger:
        report = asyncio.run(verify(self._server(self.hub), SCHEMA))
        with self._asking() as hub:
            row = hub.execute(ASIDE.encode()).fetchone()
            assert row is not None
            return Ledger(report.ok, report.entries, report.broken, int(row[0]))

    def _server(self, database: str) -> str:
        return self.stage.stage.dsn(database)

    def _asking(self) -> psycopg.Connection:
        return psycopg.connect(self._server(self.hub), autocommit=True)

    # --- processes --------------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Path:
        return self.stage.stage.folder / f"bench-{self.target.replace('_', '-')}"

    def _environment(self) -> dict[str, str]:
        kafka, stage = self.stage.kafka, self.stage.stage
        return {
            **os.environ,
            "BENCH_HUB": self._server(self.hub),
            "BENCH_CRM": stage.source.dsn("source", tcp=True),
            "BENCH_ERP": self._server(self.target),
            "BENCH_KAFKA": kafka.bootstrap,
            "BENCH_CONNECT": kafka.connect_url,
        }

    def _command(self, *words: str) -> list[str]:
        return [_PROGRAM, *words, "--project", str(self._folder)]

    def _call(self, *words: str) -> None:
        done = subprocess.run(
            self._command(*words), cwd=ROOT, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Stuck(f"fieldwarden {' '.join(words)} failed:\n{done.stdout}{done.stderr}")

    def _log(self, number: int) -> Path:
        return self._folder.with_suffix(f".{number}.log")

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        with self._log(number).open("wb") as log:
            command = self._command("run", "--log-format", "json")
            return subprocess.Popen(command, cwd=ROOT, env=self._environment(), stdout=log, stderr=log)

    @contextlib.contextmanager
    def _running(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        """To be filled with workers, which are ended as anybody ends them."""
        processes: list[subprocess.Popen[bytes]] = []
        try:
            yield processes
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(60)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def _wait(self, processes: Sequence[subprocess.Popen[bytes]], true: Callable[[], bool]) -> None:
        """Raises Stuck with a worker's log if it has ended by itself."""

        def ready() -> bool:
            for number, process in enumerate(processes):
                if process.poll() is not None:
                    raise Stuck(f"fieldwarden run ended:\n{self._log(number).read_text(errors='replace')[-4000:]}")
            return true()

        wait_until(ready)
