"""`make demo-kafka` as a user meets it: real Kafka and Debezium, two workers, the proof, and nothing left over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import called

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "fieldwarden-demo-kafka"
FIELDWARDEN = ("-c", "from cli import main; main()")


class Shown:
    """One demo in a place of its own: what it printed, and what it left behind."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place / FOLDER
        self.answer = run("-m", "stack.demo", "--json", place=place)

    @property
    def told(self) -> dict[str, Any]:
        assert self.answer.returncode == 0, self.answer.stdout + self.answer.stderr
        return last_line(self.answer)


def surroundings(place: Path, **more: str) -> dict[str, str]:
    """TMPDIR: the stack's data lie below `place`, so that its processes can be told from everybody else's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TMPDIR": str(place), **more}


def run(*command: str, place: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return called([sys.executable, *command], cwd=place, env=surroundings(place, **more))


def last_line(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return dict(json.loads(answer.stdout.strip().splitlines()[-1]))


def left_over(place: Path) -> list[str]:
    """The command lines of processes that work below `place`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(place) in line:
            found.append(line)
    return found


@pytest.fixture
def place() -> Iterator[Path]:
    """Not below pytest's own temporary folder: the databases' server runs as another user."""
    yield from _place()


def _place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="fieldwarden-test-kafka-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def shown(java: None) -> Iterator[Shown]:
    for place in _place():
        yield Shown(place)


def test_it_proves_that_the_systems_agree(shown: Shown) -> None:
    result = shown.told["result"]
    assert result["converged"]
    assert result["ledger_verified"]
    assert result["refused"] > 0
    assert result["echoes"] > 0
    assert result["systems"] == ["billing", "crm", "erp"]


def test_it_comes_to_the_same_end_as_the_demo_without_kafka(shown: Shown) -> None:
    """How often what was decided differs with the interleaving; what the systems agree on does not."""
    direct = last_line(run(*FIELDWARDEN, "demo", "--json", "--folder", "direct", place=shown.place))["result"]
    for what in ("agreed", "compared", "converged", "refusals"):
        assert shown.told["result"][what] == direct[what]


def test_it_shows_lag_health_and_who_read_what(shown: Shown) -> None:
    result = shown.told["result"]
    assert {"crm.public.account", "billing.public.invoice"} <= {each["topic"] for each in result["partitions"]}
    assert {each["lag"] for each in result["partitions"]} == {0}
    assert {each["lane"].split("#")[1] for each in result["partitions"]} == {"1", "2"}
    assert {each["connector"]: each["running"] for each in result["connectors"]} == {
        "fieldwarden_billing": True,
        "fieldwarden_crm": True,
    }
    assert [each["number"] for each in result["workers"]] == [1, 2]


def test_what_it_leaves_can_be_asked(shown: Shown) -> None:
    for words in (["audit", "verify"], ["trail", "customer", "C-1042"], ["explain", "customer.credit_limit", "C-1042"]):
        answer = run(*FIELDWARDEN, *words, "--project", str(shown.folder), place=shown.place)
        assert answer.returncode == 0, answer.stderr


def test_it_stops_what_it_started(shown: Shown) -> None:
    assert shown.told["ok"]
    assert left_over(shown.place) == []


def test_the_addresses_it_leaves_are_for_its_user_alone(shown: Shown) -> None:
    environment = shown.folder / ".fieldwarden" / "environment"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    lines = environment.read_text("utf-8").splitlines()
    passwords = {line.split("@")[0].rsplit(":", 1)[1] for line in lines if "postgresql://" in line}
    assert passwords
    for password in passwords:
        assert password not in shown.answer.stdout + shown.answer.stderr


@pytest.mark.parametrize(
    ("moment", "told", "codes"),
    [
        pytest.param("two workers", [signal.SIGINT], {130}, id="once, while its loops begin"),
        pytest.param("new customers", [signal.SIGTERM, signal.SIGINT], {130, 143}, id="twice, while they run"),
    ],
)
def test_told_to_stop_it_stops_what_it_started(
    moment: str, told: list[signal.Signals], codes: set[int], java: None, place: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "stack.demo"],
        cwd=place,
        env=surroundings(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stderr is not None
        said = []
        for line in demo.stderr:
            said.append(line)
            if moment in line:
                for number in told:
                    demo.send_signal(number)
    assert demo.returncode in codes, "".join(said)
    assert left_over(place) == []


def test_without_java_it_says_what_is_missing(place: Path) -> None:
    answer = run("-m", "stack.demo", "--json", place=place, PATH=str(place), JAVA_HOME="")
    assert answer.returncode == 3
    assert "Java" in last_line(answer)["error"]["message"]
    assert not (place / FOLDER).exists()
