"""Every example in a docstring of the decoder gives what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

DECODING = Path(__file__).resolve().parents[3] / "connectors" / "salesforce" / "decoding"
WITH = ["amounts", "bitmaps", "fields", "header", "places", "repeats", "shapes", "times"]


@pytest.mark.parametrize("name", WITH)
def test_examples_give_what_they_say(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"fieldwarden.connectors.salesforce.decoding.{name}"))
    assert (failed, bool(tried)) == (0, True)


def test_every_module_has_an_example_but_those_that_work_on_whole_events() -> None:
    assert {path.stem for path in DECODING.glob("[!_]*.py")} == {*WITH, "rows", "events"}
