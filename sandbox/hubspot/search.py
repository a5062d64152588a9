"""HubSpot's search: groups of filters of which one has to hold, one order, an offset as its cursor, and no result past
the ten-thousandth. It reads an index that lags."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from operator import eq, ge, gt, le, lt
from typing import Any

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.records import Json, Table
from fieldwarden.sandbox.hubspot.errors import invalid
from fieldwarden.sandbox.hubspot.properties import Kind

LAG = 10.0
"""Seconds. HubSpot says: a few moments."""
MOST = 200
CAP = 10_000
_GROUPS, _FILTERS, _ALL_FILTERS = 5, 6, 18
_ORDERED: dict[str, Callable[[Any, Any], bool]] = {"LT": lt, "LTE": le, "GT": gt, "GTE": ge, "EQ": eq}


def searched(table: Table, kind: Kind, asked: Json, now: float) -> tuple[list[Json], int, str | None]:
    """The objects of a page, how many there are in all, and after which the next page begins. Raises Refused."""
    limit, after = _whole(asked.get("limit", 10), "limit"), _whole(asked.get("after") or 0, "after")
    if not 0 < limit <= MOST:
        raise invalid(f"limit must be 1 to {MOST}, is {limit}")
    if after + limit > CAP:
        raise invalid(f"paging goes to {CAP} results: after={after} with limit={limit} is past it")
    groups = [group.get("filters", []) for group in asked.get("filterGroups") or []]
    if len(groups) > _GROUPS or any(len(each) > _FILTERS for each in groups) or sum(map(len, groups)) > _ALL_FILTERS:
        raise invalid(f"at most {_GROUPS} filterGroups of {_FILTERS} filters, {_ALL_FILTERS} in all")
    states = (row.as_of(now - LAG) for row in table.all())
    found = [state for state in states if state is not None and _fits(kind, state, groups) and _has(state, asked)]
    _sort(kind, found, asked.get("sorts") or [])
    page = found[after : after + limit]
    return page, len(found), str(after + limit) if len(found) > after + limit else None


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise invalid(f"{name} is no number: {value}")
    return int(str(value))


def _has(state: Json, asked: Json) -> bool:
    words = str(asked.get("query") or "").lower()
    return not words or any(words in str(value).lower() for value in state.values() if value is not None)


def _fits(kind: Kind, state: Json, groups: list[Any]) -> bool:
    return not groups or any(all(_holds(kind, state, each) for each in filters) for filters in groups)


def _comparable(kind: Kind, name: str, value: object) -> Any:
    """Dates are compared as milliseconds, as a filter may write them, too; numbers as numbers."""
    known, text = kind.properties[name], str(value)
    try:
        if known.kind == "number":
            return Decimal(text)
        if known.kind == "datetime":
            return Decimal(text) if text.lstrip("-").isdecimal() else Decimal(str(seconds_of(text))) * 1000
    except (ValueError, InvalidOperation):
        raise invalid(f"{text!r} is no {known.kind} ({name})") from None
    return text.lower()


def _holds(kind: Kind, state: Json, test: Json) -> bool:
    name, operator = str(test.get("propertyName", "")), str(test.get("operator", ""))
    if name not in kind.properties:
        raise invalid(f"there is no property {name!r}")
    held = state.get(name)
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return (held is not None) == (operator == "HAS_PROPERTY")
    if operator == "NEQ":
        return held is None or bool(_comparable(kind, name, held) != _comparable(kind, name, test.get("value")))
    if operator in ("IN", "NOT_IN"):
        among = {_comparable(kind, name, each) for each in test.get("values") or []}
        return held is not None and (_comparable(kind, name, held) in among) == (operator == "IN")
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        token = str(test.get("value", "")).lower().strip("*")
        return (held is not None and token in str(held).lower()) == (operator == "CONTAINS_TOKEN")
    if operator == "BETWEEN":
        low, high = (_comparable(kind, name, test.get(each)) for each in ("value", "highValue"))
        return held is not None and bool(low <= _comparable(kind, name, held) <= high)
    if operator not in _ORDERED:
        raise invalid(f"there is no operator {operator!r}")
    value = _comparable(kind, name, test.get("value"))
    return held is not None and _ORDERED[operator](_comparable(kind, name, held), value)


def _sort(kind: Kind, found: list[Json], sorts: list[Any]) -> None:
    """By one property; where nothing is said, by when they were made."""
    if len(sorts) > 1:
        raise invalid("only one sort is supported")
    told = sorts[0] if sorts else {"propertyName": "createdate"}
    name, down = (
        (told, False) if isinstance(told, str) else (told["propertyName"], told.get("direction") == "DESCENDING")
    )
    if name not in kind.properties:
        raise invalid(f"there is no property {name!r}")
    found.sort(key=lambda state: Decimal(state["hs_object_id"]))
    with_value = [state for state in found if state.get(name) is not None]
    without = [state for state in found if state.get(name) is None]
    with_value.sort(key=lambda state: _comparable(kind, name, state[name]), reverse=down)
    found[:] = [*with_value, *without]
