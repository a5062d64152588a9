"""SAP's books: entities with numbers of their own, totals that follow from items, and every change in a log that deltas
are read from."""

from __future__ import annotations

from decimal import Decimal

from fieldwarden.sandbox.frame.exchange import NotPossible
from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.sap.odata import Dialect
from fieldwarden.sandbox.sap.sets import PARENTS, SETS

DAY = 86400
_WIDTH = 10


class Books:
    """`log` are the sets and keys that changed, in order; an entity below another changes that one too."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = {name: Table(name, world.clock) for name in SETS}
        self.log: list[tuple[str, str]] = []
        self._last = {name: int(each.first or 0) for name, each in SETS.items()}
        self._below: dict[tuple[str, str], list[str]] = {}

    def below(self, child: str, parent: str) -> list[Row]:
        """The entities of a set that belong to a parent."""
        rows = (self.tables[child].get(key) for key in self._below.get((child, parent), ()))
        return [row for row in rows if row is not None]

    def create(self, name: str, fields: Json, user: str) -> Row:
        """`fields` as they are kept; items may stand among them by the name of their navigation."""
        of, at = SETS[name], self.world.clock.now()
        nested = {each: fields.pop(each) for each in of.below if each in fields}
        key = self._key(name, fields)
        empty = {
            each: {"text": "", "flag": False, "number": Decimal("0.00")}.get(kind)
            for each, kind in of.properties.items()
        }
        stamps = {"CreationDate": at // DAY * DAY, "CreatedByUser": user}
        made = {**empty, **fields, **dict(zip(of.key, key.split("/"), strict=True))}
        made |= {each: value for each, value in stamps.items() if each in of.properties}
        row = self.tables[name].add(key, self._stamped(name, made, user))
        self.log.append((name, key))
        if name in PARENTS:
            self._below.setdefault((name, key.split("/")[0]), []).append(key)
        for navigation, items in nested.items():
            for item in items:
                self.create(of.below[navigation], {**item, of.key[0]: key}, user)
        self._raise(name, key, user)
        current = self.tables[name].get(key)
        assert current is not None
        return current if nested else row

    def change(self, name: str, row: Row, fields: Json, user: str) -> Row:
        changed = self.tables[name].put(row.key, self._stamped(name, {**row.data, **fields}, user))
        self.log.append((name, row.key))
        self._raise(name, row.key, user)
        return changed

    def delete(self, name: str, row: Row, user: str) -> None:
        """With what hangs below it."""
        for child in SETS[name].below.values():
            for each in self.below(child, row.key):
                self.tables[child].remove(each.key)
                self.log.append((child, each.key))
        self.tables[name].remove(row.key)
        self.log.append((name, row.key))
        self._raise(name, row.key, user)

    def cancel(self, row: Row, user: str) -> Row:
        """A billing document is never deleted: another one takes it back. Raises NotPossible."""
        if row.data["BillingDocumentIsCancelled"] or row.data["CancelledBillingDocument"]:
            raise NotPossible(f"billing document {row.key} is cancelled, or is a cancellation")
        self.change("BillingDocument", row, {"BillingDocumentIsCancelled": True}, user)
        taken = {
            name: row.data[name] for name in ("SoldToParty", "PayerParty", "TransactionCurrency", "TotalNetAmount")
        }
        amounts = {name: row.data[name] for name in ("TotalTaxAmount", "TotalGrossAmount")}
        cancels = {"BillingDocumentType": "S1", "CancelledBillingDocument": row.key}
        return self.create("BillingDocument", {**taken, **amounts, **cancels}, user)

    def _key(self, name: str, fields: Json) -> str:
        of = SETS[name]
        if name == "SalesOrderItem":
            number = 10 * (1 + len(self._below.get((name, fields["SalesOrder"]), ())))
            return f"{fields['SalesOrder']}/{number:06}"
        self._last[name] += 1
        number_text = str(self._last[name]).zfill(0 if name == "BusinessPartner" else _WIDTH)
        return f"{fields[of.key[0]]}/{number_text}" if len(of.key) > 1 else number_text

    def _stamped(self, name: str, data: Json, user: str) -> Json:
        at = self.world.clock.now()
        if name == "BusinessPartner":
            called = data["OrganizationBPName1"] or f"{data['FirstName']} {data['LastName']}".strip()
            data = {**data, "BusinessPartnerFullName": called, "BusinessPartnerName": called}
        stamps = {"LastChangeDate": at // DAY * DAY, "LastChangeDateTime": float(int(at)), "LastChangedByUser": user}
        return {**data, **{each: value for each, value in stamps.items() if each in SETS[name].properties}}

    def _raise(self, name: str, key: str, user: str) -> None:
        """What changed below an entity changes it: its total, its date, its ETag."""
        parent = PARENTS.get(name)
        row = self.tables[parent].get(key.split("/")[0]) if parent else None
        if parent is None or row is None:
            return
        fields: Json = {}
        if parent == "SalesOrder":
            amounts = (each.data["NetAmount"] or Decimal(0) for each in self.below(name, row.key))
            fields = {"TotalNetAmount": sum(amounts, Decimal("0.00"))}
        self.change(parent, row, fields, user)


def taken(dialect: Dialect, name: str, given: Json, making: bool) -> Json:
    """What may be written, as it is kept. Raises Refused."""
    of = SETS[name]
    fields: Json = {}
    for each, value in given.items():
        if each.startswith(("__", "@")):
            continue
        if each in of.below:
            items = value.get("results", []) if isinstance(value, dict) else value
            fields[each] = [taken(dialect, of.below[each], item, True) for item in items]
            continue
        kept = dialect.read(of, each, value)
        if each in of.key and (making or len(of.key) == 1) and each not in of.fixed:
            fields[each] = kept
        elif each in of.fixed or each in of.key:
            raise dialect.refused(400, f"Property '{each}' cannot be written")
        else:
            fields[each] = kept
    return fields
