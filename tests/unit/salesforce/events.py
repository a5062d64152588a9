"""Change events for tests, as Salesforce sends them: an object's schema, and payloads in Avro."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro

from fieldwarden.connectors.salesforce.decoding.events import Event, EventDecoder, Told
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.engine.change import RawChange, RawValue
from fieldwarden.engine.wanted import Wanted

ANN, BOB = "001xx000003DGb2AAG", "001xx000003DGb3AAG"
AT = 1_772_000_000_000
HERE = Place(1, 7, b"\x01")
STRINGS = {"type": "array", "items": "string"}
KINDS = ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"]
HEADER = {
    "name": "ChangeEventHeader",
    "type": {
        "type": "record",
        "name": "ChangeEventHeader",
        "fields": [
            {"name": "entityName", "type": "string"},
            {"name": "recordIds", "type": STRINGS},
            {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": [*KINDS, "GAP_OVERFLOW"]}},
            {"name": "changeOrigin", "type": "string"},
            {"name": "transactionKey", "type": "string"},
            {"name": "sequenceNumber", "type": "int"},
            {"name": "commitTimestamp", "type": "long"},
            {"name": "commitNumber", "type": "long"},
            {"name": "commitUser", "type": "string"},
            {"name": "nulledFields", "type": STRINGS},
            {"name": "diffFields", "type": STRINGS},
            {"name": "changedFields", "type": STRINGS},
        ],
    },
}


def record(name: str, *fields: str, kind: str = "string") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [optional(each, kind) for each in fields]}


def optional(name: str, *kinds: Any) -> dict[str, Any]:
    return {"name": name, "type": ["null", *kinds], "default": None}


def schema_of(*fields: dict[str, Any], entity: str = "Account") -> str:
    body = {"type": "record", "name": f"{entity}ChangeEvent", "namespace": "com.sforce.eventbus"}
    return json.dumps({**body, "fields": [HEADER, *fields]})


ACCOUNT = schema_of(
    optional("Name", "string", record("Switchable_PersonName", "Salutation", "FirstName", "LastName")),
    optional("Phone", "string"),
    optional("AnnualRevenue", "double"),
    optional("NumberOfEmployees", "int"),
    optional("BillingAddress", record("Address", "Street", "City", "PostalCode")),
    optional("ShippingAddress", "Address"),
    optional("Site__c", record("Location", "Latitude", "Longitude", kind="double")),
    optional("Active__c", "boolean"),
    optional("Since__c", "long"),
    optional("Description", "string"),
    optional("LastModifiedDate", "long"),
)
PLACES = {field["name"]: place for place, field in enumerate(json.loads(ACCOUNT)["fields"])}
DESCRIBED: Mapping[str, Described] = {
    "Name": Described("string"),
    "FirstName": Described("string"),
    "LastName": Described("string"),
    "Phone": Described("phone"),
    "AnnualRevenue": Described("currency", 2),
    "NumberOfEmployees": Described("int"),
    "BillingStreet": Described("textarea"),
    "BillingCity": Described("string"),
    "ShippingCity": Described("string"),
    "Site__Latitude__s": Described("double", 6),
    "Active__c": Described("boolean"),
    "Since__c": Described("date"),
    "Description": Described("textarea"),
    "LastModifiedDate": Described("datetime"),
    "Score__c": Described("double", 0, computed=True),
}


def at(*names: str, nested: Mapping[str, int] | None = None) -> list[str]:
    """The bitmaps of these fields, and of parts of others by number."""
    top = sum(1 << PLACES[name] for name in names)
    parts = [f"{PLACES[name]}-0x{number:02X}" for name, number in (nested or {}).items()]
    return [*([f"0x{top:04X}"] if top else []), *parts]


def payload(
    kind: str = "UPDATE",
    ids: Sequence[str] = (ANN,),
    *,
    schema: str = ACCOUNT,
    entity: str = "Account",
    changed: Sequence[str] = (),
    nulled: Sequence[str] = (),
    diffed: Sequence[str] = (),
    number: int = 1,
    transaction: str = "t-1",
    origin: str = "",
    **fields: Any,
) -> bytes:
    head = {
        "entityName": entity,
        "recordIds": list(ids),
        "changeType": kind,
        "changeOrigin": origin,
        "transactionKey": transaction,
        "sequenceNumber": number,
        "commitTimestamp": AT,
        "commitNumber": 1_082_990_428_293,
        "commitUser": "005xx000001TT96AAG",
        "nulledFields": list(nulled),
        "diffFields": list(diffed),
        "changedFields": list(changed),
    }
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema)), {"ChangeEventHeader": head, **fields})
    return stream.getvalue()


def decoder(*columns: str, schemas: Mapping[str, str] | None = None, client: str = "fieldwarden-7") -> EventDecoder:
    wanted = Wanted("account", ("Id",), frozenset({"Id", *columns}))
    known = {"s1": ACCOUNT} if schemas is None else schemas
    return EventDecoder(
        "/data/AccountChangeEvent", {"Account": wanted}, {"Account": DESCRIBED}, client=client, schema_of=known.get
    )


def told(columns: Sequence[str], data: bytes) -> Told:
    """What an event comes to where these columns are mapped."""
    return decoder(*columns).decode(Event("s1", data, b"\x01"), HERE)


def row(change: RawChange) -> dict[str, RawValue]:
    """By column, without the key."""
    return {
        name: value for name, value in zip(change.relation.columns, change.values, strict=True) if name != "Id"
    }  # fmt: skip
