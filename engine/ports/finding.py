"""One thing that `doctor` looked at, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `ok` is False for what must be mended before a run; `level` tells the rest apart.

    `subject` is what was looked at (connection, server, slot, table, column ...); messages hold no row's value. `part`
    is the connector's key or option that it is about, if it is about one.
    """

    ok: bool
    subject: str
    message: str
    suggestion: str = ""
    stream: str | None = None
    column: str | None = None
    level: Literal["ok", "note", "warning", "error"] = "ok"
    part: str | None = None


def good(subject: str, message: str, stream: str | None = None) -> Finding:
    return Finding(True, subject, message, stream=stream)


def note(subject: str, message: str, suggestion: str = "", stream: str = "", column: str = "") -> Finding:
    return Finding(True, subject, message, suggestion, stream or None, column or None, "note")


def warning(subject: str, message: str, suggestion: str, stream: str = "", column: str = "") -> Finding:
    return Finding(True, subject, message, suggestion, stream or None, column or None, "warning")


def bad(subject: str, message: str, suggestion: str, stream: str = "", column: str = "") -> Finding:
    return Finding(False, subject, message, suggestion, stream or None, column or None, "error")
