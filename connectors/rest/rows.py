"""A vendor's records as rows: its JSON read exactly, and each record's columns as text.

A number is kept as its digits stand in the JSON: no amount passes through binary floating point. What a record leaves
out is unknown, unless the vendor's file says that it is cleared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec

from fieldwarden.connectors.rest.description import ColumnSpec, Marker, ObjectSpec, Records, Tombstone
from fieldwarden.connectors.rest.moments import Format, moment, written
from fieldwarden.connectors.rest.paths import ABSENT, Place
from fieldwarden.engine.change import UNKNOWN, RawValue
from fieldwarden.engine.errors import DecodeError

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_UNSTORABLE = re.compile("[\\0\\ud800-\\udfff]").search
_LONGEST_NUMBER = 1000
_NO_KEY = "it has no key"


def answer_of(content: bytes) -> Any:
    """A vendor's JSON. Raises DecodeError for what is none.

    >>> answer_of(b'{"amount": 1.10}')
    {'amount': Decimal('1.10')}
    """
    try:
        return _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError("it is not JSON") from error
    except RecursionError as error:
        raise DecodeError("it is nested too deeply") from error


class _Unreadable(Exception):
    """A value that no column can hold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a record tells of it. `values` are those of the columns asked for, in their order; of one that is
    `gone` the key is all that is told. `version` is the vendor's word for it, "" where there is none; `modified` when
    it was changed (µs since 1970 UTC), None where it is not told. `trouble`: why it cannot be read, in words; then
    `record` is the record as JSON."""

    key: tuple[str, ...]
    values: tuple[RawValue, ...]
    version: str = ""
    modified: int | None = None
    gone: bool = False
    trouble: str = ""
    record: bytes = field(default=b"", repr=False)


class Shape:
    """How an object's records become rows of some of its columns."""

    def __init__(self, spec: ObjectSpec, columns: Sequence[str]) -> None:
        """`columns` are among the object's."""
        known = spec.shape
        self.spec = spec
        self.columns = tuple(columns)
        self.types: tuple[str, ...] = tuple(known[name].type for name in columns)
        self._columns = tuple(known[name] for name in columns)
        self._key = tuple(known[name].place for name in spec.key)
        self._pattern = re.compile(getattr(spec.delete, "pattern", None) or "(?s)(.*)")

    @property
    def fields(self) -> tuple[str, ...]:
        """What requests call the columns, each once: those asked for, the key, and what says when a row was changed."""
        known = self.spec.shape
        wanted = [known[name] for name in (*self.spec.key, *self.columns)]
        if self.spec.modified is not None:
            place = self.spec.modified.place
            wanted.append(next((each for each in known.values() if each.place == place), ColumnSpec(place=place)))
        return tuple(dict.fromkeys(each.field or each.place.text for each in wanted))

    def row(self, record: Any) -> Row:
        """A record as a row."""
        row = self._row(record)
        return replace(row, record=_ENCODER.encode(record)) if row.trouble else row

    def _row(self, record: Any) -> Row:
        spec = self.spec
        if isinstance(spec.delete, Tombstone) and spec.delete.when.holds(record):
            return self.gone(self._tombstone_key(_key_part(spec.delete.key, record)))
        key = tuple(_key_part(place, record) for place in self._key)
        modified = _modified(spec, record)
        if isinstance(spec.delete, Marker) and spec.delete.when.holds(record):
            return self.gone(key, modified)
        trouble = "" if all(key) else _NO_KEY
        try:
            version = (_text(spec.version.of(record)) if spec.version is not None else None) or ""
            values = tuple(self._value(column, record) for column in self._columns)
        except _Unreadable as error:
            return Row(key, self._keyed(key), "", modified, trouble=trouble or str(error))
        return Row(key, values, version, modified, trouble=trouble)

    def gone(self, key: tuple[str, ...], modified: int | None = None) -> Row:
        """The row of this key, which is there no more."""
        return Row(key, self._keyed(key), "", modified, gone=True, trouble="" if all(key) else _NO_KEY)

    def _tombstone_key(self, text: str) -> tuple[str, ...]:
        match = self._pattern.search(text)
        return tuple(part or "" for part in match.groups()) if match is not None else ("",) * self._pattern.groups

    def _keyed(self, key: Sequence[str]) -> tuple[RawValue, ...]:
        parts = dict(zip(self.spec.key, key, strict=True))
        return tuple(parts.get(name) or UNKNOWN for name in self.columns)

    def _value(self, column: ColumnSpec, record: Any) -> RawValue:
        found = column.place.of(record)
        if found is ABSENT:
            return None if self.spec.absent == "cleared" else UNKNOWN
        text = _text(found)
        return text if text is None or column.format is None else _iso(text, column.format)


def keys_of(spec: ObjectSpec, records: Records, found: Sequence[Any]) -> list[tuple[str, ...]]:
    """The keys that these records name, each once, in the order in which they come. One without a key is passed over:
    there is nothing to look at.

    >>> from fieldwarden.connectors.rest.description import Records
    >>> keys_of(None, Records(path="$.data[*]", key="data.object.id"), [{"data": {"object": {"id": "cus_1"}}}, {}])
    [('cus_1',)]
    """
    places = records.key or tuple(spec.shape[name].place for name in spec.key)
    keys = (tuple(_key_part(each, record) for each in places) for record in found)
    return list(dict.fromkeys(key for key in keys if all(key)))


def _key_part(place: Place, record: Any) -> str:
    """Empty: it has none."""
    try:
        found = place.of(record)
        return "" if found is ABSENT or isinstance(found, dict | list) else _text(found) or ""
    except _Unreadable:
        return ""


def _modified(spec: ObjectSpec, record: Any) -> int | None:
    if spec.modified is None:
        return None
    found = spec.modified.place.of(record)
    try:
        return moment(_text(found) or "", spec.modified.format) if found is not ABSENT else None
    except (ValueError, _Unreadable):
        return None


def _text(found: Any) -> str | None:
    if found is None or found is ABSENT:
        return None
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, Decimal):
        if abs(found.adjusted()) > _LONGEST_NUMBER:
            raise _Unreadable("a number has more digits than any column holds")
        return f"{found:f}"
    text = (
        found if isinstance(found, str) else str(found) if isinstance(found, int) else _ENCODER.encode(found).decode()
    )
    if _UNSTORABLE(text):
        raise _Unreadable("a text holds a character that cannot be stored (NUL or a lone surrogate)")
    return text


def _iso(text: str, form: Format) -> str:
    """As it stands where it is no moment in that form: then its field says what it cannot be."""
    try:
        return written(moment(text, form))
    except ValueError:
        return text
