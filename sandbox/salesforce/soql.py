"""SOQL as far as feeds need it: fields, one level of parents, conditions with brackets, an order, limits, count()."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.salesforce.errors import refused
from fieldwarden.sandbox.salesforce.objects import OBJECTS, Object, long_id

_QUERY = re.compile(
    r"\s*select\s+(?P<fields>.+?)\s+from\s+(?P<name>\w+)(?:\s+where\s+(?P<where>.+?))?"
    r"(?:\s+order\s+by\s+(?P<order>.+?))?(?:\s+limit\s+(?P<limit>\d+))?(?:\s+offset\s+(?P<offset>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\(|\)|,|<=|>=|!=|<>|<|>|=|[\w.:+-]+)", re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)")
Fits = Callable[[Json], bool]
Parent = Callable[[str, Any], Json | None]
"""The record of an object by its id."""


@dataclass(frozen=True, slots=True)
class Query:
    object: Object
    fields: tuple[str, ...]
    """Empty where it only counts."""
    fits: Fits
    order: tuple[tuple[str, bool], ...]
    limit: int | None
    offset: int


class Reading:
    """Reads one query. Raises Refused: MALFORMED_QUERY, INVALID_FIELD, INVALID_TYPE."""

    def __init__(self, text: str, parent: Parent) -> None:
        self._parent = parent
        match = _QUERY.fullmatch(text)
        if match is None:
            raise refused("MALFORMED_QUERY", f"unexpected token in {text!r}")
        name = next((each for each in OBJECTS if each.lower() == match["name"].lower()), "")
        if not name:
            raise refused("INVALID_TYPE", f"sObject type '{match['name']}' is not supported.")
        self.object = OBJECTS[name]
        counts = match["fields"].strip().lower() == "count()"
        fields = () if counts else tuple(self._field(each.strip()) for each in match["fields"].split(","))
        fits: Fits = lambda _: True  # noqa: E731  (what there is to say of no condition)
        if match["where"]:
            self._words = self._split(match["where"])
            fits = self._any()
            if self._words:
                raise refused("MALFORMED_QUERY", f"unexpected token: {self._words[0]}")
        limit = int(match["limit"]) if match["limit"] else None
        order = tuple(self._ordered(each) for each in (match["order"] or "").split(",") if each.strip())
        self.query = Query(self.object, fields, fits, order, limit, int(match["offset"] or 0))

    def value(self, data: Json, path: str) -> Any:
        """`value(contact, "Account.Name")` follows the reference AccountId."""
        first, _, rest = path.partition(".")
        if not rest:
            return data.get(first)
        parent = self._parent(self.object.parents[first + "Id"], data.get(first + "Id"))
        return None if parent is None else parent.get(rest)

    def _field(self, path: str) -> str:
        first, _, rest = path.partition(".")
        of, name = self.object, first
        if rest:
            if first + "Id" not in of.parents:
                raise refused("INVALID_FIELD", f"Didn't understand relationship '{first}' in field path.")
            of, name = OBJECTS[of.parents[first + "Id"]], rest
        known = next((each for each in of.fields if each.lower() == name.lower()), "")
        if not known:
            raise refused("INVALID_FIELD", f"No such column '{name}' on entity '{of.name}'.")
        return f"{first}.{known}" if rest else known

    def _ordered(self, text: str) -> tuple[str, bool]:
        path, *words = text.split()
        return self._field(path), "desc" in [word.lower() for word in words]

    def _split(self, text: str) -> list[str]:
        words, place = [], 0
        while text[place:].strip():
            match = _WORD.match(text, place)
            if match is None:
                raise refused("MALFORMED_QUERY", f"unexpected token near {text[place : place + 20]!r}")
            words.append(match[1])
            place = match.end()
        return words

    def _next(self, *wanted: str) -> str:
        word = self._words.pop(0) if self._words else ""
        if not word or (wanted and word.lower() not in wanted):
            raise refused("MALFORMED_QUERY", f"unexpected token: {word or 'the end of the query'}")
        return word

    def _ahead(self, word: str) -> bool:
        return bool(self._words) and self._words[0].lower() == word

    def _any(self) -> Fits:
        tests = [self._all()]
        while self._ahead("or"):
            self._next()
            tests.append(self._all())
        return lambda data: any(test(data) for test in tests)

    def _all(self) -> Fits:
        tests = [self._one()]
        while self._ahead("and"):
            self._next()
            tests.append(self._one())
        return lambda data: all(test(data) for test in tests)

    def _one(self) -> Fits:
        if self._ahead("not"):
            self._next()
            inner = self._one()
            return lambda data: not inner(data)
        if self._ahead("("):
            self._next()
            inner = self._any()
            self._next(")")
            return inner
        path = self._field(self._next())
        sign = self._next("=", "!=", "<>", "<", ">", "<=", ">=", "like", "in", "not").lower()
        if sign == "not":
            self._next("in")
            among = self._list(path)
            return lambda data: comparable(self.value(data, path)) not in among
        if sign == "in":
            among = self._list(path)
            return lambda data: comparable(self.value(data, path)) in among
        wanted = self._literal(path, self._next())
        return lambda data: _holds(self.value(data, path), sign, wanted)

    def _list(self, path: str) -> set[Any]:
        self._next("(")
        values = [self._literal(path, self._next())]
        while self._next(",", ")") == ",":
            values.append(self._literal(path, self._next()))
        return {comparable(value) for value in values}

    def _literal(self, path: str, word: str) -> Any:
        if word.startswith("'"):
            text = re.sub(r"\\(.)", r"\1", word[1:-1])
            return long_id(text) if path.endswith("Id") else text
        if word.lower() in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word.lower()]
        if re.fullmatch(r"-?[\d.]+", word):
            return Decimal(word)
        if re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", word):
            return word
        raise refused("MALFORMED_QUERY", f"unexpected token: {word}")


def comparable(value: Any) -> Any:
    """Times as seconds, numbers as they are, words without regard to capitals."""
    if isinstance(value, str):
        return seconds_of(value) if _TIME.fullmatch(value) else value.lower()
    return value


def _holds(held: Any, sign: str, wanted: Any) -> bool:
    if sign in ("=", "!=", "<>"):
        return bool(comparable(held) == comparable(wanted)) == (sign == "=")
    if held is None or wanted is None:
        return False
    if sign == "like":
        pattern = re.escape(str(wanted).lower()).replace("%", ".*").replace("_", ".")
        return re.fullmatch(pattern, str(held).lower(), re.DOTALL) is not None
    left, right = comparable(held), comparable(wanted)
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])
    except TypeError:
        raise refused("INVALID_QUERY_FILTER_OPERATOR", f"a value is of another type than its field: {wanted}") from None
