"""`make demo-kafka`: the quote-to-cash demo with crm and billing read through Debezium and Kafka, by two workers.

    databases, Kafka and Connect stand (whoever calls this has started them)
        -> lay out the example -> register the connectors -> a second worker beside the demo's own -> the demo's steps
        -> lag per partition, the connectors' health, who did how much -> proof

Each run begins anew, because the systems and the Kafka that an earlier one left traces in are gone with it. The hub is
embedded in the folder, so what was decided can be looked at afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fieldwarden.engine.hub.server import private
from fieldwarden.operations.demo.demo import DemoFindings, Say, Showing, server_version
from fieldwarden.operations.demo.project import prepare
from fieldwarden.operations.project import opened, state_folder
from fieldwarden.operations.run.logs import configure
from fieldwarden.operations.shell import connector
from fieldwarden.operations.shell.report import Report, table
from fieldwarden.operations.shell.run import replicate
from fieldwarden.operations.shell.status import status

EXAMPLE = "quote-to-cash-kafka"
_STOP_SECONDS = 30.0


def demo_kafka(
    folder: Path, environment: Mapping[str, str], *, keep_running: bool = False, say: Say = lambda _line: None
) -> Report:
    """Run the example in `folder` and prove the outcome. `environment`: what its files refer to (KAFKA_BOOTSTRAP,
    CONNECT_URL, and CRM_DSN, BILLING_DSN, ERP_DSN of databases that are filled).

    Raises CannotDemo, EnvironmentUnfit, RunFailed."""
    started = time.monotonic()
    configure("auto", "error")
    folder = folder.absolute()
    marker = prepare(folder, fresh=True, example=EXAMPLE)
    os.environ.update(environment)
    way_in = _remember(folder, environment)
    with opened(folder) as project:
        say(f"  three sample systems up: {', '.join(sorted(project.sources))} (PostgreSQL {server_version(project)})")
        registered = connector.register(folder, None, dry_run=False, wait=True, say=say)
        if registered.failure is not None:
            return registered
        say("  two workers replicate: this process and one beside it")
        with _second_worker(folder) as worker:
            showing = _OnKafka(project, marker, say, started, keep_running, worker=worker, way_in=way_in)
            return showing.shown(replicate(project, showing.guide, forced=sys.exit))


def _remember(folder: Path, environment: Mapping[str, str]) -> Path:
    """For other terminals: a file to `source`. It holds passwords of servers that are thrown away with the demo."""
    path = state_folder(folder) / "environment"
    private.write(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()))
    return path


# --- the second worker ---------------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A `fieldwarden run` of its own process beside the demo's, as it would run on another machine."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def trouble(self) -> list[str]:
        if self.process.poll() is None:
            return []
        self.errors.seek(0)
        last = self.errors.read().strip().splitlines()[-1:] or ["it said nothing"]
        return [f"the second worker ended with exit code {self.process.returncode}: {last[0]}"]

    def stop(self) -> None:
        """In good order, or after a while, or when one is told once more, at once."""
        self.process.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def _second_worker(folder: Path) -> Iterator[_Worker]:
    fieldwarden = [sys.executable, "-m", "fieldwarden"]
    command = [*fieldwarden, "run", "--project", str(folder), "--port", "0", "--log-level", "error"]
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+"))
        with uninterrupted():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo, which ends its worker in good order
            )
            worker = _Worker(process, errors)
            stack.callback(worker.stop)
        yield worker


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """What starts a process comes to know of it, so that it can be stopped: signals wait until then."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda which, _frame: caught.append(which))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for each in caught:
        signal.raise_signal(each)


# --- what only this demo shows -------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _OnKafka(Showing):
    """The demo's part, with what Kafka adds to the story."""

    worker: _Worker
    way_in: Path

    async def judge(self, stuck: list[str]) -> DemoFindings:
        finding = await super().judge([*stuck, *self.worker.trouble()])
        seen = (await asyncio.to_thread(status, self.marker.folder)).result
        health = (await asyncio.to_thread(connector.status, self.marker.folder, None)).result["connectors"]
        finding.also = {"partitions": seen["partitions"], "workers": seen["workers"], "connectors": health}
        finding.lines = [_partitions(seen["partitions"]), _health(health)]
        finding.stuck += [f"connector {each['connector']} does not run" for each in health if not each["running"]]
        return finding

    def invite(self, report: Report) -> None:
        self.say(report.text)
        if report.failure is not None:
            self.say(report.failure.lines())
        self.say("\n  two workers replicate until Ctrl-C; in another terminal:")
        self.say(f"    cd {self.marker.folder} && source {self.way_in}")
        self.say("    fieldwarden status && fieldwarden connector status")
        self.say("""    psql "$CRM_DSN" -c "update account set phone = '+44 1947 820199' where id = 'C-1042'\"""")
        self.say("""    psql "$BILLING_DSN" -c "select phone from customer where account_number = 'C-1042'\"""")
        self.say("    fieldwarden backfill start --system crm --entity customer")


def _partitions(partitions: list[dict[str, Any]]) -> str:
    rows = [
        [f"{p['topic']}/{p['partition']}", p["offset"] or 0, "?" if p["lag"] is None else p["lag"], p["lane"] or "-"]
        for p in partitions
    ]
    return table(["partition", "records", "lag", "read by"], rows, indent="    ")


def _health(connectors: list[dict[str, Any]]) -> str:
    rows = [
        [each["connector"], each["state"], ", ".join(task["state"] for task in each["tasks"]), each["error"]]
        for each in connectors
    ]
    return table(["connector", "state", "tasks", ""], rows, indent="    ")
