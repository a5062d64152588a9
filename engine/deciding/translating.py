"""A record's value as one target writes it: a reference by the key that the record has there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.mapping import outward
from fieldwarden.rules.rulebook import FieldMap, Stream


class NoKey(Exception):
    """The record that a reference means has no key in the target yet. `record` is its id."""

    def __init__(self, record: str) -> None:
        super().__init__(record)
        self.record = record


def key_or_value(
    stream: Stream,
    name: str,
    value: Value,
    keys: Mapping[str, Mapping[str, str]],
    spelt: Callable[[FieldMap, Value], Value] = outward,
) -> Value:
    """The value of a field as this stream writes it: spelt its way, or the key of the record that it refers to.

    `keys`: record id -> stream -> key. Raises NoKey where a record has no key there, and ValueRefused where `spelt`
    finds no spelling.

    >>> account = Stream("crm", "account", "customer", ("id",), {"group": FieldMap("group", "g", reference="groups")})
    >>> key_or_value(account, "group", "0190", {"0190": {"groups": "G-1"}})
    'G-1'
    """
    mapping = stream.fields[name]
    if mapping.reference is None or value is None:
        return spelt(mapping, value)
    key = keys.get(value, {}).get(mapping.reference)
    if key is None:
        raise NoKey(value)
    return key
