"""QuickBooks' query language: `select * from Invoice where TotalAmt > '100' orderby TxnDate startposition 1`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.quickbooks.entities import ENTITIES
from fieldwarden.sandbox.quickbooks.errors import refused

MOST = 1000
_USUAL = 100
_QUERY = re.compile(
    r"\s*select\s+(?P<what>\*|count\(\*\)|[\w.,\s]+?)\s+from\s+(?P<entity>\w+)(?:\s+where\s+(?P<where>.+?))?"
    r"(?:\s+order\s*by\s+(?P<by>[\w.]+)(?:\s+(?P<way>asc|desc))?)?(?:\s+startposition\s+(?P<start>\d+))?"
    r"(?:\s+maxresults\s+(?P<most>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TEST = re.compile(
    r"([\w.]+)\s*(<=|>=|<|>|=|\blike\b|\bin\b)\s*(\([^)]*\)|'(?:[^'\\]|\\.)*'|[\w.:+-]+)\s*", re.IGNORECASE
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT.*")
Fits = Callable[[Json], bool]


@dataclass(frozen=True, slots=True)
class Query:
    entity: str
    counts: bool
    fits: Fits
    by: str
    down: bool
    start: int
    most: int


def read(text: str) -> Query:
    """Raises Refused. What stands in a list and is inactive is found only by whoever asks for `Active`."""
    match = _QUERY.fullmatch(text)
    entity = next((name for name in ENTITIES if match and name.lower() == match["entity"].lower()), "")
    if match is None or not entity:
        raise refused("4000", f"QueryParserError: cannot read {text!r}")
    tests = [*_tests(match["where"] or "")]
    if not ENTITIES[entity].transaction and "active" not in (match["where"] or "").lower():
        tests.append(lambda each: each.get("Active") is not False)
    most = int(match["most"] or _USUAL)
    if most > MOST:
        raise refused("4000", f"QueryValidationError: maxresults is at most {MOST}")
    counts = match["what"].lower().startswith("count")
    down = (match["way"] or "").lower() == "desc"
    start = max(1, int(match["start"] or 1))
    return Query(entity, counts, lambda each: all(test(each) for test in tests), match["by"] or "", down, start, most)


def _tests(where: str) -> list[Fits]:
    found: list[Fits] = []
    rest = where.strip()
    while rest:
        match = _TEST.match(rest)
        if match is None:
            raise refused("4000", f"QueryParserError: cannot read the condition near {rest[:40]!r}")
        found.append(_test(match[1], match[2].lower(), match[3]))
        rest = re.sub(r"^and\s+", "", rest[match.end() :], flags=re.IGNORECASE)
    return found


def at(data: Json, path: str) -> Any:
    """`at(invoice, "MetaData.LastUpdatedTime")`; a reference is compared by its value."""
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value.get("value") if isinstance(value, dict) else value


def comparable(value: Any) -> Any:
    """Times as seconds, numbers as numbers, and words without regard to capitals."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    try:
        return seconds_of(text) if _TIME.fullmatch(text) else Decimal(text)
    except (ValueError, InvalidOperation):
        return text.lower()


def _test(path: str, sign: str, given: str) -> Fits:
    words = [_bare(each.strip()) for each in given.strip("()").split(",")] if sign == "in" else [_bare(given)]

    def fits(data: Json) -> bool:
        held = at(data, path)
        if held is None:
            return False
        if sign == "like":
            pattern = re.escape(words[0].lower()).replace("%", ".*")
            return re.fullmatch(pattern, str(held).lower(), re.DOTALL) is not None
        if sign in ("in", "="):
            return any(comparable(held) == comparable(word) for word in words)
        left, right = comparable(held), comparable(words[0])
        if type(left) is not type(right):
            left, right = str(held).lower(), words[0].lower()
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])

    return fits


def _bare(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith("'") else text
