"""Stripe's customers, products, prices and subscriptions."""

from __future__ import annotations

from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.stripe import shapes
from fieldwarden.sandbox.stripe.books import Books
from fieldwarden.sandbox.stripe.errors import invalid
from fieldwarden.sandbox.stripe.params import merged, required, taken

_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}


class Catalogue:
    def __init__(self, books: Books) -> None:
        self._books = books

    def create_customer(self, given: Json, key: str = "") -> Json:
        empty = shapes.customer(self._books.now())
        return self._books.add("customers", merged(empty, taken(given, shapes.CUSTOMER)), key)

    def edit_customer(self, key: str, given: Json) -> Json:
        before = self._books.get("customers", key)
        return self._books.put("customers", merged(before, taken(given, shapes.CUSTOMER)))

    def remove_customer(self, key: str) -> Json:
        """Its subscriptions end at once; its invoices stay."""
        self._books.get("customers", key)
        for row in [*self._books.tables["subscriptions"]]:
            if row.data["customer"] == key and row.data["status"] != "canceled":
                self.cancel(row.key)
        return self._books.remove("customers", key)

    def create_product(self, given: Json, key: str = "") -> Json:
        fields = taken(given, shapes.PRODUCT)
        required(fields, "name")
        return self._books.add("products", merged(shapes.product(self._books.now()), fields), key)

    def edit_product(self, key: str, given: Json) -> Json:
        before, fields = self._books.get("products", key), taken(given, shapes.PRODUCT)
        after = merged(before, fields)
        return self._books.put("products", after if after == before else {**after, "updated": self._books.now()})

    def remove_product(self, key: str) -> Json:
        if any(row.data["product"] == key for row in self._books.tables["prices"]):
            raise invalid("This product cannot be deleted because it has one or more user-created prices.", "id")
        return self._books.remove("products", key)

    def create_price(self, given: Json, key: str = "") -> Json:
        fields = taken(given, shapes.PRICE)
        required(fields, "currency", "product", "unit_amount")
        self._books.get("products", fields["product"], "product")
        made = merged(shapes.price(self._books.now()), fields)
        if made["recurring"]:
            made["type"] = "recurring"
            made["recurring"] = {"interval_count": 1, "usage_type": "licensed", "meter": None, **made["recurring"]}
        return self._books.add("prices", {**made, "unit_amount_decimal": str(made["unit_amount"])}, key)

    def edit_price(self, key: str, given: Json) -> Json:
        """Its amount and currency stay for ever."""
        return self._books.put("prices", merged(self._books.get("prices", key), taken(given, shapes.PRICE_EDIT)))

    def subscribe(self, given: Json, key: str = "") -> Json:
        books, fields = self._books, taken(given, shapes.SUBSCRIPTION)
        required(fields, "customer", "items")
        customer = books.get("customers", fields["customer"], "customer")
        items = fields.pop("items")
        made = {"id": key or books.new_id("subscriptions"), **merged(shapes.subscription(books.now()), fields)}
        held = [self._item(made["id"], item) for item in items]
        made["currency"] = held[0]["price"]["currency"] if held else customer["currency"]
        made["items"] = self._items(made["id"], held)
        return books.add("subscriptions", made, made["id"])

    def edit_subscription(self, key: str, given: Json) -> Json:
        before, fields = self._books.get("subscriptions", key), taken(given, shapes.SUBSCRIPTION_EDIT)
        if before["status"] == "canceled":
            raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
        held = {item["id"]: item for item in before["items"]["data"]}
        for item in fields.pop("items", []):
            known = held.get(item.get("id") or "")
            if item.get("id") and known is None:
                raise invalid(f"No such subscription item: '{item['id']}'", "items[id]", "resource_missing")
            if item.get("deleted"):
                held.pop(item["id"])
                continue
            made = self._item(key, {"price": known["price"]["id"], **item} if known else item)
            made = {**made, "id": known["id"], "created": known["created"]} if known else made
            held[made["id"]] = made
        after = {**merged(before, fields), "items": self._items(key, [*held.values()])}
        return self._books.put("subscriptions", after)

    def cancel(self, key: str) -> Json:
        """At once. It can still be retrieved."""
        before, now = self._books.get("subscriptions", key), self._books.now()
        if before["status"] == "canceled":
            raise invalid(f"No such subscription: '{key}'", "id", "resource_missing")
        ended = {"status": "canceled", "canceled_at": now, "ended_at": now}
        return self._books.put("subscriptions", {**before, **ended}, "customer.subscription.deleted")

    def edit_credit_note(self, key: str, given: Json) -> Json:
        before = self._books.get("credit_notes", key)
        return self._books.put("credit_notes", merged(before, taken(given, shapes.CREDIT_NOTE_EDIT)))

    def _item(self, subscription: str, given: Json) -> Json:
        price = self._books.get("prices", given.get("price"), "items[price]")
        if price["type"] != "recurring":
            raise invalid("The price specified is set to `type=one_time`.", "items[price]")
        now = self._books.now()
        length = _DAYS[price["recurring"]["interval"]] * price["recurring"]["interval_count"] * 86400
        return {
            "id": "si_" + self._books.new_id("subscriptions").removeprefix("sub_"),
            "object": "subscription_item",
            "created": now,
            "current_period_end": now + length,
            "current_period_start": now,
            "metadata": {},
            "price": price,
            "quantity": given.get("quantity", 1),
            "subscription": subscription,
        }

    def _items(self, subscription: str, held: list[Json]) -> Json:
        url = f"/v1/subscription_items?subscription={subscription}"
        return {"object": "list", "data": held, "has_more": False, "total_count": len(held), "url": url}
