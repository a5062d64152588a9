"""What every command hands back: one result for machines, calm lines for people, and how it ended.

Operations compute and return values; a shell makes a report of them, and only the command line prints it. So `--json`
can never say something else than the text.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any

from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.scrubbing import scrub

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Failure:
    """Why it is not ok: the four keys of every error that `--json` shows. Its words come without secrets, whoever's
    they are."""

    code: str
    message: str
    suggestion: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "suggestion", "path"):
            object.__setattr__(self, name, scrub(getattr(self, name)))

    @classmethod
    def of(cls, error: FieldwardenError) -> Failure:
        return cls(error.code, error.message, error.suggestion, error.path)

    def lines(self) -> str:
        text = [f"error: {self.message}"]
        if self.path and self.path not in self.message:
            text.append(f"  where: {self.path}")
        if self.suggestion:
            text.append(f"  try: {self.suggestion}")
        return "\n".join(text)


@dataclass(slots=True)
class Report:
    """`result` is what `--json` shows (made of JSON's own types), `text` what a person reads on stdout.

    With a `failure` the command was carried out but what it found is not well; `exit_code` then says how.
    """

    result: Any = None
    text: str = ""
    failure: Failure | None = None
    exit_code: int = 0
    notes: list[str] = field(default_factory=list)
    """Said to people on stderr: what is not the answer itself."""

    def as_json(self) -> str:
        body: dict[str, Any] = {"ok": self.failure is None, "result": self.result}
        if self.failure is not None:
            f = self.failure
            body["error"] = {"code": f.code, "message": f.message, "suggestion": f.suggestion, "path": f.path}
        return json.dumps(body, ensure_ascii=False, default=str)


def plain(found: Any) -> Any:
    """What an operation found, made of JSON's own types: `{"name": "erp", "since": "2026-11-28T10:00:00+00:00"}` of a
    dataclass of a name and a time. Times are ISO 8601."""
    if is_dataclass(found):
        return {each.name: plain(getattr(found, each.name)) for each in fields(found)}
    if isinstance(found, datetime):
        return found.isoformat()
    if isinstance(found, tuple) and hasattr(found, "_asdict"):
        return plain(found._asdict())
    if isinstance(found, Mapping):
        return {name: plain(each) for name, each in found.items()}
    if isinstance(found, (list, tuple)):
        return [plain(each) for each in found]
    return found


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, indent: str = "  ") -> str:
    """Plain aligned columns: readable on a terminal, in a log, and by `awk`."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(indent + line for line in lines)


def wrapped(line: str, indent: int, further: int) -> str:
    """Prose in lines of at most a hundred characters, indented and from the second on so far; words stay whole."""
    return textwrap.fill(
        line,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * further,
        break_long_words=False,
        break_on_hyphens=False,
    )
