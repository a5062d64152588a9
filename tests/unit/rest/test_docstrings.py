"""Each example in the pure part of declarative feeds gives what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

ROOM = "fieldwarden.connectors.rest"


@pytest.mark.parametrize("module", ["moments", "pages", "paths", "progress", "rows", "templates", "verdicts"])
def test_examples_give_what_they_say(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"{ROOM}.{module}"))
    assert tried > 0
    assert failed == 0
