"""What Stripe's objects look like when nothing was said of a field, and which parameters may be said."""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.stripe.params import Reader, one_of, part, several, text, whole, words, yes

ADDRESS: Mapping[str, Reader] = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text)
RECURRING: Mapping[str, Reader] = {
    "interval": one_of("day", "week", "month", "year"),
    "interval_count": whole,
    "usage_type": one_of("licensed", "metered"),
}
ITEM: Mapping[str, Reader] = {"id": text, "price": text, "quantity": whole, "deleted": yes}

CUSTOMER: Mapping[str, Reader] = {
    "address": part(ADDRESS),
    "balance": whole,
    "description": text,
    "email": text,
    "metadata": words,
    "name": text,
    "phone": text,
    "shipping": part({"name": text, "phone": text, "address": part(ADDRESS)}),
    "tax_exempt": one_of("none", "exempt", "reverse"),
}
PRODUCT: Mapping[str, Reader] = {
    "active": yes,
    "default_price": text,
    "description": text,
    "metadata": words,
    "name": text,
    "statement_descriptor": text,
    "tax_code": text,
    "unit_label": text,
    "url": text,
}
PRICE_EDIT: Mapping[str, Reader] = {
    "active": yes,
    "lookup_key": text,
    "metadata": words,
    "nickname": text,
    "tax_behavior": one_of("exclusive", "inclusive", "unspecified"),
}
PRICE: Mapping[str, Reader] = {
    **PRICE_EDIT,
    "currency": text,
    "product": text,
    "recurring": part(RECURRING),
    "unit_amount": whole,
}
SUBSCRIPTION_EDIT: Mapping[str, Reader] = {
    "cancel_at_period_end": yes,
    "collection_method": one_of("charge_automatically", "send_invoice"),
    "days_until_due": whole,
    "description": text,
    "items": several(ITEM),
    "metadata": words,
}
SUBSCRIPTION: Mapping[str, Reader] = {**SUBSCRIPTION_EDIT, "customer": text, "currency": text}
INVOICE_ALWAYS: Mapping[str, Reader] = {"auto_advance": yes, "metadata": words}
"""What may be said of an invoice that is no draft any more."""
INVOICE_EDIT: Mapping[str, Reader] = {
    **INVOICE_ALWAYS,
    "collection_method": one_of("charge_automatically", "send_invoice"),
    "days_until_due": whole,
    "description": text,
    "due_date": whole,
    "footer": text,
    "statement_descriptor": text,
}
INVOICE: Mapping[str, Reader] = {
    **INVOICE_EDIT,
    "currency": text,
    "customer": text,
    "pending_invoice_items_behavior": one_of("exclude", "include"),
    "subscription": text,
}
INVOICE_ITEM_EDIT: Mapping[str, Reader] = {
    "amount": whole,
    "description": text,
    "metadata": words,
    "quantity": whole,
    "unit_amount_decimal": text,
}
INVOICE_ITEM: Mapping[str, Reader] = {
    **INVOICE_ITEM_EDIT,
    "currency": text,
    "customer": text,
    "invoice": text,
    "pricing": part({"price": text}),
}
CREDIT_NOTE: Mapping[str, Reader] = {
    "amount": whole,
    "credit_amount": whole,
    "invoice": text,
    "memo": text,
    "metadata": words,
    "out_of_band_amount": whole,
    "reason": one_of("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "refund_amount": whole,
}
CREDIT_NOTE_EDIT: Mapping[str, Reader] = {"memo": text, "metadata": words}


def customer(created: int) -> Json:
    return {
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "email": None,
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def product(created: int) -> Json:
    return {
        "object": "product",
        "active": True,
        "created": created,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "metadata": {},
        "name": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": created,
        "url": None,
    }


def price(created: int) -> Json:
    return {
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": created,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "recurring": None,
        "tax_behavior": "unspecified",
        "type": "one_time",
        "unit_amount": None,
    }


def subscription(created: int) -> Json:
    return {
        "object": "subscription",
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "created": created,
        "days_until_due": None,
        "description": None,
        "ended_at": None,
        "latest_invoice": None,
        "livemode": False,
        "metadata": {},
        "start_date": created,
        "status": "active",
    }


def invoice(created: int) -> Json:
    return {
        "object": "invoice",
        "amount_due": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": created,
        "description": None,
        "due_date": None,
        "footer": None,
        "livemode": False,
        "metadata": {},
        "number": None,
        "parent": None,
        "period_end": created,
        "period_start": created,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "total": 0,
    }


def line(item: Json) -> Json:
    """The line of an invoice that an invoice item is."""
    return {
        "id": "il_" + item["id"].removeprefix("ii_"),
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discountable": True,
        "invoice": item["invoice"],
        "livemode": False,
        "metadata": item["metadata"],
        "parent": {"invoice_item_details": {"invoice_item": item["id"]}, "type": "invoice_item_details"},
        "period": item["period"],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
    }
