"""Stripe's books: objects by table, each change of one an event, whoever made it."""

from __future__ import annotations

from fieldwarden.sandbox.frame.records import Json, Table
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.stripe.errors import missing
from fieldwarden.sandbox.stripe.events import Cause, body, event, sign

PREFIXES = {
    "customers": "cus_",
    "products": "prod_",
    "prices": "price_",
    "subscriptions": "sub_",
    "invoices": "in_",
    "invoiceitems": "ii_",
    "credit_notes": "cn_",
    "payment_intents": "pi_",
    "charges": "ch_",
    "invoice_payments": "inpay_",
    "events": "evt_",
}
_CALLED = {"payment_intents": "payment_intent", "credit_notes": "credit_note", "invoice_payments": "invoice_payment"}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def called(table: str) -> str:
    """What Stripe calls an object of a table: `called("invoices")` -> "invoice"."""
    return _CALLED.get(table, table.removesuffix("s"))


def _event_of(table: str) -> str:
    """`_event_of("subscriptions")` -> "customer.subscription"."""
    return "customer.subscription" if table == "subscriptions" else called(table)


class Books:
    """`cause` is the request that is worked on; `ago` is how many seconds back what is made now was made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = {name: Table(name, world.clock) for name in PREFIXES}
        self.cause = Cause()
        self.ago = 0

    def now(self) -> int:
        return int(self.world.clock.now()) - self.ago

    def new_id(self, table: str) -> str:
        return PREFIXES[table] + "".join(self.world.random.choice(_LETTERS) for _ in range(14))

    def get(self, table: str, key: str | None, param: str = "id") -> Json:
        """Raises Refused: 404, or 400 where it is another parameter that names the object."""
        row = self.tables[table].get(key or "")
        if row is None:
            raise missing(called(table), key or "", param, 404 if param == "id" else 400)
        return row.data

    def add(self, table: str, data: Json, key: str = "", told: bool = True) -> Json:
        """A new object, with `TABLE.created` as its event unless it is not told."""
        made = {"id": key or self.new_id(table), **data}
        self.tables[table].add(made["id"], made, self.world.clock.now() - self.ago)
        if told:
            self.tell(f"{_event_of(table)}.created", made)
        return made

    def put(self, table: str, after: Json, kind: str = "") -> Json:
        """A new state of an object. Nothing happens where it is the old one."""
        before = self.get(table, after["id"])
        if before == after:
            return before
        self.tables[table].put(after["id"], after)
        self.tell(kind or f"{_event_of(table)}.updated", after, before)
        return after

    def remove(self, table: str, key: str) -> Json:
        gone = self.get(table, key)
        self.tables[table].remove(key)
        self.tell(f"{_event_of(table)}.deleted", gone)
        return {"id": key, "object": gone["object"], "deleted": True}

    def tell(self, kind: str, after: Json, before: Json | None = None) -> None:
        """An event, and its webhook."""
        if self.world.quiet:
            return
        full = event(self.new_id("events"), kind, after, before, self.cause, self.now())
        full["pending_webhooks"] = len(self.world.hooks.destinations)
        self.tables["events"].add(full["id"], full)
        self.world.hooks.tell(full["id"], body(full), sign)
