"""How HubSpot's objects are read and shown, and what many of them are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fieldwarden.sandbox.frame.exchange import Call, NotPossible, read_json
from fieldwarden.sandbox.frame.names import company, mail, town
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.hubspot.errors import invalid


def shown(changed: str, data: Json, names: Sequence[str]) -> Json:
    """What is not known is left out; what is asked for and has no value is null."""
    always = ("createdate", changed, "hs_object_id")
    properties = {name: data[name] for name in dict.fromkeys([*names, *always]) if name in data}
    made: dict[str, Any] = {"id": data["hs_object_id"], "properties": properties}
    return {**made, "createdAt": data["createdate"], "updatedAt": data[changed], "archived": False}


def read(call: Call) -> Json:
    try:
        body = read_json(call.body or b"{}")
    except ValueError:
        raise invalid("Invalid input JSON") from None
    if not isinstance(body, dict):
        raise invalid("Invalid input JSON: an object is wanted")
    return body


def sample(table: str, number: int) -> Json:
    """Raises NotPossible."""
    city, postal_code, country = town(number)
    erp = f"{table[:2].upper()}{number:06}"
    match table:
        case "companies":
            told = {"name": company(number), "domain": f"company{number}.example.com", "city": city}
            return {**told, "zip": postal_code, "country": country, "erp_id": erp}
        case "contacts":
            return {"email": mail(number), "firstname": "Zoë", "lastname": f"Nr {number}", "city": city}
        case "products":
            return {"name": f"Product {number}", "hs_sku": f"SKU{number}", "price": f"{10 + number}.50"}
        case "deals":
            return {"dealname": f"Deal {number}", "amount": f"{100 * number}.00", "dealstage": "closedwon"}
        case "orders":
            return {"hs_order_name": f"Order {number}", "hs_currency_code": "EUR", "erp_id": erp}
        case "invoices":
            return {
                "hs_title": f"Invoice {number}",
                "hs_currency": "EUR",
                "hs_amount_billed": "10.00",
                "erp_id": erp,
            }
    raise NotPossible(f"{table} are not made in bulk")
