"""The search that the tests of leaks rely upon finds what it is for."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.faults.leaks import leaks, processes
from tests.patience import eventually

SECRET = "Qv7x\"K@Kz9'wM/Jy3p\\N:Xq5tP%Zw8rR ü?Vb2nS"

SPELLED: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in capitals": str.upper,
    "quoted by Python": repr,
    "quoted as JSON": json.dumps,
    "URL-encoded": lambda text: quote(text, safe=""),
    "URL-encoded as a path": quote,
    "in small hex digits": lambda text: quote(text, safe="").lower(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 after a user's name": lambda text: base64.b64encode(f"ada:{text}".encode()).decode(),
    "in base64 between others": lambda text: base64.b64encode(f"a {text} and more".encode()).decode(),
    "in base64 among others": lambda text: base64.b64encode(f"at {text}.".encode()).decode(),
}


@pytest.mark.parametrize("spelled", SPELLED)
def test_what_was_planted_is_found(spelled: str) -> None:
    (found,) = {each.partition(": ...")[0] for each in leaks({"it": f"a {SPELLED[spelled](SECRET)} b"}, [SECRET])}
    assert found == f"{SECRET} in it"


def test_a_part_of_it_or_another_value_is_not_taken_for_it() -> None:
    other = "x" + SECRET[1:]
    texts = [spell(each) for spell in SPELLED.values() for each in (SECRET[:-1], other)]
    assert leaks({"it": " ".join(texts)}, [SECRET]) == []


def test_what_stands_in_the_command_line_or_the_environment_of_a_process_that_was_started_is_found() -> None:
    shell = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & wait", SECRET],
        env={**os.environ, "PLANTED": f"of {SECRET}"},
        start_new_session=True,
    )
    try:
        eventually(lambda: len(processes(shell.pid)) == 3, "what the shell starts")
        found = leaks(processes(shell.pid), [SECRET])
        assert {each.removeprefix(f"{SECRET} in ").split()[0] for each in found} == {"arguments", "environment"}
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_a_process_that_ends_while_it_is_looked_at_is_none(tmp_path: Path) -> None:
    for pid, children in ((1, "2 3 4"), (2, ""), (4, "")):
        (tmp_path / f"{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"{pid}/task/{pid}/children").write_text(children)
        (tmp_path / f"{pid}/cmdline").write_text("it")
        (tmp_path / f"{pid}/environ").write_text("")
    assert set(processes(1, tmp_path)) == {
        "arguments of 1", "arguments of 2", "environment of 2", "arguments of 4", "environment of 4",
    }  # fmt: skip
    with pytest.raises(FileNotFoundError):
        processes(3, tmp_path)
