"""`make demo-kafka` as a user meets it: real Kafka and Debezium, two workers, the proof, and nothing left over."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=280
    )


def last_line(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return dict(json.loads(answer.stdout.strip().splitlines()[-1]))


@pytest.fixture(scope="module")
def shown(java: None) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    """One whole demo. Not below pytest's own temporary folder: the hub's server runs as another user."""
    place = Path(tempfile.mkdtemp(prefix="fieldwarden-kafka-"))
    place.chmod(0o755)
    try:
        yield place, run("stack.demo", "--json", cwd=place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_it_proves_that_the_systems_agree(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, answer = shown
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = last_line(answer)
    assert told["ok"]
    result = told["result"]
    assert result["converged"]
    assert result["ledger_verified"]
    assert result["compared"] > 3_000
    assert result["refused"] > 0
    assert result["systems"] == ["billing", "crm", "erp"]


def test_it_comes_to_the_same_end_as_the_demo_without_kafka(
    shown: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Counts of decisions may differ with the interleaving; what the systems agree on may not."""
    place, answer = shown
    direct = run("cli", "demo", "--json", "--folder", "direct", cwd=place)
    assert last_line(direct)["result"]["agreed"] == last_line(answer)["result"]["agreed"]
    assert last_line(direct)["result"]["compared"] == last_line(answer)["result"]["compared"]


def test_it_shows_lag_health_and_who_did_what(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    result = last_line(shown[1])["result"]
    topics = {each["topic"] for each in result["partitions"]}
    assert {"crm.public.account", "billing.public.invoice"} <= topics
    assert {each["lag"] for each in result["partitions"] if each["topic"] in topics} == {0}
    assert {each["connector"]: each["running"] for each in result["connectors"]} == {
        "fieldwarden_billing": True,
        "fieldwarden_crm": True,
    }
    assert [each["number"] for each in result["workers"]] == [1, 2]
    assert {each["lane"].split("#")[1] for each in result["partitions"]} == {"1", "2"}


def test_what_is_left_can_be_asked(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, _ = shown
    folder = place / "fieldwarden-demo-kafka"
    assert run("cli", "audit", "verify", "--project", str(folder), cwd=place).returncode == 0
    trail = run("cli", "trail", "customer", "C-1042", "--project", str(folder), cwd=place)
    assert trail.returncode == 0, trail.stderr


def test_it_stops_what_it_started(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, _ = shown
    mark = str(place).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert b"fieldwarden-demo-kafka-" not in line, line
        assert mark not in line, line


def test_the_addresses_it_leaves_are_for_its_user_alone(shown: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, answer = shown
    environment = place / "fieldwarden-demo-kafka" / ".fieldwarden" / "environment"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    passwords = {line.split("://")[1].split("@")[0] for line in environment.read_text().splitlines() if "@" in line}
    assert passwords
    for password in passwords:
        assert password not in answer.stdout + answer.stderr


def test_without_java_it_says_what_is_missing(tmp_path: Path) -> None:
    answer = run("stack.demo", "--json", cwd=tmp_path, PATH=str(tmp_path), JAVA_HOME="")
    assert answer.returncode == 3
    assert "Java" in last_line(answer)["error"]["message"]
    assert not (tmp_path / "fieldwarden-demo-kafka").exists()
