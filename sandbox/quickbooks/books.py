"""QuickBooks' books: each change of an entity takes its SyncToken one on, and only whoever knows the present one may
change it. What is paid of an invoice is counted here; a customer's balance follows without his being changed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.quickbooks.entities import ENTITIES, stamp, today
from fieldwarden.sandbox.quickbooks.errors import refused

_CENT = Decimal("0.01")
_SALES = ("Invoice", "CreditMemo")
Told = Callable[[str, str, str], None]
"""An entity, its id, and what happened to it: Create, Update, Delete, Void."""


class Books:
    def __init__(self, world: World, told: Told) -> None:
        self.world = world
        self.tables = {name: Table(name, world.clock) for name in ENTITIES}
        self._told = told
        self._last = dict.fromkeys(ENTITIES, 0)
        self._names: dict[tuple[str, str], str] = {}
        self._due: dict[str, Decimal] = {}

    def get(self, entity: str, key: str) -> Row:
        """Raises Refused: what is deleted is not there either."""
        row = self.tables[entity].get(key)
        if row is None:
            raise refused("610", f"Object Not Found : {entity} {key} is not there, or was made inactive", "Id")
        return row

    def shown(self, entity: str, data: Json) -> Json:
        """With what is counted whenever it is asked for."""
        if entity != "Customer":
            return data
        due = self._due.get(data["Id"], Decimal("0.00"))
        return {**data, "Balance": due, "BalanceWithJobs": due}

    def create(self, entity: str, given: Json) -> Row:
        fields = self._taken(entity, given)
        for name in ENTITIES[entity].needs:
            if fields.get(name) in (None, "", []):
                raise refused("2020", f"Required parameter {name} is missing in the request", name)
        key, at = str(self._last[entity] + 1), self.world.clock.now()
        made = self._checked(entity, {**self._defaults(entity, key, at), **fields})
        self._last[entity] += 1
        made |= {"Id": key, "SyncToken": "0", "domain": "QBO", "sparse": False}
        made["MetaData"] = {"CreateTime": stamp(at), "LastUpdatedTime": stamp(at)}
        row = self.tables[entity].add(key, self._counted(entity, made))
        self._settle(entity, {}, row.data)
        self._told(entity, key, "Create")
        return row

    def update(self, entity: str, given: Json) -> Row:
        """With `sparse` what is not told stays; without it what is not told is cleared."""
        row = self.held(entity, given)
        fields = self._taken(entity, given)
        kept = (
            row.data if given.get("sparse") is True else {name: row.data.get(name) for name in _kept(entity, row.data)}
        )
        after = self._checked(entity, {name: value for name, value in {**kept, **fields}.items() if value is not None})
        return self._put(entity, row, self._counted(entity, after), "Update")

    def delete(self, entity: str, given: Json) -> Row:
        if not ENTITIES[entity].transaction:
            raise refused("6000", f"A {entity} cannot be deleted: make it inactive", "operation")
        row = self.held(entity, given)
        before = row.data
        self.tables[entity].remove(row.key)
        self._settle(entity, before, {})
        self._told(entity, row.key, "Delete")
        return row

    def void(self, entity: str, given: Json) -> Row:
        """An invoice stays, with nothing in it."""
        if entity != "Invoice":
            raise refused("6000", f"A {entity} cannot be voided here", "operation")
        row = self.held(entity, given)
        lines = [{**line, "Amount": Decimal("0.00")} for line in row.data["Line"]]
        return self._put(
            entity, row, self._counted(entity, {**row.data, "Line": lines, "PrivateNote": "Voided"}), "Void"
        )

    def held(self, entity: str, given: Json) -> Row:
        """The row that is meant, if its SyncToken is the present one. Raises Refused."""
        row = self.get(entity, str(given.get("Id", "")))
        if self.world.faults.strikes("stale_token") or str(given.get("SyncToken", "")) != row.data["SyncToken"]:
            said = "You and someone else were working on this at the same time. Someone else finished before you did."
            raise refused("5010", f"Stale Object Error : {said}")
        return row

    # --- parts ---

    def _put(self, entity: str, row: Row, after: Json, what: str) -> Row:
        before, at = row.data, self.world.clock.now()
        after |= {"SyncToken": str(int(before["SyncToken"]) + 1), "sparse": False}
        after["MetaData"] = {**before["MetaData"], "LastUpdatedTime": stamp(at)}
        row = self.tables[entity].put(row.key, after)
        self._settle(entity, before, after)
        self._told(entity, row.key, what)
        return row

    def _taken(self, entity: str, given: Json) -> Json:
        """The fields that may be written. Raises Refused where one is none at all."""
        if unknown := ENTITIES[entity].unknown(given):
            raise refused("2010", f"Property Name:{unknown[0]} specified is unsupported or invalid", unknown[0])
        if self.world.faults.strikes("closed_period") and ENTITIES[entity].transaction:
            raise refused("6210", "The account period has closed and the account books cannot be updated")
        return {name: value for name, value in given.items() if name not in ENTITIES[entity].ignored}

    def _defaults(self, entity: str, key: str, at: float) -> Json:
        if entity == "Customer":
            return {"Active": True, "Taxable": True, "Job": False}
        if entity == "Item":
            return {"Active": True, "Taxable": False, "UnitPrice": Decimal("0")}
        numbered = {"DocNumber": str(1000 + int(key))} if entity in _SALES else {}
        return {**numbered, "TxnDate": today(at), "CurrencyRef": {"value": "USD", "name": "United States Dollar"}}

    def _checked(self, entity: str, data: Json) -> Json:
        """Its name is nobody else's, and what it refers to is there. Raises Refused."""
        name, key = ENTITIES[entity].name, data.get("Id", "")
        holder = self._names.get((entity, str(data.get(name, "")).lower()))
        if name and data.get(name) and holder not in (None, key):
            raise refused(
                "6140" if ENTITIES[entity].transaction else "6240", f"{name} is used already : Id={holder}", name
            )
        if "CustomerRef" in data:
            customer = self.tables["Customer"].get(str(data["CustomerRef"].get("value", "")))
            if customer is None:
                raise refused("2500", "Invalid Reference Id : CustomerRef is none", "CustomerRef")
            data = {**data, "CustomerRef": {"value": customer.key, "name": customer.data["DisplayName"]}}
        if entity == "Customer":
            data = {**data, "FullyQualifiedName": data.get("DisplayName")}
        return data

    def _counted(self, entity: str, data: Json) -> Json:
        """With its sum, and what of it is open."""
        if entity == "Payment":
            total = _amount(data["TotalAmt"])
            return {**data, "TotalAmt": total, "UnappliedAmt": total - sum(each for _, each in _applied(data))}
        if entity not in _SALES:
            return data
        lines = [line for line in data.get("Line", []) if line.get("DetailType") != "SubTotalLineDetail"]
        lines = [{"Id": str(place), "LineNum": place, **line} for place, line in enumerate(lines, 1)]
        lines = [{**line, "Amount": _amount(line.get("Amount"))} for line in lines]
        total = sum((line["Amount"] for line in lines), Decimal("0.00"))
        whole = [*lines, {"Amount": total, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}]
        if entity == "CreditMemo":
            return {**data, "Line": whole, "TotalAmt": total, "RemainingCredit": total, "Balance": Decimal("0.00")}
        paid = sum((each for _, each in self._payments(data.get("Id", ""))), Decimal("0.00"))
        links = [{"TxnId": key, "TxnType": "Payment"} for key, _ in self._payments(data.get("Id", ""))]
        return {**data, "Line": whole, "TotalAmt": total, "Balance": total - paid, "LinkedTxn": links}

    def _payments(self, invoice: str) -> list[tuple[str, Decimal]]:
        """The payments of an invoice, and how much of each is for it."""
        found = (
            (row.key, amount) for row in self.tables["Payment"] for key, amount in _applied(row.data) if key == invoice
        )
        return [*found] if invoice else []

    def _settle(self, entity: str, before: Json, after: Json) -> None:
        """Names are had or free again; what is due moves; invoices that a payment is for are changed with it."""
        name, key = ENTITIES[entity].name, (after or before)["Id"]
        if name and before.get(name):
            self._names.pop((entity, before[name].lower()), None)
        if name and after.get(name):
            self._names[entity, after[name].lower()] = key
        if entity == "Invoice":
            for data, sign in ((before, -1), (after, 1)):
                if data:
                    customer = data["CustomerRef"]["value"]
                    self._due[customer] = self._due.get(customer, Decimal("0.00")) + sign * data["Balance"]
        if entity == "Payment":
            for invoice in {each for data in (before, after) if data for each, _ in _applied(data)}:
                if row := self.tables["Invoice"].get(invoice):
                    self._put("Invoice", row, self._counted("Invoice", row.data), "Update")


def _kept(entity: str, data: Json) -> list[str]:
    """What a full update leaves: what nobody writes."""
    return [name for name in data if name in ENTITIES[entity].ignored or name in ("Active", "DocNumber", "CurrencyRef")]


def _amount(value: Any) -> Decimal:
    try:
        return Decimal(str(value)).quantize(_CENT)
    except InvalidOperation:
        raise refused("2020", "Required parameter Amount is missing or no number", "Amount") from None


def _applied(payment: Json) -> list[tuple[str, Decimal]]:
    """The invoices that a payment is for, and how much of it."""
    return [
        (str(link["TxnId"]), _amount(line["Amount"]))
        for line in payment.get("Line", [])
        for link in line.get("LinkedTxn", [])
        if link.get("TxnType") == "Invoice"
    ]
