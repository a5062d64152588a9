"""Every example in a docstring of the pure parts gives what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOMS = Path(__file__).resolve().parents[3] / "connectors" / "salesforce"
DECODING = [
    "amounts",
    "bitmaps",
    "described",
    "fields",
    "header",
    "json_values",
    "places",
    "repeats",
    "shapes",
    "times",
]
WITH = [f"decoding.{name}" for name in DECODING]
WITH += ["asking.soql", "asking.verdicts", "reading.verdicts", "writing.judging", "writing.shapes"]


@pytest.mark.parametrize("name", WITH)
def test_examples_give_what_they_say(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"fieldwarden.connectors.salesforce.{name}"))
    assert (failed, bool(tried)) == (0, True)


def test_every_decoding_module_has_an_example_but_those_that_work_on_whole_events() -> None:
    assert {path.stem for path in (ROOMS / "decoding").glob("[!_]*.py")} == {*DECODING, "rows", "events"}
