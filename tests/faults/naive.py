"""What the systems must come to hold, by rules written out by hand over what people did. No code of the engine's.

tax_id, name     the ERP's word; of a customer it never named itself, the word of whoever brought it
phone            the newest edit in the CRM or in billing
segment          the CRM's word, else billing's, else the ERP's
credit_limit     the ERP's alone
street, city     the ERP's, else billing's
invoice          billing's alone
product          the ERP's alone
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

Cells = dict[str, str | None]
"""Fields or columns of one row, by name, as text."""

COLUMNS: dict[tuple[str, str], dict[str, str]] = {
    ("crm", "account"): {
        "tax": "tax_id", "name": "name", "phone": "phone", "segment": "segment", "credit_limit": "credit_limit"
    },
    ("billing", "customer"): {
        "vat": "tax_id", "label": "name", "phone": "phone", "segment": "segment", "credit": "credit_limit",
        "street": "street", "city": "city",
    },
    ("billing", "invoice"): {"number": "number", "amount": "amount"},
    ("billing", "product"): {"sku": "sku", "title": "title"},
    ("erp", "party"): {"tax": "tax_id", "name": "name", "segment": "segment", "credit_limit": "credit_limit"},
    ("erp", "party_address"): {"street": "street", "city": "city"},
    ("erp", "receivable"): {"number": "number", "amount": "amount"},
    ("erp", "item"): {"sku": "sku", "title": "title"},
}  # fmt: skip
"""The columns that people write, and the fields they stand for."""

_TAX = {"account": "tax", "customer": "vat", "party": "tax"}
_KEY = {"product": "sku", "item": "sku"}


@dataclass(frozen=True)
class Touch:
    """One change of one row, as the system's own trigger wrote it down. `lsn`: where its log stood then."""

    system: str
    who: str
    lsn: int
    table: str
    operation: str
    was: Cells
    now: Cells

    @classmethod
    def read(cls, system: str, who: str, lsn: int, table: str, operation: str, was: str, now: str) -> Touch:
        return cls(system, who, lsn, table, operation, _cells(was), _cells(now))

    @property
    def row(self) -> Cells:
        return self.now or self.was

    @property
    def key(self) -> str:
        return str(self.row[_KEY.get(self.table, "id")])

    def changed(self) -> Cells:
        """Column -> what it became."""
        if self.operation == "INSERT":
            return self.now
        return {column: value for column, value in self.now.items() if self.was[column] != value}

    def said(self) -> Cells:
        """Field -> what it became."""
        columns = COLUMNS[self.system, self.table]
        return {columns[column]: value for column, value in self.changed().items() if column in columns}


def _cells(text: str) -> Cells:
    found: Cells = json.loads(text, parse_float=str, parse_int=str)
    return found


@dataclass
class Expected:
    """By tax id, number and sku. `removed` are customers that the CRM's people deleted."""

    customers: dict[str, Cells] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    invoices: dict[str, Cells] = field(default_factory=dict)
    products: dict[str, Cells] = field(default_factory=dict)


Words = dict[str, tuple[str | None, str]]
"""Of one system about one customer: field -> the last word, and when it was said."""


def expected(everything: Iterable[Touch], by_people: Iterable[Touch]) -> Expected:
    """`everything` says whose a row is, where only its key is known; what counts is what people did, in order."""
    tax_of = {("customer" if t.table == "customer" else "party", t.row["id"]): t.row[_TAX[t.table]]
              for t in everything if t.table in ("customer", "party")}  # fmt: skip
    found = Expected()
    words: dict[str, dict[str, Words]] = {}
    for touch in by_people:
        said = touch.said()
        if touch.table in _TAX:
            tax = str(touch.row[_TAX[touch.table]])
            if touch.operation == "DELETE":
                found.removed.add(tax)
            _listen(words, tax, touch, said)
        elif touch.table == "party_address":
            _listen(words, str(tax_of["party", touch.row["party_id"]]), touch, said)
        elif touch.table == "invoice":
            invoice = found.invoices.setdefault(str(touch.row["number"]), {})
            invoice |= said | {"customer": tax_of["customer", touch.row["customer_id"]]}
        elif touch.table == "item":
            found.products.setdefault(str(touch.row["sku"]), {}).update(said)
    found.customers = {tax: _golden(systems) for tax, systems in words.items() if tax not in found.removed}
    return found


def _listen(words: dict[str, dict[str, Words]], tax: str, touch: Touch, said: Cells) -> None:
    at = touch.row.get("phoned_at") or ""
    mine = words.setdefault(tax, {}).setdefault(touch.system, {})
    mine.update({name: (value, at) for name, value in said.items()})


def _golden(systems: dict[str, Words]) -> Cells:
    def word(name: str, *order: str) -> str | None:
        said = [systems[system][name][0] for system in order if name in systems.get(system, {})]
        return next((value for value in said if value is not None), None)

    phones = [systems[system]["phone"] for system in ("crm", "billing") if "phone" in systems.get(system, {})]
    spoken = [(at, value) for value, at in phones if value is not None]
    return {
        "tax_id": word("tax_id", "erp", "billing", "crm"),
        "name": word("name", "erp", "billing", "crm"),
        "phone": max(spoken)[1] if spoken else None,
        "segment": word("segment", "crm", "billing", "erp"),
        "credit_limit": word("credit_limit", "erp"),
        "street": word("street", "erp", "billing"),
        "city": word("city", "erp", "billing"),
    }
