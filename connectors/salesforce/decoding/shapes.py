"""An event's Avro schema, and where in it the columns stand that a mapping names.

A mapping names fields as Salesforce's REST API does: `BillingStreet`, `FirstName`. Events carry an address, a person's
name or a place as one record of parts, in the schema and in the bitmaps.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import fastavro
import msgspec

from fieldwarden.connectors.wire import avro_bounds
from fieldwarden.connectors.wire.unreadable import Unreadable

HEADER = "ChangeEventHeader"
_LONGEST = 1 << 22
_Record: TypeAlias = Mapping[str, Any]


class Spot(NamedTuple):
    """Where a column stands: the number and the name of its field, those of the part of it that it is (None and empty:
    the whole field), and the types in which Avro holds its values."""

    place: int
    name: str
    child: int | None
    part: str
    avro: frozenset[str]


class EventSchema:
    """One schema of change events: reads their payloads, and knows where columns stand.

    Raises Unreadable if the text is no such schema, or one by which a few bytes become more than can be held."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise Unreadable("the schema of its topic is longer than any object's")
        try:
            described = msgspec.json.decode(text)
            avro_bounds.check(described)
            names = {str(each["name"]) for each in described["fields"]}
            self.spots = _spots(described["fields"])
            self._parsed = fastavro.parse_schema(described)
        except Unreadable:
            raise
        except Exception as error:  # the schema is foreign data, and fastavro's exceptions have no common base
            raise Unreadable(f"the schema of its topic is not Avro ({type(error).__name__})") from None
        if HEADER not in names:
            raise Unreadable("its topic is not one of change events")

    def read(self, payload: bytes) -> Mapping[str, Any]:
        """The record that a payload holds. Raises Unreadable."""
        stream = io.BytesIO(payload)
        try:
            value = fastavro.schemaless_reader(stream, self._parsed, None)
        except Exception as error:  # as above: EOFError, IndexError, UnicodeDecodeError, MemoryError ...
            raise Unreadable(f"it does not fit its Avro schema ({type(error).__name__})") from None
        if stream.tell() != len(payload):
            raise Unreadable("it is longer than its Avro schema says")
        if not isinstance(value, dict):
            raise Unreadable("it holds no record")
        return value


def _spots(fields: list[Mapping[str, Any]]) -> Mapping[str, Spot]:
    """By column. A field of its own goes before a part that would have the same name."""
    parts, whole, named = dict[str, Spot](), dict[str, Spot](), dict[str, _Record]()
    for place, field in enumerate(fields):
        name = str(field["name"])
        branches = _branches(field["type"], named)
        if name == HEADER:
            continue
        if plain := _plain(branches):
            whole[name] = Spot(place, name, None, "", plain)
        for record in (each for each in branches if not isinstance(each, str)):
            for child, part in enumerate(record["fields"]):
                found = Spot(place, name, child, str(part["name"]), _plain(_branches(part["type"], named)))
                parts[_column(name, found.part)] = found
    return parts | whole


def _plain(branches: list[str | _Record]) -> frozenset[str]:
    return frozenset(each for each in branches if isinstance(each, str)) - {"null"}


def _branches(kind: Any, named: dict[str, _Record]) -> list[str | _Record]:
    """The types that a union is one of, or one type alone: the names of simple ones, without what a logical type adds,
    and records whole. A record is spelled out where it is used first, and named from there on (`named`)."""
    if isinstance(kind, list):
        return [branch for each in kind for branch in _branches(each, named)]
    if isinstance(kind, str):
        return [named.get(kind.rpartition(".")[2], kind)]
    if kind["type"] == "record":
        named[str(kind["name"]).rpartition(".")[2]] = kind
        return [kind]
    return _branches(kind["type"], named)


def _column(field: str, part: str) -> str:
    """What REST calls a part of a field.

    >>> _column("BillingAddress", "City"), _column("Address", "City"), _column("Name", "LastName")
    ('BillingCity', 'City', 'LastName')
    >>> _column("Site__c", "Latitude"), _column("Other", "Part")
    ('Site__Latitude__s', 'Other.Part')
    """
    if field == "Name":
        return part
    if field.endswith("__c"):
        return f"{field.removesuffix('__c')}__{part}__s"
    return f"{field.removesuffix('Address')}{part}" if field.endswith("Address") else f"{field}.{part}"
