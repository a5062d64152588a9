"""A small org: records that people and clients change, each change told on the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from fieldwarden.sandbox.pubsub.bus import Bus, Transaction
from fieldwarden.sandbox.pubsub.objects import Field, Object, address

ACCOUNT: Final = Object(
    "Account",
    "001",
    (
        Field("Name"),
        Field("Phone", "phone"),
        Field("AnnualRevenue", "currency"),
        Field("NumberOfEmployees", "int"),
        address("BillingAddress", "Billing"),
        address("ShippingAddress", "Shipping"),
        Field("Description", "textarea"),
        Field("Active__c", "boolean"),
        Field("Since__c", "date"),
        Field("LastModifiedDate", "datetime"),
    ),
)
CONTACT: Final = Object("Contact", "003", (Field("Email", "email"), Field("AccountId", "reference")))


class Org:
    """Records by id. `clock` gives milliseconds since 1970."""

    def __init__(self, bus: Bus, clock: Callable[[], int]) -> None:
        self.bus = bus
        self.records: dict[str, dict[str, Any]] = {}
        self.recycled: dict[str, dict[str, Any]] = {}
        self._clock = clock
        self._made = 0
        self.touched: dict[str, int] = {}
        """When a record of an object was changed last."""

    def begin(self, origin: str = "") -> Transaction:
        """A transaction for several changes."""
        return self.bus.transaction(self._clock(), origin)

    def create(self, entity: str, values: Mapping[str, Any], within: Transaction | None = None) -> str:
        """A new record's id."""
        self._made += 1
        id = f"{self.bus.objects[entity].prefix}xx{self._made:010d}AAA"
        self.records[id] = {"entity": entity, **values}
        within = within or self.begin()
        self.touched[entity] = within.at
        self.bus.tell(within, entity, "CREATE", [id], values)
        return id

    def update(self, ids: Sequence[str], values: Mapping[str, Any], within: Transaction | None = None) -> None:
        """Records of one object get the same values, in one event. None clears a field."""
        entity = self.records[ids[0]]["entity"]
        for id in ids:
            self.records[id].update(values)
        nulled = [name for name, value in values.items() if value is None]
        within = within or self.begin()
        self.touched[entity] = within.at
        told = {**values, "LastModifiedDate": within.at}
        self.bus.tell(within, entity, "UPDATE", ids, told, {*told} - {*nulled}, nulled)

    def update_everything(self, entity: str, values: Mapping[str, Any]) -> None:
        """All records of an object at once, told by a wildcard."""
        for each in self.records.values():
            if each["entity"] == entity:
                each.update(values)
        self.bus.tell(self.begin(), entity, "UPDATE", [f"{self.bus.objects[entity].prefix}*"], values, {*values})

    def delete(self, id: str, within: Transaction | None = None) -> None:
        """It goes to the recycle bin."""
        record = self.recycled[id] = self.records.pop(id)
        self.bus.tell(within or self.begin(), record["entity"], "DELETE", [id])

    def undelete(self, id: str) -> None:
        """It comes back from there."""
        record = self.records[id] = self.recycled.pop(id)
        values = {name: value for name, value in record.items() if name != "entity"}
        self.bus.tell(self.begin(), record["entity"], "UNDELETE", [id], values)

    def change_unseen(self, ids: Collection[str], values: Mapping[str, Any]) -> None:
        """Change records in the database itself: a gap event tells that they changed, and not what."""
        entity = self.records[next(iter(ids))]["entity"]
        for id in ids:
            self.records[id].update(values)
        self.bus.tell(self.begin(), entity, "GAP_UPDATE", [*ids])

    def overflow(self, entity: str) -> None:
        """One transaction changed more than the bus takes: what is beyond is told by one event without ids."""
        self.bus.tell(self.begin(), entity, "GAP_OVERFLOW", ())
