"""A system that tells by webhook: what it tells is replicated without asking for it, whichever process it was told.

Real HTTP, real processes, PostgreSQL; each ends by comparing what the two systems hold themselves."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from stack.process import free_port
from tests.integration.cli_project import Project, Run, execute
from tests.integration.test_kinds import FILES, PARTY, PLUGIN, Desks, laid_out
from tests.parts import first
from tests.patience import eventually
from tests.plugin.desk_hooks import SECRET, Telling, post
from tests.plugin.desk_server import TOKEN, Desk, serving

WEBHOOKS = ', poll: 1d, webhooks: {secrets: ["${env:DESK_SECRET}"], unread: 50}}'
SORTS = ("data", "hint")


class Told(Desks):
    """A desk that is asked once a day, and tells what happens in it."""

    port: int
    telling: Telling

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/desk"

    def unread(self) -> int:
        ((number,),) = execute(self.environment["HUB_DSN"], "select coalesce(sum(unread), 0) from fieldwarden.hook")
        return int(number)

    def agree(self) -> None:
        """All was answered, nothing is on its way, and the systems hold the same."""
        eventually(lambda: self.telling.done, "all is answered", lambda: self.telling.answers[-20:])
        eventually(
            lambda: self.people() == self.parties() and self.unread() == 0,
            "the systems agree",
            lambda: (self.people() ^ self.parties(), self.unread()),
        )

    @contextlib.contextmanager
    def at_work(self, failpoint: str = "", *words: str) -> Iterator[Run]:
        self.environment["FIELDWARDEN_FAILPOINT"] = failpoint
        with self.running("--port", str(self.port), *words) as run:
            self.environment["FIELDWARDEN_FAILPOINT"] = ""
            yield run

    def write(self, number: int, phone: str) -> None:
        fields: dict[str, str | None] = {"mail": f"{number}@x.test", "full_name": f"N{number}", "phone": phone}
        self.desk.put("people", f"p{number}", fields if phone == "0" else {"phone": phone})


@contextlib.contextmanager
def told_by(sort: Any, folder: Path, hub: str, erp: str, **habits: Any) -> Iterator[Told]:
    """The project; nothing runs yet, and the desk tells from now on."""
    files = dict(FILES)
    files["systems/desk.yaml"] = files["systems/desk.yaml"].replace("}", WEBHOOKS, 3).replace(WEBHOOKS, "}", 2)
    files["entities/customer.yaml"] = files["entities/customer.yaml"].replace(
        "fields:\n", "delete: {authority: [desk]}\nfields:\n"
    )
    files["systems/erp.yaml"] = files["systems/erp.yaml"].replace("create: true", "create: true\n    on_retire: delete")
    environment = {"HUB_DSN": hub, "ERP_DSN": erp, "DESK_TOKEN": TOKEN, "DESK_SECRET": SECRET}
    with psycopg.connect(erp, autocommit=True) as connection:
        connection.execute(PARTY.encode())
    with serving(Desk()) as desk:
        project = Told(laid_out(folder, files), environment=environment | {"DESK_URL": desk.url})
        project.desk, project.port = desk, free_port()
        project.telling = Telling(sort, lambda: [project.url], **habits)
        desk.tells = project.telling
        with project.telling.sending():
            yield project


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The desk's package, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "fieldwarden_desk"]:
        del sys.modules[name]


@pytest.fixture
def told(tmp_path: Path, make_database: Callable[[], str]) -> Iterator[Callable[..., Any]]:
    with contextlib.ExitStack() as stack:
        yield lambda sort, **habits: stack.enter_context(
            told_by(sort, tmp_path / "desks", make_database(), make_database(), **habits)
        )


@pytest.mark.parametrize("sort", SORTS)
def test_what_a_system_tells_is_replicated_without_asking_for_it(sort: str, told: Callable[..., Told]) -> None:
    project = told(sort)
    with project.at_work() as run:
        run.await_ready()
        polls = sum("/changes" in each for each in project.desk.requests)
        for number in range(10):
            project.write(number, "0")
        project.agree()
        assert len(project.parties()) == 10
        project.write(3, "33")
        project.desk.put("people", "p4", {}, deleted=True)
        project.edit_erp("update party set phone = '55' where email = '5@x.test'")
        eventually(lambda: ("5@x.test", "N5", "55") in project.people(), "the other way round")
        project.agree()
        assert ("3@x.test", "N3", "33") in project.parties()
        assert len(project.parties()) == 9
        assert sum("/changes" in each for each in project.desk.requests) == polls, "it was not asked"
        code, _ = run.end()
        assert code == 143
    project.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("sort", SORTS)
def test_repeats_in_any_order_to_two_processes_change_nothing(sort: str, told: Callable[..., Told]) -> None:
    """One of them stands by for all it knows, or reads the other's systems: each takes what it is sent."""
    project = told(sort, twice=0.4, mixed=True)
    with project.at_work() as one, project.running() as other:
        second = other.await_event("run.listening")["url"] + "/hooks/desk"
        eventually(lambda: post(project.url, b"[]") == 202, "the first takes webhooks", one.log.read_text)
        eventually(lambda: post(second, b"[]") == 202, "the second does, too", other.log.read_text)
        project.telling.urls = lambda: [project.url, second]
        for phone in range(5):
            for number in range(8):
                project.write(number, str(phone))
        project.agree()
        assert {row[2] for row in project.parties()} == {"4"}
        assert len(project.parties()) == 8
    project.is_sound()


def test_what_came_while_nobody_read_is_read_by_who_comes_next(told: Callable[..., Told]) -> None:
    """A process that may not read the desk takes its webhooks; another one reads them later."""
    project = told("data")
    with project.at_work() as run:
        run.await_ready()
        project.write(0, "0")
        project.agree()
    execute(project.environment["HUB_DSN"], "update fieldwarden.source set epoch = epoch + 1 where name = 'desk'")
    with project.at_work("inbox.read:1:stop") as run:
        run.await_event("run.started")
        project.write(0, "1")
        eventually(lambda: project.telling.done, "it is answered while its reader stands still", run.log.read_text)
        assert project.unread() == 1
        assert project.call_here("status")[1]["result"]["inboxes"][0]["number"] == 1
    with project.at_work() as run:
        run.await_ready()
        project.agree()
        assert project.parties() == {("0@x.test", "N0", "1")}


KILLED = ("inbox.durable:3", "inbox.read:2", "ingest.before_commit:4", "ingest.after_commit:4")


@pytest.mark.parametrize("killed", first(2, product(KILLED, SORTS)), ids="-".join)
def test_a_process_that_is_killed_loses_nothing_and_repeats_nothing(
    killed: tuple[str, str], told: Callable[..., Told]
) -> None:
    """Between durable and answered; between read and committed; between committed and taken from the inbox."""
    failpoint, sort = killed
    project = told(sort)
    with project.at_work(failpoint) as run:
        numbers = itertools.count()

        def dies_of_one_more() -> bool:
            number = next(numbers)
            project.write(number % 7, str(number // 7))
            eventually(lambda: project.telling.done or run.process.poll() is not None, "an answer, or the end")
            return run.process.poll() is not None

        eventually(dies_of_one_more, "it dies", run.log.read_text)
        assert run.process.returncode == -9, run.log.read_text()[-2000:]
    with project.at_work() as run:
        run.await_ready()
        project.agree()
        assert len(project.parties()) == min(next(numbers), 7)
        run.end()
    project.is_sound()


def test_while_the_hub_is_away_everybody_is_asked_to_come_again(
    crashable_postgres: EmbeddedServer, make_database: Callable[[], str], tmp_path: Path
) -> None:
    crashable_postgres.ensure_database("hub")
    hub = crashable_postgres.dsn("hub")
    with told_by("data", tmp_path / "desks", hub, make_database()) as project:
        with project.at_work() as run:
            run.await_ready()
            project.write(0, "0")
            project.agree()
            crashable_postgres.stop("immediate")
            project.write(0, "1")
            eventually(lambda: 503 in project.telling.answers, "it is told so")
            crashable_postgres.start()
            project.agree()
            assert project.parties() == {("0@x.test", "N0", "1")}
            assert run.event("hooks.unavailable") is not None
            run.end()
        project.is_sound()


@pytest.mark.long
def test_a_full_inbox_holds_up_who_sends_and_loses_nothing(told: Callable[..., Told]) -> None:
    project = told("data")
    project.edit("systems/desk.yaml", "unread: 50", "unread: 3")
    with project.at_work("inbox.read:1:stop") as run:
        run.await_event("run.started")
        for number in range(9):
            project.write(number, "0")
        eventually(lambda: 503 in project.telling.answers, "there is no room")
        assert project.unread() == 3
    with project.at_work() as run:
        run.await_ready()
        project.agree()
        assert len(project.parties()) == 9


FORGED = json.dumps(
    [{"event": "e99", "object": {"id": "p1", "type": "people", "number": 99, "at": 1, "deleted": False,
                                 "fields": {"mail": "mallory@x.test", "full_name": "Mallory"}}}]
).encode()  # fmt: skip


def test_what_the_desk_has_not_signed_is_not_taken_and_nowhere_written_down(told: Callable[..., Told]) -> None:
    project = told("data")
    with project.at_work() as run:
        run.await_ready()
        assert post(project.url, FORGED, secret=None) == 401
        assert post(project.url, FORGED, secret="another") == 401
        assert post(project.url, b"{mallory@x.test", secret=SECRET) == 400
        assert post(project.url, b"x" * 2_000_000) in (413, 0)
        assert post(project.url.replace("desk", "erp"), FORGED) == 404
        project.write(1, "0")
        project.agree()
        assert project.parties() == {("1@x.test", "N1", "0")}
        eventually(lambda: run.event("hooks.turned_away"), "it is counted")
        told_of = run.log.read_text() + run.get("/metrics")[1] + run.get("/readyz")[1]
    assert "mallory" not in told_of.lower()
    assert SECRET not in told_of
    assert 'fieldwarden_webhooks_total{outcome="refused",system="desk"} 2.0' in told_of


@pytest.mark.long
def test_what_is_no_key_of_the_desk_is_looked_for_and_ends_nobody(told: Callable[..., Told]) -> None:
    """What anybody sends as a key is not part of the path that is asked for."""
    project = told("hint")
    with project.at_work() as run:
        run.await_ready()
        keys = ["../../desk", "p1?x", "p1#x", "%2e%2e/x", "", "\ud800"]
        assert post(project.url, json.dumps([{"type": "people", "key": each} for each in keys]).encode()) == 202
        assert post(project.url, b'[{"type": "people", "key": 1}]') == 400
        eventually(lambda: project.unread() == 0 or run.process.poll() is not None, "they are read")
        assert run.process.poll() is None, run.log.read_text()
        project.write(1, "0")
        project.agree()
        assert len(project.parties()) == 1
        assert run.end()[0] == 143


def test_a_person_is_told_of_them_and_can_try_one(told: Callable[..., Told]) -> None:
    project = told("data")
    with project.at_work() as run:
        run.await_ready()
        project.write(0, "0")
        project.agree()
        url = project.url.removesuffix("/hooks/desk")
        code, body = project.call_here("hooks", "test", "desk", "--url", url)
        assert (code, body["result"]["status"]) == (0, 202)
        assert "the signature holds" in body["result"]["meaning"]

        project.environment["DESK_SECRET"] = "another"
        code, body = project.call_here("hooks", "test", "desk", "--url", url)
        assert (code, body["result"]["status"], "other secrets" in body["error"]["message"]) == (1, 401, True)
        project.environment["DESK_SECRET"] = SECRET
        eventually(lambda: run.event("hooks.turned_away"), "it is counted")

        code, body = project.call_here("hooks", "list")
        (desk,) = body["result"]["hooks"]
        assert (code, desk["system"], desk["scheme"]) == (0, "desk", "HMAC-SHA256 of the body")
        assert desk["address"] == "http://127.0.0.1:9187/hooks/desk"
        assert (desk["received"], desk["unread"], desk["refused"]) == (1, 0, 1)
        assert desk["arrived_seconds"] is not None
        code, body = project.call_here("status")
        assert (code, body["result"]["inboxes"]) == (0, [])
    code, body = project.call_here("hooks", "test", "desk", "--url", url)
    assert (code, body["error"]["code"], "fieldwarden run" in body["error"]["suggestion"]) == (3, "environment", True)
    code, body = project.call_here("hooks", "test", "erp")
    assert (code, body["error"]["suggestion"]) == (2, "those that do: desk")


def test_what_is_wrong_with_its_webhooks_is_said_with_its_place(told: Callable[..., Told]) -> None:
    project: Project = told("data")
    project.edit("systems/desk.yaml", '"${env:DESK_SECRET}"', "open")
    code, body = project.call("validate")
    (problem,) = body["result"]["problems"]
    assert (code, problem["message"]) == (2, "a secret stands here in the open")
