"""JSON as Kafka Connect's JsonConverter writes it, with its schema beside every payload or without.

The schema is the same bytes from record to record, and several times the payload. So a record that begins with a
known schema is read from behind it on. That is exact: what precedes the payload is compared byte for byte, and what
follows must be one value and the closing brace, else the record is read whole. Of the payload only the wanted columns
are made into objects, by a decoder compiled for that schema.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from fieldwarden.connectors.debezium.decoding.envelope import Event, Source
from fieldwarden.connectors.debezium.decoding.rows import RowReader
from fieldwarden.connectors.debezium.decoding.schemas import Schema, from_connect
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.rules.values import UNKNOWN

_SCHEMAS = 16
"""Schemas remembered per topic: old and new ones alternate while a topic is read again."""

_ODD_NAME = re.compile(r'["\\\x00-\x1f]').search
_NULL = msgspec.Raw(b"null")
_DECIMAL = "org.apache.kafka.connect.data.Decimal"
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("int8", "int16", "int32", "int64"), int | None),
    **dict.fromkeys(("float32", "float64"), float | str | None),
    "boolean": bool | None,
    "string": str | None,
}


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    schema: msgspec.Raw
    payload: msgspec.Raw


_wrapped = msgspec.json.Decoder(_Wrapped)
_anything = msgspec.json.Decoder(Any, float_hook=Decimal)
_plain_floats = msgspec.json.Decoder(Any)


def read(decoder: msgspec.json.Decoder[Any], data: bytes | memoryview) -> Any:
    """Raises Unreadable, saying where but never what."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Unreadable(f"its payload does not fit its schema: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unreadable(f"it is not valid JSON: {type(error).__name__}") from None
    except RecursionError:
        raise Unreadable("it is JSON nested too deeply") from None
    except (ValueError, OverflowError, InvalidOperation):
        raise Unreadable("it is JSON with a number beyond all bounds") from None


def anything(data: bytes | memoryview) -> Any:
    """Any JSON value; numbers with a point are exact decimals."""
    return read(_anything, data)


def unwrapped(data: bytes) -> tuple[Any, Any]:
    """(schema or None, payload) of a record that nothing is known of, both as plain objects. Raises Unreadable."""
    value = read(_plain_floats, data)
    if isinstance(value, dict) and value.keys() == {"schema", "payload"}:
        return value["schema"], value["payload"]
    return None, value


class Remembered:
    """What was compiled from the schemas last met: found again by a record's first bytes."""

    def __init__(self, compile_: Callable[[Schema], Any]) -> None:
        self._compile = compile_
        self._by_schema: OrderedDict[bytes, tuple[bytes, Any]] = OrderedDict()
        self._prefix = b""
        self._compiled: Any = None

    def begins(self, data: bytes) -> bool:
        """Whether a record has the schema that the last one had."""
        return bool(self._prefix) and data.startswith(self._prefix)

    def find(self, data: bytes) -> tuple[Any, bytes | memoryview] | None:
        """(what was compiled, the payload's bytes); None if there is no schema beside it. Raises Unreadable."""
        if self._prefix and data.startswith(self._prefix):
            return self._compiled, memoryview(data)[len(self._prefix) : -1] if data.endswith(b"}") else b""
        for prefix, compiled in self._by_schema.values():
            if data.startswith(prefix) and data.endswith(b"}"):
                self._prefix, self._compiled = prefix, compiled
                return compiled, memoryview(data)[len(prefix) : -1]
        return self.whole(data)

    def whole(self, data: bytes) -> tuple[Any, bytes | memoryview] | None:
        """The same without relying on what was met before."""
        try:
            wrapped = _wrapped.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        text = bytes(wrapped.schema)
        if text == b"null":
            return None
        if text not in self._by_schema:
            made = self._compile(from_connect(read(_plain_floats, text)))
            self._by_schema[text] = b'{"schema":' + text + b',"payload":', made
            if len(self._by_schema) > _SCHEMAS:
                self._by_schema.popitem(last=False)
        prefix, compiled = self._by_schema[text]
        self._prefix, self._compiled = prefix, compiled
        return compiled, bytes(wrapped.payload)


class Envelopes:
    """Reads the values of one table's topic in one schema."""

    def __init__(self, shape: RowReader, fields: dict[str, Schema], needle: bytes | None) -> None:
        self.shape = shape
        self._needle = needle
        row = _row_type(fields)
        envelope = msgspec.defstruct(
            "Envelope",
            [
                ("op", str),
                ("source", Source),
                ("after", row | None, None),
                ("before", msgspec.Raw, _NULL),
            ],
            gc=False,
        )
        self._envelope = msgspec.json.Decoder(envelope, float_hook=Decimal)
        self._before = msgspec.json.Decoder(row | None, float_hook=Decimal)
        self._names = tuple(fields)

    def event(self, payload: bytes | memoryview, data: bytes) -> Event:
        """`data` is the whole record. Raises Unreadable."""
        found = read(self._envelope, payload)
        after = found.after

        def before() -> list[Any] | None:
            return _listed(read(self._before, found.before), self._names)

        careful = self._needle is None or self._needle in data
        return Event(self.shape, found.op, _listed(after, self._names), before, found.source, careful)


class BareRows:
    """Reads bare rows (a topic's keys) in one schema."""

    def __init__(self, shape: RowReader, fields: dict[str, Schema]) -> None:
        self.shape = shape
        self._decoder = msgspec.json.Decoder(_row_type(fields), float_hook=Decimal)
        self._names = tuple(fields)

    def row(self, payload: bytes | memoryview) -> list[Any]:
        return _listed(read(self._decoder, payload), self._names) or []


def _row_type(fields: dict[str, Schema]) -> Any:
    """A type with one attribute per wanted column, whatever the column is called; what is absent is UNKNOWN.

    Names that msgspec cannot look for are looked up in a plain object."""
    if any(_ODD_NAME(name) for name in fields):
        return dict[str, Any]
    names = {f"c{place}": name for place, name in enumerate(fields)}
    types = [_TYPES.get(each.type, Any) if each.name != _DECIMAL else Any for each in fields.values()]
    return msgspec.defstruct(
        "Row", [(slot, each, UNKNOWN) for slot, each in zip(names, types, strict=True)], rename=names, gc=False
    )


def _listed(row: Any, names: tuple[str, ...]) -> list[Any] | None:
    if row is None:
        return None
    if isinstance(row, dict):
        return [row.get(name, UNKNOWN) for name in names]
    return list(msgspec.structs.astuple(row))


def needle(text: str) -> bytes | None:
    """The bytes by which a placeholder shows in a record; None if JSON may spell it in several ways."""
    return text.encode() if text.isascii() and text.isprintable() and not set(text) & set('"\\/<>&') else None
