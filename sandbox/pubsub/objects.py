"""The objects whose changes are told: their fields, and the Avro schema of their change events.

Facts: Salesforce's "Event Data Serialization with Apache Avro" and "Event Deserialization Considerations". A field is
named as REST names it; an address, a name or a place is one field of the schema with its parts in a record.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_STRINGS: Final = {"type": "array", "items": "string"}
_WRITTEN: Final = ("CREATE", "UPDATE", "DELETE", "UNDELETE")
_KINDS: Final = [*_WRITTEN, *(f"GAP_{each}" for each in _WRITTEN), "GAP_OVERFLOW"]
_HEADER: Final = {
    "name": "ChangeEventHeader",
    "type": {
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [
            {"name": "entityName", "type": "string"},
            {"name": "recordIds", "type": _STRINGS},
            {
                "name": "changeType",
                "type": {"type": "enum", "name": "ChangeType", "symbols": _KINDS},
            },
            {"name": "changeOrigin", "type": "string"},
            {"name": "transactionKey", "type": "string"},
            {"name": "sequenceNumber", "type": "int"},
            {"name": "commitTimestamp", "type": "long"},
            {"name": "commitNumber", "type": "long"},
            {"name": "commitUser", "type": "string"},
            {"name": "nulledFields", "type": _STRINGS},
            {"name": "diffFields", "type": _STRINGS},
            {"name": "changedFields", "type": _STRINGS},
        ],
    },
}
_AVRO: Final = {
    "boolean": "boolean",
    "int": "int",
    **dict.fromkeys(("double", "currency", "percent"), "double"),
    **dict.fromkeys(("date", "datetime", "time"), "long"),
}


class Field(NamedTuple):
    """`parts` are those of a compound field: their names in the record, and what REST calls each."""

    name: str
    type: str = "string"
    parts: tuple[tuple[str, str], ...] = ()


def address(name: str, prefix: str) -> Field:
    """An address: `address("BillingAddress", "Billing")` has BillingStreet, BillingCity ..."""
    parts = ("Street", "City", "State", "PostalCode", "Country")
    return Field(name, "address", tuple((part, f"{prefix}{part}") for part in parts))


@dataclass(frozen=True)
class Object:
    """One kind of record. `prefix` begins the ids of its records."""

    name: str
    prefix: str
    fields: Sequence[Field]

    @property
    def topic(self) -> str:
        """The topic of its changes: `/data/AccountChangeEvent`, of a custom object `/data/Bill__ChangeEvent`."""
        name = self.name
        return f"/data/{name.removesuffix('c')}ChangeEvent" if name.endswith("__c") else f"/data/{name}ChangeEvent"

    def schema(self) -> dict[str, Any]:
        """The Avro schema of its change events. A record that two fields have is spelled out in the first."""
        spelled: set[str] = set()
        fields = [_HEADER, *({"name": each.name, "type": ["null", _type(each, spelled)]} for each in self.fields)]
        name = self.topic.rpartition("/")[2]
        return {"type": "record", "name": name, "namespace": "com.sforce.eventbus", "fields": fields}

    @property
    def schema_id(self) -> str:
        """A fingerprint of the schema, as long as Salesforce's."""
        digest = hashlib.md5(json.dumps(self.schema()).encode(), usedforsecurity=False).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def event(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by what REST calls them, as the schema has them."""
        event: dict[str, Any] = {}
        for field in self.fields:
            if not field.parts:
                event[field.name] = values.get(field.name)
            elif any(values.get(name) is not None for _, name in field.parts):
                event[field.name] = {part: values.get(name) for part, name in field.parts}
        return event

    def bitmaps(self, names: set[str]) -> list[str]:
        """Those fields as Salesforce writes them: one bitmap of whole fields, then one of each compound's parts."""
        top, nested = 0, list[str]()
        for place, field in enumerate(self.fields, start=1):
            if field.name in names:
                top |= 1 << place
            parts = sum(1 << at for at, (_, name) in enumerate(field.parts) if name in names)
            if parts:
                nested.append(f"{place}-{_hex(parts)}")
        return [*([_hex(top)] if top else []), *nested]


def _type(field: Field, spelled: set[str]) -> Any:
    if not field.parts:
        return _AVRO.get(field.type, "string")
    name = field.type.capitalize()
    if name in spelled:
        return name
    spelled.add(name)
    parts = [{"name": part, "type": ["null", "string"]} for part, _ in field.parts]
    return {"type": "record", "name": name, "fields": parts}


def _hex(number: int) -> str:
    """Whole bytes, in capitals."""
    digits = f"{number:X}"
    return f"0x{digits.zfill(len(digits) + len(digits) % 2)}"
