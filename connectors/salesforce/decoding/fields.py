"""What the fields of an object are, and how their values become text.

A field's type and its digits after the point come from Salesforce's own description of the object (`describe`), since
Avro does not tell a currency from a coordinate, or a date from a moment. The texts are those that PostgreSQL would
write, so that a row is the same row whether it came in an event or was read by a query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fieldwarden.connectors.salesforce.decoding import amounts, times

Text = Callable[[Any], str]


class Described(NamedTuple):
    """One field, as `describe` has it: `type` is Salesforce's name, `scale` its digits after the point.

    `computed`: other fields make it (a formula, a summary), so that an event does not tell when it changes."""

    type: str
    scale: int = 0
    computed: bool = False


class NoText(Exception):
    """Values of this field have no text of their own; the message says what to map instead."""


class Column(NamedTuple):
    """`type` is the portable one; `avro` are the types in which its values come; `text` is None where a value is its
    own text."""

    type: str
    avro: frozenset[str]
    text: Text | None


_TEXTS: Final = frozenset(
    (
        *("string", "textarea", "picklist", "multipicklist", "combobox", "reference", "id"),
        *("email", "phone", "url", "encryptedstring"),
    )
)
_NUMBERS: Final = frozenset(["double", "currency", "percent"])
_PARTS: Final = {
    "address": "map its parts, as BillingStreet and BillingCity",
    "location": "map its parts, as Place__Latitude__s and Place__Longitude__s",
    "base64": "leave it out of the mapping: no event carries it",
}


def column(described: Described) -> Column:
    """How values of a field are read. Raises NoText.

    >>> column(Described("currency", 2)).text(99.9)
    '99.9'
    """
    kind = described.type
    if kind in _TEXTS:
        return Column("text", frozenset({"string"}), None)
    if kind in _NUMBERS:
        scale = described.scale
        return Column("numeric", frozenset({"double"}), lambda value: amounts.text(value, scale))
    found = _OTHERS.get(kind)
    if found is None:
        raise NoText(f"fields of the type {kind} have no text of their own; {_PARTS.get(kind, 'leave it out')}")
    return found


def _whole(value: Any) -> str:
    return str(int(value))


_OTHERS: Final = {
    "int": Column("integer", frozenset({"int", "long"}), _whole),
    "long": Column("integer", frozenset({"int", "long"}), _whole),
    "boolean": Column("boolean", frozenset({"boolean"}), lambda value: "t" if value else "f"),
    "date": Column("date", frozenset({"int", "long"}), times.day),
    "datetime": Column("timestamptz", frozenset({"long"}), times.moment),
    "time": Column("other", frozenset({"int", "long"}), times.clock),
}
