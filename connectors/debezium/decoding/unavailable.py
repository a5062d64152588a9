"""What Debezium sends where it does not have a value: an unchanged TOAST value that PostgreSQL did not log again.

It means *unknown*. Its spelling depends on the column's type, so it is compared per column, never by text alone.
Facts: Debezium's `unavailable.value.placeholder`, `UnchangedToastedPlaceholder` and
`UnavailableValuePlaceholderParameter` (a schema parameter that spells it out).
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any
from uuid import UUID

from fieldwarden.connectors.debezium.decoding.schemas import Schema

DEFAULT = "__debezium_unavailable_value"
PARAMETER = "__debezium.unavailable.value.placeholder"


class Placeholder:
    """One configured placeholder: plain text, or octets as `hex:...`. Raises ValueError for bad hexadecimals."""

    def __init__(self, configured: str = DEFAULT) -> None:
        self.octets = bytes.fromhex(configured[4:]) if configured.startswith("hex:") else configured.encode()
        self.text = self.octets.decode("utf-8", "replace")
        self._base64 = b64encode(self.octets).decode()
        digest = bytearray(hashlib.md5(self.octets, usedforsecurity=False).digest())
        digest[6], digest[8] = digest[6] & 0x0F | 0x30, digest[8] & 0x3F | 0x80
        self._uuid = str(UUID(bytes=bytes(digest)))  # java.util.UUID.nameUUIDFromBytes

    def of(self, schema: Schema) -> tuple[Any, ...]:
        """Every value of a column with this schema that stands for *unknown* (bytes as bytes, and as JSON has them)."""
        found: list[Any] = [self.text]
        if schema.type == "bytes":
            found += [self.octets, self._base64]
        elif schema.type == "string":
            found += self._strings(schema)
        elif schema.type == "map":
            found.append({self.text: self.text})
        elif schema.type == "array":
            octets = [octet - 256 if octet > 127 else octet for octet in self.octets]
            found += [[self.text], [self._uuid], [self.octets], [self._base64], octets]
        declared = schema.parameters.get(PARAMETER)
        if declared is not None:
            found += _declared(schema, declared)
        return tuple(found)

    def plain(self) -> tuple[Any, ...]:
        """The same where no schema tells what the column is."""
        found = self.of(Schema("array")) + self.of(Schema("bytes")) + self.of(Schema("map"))
        return (*found, *self._strings(Schema("string", "io.debezium.data.Json")))

    def _strings(self, schema: Schema) -> list[str]:
        """Bytes may be written as text (`binary.handling.mode`), an hstore as JSON."""
        if schema.name == "io.debezium.data.Json":
            return [json.dumps({self.text: self.text}, separators=(",", ":"), ensure_ascii=False)]
        return [self._base64, urlsafe_b64encode(self.octets).decode()] if schema.source_type == "BYTEA" else []


def _declared(schema: Schema, text: str) -> list[Any]:
    try:
        if schema.type == "bytes":
            return [text, b64decode(text)]
        if schema.type in ("array", "map"):
            return [json.loads(text)]
    except ValueError:
        return []
    return [text]
