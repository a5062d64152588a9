"""An object as Salesforce describes it: which fields there are, of which types, and who may write them. Pure.

Facts: Salesforce's REST API guide, "sObject Describe"; the Object Reference, "Field Types".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.wire.unreadable import Unreadable


@dataclass(frozen=True, slots=True)
class FieldOf:
    """One field of an object. `read` is how its values are read; `unique`: no two records have the same value."""

    name: str
    read: Described
    createable: bool
    updateable: bool
    unique: bool
    external_id: bool

    def refusal(self, operation: Literal["create", "update"]) -> str:
        """Why the field cannot be written, in words; empty: it can.

        >>> FieldOf("Score__c", Described("double", 0, True), False, False, False, False).refusal("update")
        'Salesforce computes it'
        """
        if self.read.computed:
            return "Salesforce computes it"
        if self.createable if operation == "create" else self.updateable:
            return ""
        word = "set in a new record" if operation == "create" else "changed"
        return f"Salesforce does not let it be {word}, or not by the user that we log in as"


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """One object. `prefix` begins the ids of its records."""

    name: str
    prefix: str
    fields: Mapping[str, FieldOf]
    createable: bool
    updateable: bool
    deletable: bool

    @property
    def reads(self) -> Mapping[str, Described]:
        """How the values of each field are read."""
        return {name: each.read for name, each in self.fields.items()}

    @property
    def topic(self) -> str:
        """The topic on which its changes are told.

        >>> ObjectOf("Bill__c", "a01", {}, True, True, True).topic, ObjectOf("Lead", "00Q", {}, True, True, True).topic
        ('/data/Bill__ChangeEvent', '/data/LeadChangeEvent')
        """
        return topic_of(self.name)


def topic_of(name: str) -> str:
    """The topic of an object's changes, by its name."""
    stem = name.removesuffix("c") if name.endswith("__c") else name
    return f"/data/{stem}ChangeEvent"


def described(told: Any) -> ObjectOf:
    """What `describe` answers. Raises Unreadable if that is no description.

    >>> name = {"name": "Name", "type": "string", "updateable": True}
    >>> described({"name": "Account", "keyPrefix": "001", "fields": [name]}).fields["Name"].refusal("update")
    ''
    """
    try:
        return ObjectOf(
            told["name"],
            told.get("keyPrefix") or "",
            {each["name"]: _field(each) for each in told["fields"]},
            bool(told.get("createable", True)),
            bool(told.get("updateable", True)),
            bool(told.get("deletable", True)),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unreadable("what Salesforce says of an object is no description") from None


def _field(told: Mapping[str, Any]) -> FieldOf:
    computed = bool(told.get("calculated")) or bool(told.get("autoNumber"))
    return FieldOf(
        told["name"],
        Described(told["type"], int(told.get("scale") or 0), computed),
        bool(told.get("createable")),
        bool(told.get("updateable")),
        bool(told.get("unique")),
        bool(told.get("externalId")),
    )
