"""What a Stripe sandbox begins with, and what many more records of it are made of. The same seed makes the same."""

from __future__ import annotations

from fieldwarden.sandbox.frame.exchange import NotPossible
from fieldwarden.sandbox.frame.names import company, mail, town
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.frame.vendor import Vendor
from fieldwarden.sandbox.stripe.books import Books

CUSTOMERS = 25
INVOICES = 12
SUBSCRIPTIONS = 6
_DAY = 86400
_STATES = ("paid", "open", "draft", "void")
_PLANS = (("Basic", 2900), ("Team", 9900), ("Enterprise", 49900))


def seeded(vendor: Vendor, books: Books) -> None:
    """Customers are made a day apart but in pairs, of which both have the same second."""
    for number, (name, amount) in enumerate(_PLANS):
        books.ago = 60 * _DAY - number
        product = vendor.create("products", {"name": name})
        monthly = {"interval": "month"}
        vendor.create("prices", {"product": product, "currency": "eur", "unit_amount": amount, "recurring": monthly})
    for table, count in (("customers", CUSTOMERS), ("subscriptions", SUBSCRIPTIONS), ("invoices", INVOICES)):
        for number in range(count):
            books.ago = (30 - number // 2) * _DAY
            vendor.create(table, sample(books, table, number))
    books.ago = 0


def sample(books: Books, table: str, number: int) -> Json:
    """Raises NotPossible."""
    if table == "customers":
        city, postal_code, country = town(number)
        address = {"line1": f"{number + 1} Market Street", "city": city, "postal_code": postal_code, "country": country}
        told = {"name": company(number), "email": mail(number), "metadata": {"erp_id": f"C{number:05}"}}
        return {**told, "address": address}
    if table == "products":
        return {"name": f"Product {number}"}
    customer, price = books.tables["customers"].pick(number), books.tables["prices"].pick(number)
    if customer is None or price is None:
        raise NotPossible(f"{table} need a customer and a price first")
    if table == "prices":
        return {"product": price.data["product"], "currency": "eur", "unit_amount": 1000 + number}
    if table == "subscriptions":
        return {"customer": customer.key, "items": [{"price": price.key, "quantity": 1 + number % 3}]}
    if table == "invoices":
        items = [{"amount": 1000 + 137 * number, "currency": "eur", "description": f"Work of week {number}"}]
        return {"customer": customer.key, "currency": "eur", "status": _STATES[number % len(_STATES)], "items": items}
    raise NotPossible(f"{table} are not made in bulk")
