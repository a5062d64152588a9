"""`make test` and `make test-rest` are two parts of all tests: none is in both, none in neither."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.parts import first, refuse_unmarked
from tests.patience import called

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = "import pytest\nfrom tests.conftest import *\nfrom tests.conftest import pytest_collection_modifyitems\n"
EACH = """
import pytest

def test_neither() -> None: ...
@pytest.mark.long
def test_long() -> None: ...
@pytest.mark.kafka
def test_kafka() -> None: ...
@pytest.mark.kafka
@pytest.mark.long
def test_both() -> None: ...
def test_of_the_stack(topics: object) -> None: ...
@pytest.fixture
def mine(kafka_world: object) -> None: ...
def test_of_what_is_built_on_it(mine: None) -> None: ...
@pytest.mark.parametrize("where", [1, pytest.param(2, marks=pytest.mark.kafka)])
def test_of_a_parameter(where: int) -> None: ...
"""
HIDDEN = """
import pytest

def test_that_asks_while_it_runs(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("crashable_stack")
"""


def chosen_by(command: str) -> str:
    """What a command of the Makefile runs: the expression over markers."""
    rule = re.search(rf"^{command}:.*\n(?:\t.*\n)*?\t\$\(SPREAD\) -m \"(.+)\"$", (ROOT / "Makefile").read_text(), re.M)
    assert rule, command
    return rule[1]


def pytest_of(folder: Path, tests: str, *words: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_some.py").write_text(tests)
    settings = ("-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "no:cacheprovider", "-p", "no:xdist")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = called([sys.executable, "-m", "pytest", *settings, *words, folder], cwd=ROOT, env=environment)
    return done.stdout + done.stderr


def collected(folder: Path, *words: str) -> set[str]:
    return set(re.findall(r"::(test_\S+)", pytest_of(folder, EACH, "--collect-only", *words)))


def test_each_test_is_run_by_one_of_the_two(tmp_path: Path) -> None:
    everything = collected(tmp_path)
    quick, rest = (collected(tmp_path, "-m", chosen_by(command)) for command in ("test", "test-rest"))
    assert quick == {"test_neither", "test_of_a_parameter[1]"}
    assert rest == everything - quick
    assert len(everything) == 8


def test_what_works_with_the_stack_is_of_the_second_by_itself(tmp_path: Path) -> None:
    assert collected(tmp_path, "-m", "kafka") == {
        "test_kafka",
        "test_both",
        "test_of_the_stack",
        "test_of_what_is_built_on_it",
        "test_of_a_parameter[2]",
    }


def test_what_asks_for_the_stack_only_while_it_runs_fails_until_it_is_marked(tmp_path: Path) -> None:
    assert "works with the Kafka stack: mark it" in pytest_of(tmp_path, HIDDEN, "-m", chosen_by("test"))


def test_one_that_is_marked_may_ask_for_it(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.kafka)
    refuse_unmarked(request.node)


def test_all_is_what_the_two_make_of_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "\ntest-all: test test-rest\n" in makefile
    assert "-m" not in re.findall(r"^SPREAD = .*-m pytest(.*)$", makefile, re.M)[0].split()
    landing = (ROOT / ".ci" / "run").read_text().splitlines()
    assert landing[-3:] == ["make test", "make test-rest", "make lint"]


def test_values_past_the_first_are_long() -> None:
    one, two, three = first(1, [1, 2, 3])
    assert one == 1
    assert [each.values for each in (two, three)] == [(2,), (3,)]
    assert {mark.name for each in (two, three) for mark in each.marks} == {"long"}
