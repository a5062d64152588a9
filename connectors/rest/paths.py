"""Where in a vendor's answer something stands: JSONPath (RFC 9535), conditions, and the short form that columns use.

    $.data[*]                      a path: from the answer as a whole, to any number of places
    @.status == 'Deleted'          a condition: what may stand in a filter of a JSONPath
    MetaData.LastUpdatedTime       a place in a record: names with points between, or a path that begins with $

There is nothing else that a vendor's file can compute with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathQuery

_ENVIRONMENT = JSONPathEnvironment()
_LONGEST = 500


class Absent(Enum):
    """Of a place that an answer does not have, which is not the same as one that holds null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Path:
    """A JSONPath query. Two are equal if they are written alike."""

    text: str
    _query: JSONPathQuery = field(compare=False, repr=False)

    def all(self, answer: Any) -> list[Any]:
        """What stands at each of the places, in their order; nothing where there are none."""
        return [node.value for node in self._query.find(answer)]

    def first(self, answer: Any) -> Any:
        """What stands at the first of the places; ABSENT: there is none."""
        node = self._query.find_one(answer)
        return ABSENT if node is None else node.value


def path(text: str) -> Path:
    """Raises ValueError for a text that is no query.

    >>> path("$.data[-1].id").first({"data": [{"id": "a"}, {"id": "b"}]})
    'b'
    """
    return Path(text, _compiled(text))


@dataclass(frozen=True, slots=True)
class Condition:
    """What may hold of a record, or of an answer. Numbers with a fraction are equal or not, and neither is greater."""

    text: str
    _query: JSONPathQuery = field(compare=False, repr=False)

    def holds(self, record: Any) -> bool:
        return self._query.find_one([record]) is not None


def condition(text: str) -> Condition:
    """Raises ValueError for a text that is no condition.

    >>> condition("@.status == 'Deleted'").holds({"status": "Deleted"})
    True
    >>> condition("@.deleted").holds({"id": "7"})
    False
    """
    if "@" not in text:
        raise ValueError("a condition speaks of a record as @, as in @.status == 'Deleted'")
    return Condition(text, _compiled(f"$[?{text}]"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record holds one thing."""

    text: str
    names: tuple[str, ...] = ()
    path: Path | None = None

    def of(self, record: Any) -> Any:
        """What stands there; ABSENT where the record does not tell. Below a null stands null."""
        if self.path is not None:
            return self.path.first(record)
        for name in self.names:
            if record is None:
                return None
            if not isinstance(record, Mapping) or name not in record:
                return ABSENT
            record = record[name]
        return record


def place(text: str) -> Place:
    """Raises ValueError for a text that is none.

    >>> place("MetaData.LastUpdatedTime").of({"MetaData": {"LastUpdatedTime": "2026-11-28T10:00:00Z"}})
    '2026-11-28T10:00:00Z'
    >>> place("$['@odata.etag']").of({"@odata.etag": "W/1"})
    'W/1'
    >>> place("address.city").of({"address": None}) is None, place("city").of({}) is ABSENT
    (True, True)
    """
    if text.startswith("$"):
        return Place(text, path=path(text))
    names = tuple(text.split("."))
    if len(text) > _LONGEST or not all(name and name == name.strip() for name in names):
        raise ValueError("a place in a record is names with points between, or a JSONPath that begins with $")
    return Place(text, names)


def _compiled(text: str) -> JSONPathQuery:
    if len(text) > _LONGEST:
        raise ValueError(f"a JSONPath has at most {_LONGEST} characters")
    try:
        return _ENVIRONMENT.compile(text)
    except JSONPathError as error:
        raise ValueError(f"not a JSONPath (RFC 9535): {str(error.args[0]).split(',')[0]}") from error
    except RecursionError as error:
        raise ValueError("not a JSONPath (RFC 9535): it is nested too deeply") from error
