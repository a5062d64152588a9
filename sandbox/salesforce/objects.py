"""Salesforce's objects: the fields that its description tells of, and who may write which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.salesforce.errors import refused

_SYSTEM = {
    "Id": "id",
    "IsDeleted": "boolean",
    "CreatedDate": "datetime",
    "CreatedById": "reference",
    "LastModifiedDate": "datetime",
    "LastModifiedById": "reference",
    "SystemModstamp": "datetime",
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, slots=True)
class Object:
    """`prefix` begins the ids of its records. `parents` are the objects that its references lead to."""

    name: str
    prefix: str
    fields: Mapping[str, str]
    needs: tuple[str, ...]
    parents: Mapping[str, str]
    calculated: frozenset[str] = frozenset()
    external: str = "Erp_Id__c"

    def writable(self, name: str) -> bool:
        return name not in _SYSTEM and name not in self.calculated

    def read(self, name: str, value: Any) -> Any:
        """What is kept of a value that somebody writes. Raises Refused."""
        kind = self.fields.get(name)
        if kind is None:
            raise refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {self.name}")
        if not self.writable(name):
            wrong = f"Unable to create/update fields: {name}. Please check the security settings of this field."
            raise refused("INVALID_FIELD_FOR_INSERT_UPDATE", wrong, name)
        if value in (None, ""):
            return None
        try:
            if kind in ("currency", "double", "int"):
                return Decimal(str(value))
            if kind == "boolean":
                return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
            if kind == "datetime":
                seconds_of(str(value))
            return str(value)
        except (ValueError, KeyError, InvalidOperation):
            raise refused("JSON_PARSER_ERROR", f"Cannot deserialize instance of {kind} ({name})", name) from None

    def described(self) -> Json:
        """As `describe` tells it."""
        fields = [
            {
                "name": name,
                "type": kind,
                "createable": self.writable(name),
                "updateable": self.writable(name),
                "calculated": name in self.calculated,
                "nillable": name not in self.needs and name not in _SYSTEM,
                "externalId": name == self.external,
                "unique": name == self.external,
                "custom": name.endswith("__c"),
                "referenceTo": [self.parents[name]] if name in self.parents else [],
                "relationshipName": name.removesuffix("Id") if name in self.parents else None,
            }
            for name, kind in self.fields.items()
        ]
        return {"name": self.name, "keyPrefix": self.prefix, "queryable": True, "createable": True, "fields": fields}


def _object(
    name: str, prefix: str, texts: str, needs: str, parents: Mapping[str, str] | None = None, **kinds: str
) -> Object:
    given = dict.fromkeys([*texts.split(), "Erp_Id__c"], "string")
    given |= {each: kind for kind, names in kinds.items() if kind != "calculated" for each in names.split()}
    references = dict.fromkeys(parents or {}, "reference")
    own = dict.fromkeys(kinds.get("calculated", "").split(), "double")
    fields = {**_SYSTEM, **given, **references, **own}
    return Object(name, prefix, fields, tuple(needs.split()), parents or {}, frozenset(own))


_ADDRESS = "BillingStreet BillingCity BillingPostalCode BillingCountry"
OBJECTS: Mapping[str, Object] = {
    each.name: each
    for each in (
        _object(
            "Account",
            "001",
            f"Name Phone Website Industry Description AccountNumber {_ADDRESS}",
            "Name",
            currency="AnnualRevenue",
            int="NumberOfEmployees",
            calculated="Score__c",
        ),
        _object("Contact", "003", "FirstName LastName Email Phone Title", "LastName", {"AccountId": "Account"}),
        _object("Product2", "01t", "Name ProductCode Description", "Name", boolean="IsActive"),
        _object(
            "Opportunity",
            "006",
            "Name StageName",
            "Name StageName CloseDate",
            {"AccountId": "Account"},
            date="CloseDate",
            currency="Amount",
        ),
        _object(
            "Order", "801", "Status", "AccountId EffectiveDate Status", {"AccountId": "Account"}, date="EffectiveDate"
        ),
    )
}


def long_id(short: str) -> str:
    """The 18 letters of an id, whose last three say which of the others are capitals:
    `long_id("001D000000IqhSL")` -> "001D000000IqhSLIAZ"."""
    if len(short) != 15:
        return short
    code = ""
    for start in (0, 5, 10):
        bits = sum(1 << place for place, letter in enumerate(short[start : start + 5]) if letter.isupper())
        code += LETTERS[bits]
    return short + code
