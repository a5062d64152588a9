"""Avro in the framing of a schema registry: which schema a record names, and its values by that schema.

Framing: Confluent's wire format (a zero byte, the schema's id in 4 bytes), or Apicurio's header mode (the id in a
record header, the value bare). Avro's logical types are taken away before reading: Connect's own names say more, and
the JSON decoders give the same raw numbers and bytes.
"""

from __future__ import annotations

import io
from typing import Any, Literal

import fastavro
import msgspec

from fieldwarden.connectors.debezium.decoding.schemas import Schema, from_avro
from fieldwarden.connectors.debezium.kafka.record import Headers
from fieldwarden.connectors.wire import avro_bounds
from fieldwarden.connectors.wire.unreadable import Unreadable

_LONGEST_SCHEMA = 1 << 22

_HEADERS = {
    "key": ("apicurio.key.globalId", "apicurio.key.contentId"),
    "value": ("apicurio.value.globalId", "apicurio.value.contentId"),
}


def framed(data: bytes, half: Literal["key", "value"], headers: Headers) -> tuple[int, int] | None:
    """(schema id, where the value begins); None if the data is not Avro. Raises Unreadable."""
    for name, value in headers:
        if name in _HEADERS[half] and len(value) == 8:
            return int.from_bytes(value, "big"), 0
    if data[:1] != b"\0":
        return None
    if len(data) < 5:
        raise Unreadable("it is too short to name its Avro schema")
    return int.from_bytes(data[1:5], "big"), 5


class Avro:
    """One schema of the registry. Raises Unreadable if the text is no Avro schema, or one that lets a record become
    more than can be held."""

    def __init__(self, text: bytes | str) -> None:
        if len(text) > _LONGEST_SCHEMA:
            raise Unreadable("its schema in the registry is longer than any Avro schema of a table")
        try:
            described = msgspec.json.decode(text)
            avro_bounds.check(described)
            self.schema: Schema = from_avro(described)
            self._parsed = fastavro.parse_schema(_bare(described))
        except Unreadable:
            raise
        except Exception as error:  # the schema is foreign data, and fastavro's exceptions have no common base
            raise Unreadable(f"its schema in the registry is not Avro ({type(error).__name__})") from None

    def read(self, data: bytes, start: int) -> Any:
        """The value that begins at `start` and ends with the data. Raises Unreadable."""
        stream = io.BytesIO(data)
        stream.seek(start)
        try:
            value = fastavro.schemaless_reader(stream, self._parsed, None)
        except Exception as error:  # as above: EOFError, IndexError, UnicodeDecodeError, MemoryError ...
            raise Unreadable(f"it does not fit its Avro schema ({type(error).__name__})") from None
        if stream.tell() != len(data):
            raise Unreadable("it is longer than its Avro schema says")
        return value


def _bare(schema: Any) -> Any:
    """The schema without logical types, so that values stay the raw numbers and bytes."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if isinstance(schema, dict):
        return {name: _bare(each) for name, each in schema.items() if name not in ("logicalType", "default")}
    return schema
