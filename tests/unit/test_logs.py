"""Logs hold what is allowed and nothing else: no values, no passwords, whatever a caller passes."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.operations.run.logs import ALLOWED, configure, nothing_untold
from fieldwarden.rules.scrubbing import scrub

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("commands", "connectors", "engine", "operations", "rules")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def test_json_lines_when_not_a_terminal(out: io.StringIO) -> None:
    configure("auto", "info", out)
    structlog.get_logger().info("source.open", system="crm", position="0/1")
    event = json.loads(out.getvalue())
    assert event["event"] == "source.open"
    assert (event["level"], event["system"]) == ("info", "crm")
    assert event["timestamp"].endswith("Z")


def test_a_bug_is_logged_with_its_fingerprint_and_never_its_message(out: io.StringIO) -> None:
    configure("json", "info", out)
    Telemetry().bug("crm", KeyError("jane@example.com"))
    found, met = map(json.loads, out.getvalue().splitlines())
    assert found["fingerprint"] == met["fingerprint"]
    assert found["kind"] == "KeyError"
    assert "not_shown" not in found
    assert "jane" not in out.getvalue()


def test_whatever_the_program_logs_by_name_is_shown() -> None:
    """A key that the list lacks would be dropped, and nobody would miss it before the day it is needed."""
    dropped = {}
    for path in (each for top in PACKAGES for each in (ROOT / top).rglob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Attribute(value=ast.Name(id="log"), attr="debug" | "info" | "warning" | "error" | "critical"):
                    unknown = {word.arg for word in call.keywords if word.arg is not None} - ALLOWED
                    if unknown:
                        dropped[f"{path.relative_to(ROOT)}:{call.lineno}"] = unknown
    assert dropped == {}


def test_keys_nobody_allowed_are_dropped_and_named(out: io.StringIO) -> None:
    configure("json", "info", out)
    structlog.get_logger().info("x", system="crm", email="jane@example.com", values=["4111"])
    assert "jane" not in out.getvalue()
    assert "4111" not in out.getvalue()
    assert json.loads(out.getvalue())["not_shown"] == "email, values"


def test_passwords_are_blotted_out(out: io.StringIO) -> None:
    configure("json", "info", out)
    structlog.get_logger().warning("x", message="cannot reach postgresql://bob:hunter2@db/crm")
    assert "hunter2" not in out.getvalue()
    assert "bob:***@db" in out.getvalue()


@pytest.mark.parametrize(
    "text",
    ["host=db password=hunter2 user=x", "password = 'hunter2'", "postgres://u:hunter2@h/d", "p://:hunter2@h"],
)
def test_scrub_knows_both_forms_of_connection_strings(text: str) -> None:
    assert "hunter2" not in scrub(text)


def test_levels_and_human_form(out: io.StringIO) -> None:
    configure("human", "warning", out)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", system="crm")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def test_libraries_speak_in_our_form(out: io.StringIO) -> None:
    configure("json", "info", out)
    logging.getLogger("asyncio").warning("slow\nTraceback: secret")
    event = json.loads(out.getvalue())
    assert (event["event"], event["logger"], event["level"]) == ("slow", "asyncio", "warning")


def test_what_a_library_says_again_and_again_is_passed_on_once(out: io.StringIO) -> None:
    configure("json", "info", out)
    for node in range(100):
        logging.getLogger("aiokafka").error("cannot reach node %s", node)
    logging.getLogger("aiokafka").error("gave up")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["cannot reach node 0", "gave up"]


def test_of_a_librarys_exception_its_kind_is_told_and_not_its_words(out: io.StringIO) -> None:
    configure("json", "info", out)
    try:
        raise ValueError("a customer's name")
    except ValueError:
        logging.getLogger("asyncio").exception("never retrieved")
    assert json.loads(out.getvalue())["error"] == "ValueError"
    assert "customer" not in out.getvalue()


def test_what_escapes_a_thread_or_a_finaliser_is_a_line_without_a_traceback(
    out: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    configure("json", "info", out)
    before = threading.excepthook, sys.unraisablehook

    def fails() -> None:
        raise ValueError("jane@example.com")

    class Dying:
        def __del__(self) -> None:
            fails()

    with nothing_untold():
        thread = threading.Thread(target=fails, name="worker")
        thread.start()
        thread.join()
        Dying()
    assert (threading.excepthook, sys.unraisablehook) == before
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(each["event"], each["error"]) for each in events] == [("bug.escaped", "ValueError")] * 2
    assert "jane" not in out.getvalue()
    assert capfd.readouterr().err == ""
