"""Projects on the tests' own server, the starter project among them, and `fieldwarden` as real processes in them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
from click.testing import CliRunner, Result

from fieldwarden.cli import cli
from fieldwarden.operations.init import lay_out
from fieldwarden.operations.project import opened
from fieldwarden.operations.run.run import to_rest
from fieldwarden.operations.shell.run import replicate
from tests.patience import called, ended, eventually

COMMAND = Path(sys.executable).with_name("fieldwarden")


@dataclass
class Run:
    """A `fieldwarden run` that works."""

    process: subprocess.Popen[str]
    log: Path
    url: str = ""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any] | None:
        return next((event for event in self.events() if event["event"] == name), None)

    def await_event(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.event(name)
            assert found or self.process.poll() is None, f"run ended: {self.log.read_text()}"
            return found

        found: dict[str, Any] = eventually(look, f"the log event {name}")
        return found

    def get(self, path: str) -> tuple[int, str]:
        url = self.url or self.await_event("run.listening")["url"]
        try:
            with urllib.request.urlopen(url + path) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def await_ready(self) -> None:
        eventually(
            lambda: self.get("/readyz")[0] == 200,
            "ready",
            lambda: self.get("/readyz")[1] + self.log.read_text()[-3000:],
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, dict[str, Any]]:
        """Send a signal and wait: the exit code, and the object on the last line."""
        self.process.send_signal(number)
        out, _ = ended(self.process)
        return self.process.returncode, json.loads(out.splitlines()[-1])


@dataclass
class Project:
    """A project's folder, and the variables of the environment that its files name."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict, kw_only=True)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def call(self, *words: str) -> tuple[int, dict[str, Any]]:
        """A command with --json: exit code and the object on the last line."""
        command = [COMMAND, *words, "--json", "--project", self.folder]
        done = called(command, env=os.environ | self.environment)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def invoke(self, *words: str) -> Result:
        """A command in this process: for what it says, and quicker."""
        return CliRunner(env=self.environment).invoke(cli, [*words, "--project", str(self.folder)])

    def call_here(self, *words: str) -> tuple[int, dict[str, Any]]:
        """As `call`, in this process."""
        result = self.invoke(*words, "--json")
        return result.exit_code, json.loads(result.stdout.splitlines()[-1])

    def settle(self) -> dict[str, Any]:
        """Replicate in this process until nothing is left to do."""
        with mock.patch.dict(os.environ, self.environment), opened(self.folder) as project:
            result: dict[str, Any] = replicate(project, to_rest).result
        return result

    def holds_what_is_golden(self) -> None:
        """At rest: `check` finds nothing without a reason, and nothing on its way."""
        code, body = self.call_here("check", "--list")
        assert code == 0, body
        assert not body["result"]["why"].keys() & {"in flight", "unknown"}, body["result"]["listed"]

    def is_sound(self) -> None:
        """At rest nothing differs without a reason, and the ledger replays to the same records."""
        self.holds_what_is_golden()
        code, body = self.call_here("audit", "verify")
        assert code == 0, body

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[Run]:
        log = self.folder.parent / f"run-{time.monotonic_ns()}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [COMMAND, "run", "--json", "--port", "0", "--project", self.folder, *words],
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
                env=os.environ | self.environment,
            )
        try:
            yield Run(process, log)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stdout
            process.stdout.close()


@dataclass
class Shop(Project):
    """The starter project, with hub, crm and erp as databases of the tests' server."""

    hub: str
    crm: str
    erp: str

    def sql(self, system: str, statement: str) -> list[tuple[Any, ...]]:
        return execute(getattr(self, system), statement)

    def slot(self, system: str) -> str:
        """The name of the slot (and of the publication) by which it reads a system, as the hub has noted it."""
        ((name,),) = self.sql("hub", f"select slot from fieldwarden.followed where source = '{system}'")
        return str(name)

    @contextlib.contextmanager
    def applying(self, failpoint: str) -> Iterator[subprocess.Popen[str]]:
        """An apply that stands still at a failpoint, until it is sent SIGCONT."""
        process = subprocess.Popen(
            [COMMAND, "apply", "--project", self.folder],
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | self.environment | {"FIELDWARDEN_FAILPOINT": f"{failpoint}:1:stop"},
        )
        try:
            await_standstill(process)
            yield process
        finally:
            process.kill()
            process.wait()


def await_standstill(process: subprocess.Popen[str]) -> None:
    """Wait until a signal that was sent, or a failpoint, has stopped it."""
    state = Path(f"/proc/{process.pid}/stat")
    eventually(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "the process to stand still")


def execute(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows, if the statement has any."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def make_shop(folder: Path, hub: str, crm: str, erp: str) -> Shop:
    lay_out(folder)
    shop = Shop(folder, hub, crm, erp, environment={"HUB_DSN": hub, "CRM_DSN": crm, "ERP_DSN": erp})
    settings = folder / "fieldwarden.yaml"
    settings.write_text('project: shop\nsystems: [erp, crm]\nonboarding: automatic\nhub: {dsn: "${env:HUB_DSN}"}\n')
    for system in ("crm", "erp"):
        shop.edit(f"systems/{system}.yaml", f"${{embedded:{system}}}", f"${{env:{system.upper()}_DSN}}")
        shop.sql(system, (folder / f"sql/{system}.sql").read_text())
    return shop
