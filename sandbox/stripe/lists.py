"""Stripe's pages: newest first by the id of the last one seen, by a page token for v2 and for searches.

A search reads an index that lags behind; a list does not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from urllib.parse import quote, urlencode

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.stripe.errors import invalid, missing
from fieldwarden.sandbox.stripe.params import whole

SEARCH_LAG = 60.0
"""Seconds. Stripe says: up to one minute, more in an outage."""
MOST = 100
Fits = Callable[[Json], bool]
_BOUNDS: Mapping[str, Callable[[float, float], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}
_CLAUSE = re.compile(r"""(-?)([\w.]+)(?:\['([^']*)'\])?\s*(:|~|>=?|<=?)\s*(?:'([^']*)'|"([^"]*)"|(\d+|null))""")


def limit_of(asked: Json) -> int:
    limit = whole(asked.get("limit", "10"), "limit")
    if not 1 <= limit <= MOST:
        raise invalid(f"Invalid integer: limit must be 1 to {MOST}", "limit")
    return limit


def within(bounds: object, stamp: Callable[[Json], float] = lambda each: float(each["created"])) -> Fits:
    """`created=5`, or `created[gte]=5`, as one says it of a list."""
    pairs = bounds.items() if isinstance(bounds, dict) else [("", bounds)]
    tests: list[tuple[Callable[[float, float], bool], float]] = []
    for word, value in pairs:
        at = float(whole(value, "created")) if str(value).lstrip("-").isdecimal() else seconds_of(str(value))
        tests.append((_BOUNDS.get(word, lambda a, b: a == b), at))
    return lambda each: all(test(stamp(each), at) for test, at in tests)


def page(table: Table, asked: Json, what: str, url: str, fits: Fits, cursor_fits: bool = True) -> Json:
    """One page of a list. `cursor_fits` False: whatever the cursor is, Stripe does not know it any more."""
    limit, after, before = limit_of(asked), str(asked.get("starting_after", "")), str(asked.get("ending_before", ""))
    if after and before:
        raise invalid("Received both starting_after and ending_before parameters. Please pass in only one.")
    for cursor, param in ((after, "starting_after"), (before, "ending_before")):
        if cursor and (table.ever(cursor) is None or not cursor_fits):
            raise missing(what, cursor, param, 400)
    rows: Iterator[Row] = table.newer(before) if before else table.older(after)
    found = [row.data for row in islice((row for row in rows if fits(row.data)), limit + 1)]
    data = found[:limit]
    return {
        "object": "list",
        "data": data[::-1] if before else data,
        "has_more": len(found) > limit,
        "url": url,
    }


def listed(values: list[Json], asked: Json, url: str) -> Json:
    """One page of what is no table, in its own order (the lines of an invoice)."""
    limit, after = limit_of(asked), asked.get("starting_after")
    start = next((place + 1 for place, each in enumerate(values) if each["id"] == after), 0)
    data = values[start : start + limit]
    return {"object": "list", "data": data, "has_more": len(values) > start + limit, "url": url}


def token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def last_of(text: str, param: str = "page") -> str:
    """The id that a token stands for. Raises Refused."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        raise invalid("Invalid page token", param) from None


def v2_page(rows: Iterable[tuple[Row, Json]], asked: Json, path: str) -> Json:
    """One page in the v2 form: `next_page_url` has all that was asked, and a token."""
    limit = limit_of(asked)
    found = [*islice(rows, limit + 1)]
    following = None
    if len(found) > limit:
        names = [(name, each) for name, each in asked.items() if name != "page" and isinstance(each, str)]
        following = f"{path}?{urlencode([*names, ('page', token(found[limit - 1][0].key))], quote_via=quote)}"
    return {"data": [shown for _, shown in found[:limit]], "next_page_url": following, "previous_page_url": None}


def searched(table: Table, asked: Json, url: str, now: float) -> Json:
    """What the index holds that was brought up to date SEARCH_LAG ago, oldest knowledge for newest rows."""
    limit, fits = limit_of(asked), query(str(asked.get("query", "")))
    start = last_of(str(asked["page"])) if asked.get("page") else ""
    if start and table.ever(start) is None:
        raise invalid("Invalid page token", "page")
    states = ((row, row.as_of(now - SEARCH_LAG)) for row in table.older(start))
    found = [*islice(((row, state) for row, state in states if state is not None and fits(state)), limit + 1)]
    more = len(found) > limit
    return {
        "object": "search_result",
        "data": [state for _, state in found[:limit]],
        "has_more": more,
        "next_page": token(found[limit - 1][0].key) if more else None,
        "url": url,
    }


def query(text: str) -> Fits:
    """`email:'a@b.c' AND metadata['tier']:'gold' AND created>100`: one sort of link only, as Stripe has it. Raises
    Refused."""
    words = re.split(r"\s+(AND|OR)\s+", text.strip())
    links, clauses = {*words[1::2]}, [_clause(each) for each in words[::2]]
    if len(links) > 1:
        raise invalid("AND and OR cannot be combined in one search query.", "query")
    judged = any if links == {"OR"} else all
    return lambda state: judged(clause(state) for clause in clauses)


def _clause(text: str) -> Fits:
    match = _CLAUSE.fullmatch(text.strip())
    if match is None:
        raise invalid(f"We were unable to parse your search query near {text!r}.", "query")
    negated, name, inner, sign, *values = match.groups()
    value = next(each for each in values if each is not None)

    def fits(state: Json) -> bool:
        held = state.get(name)
        if inner is not None:
            held = (held or {}).get(inner)
        if value == "null":
            return held is None
        if held is None:
            return False
        if sign == ":":
            return str(held).lower() == value.lower()
        if sign == "~":
            return value.lower() in str(held).lower()
        if not value.isdecimal() or not isinstance(held, int):
            return False
        return _BOUNDS[{">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}[sign]](held, int(value))

    return (lambda state: not fits(state)) if negated else fits
