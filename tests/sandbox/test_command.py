"""`fieldwarden sandbox` as a process: it says where it is, plays, and ends by a signal. Wrong input ends it with 2."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from fieldwarden.cli import cli
from tests.patience import called, ended

COMMAND = Path(sys.executable).with_name("fieldwarden")


def process_refused(*words: str) -> str:
    """What a process says on stderr that ends with 2."""
    done = called([COMMAND, "sandbox", *words])
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


def refused(*words: str) -> str:
    """The same, of the command in this process."""
    result: Result = CliRunner().invoke(cli, ["sandbox", *words])
    assert result.exit_code == 2, result.output
    return result.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"customers": [{"id": "cus_ours", "name": "Ours", "email": "ours@example.com"}]}))
    return path


@pytest.fixture
def process(data: Path) -> Iterator[subprocess.Popen[str]]:
    words = [str(COMMAND), "sandbox", "stripe", "--data", str(data), "--fault", "throttle:2", "--json"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def test_it_says_where_it_is_plays_and_ends_by_a_signal(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    url = process.stderr.readline().split()[-1]
    headers = {"authorization": "Bearer sk_test_one"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as http:
        statuses = [http.get("/v1/customers/cus_ours").status_code for _ in range(3)]
        assert statuses == [429, 429, 200]
        assert http.get("/v1/customers/cus_ours").json()["name"] == "Ours"
        assert http.get("/_sandbox/").json()["faults"]["throttle"]["struck"] == 2
    process.send_signal(signal.SIGTERM)
    ended(process)
    assert process.returncode == 143


def test_an_unknown_vendor_is_told_which_there_are() -> None:
    assert "there is one of stripe" in process_refused("strype")


def test_an_unknown_fault_is_told_which_there_are() -> None:
    assert "there are lost_answer, throttle" in process_refused("stripe", "--fault", "thrttle")
    assert "say NAME, NAME:5" in refused("stripe", "--fault", "throttle:often")


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = process_refused("stripe", "--port", str(port))
    assert f"port {port} of 127.0.0.1 is taken" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"clients": []}', "there is no table 'clients'; there are customers"),
        ('{"customers": {}}', "customers: a list of JSON objects is wanted"),
        ('{"customers": [{"nmae": "A"}]}', "Received unknown parameter: nmae"),
        ('{"events": [{}]}', "nobody makes events by hand"),
        ('{"customers": [{"id": "a"}, {"id": "a"}]}', "customers has 'a' already"),
        ('{"invoices": [{"customer": "x", "status": "lost"}]}', "an invoice is draft, open, paid"),
    ],
)
def test_data_that_cannot_be_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "data.json").write_text(text)
    assert said in refused("stripe", "--data", str(tmp_path / "data.json"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "none.json cannot be read" in refused("stripe", "--data", str(tmp_path / "none.json"))
