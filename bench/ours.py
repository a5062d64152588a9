"""Fieldwarden as anybody runs it: a project's folder, and one `fieldwarden run` process for every run.

The process is held shut by a lock on the row that every source leases first: it has started, loaded its files and
taken its turn, but read nothing. Letting go of that lock opens it.
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

from bench.figures import Ledger, Run
from bench.processes import cpu, peak_memory
from bench.stage import COLUMNS, Backlog, Stage, Stuck, wait_until
from fieldwarden.engine.hub.migrate import SCHEMA, migrate
from fieldwarden.operations.audit import verify

ROOT = Path(__file__).resolve().parents[1]

_PROJECT = """
project: bench
systems: [crm, erp]
onboarding: automatic
hub: {dsn: "${env:BENCH_HUB}"}
run: {port: 0}
"""
ENTITY = """
entity: customer
identity: {match: [email]}
defaults: {strategy: source_priority, order: [crm]}
fields:
  id:         {type: integer}
  name:       {type: text}
  email:      {type: text, class: personal}
  city:       {type: text}
  country:    {type: text}
  amount:     {type: "decimal(14,2)"}
  terms:      {type: text, owner: crm, protected: true}
  phone:      {type: text, class: personal}
  active:     {type: boolean}
  updated_at: {type: timestamp}
"""
STREAM = f"""
streams:
  public.customer:
    entity: customer
    key: id
    fields: {{{", ".join(f"{name}: {name}" for name in COLUMNS)}}}
"""
_FILES = {
    "fieldwarden.yaml": _PROJECT,
    "entities/customer.yaml": ENTITY,
    "systems/crm.yaml": 'system: crm\nmode: source\nconnector: {kind: postgres, dsn: "${env:BENCH_CRM}"}' + STREAM,
    "systems/erp.yaml": 'system: erp\nmode: target\nconnector: {kind: postgres, dsn: "${env:BENCH_ERP}"}'
    + STREAM
    + "    create: true\n",
}
BUSY = f"select exists (select from {SCHEMA}.pending where status = 'due')"
_SHUT = "select count(*) from pg_locks where not granted"  # not pg_stat_activity, which a transaction sees once
ASIDE = f"""
select (select count(*) from {SCHEMA}.set_aside) + (select count(*) from {SCHEMA}.dirty where status = 'parked')
"""
_PROGRAM = (str(Path(sys.executable).with_name("fieldwarden")), "run", "--log-format", "json")


@dataclass(slots=True)
class Ours:
    stage: Stage
    peak: int | None = None
    """Peak memory of the last run's process, in bytes."""

    name = "ours"
    program = _PROGRAM

    @property
    def folder(self) -> Path:
        return self.stage.folder / "project"

    @property
    def log(self) -> Path:
        return self.stage.folder / "run.log"

    def prepare(self) -> None:
        """Lay the project out and let its baseline of the empty table end: from here on there is a slot."""
        for name, text in _FILES.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        migrate(self.stage.dsn("hub"))
        with self._hub() as hub, self._process(_PROGRAM):
            streaming = f"select count(*) from {SCHEMA}.source where state = 'streaming'"
            wait_until(lambda: hub.execute(streaming).fetchone() == (1,))

    def run(self, backlog: Backlog, program: Sequence[str] = _PROGRAM) -> Run:
        stage = self.stage
        with self._hub() as hub, contextlib.ExitStack() as stack:
            with hub.transaction():
                hub.execute(f"select from {SCHEMA}.source for update")
                process = stack.enter_context(self._process(program))
                self._wait(process, lambda: _number(hub, _SHUT) > 0)
                own, servers = cpu(process.pid), stage.cpu()
                opened = time.perf_counter()
            seconds = stage.arrived(stage.dsn("target"), backlog) - opened
            own = None if own is None else (cpu(process.pid) or own) - own
            used = sum(after - servers.get(id, 0.0) for id, after in stage.cpu().items()) if servers else None
            self._wait(process, lambda: hub.execute(BUSY).fetchone() == (False,))
            self.peak = peak_memory(process.pid)
        return Run(backlog.rows, seconds, own, used)

    def verify(self) -> Ledger:
        report = asyncio.run(verify(self.stage.dsn("hub"), SCHEMA))
        with self._hub() as hub:
            return Ledger(report.ok, report.entries, report.broken, _number(hub, ASIDE))

    def _hub(self) -> psycopg.Connection:
        return psycopg.connect(self.stage.dsn("hub"), autocommit=True)

    @contextlib.contextmanager
    def _process(self, program: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """`fieldwarden run`, ended as anybody ends it. Raises Stuck with its log if it ended otherwise."""
        stage = self.stage
        secrets = {
            "BENCH_HUB": stage.dsn("hub"),
            "BENCH_CRM": stage.source_dsn,
            "BENCH_ERP": stage.dsn("target"),
        }
        with self.log.open("wb") as log:
            command = [sys.executable, *program, "--project", str(self.folder)]
            process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **secrets}, stdout=log, stderr=log)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _wait(self, process: subprocess.Popen[bytes], true: Callable[[], bool]) -> None:
        def ready() -> bool:
            if process.poll() is not None:
                raise Stuck(f"fieldwarden run ended by itself:\n{self.log.read_text(errors='replace')[-4000:]}")
            return true()

        wait_until(ready)


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
