"""What HubSpot knows of each object: its properties, which of them nobody writes, which are unique, which are shown
unasked. A value is always text; an empty one is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from fieldwarden.sandbox.frame.clock import iso, seconds_of
from fieldwarden.sandbox.frame.records import Json


@dataclass(frozen=True, slots=True)
class Property:
    kind: str = "string"
    """string, number, datetime, date, bool, enumeration"""
    read_only: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """An object of the CRM. `one` is what events call it, `changed` the property of its last change."""

    one: str
    properties: Mapping[str, Property]
    shown: tuple[str, ...]
    changed: str = "hs_lastmodifieddate"
    read_only: bool = False


def _kind(one: str, names: str, numbers: str = "", dates: str = "", unique: str = "", **more: bool) -> Kind:
    changed = "lastmodifieddate" if one == "contact" else "hs_lastmodifieddate"
    own = {
        **{name: Property(unique=name in unique.split()) for name in names.split()},
        **{name: Property("number") for name in numbers.split()},
        **{name: Property("datetime") for name in dates.split()},
    }
    system = {
        "createdate": Property("datetime", read_only=True),
        changed: Property("datetime", read_only=True),
        "hs_object_id": Property("number", read_only=True),
    }
    return Kind(one, own | system, (*names.split()[:3], *system), changed, more.get("read_only", False))


KINDS: Mapping[str, Kind] = {
    "contacts": _kind(
        "contact", "email firstname lastname phone company jobtitle city country erp_id", unique="email erp_id"
    ),
    "companies": _kind(
        "company",
        "name domain city country zip address phone vat_number erp_id",
        numbers="annualrevenue numberofemployees",
        unique="erp_id",
    ),
    "deals": _kind("deal", "dealname pipeline dealstage deal_currency_code erp_id", "amount", "closedate", "erp_id"),
    "products": _kind("product", "name description hs_sku recurringbillingfrequency", "price hs_cost_of_goods_sold"),
    "line_items": _kind("line_item", "name hs_product_id hs_sku", "quantity price amount"),
    "orders": _kind(
        "order", "hs_order_name hs_currency_code hs_fulfillment_status erp_id", "hs_total_price", "", "erp_id"
    ),
    "invoices": _kind(
        "invoice",
        "hs_title hs_number hs_invoice_status hs_currency erp_id",
        "hs_amount_billed hs_balance_due",
        "hs_due_date hs_invoice_date",
        "erp_id",
    ),
    "subscriptions": _kind(
        "subscription", "hs_name hs_status hs_currency_code", "hs_last_payment_amount", read_only=True
    ),
    "commerce_payments": _kind(
        "commerce_payment", "hs_customer_email hs_latest_status hs_currency_code", "hs_initial_amount", read_only=True
    ),
}


def wrong(kind: Kind, name: str, value: object) -> str:
    """HubSpot's code of what is wrong with a value for a property; empty if nothing is."""
    known = kind.properties.get(name)
    if known is None:
        return "PROPERTY_DOESNT_EXIST"
    if known.read_only:
        return "READ_ONLY_VALUE"
    if value in (None, ""):
        return ""
    try:
        normal(known, value)
    except (ValueError, InvalidOperation):
        return {"number": "INVALID_DOUBLE", "datetime": "INVALID_DATE"}.get(known.kind, "INVALID_VALUE")
    return ""


def normal(known: Property, value: object) -> str | None:
    """The text that is kept: `normal(Property("datetime"), "0")` -> "1970-01-01T00:00:00.000Z". Raises ValueError,
    InvalidOperation."""
    text = "" if value is None else value if isinstance(value, str) else str(value).lower()
    if text == "":
        return None
    if known.kind == "number":
        return format(Decimal(text), "f")
    if known.kind == "datetime":
        return iso(int(text) / 1000 if text.lstrip("-").isdecimal() else seconds_of(text))
    return text


def described(name: str, known: Property) -> Json:
    """A property as the API of properties tells it."""
    field = {"number": "number", "datetime": "date"}.get(known.kind, "text")
    return {
        "name": name,
        "label": name,
        "type": known.kind,
        "fieldType": field,
        "hasUniqueValue": known.unique,
        "archived": False,
        "modificationMetadata": {"readOnlyValue": known.read_only, "readOnlyDefinition": True, "archivable": False},
    }
