"""NetSuite's books: records by internal id and external id, totals and states that follow from lines and payments, and
what was deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fieldwarden.sandbox.frame.clock import iso, seconds_of
from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.netsuite.errors import invalid, missing
from fieldwarden.sandbox.netsuite.suiteql import Copy, date

_OWN = frozenset({"id", "links", "createdDate", "lastModifiedDate", "status", "total", "amountRemaining", "refName"})
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Kind:
    """`code` is the type of a transaction in SuiteQL; `lines` its sublist."""

    takes: frozenset[str]
    needs: tuple[str, ...]
    code: str = ""
    lines: str = ""
    prefix: str = ""


def _kind(takes: str, needs: str, code: str = "", lines: str = "", prefix: str = "") -> Kind:
    return Kind(frozenset(f"externalId customForm {takes} {lines}".split()), tuple(needs.split()), code, lines, prefix)


_PARTY = "entityId firstName lastName email phone isInactive subsidiary comments"
_SALE = "entity tranDate tranId memo currency dueDate otherRefNum subsidiary createdFrom"
KINDS: Mapping[str, Kind] = {
    "customer": _kind(f"{_PARTY} companyName isPerson terms creditLimit vatRegNumber", "subsidiary"),
    "contact": _kind(f"{_PARTY} company title", "subsidiary"),
    "inventoryItem": _kind("itemId displayName isInactive salesDescription subsidiary taxSchedule", "itemId"),
    "salesOrder": _kind(_SALE, "entity item", "SalesOrd", "item", "SO"),
    "invoice": _kind(_SALE, "entity item", "CustInvc", "item", "INV"),
    "creditMemo": _kind(_SALE, "entity item", "CustCred", "item", "CM"),
    "customerPayment": _kind(
        "customer payment tranDate memo currency subsidiary", "customer payment", "CustPymt", "apply", "PYMT"
    ),
}
TRANSFORMS = {("salesOrder", "invoice"), ("invoice", "customerPayment"), ("invoice", "creditMemo")}


class Books:
    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = {name: Table(name, world.clock) for name in KINDS}
        self.copy = Copy(world.random)
        self._last = 100
        self._external: dict[tuple[str, str], str] = {}
        self._paid: dict[str, Decimal] = {}

    def key(self, kind: str, text: str) -> str:
        """The internal id that is meant: `eid:C1` is the record of that external id; "" where there is none."""
        return self._external.get((kind, text.removeprefix("eid:")), "") if text.startswith("eid:") else text

    def get(self, kind: str, text: str) -> Row:
        """Raises Refused."""
        row = self.tables[kind].get(self.key(kind, text))
        if row is None:
            raise missing(f"{kind}/{text}")
        return row

    def create(self, kind: str, given: Json) -> Row:
        fields = self._taken(kind, given)
        for name in KINDS[kind].needs:
            if fields.get(name) in (None, "", {}, []):
                raise invalid(f"Please enter value(s) for: {name}", name, "USER_ERROR")
        self._last += 1
        key, at = str(self._last), self.world.clock.now()
        numbered = {"tranId": f"{KINDS[kind].prefix}{key}"} if KINDS[kind].prefix else {}
        dated = {"tranDate": iso(at, 0)[:10]} if KINDS[kind].code else {}
        made = {**numbered, **dated, **fields, "id": key, "createdDate": iso(at, 0), "lastModifiedDate": iso(at, 0)}
        row = self.tables[kind].add(key, self._counted(kind, made))
        self._settle(kind, {}, row.data)
        return row

    def update(self, kind: str, row: Row, given: Json) -> Row:
        """What is not told stays."""
        if not given:
            return row
        return self._put(kind, row, self._taken(kind, given, row.key))

    def delete(self, kind: str, row: Row) -> None:
        if kind == "customer" and any(
            self._whose(each.data) == row.key for name in KINDS if KINDS[name].code for each in self.tables[name]
        ):
            raise invalid("This record cannot be deleted because it has dependent records", "", "USER_ERROR")
        self.tables[kind].remove(row.key)
        self._settle(kind, row.data, {})
        name = str(row.data.get("entityId") or row.data.get("tranId") or row.data.get("itemId") or "")
        gone = {"recordid": row.key, "recordtypeid": kind.lower(), "name": name, "context": "RESTWEBSERVICES"}
        self.copy.put("deletedrecord", {**gone, "deleteddate": date(row.modified)})

    def transform(self, kind: str, row: Row, into: str, given: Json) -> Row:
        """A new record from what another holds. Raises Refused."""
        if (kind, into) not in TRANSFORMS:
            raise invalid(f"{kind} cannot be transformed to {into}")
        whose = row.data["entity"]
        if into == "customerPayment":
            left = row.data["amountRemaining"]
            applied = {"items": [{"doc": {"id": row.key}, "apply": True, "amount": left}]}
            return self.create(into, {"customer": whose, "payment": left, "apply": applied, **given})
        lines = {"items": [{name: each[name] for name in each if name != "line"} for each in row.data["item"]["items"]]}
        return self.create(into, {"entity": whose, "item": lines, "createdFrom": {"id": row.key}, **given})

    # --- parts ---

    def _whose(self, data: Json) -> str:
        return str((data.get("entity") or data.get("customer") or {}).get("id", ""))

    def _put(self, kind: str, row: Row, fields: Json) -> Row:
        before, at = row.data, iso(self.world.clock.now(), 0)
        row = self.tables[kind].put(row.key, self._counted(kind, {**before, **fields, "lastModifiedDate": at}))
        self._settle(kind, before, row.data)
        return row

    def _taken(self, kind: str, given: Json, key: str = "") -> Json:
        if unknown := sorted(given.keys() - KINDS[kind].takes - _OWN):
            raise invalid(f"Unknown reference or field '{unknown[0]}' in a request body.", unknown[0])
        if fixed := sorted(given.keys() & _OWN - {"id", "links", "refName"}):
            raise invalid(f"You do not have permission to set a value for element {fixed[0]}.", fixed[0], "USER_ERROR")
        if KINDS[kind].code and self.world.faults.strikes("closed_period"):
            raise invalid("The accounting period of this transaction is closed.", "tranDate", "USER_ERROR")
        holder = self._external.get((kind, str(given.get("externalId", ""))))
        if given.get("externalId") and holder not in (None, key):
            raise invalid("This entity already exists.", "externalId", "USER_ERROR")
        fields = {name: value for name, value in given.items() if name not in _OWN}
        for name in ("entity", "customer"):
            if isinstance(fields.get(name), dict):
                whose = self.get("customer", str(fields[name].get("id") or f"eid:{fields[name].get('externalId')}"))
                fields[name] = {"id": whose.key, "refName": _called(whose.data)}
        return fields

    def _counted(self, kind: str, data: Json) -> Json:
        if kind == "customer" and not data.get("entityId"):
            data = {**data, "entityId": data.get("companyName") or f"{data.get('firstName')} {data.get('lastName')}"}
        if kind == "customerPayment":
            applied = [each for each in (data.get("apply") or {}).get("items", []) if each.get("apply")]
            return {
                **data,
                "payment": _money(data["payment"]),
                "total": _money(data["payment"]),
                "apply": {"items": applied},
            }
        if KINDS[kind].lines != "item":
            return data
        lines = []
        for place, each in enumerate(data["item"].get("items", []), 1):
            quantity = Decimal(str(each.get("quantity", 1)))
            amount = each.get("amount", quantity * Decimal(str(each.get("rate", 0))))
            lines.append({**each, "line": place, "quantity": quantity, "amount": _money(amount)})
        total = sum((each["amount"] for each in lines), Decimal("0.00"))
        left = total - self._paid.get(data["id"], Decimal("0.00")) if kind == "invoice" else Decimal("0.00")
        states = {
            "invoice": ("A", "Open") if left > 0 else ("B", "Paid In Full"),
            "salesOrder": ("B", "Pending Fulfillment"),
        }
        code, name = states.get(kind, ("A", "Open"))
        counted = {"total": total, "amountRemaining": left, "status": {"id": code, "refName": name}}
        return {**data, "item": {"items": lines}, **counted}

    def _settle(self, kind: str, before: Json, after: Json) -> None:
        """External ids, the copy that queries read, and the invoices that a payment is for."""
        if before.get("externalId"):
            self._external.pop((kind, str(before["externalId"])), None)
        if after.get("externalId"):
            self._external[kind, str(after["externalId"])] = after["id"]
        self._copied(kind, before, after)
        if kind == "customerPayment":
            for data, sign in ((before, -1), (after, 1)):
                for each in (data.get("apply") or {}).get("items", []):
                    key = str(each["doc"]["id"])
                    self._paid[key] = self._paid.get(key, Decimal("0.00")) + sign * _money(each["amount"])
                    if invoice := self.tables["invoice"].get(key):
                        self._put("invoice", invoice, {})

    def _copied(self, kind: str, before: Json, after: Json) -> None:
        table = {"inventoryItem": "item"}.get(kind, "transaction" if KINDS[kind].code else kind)
        key = (after or before)["id"]
        if KINDS[kind].code:
            self.copy.drop("transactionline", key, "transaction")
        if not after:
            self.copy.drop(table, key)
            return
        self.copy.put(table, _row(kind, after))
        for each in (after.get("item") or {}).get("items", []):
            line = {"id": str(each["line"]), "transaction": key, "item": str((each.get("item") or {}).get("id", ""))}
            line |= {"quantity": str(each["quantity"]), "foreignamount": str(each["amount"]), "mainline": "F"}
            self.copy.put_line({**line, "memo": each.get("description")})


def _called(data: Json) -> str:
    return str(data.get("entityId") or data.get("companyName") or "")


def _money(value: Any) -> Decimal:
    try:
        return Decimal(str(value)).quantize(_CENT)
    except InvalidOperation:
        raise invalid(f"{value!r} is no amount", "amount") from None


def _flag(value: object) -> str:
    return "T" if value is True else "F"


def _row(kind: str, data: Json) -> dict[str, str | None]:
    """A record as SuiteQL has it: text, T and F, dates that are marked as dates."""
    times = {"lastmodifieddate": date(seconds_of(data["lastModifiedDate"]))}
    times["datecreated" if kind in ("customer", "contact") else "createddate"] = date(seconds_of(data["createdDate"]))
    common: dict[str, str | None] = {"id": data["id"], "externalid": data.get("externalId"), **times}
    if KINDS[kind].code:
        whose = (data.get("entity") or data.get("customer") or {}).get("id")
        money = {"foreigntotal": str(data["total"]), "foreignamountunpaid": str(data.get("amountRemaining", "0.00"))}
        state = (data.get("status") or {"id": "B"})["id"]
        told = {"tranid": data.get("tranId"), "type": KINDS[kind].code, "entity": whose, "memo": data.get("memo")}
        return {**common, **told, **money, "trandate": date(seconds_of(data["tranDate"])), "status": state}
    flags: dict[str, str | None] = {"isinactive": _flag(data.get("isInactive"))}
    if kind == "inventoryItem":
        return {
            **common,
            **flags,
            "itemid": data.get("itemId"),
            "displayname": data.get("displayName"),
            "itemtype": "InvtPart",
        }
    names = {each.lower(): data.get(each) for each in ("entityId", "firstName", "lastName", "email", "phone")}
    if kind == "customer":
        return {
            **common,
            **flags,
            **names,
            "companyname": data.get("companyName"),
            "isperson": _flag(data.get("isPerson")),
        }
    return {**common, **flags, **names, "company": (data.get("company") or {}).get("id")}
