"""Stripe: form-encoded requests, lists from the newest on, events and signed webhooks, idempotency keys, invoices that
go from state to state."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible, Refused, told
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.stripe import lists
from fieldwarden.sandbox.stripe.billing import Billing
from fieldwarden.sandbox.stripe.books import Books, called
from fieldwarden.sandbox.stripe.catalogue import Catalogue
from fieldwarden.sandbox.stripe.errors import error, invalid, masked, missing
from fieldwarden.sandbox.stripe.events import API_VERSION, RETENTION, Cause, thin
from fieldwarden.sandbox.stripe.keys import Keys
from fieldwarden.sandbox.stripe.params import decoded, yes
from fieldwarden.sandbox.stripe.seed import sample, seeded

_SEARCHED = ("customers", "invoices", "prices", "products", "subscriptions", "payment_intents", "charges")
_FILTERS = {"customer", "email", "invoice", "payment_intent", "product", "status", "type"}
_PAGES = {"limit", "starting_after", "ending_before", "created", "expand"}
_EXPANDED = {"customer": "customers", "invoice": "invoices", "product": "products", "payment_intent": "payment_intents"}
_WAYS = {
    "draft": (),
    "open": ("finalize",),
    "paid": ("finalize", "pay"),
    "void": ("finalize", "void"),
    "uncollectible": ("finalize", "mark_uncollectible"),
}
"""How an invoice comes to a status."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What can be done with the objects of a table; None where Stripe has no such call."""

    create: Callable[..., Json] | None = None
    edit: Callable[[str, Json], Json] | None = None
    remove: Callable[[str], Json] | None = None


class Stripe(Vendor):
    name = "stripe"
    title = "Stripe"
    rate = Rate(25, 1.0)
    retries = (60.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0, 43200.0, 43200.0)
    secret = "whsec_sandbox"  # noqa: S105  (of a sandbox: it protects nothing)
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "lock_timeout": "a request is answered with 429 lock_timeout",
        "missing_scope": "a request is answered with 403: the restricted key lacks a permission",
        "stored_500": "a write under an Idempotency-Key fails with a 500 that is answered again under that key",
        "key_in_use": "a write under an Idempotency-Key is answered with 409: another one is under way",
        "card_declined": "paying an invoice fails with 402",
        "expired_cursor": "a page's starting_after is not known any more",
        "repeated_page": "a page is the first one again, whatever it starts after",
    }
    notes = (
        "key: any that begins with sk_test_ or rk_test_, as Bearer token or as the user of basic authentication",
        f"webhooks are signed by {secret}",
        f"a search sees what was there {lists.SEARCH_LAG:.0f} seconds ago",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.books = Books(self.world)
        self.tables = self.books.tables
        self.billing = Billing(self.books)
        self._keys = Keys()
        catalogue, billing = Catalogue(self.books), self.billing
        self._doings = {
            "customers": Doing(catalogue.create_customer, catalogue.edit_customer, catalogue.remove_customer),
            "products": Doing(catalogue.create_product, catalogue.edit_product, catalogue.remove_product),
            "prices": Doing(catalogue.create_price, catalogue.edit_price),
            "subscriptions": Doing(catalogue.subscribe, catalogue.edit_subscription, catalogue.cancel),
            "invoices": Doing(billing.create, billing.edit, billing.delete),
            "invoiceitems": Doing(billing.add_item, billing.edit_item, billing.remove_item),
            "credit_notes": Doing(billing.credit, catalogue.edit_credit_note),
        }

    def begin(self) -> None:
        self._fresh()
        seeded(self, self.books)

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        """An invoice may have `items` (of amount and description) and the `status` that it is to come to."""
        doing = self._doings.get(table, Doing())
        if doing.create is None:
            raise NotPossible(f"nobody makes {table} by hand")
        given = dict(data)
        key = str(given.pop("id", ""))
        if key and self.tables[table].ever(key):
            raise NotPossible(f"{table} has {key!r} already")
        if table == "invoices" and given.get("status", "draft") not in _WAYS:
            raise NotPossible(f"an invoice is {', '.join(_WAYS)}")
        items, status = (given.pop("items", []), given.pop("status", "draft")) if table == "invoices" else ([], "")
        made: str = doing.create(given, key)["id"]
        for item in items:
            self.billing.add_item({"customer": data["customer"], "invoice": made, **item})
        for action in _WAYS.get(status, ()):
            if action == "finalize" or self.books.get("invoices", made)["status"] == "open":
                self.act(table, made, action)
        return made

    def edit(self, table: str, key: str, changes: Json) -> None:
        doing = self._doings.get(table, Doing())
        if doing.edit is None:
            raise NotPossible(f"{table} cannot be edited")
        doing.edit(key, changes)

    def remove(self, table: str, key: str) -> None:
        doing = self._doings.get(table, Doing())
        if doing.remove is None:
            raise NotPossible(f"{table} cannot be deleted")
        doing.remove(key)

    def actions(self, table: str) -> Sequence[str]:
        return [path.rpartition("/")[2] for path in self._acts() if path.startswith(f"/v1/{table}/")]

    def act(self, table: str, key: str, action: str) -> None:
        act = self._acts().get(f"/v1/{table}/{{id}}/{action}")
        if act is None:
            there = ", ".join(self.actions(table)) or "none"
            raise NotPossible(f"{table} have no action {action!r}; they have {there}")
        act(key, {})

    def sample(self, table: str, number: int) -> Json:
        return sample(self.books, table, number)

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        for table in _SEARCHED:
            yield Endpoint("GET", f"/v1/{table}/search", self._searching(table))
        yield Endpoint("GET", "/v1/invoices/{id}/lines", self._lines)
        for path, act in self._acts().items():
            yield Endpoint("POST", path, self._acting(act))
        for table in self.tables:
            yield Endpoint("GET", f"/v1/{table}", self._listing(table))
            yield Endpoint("GET", f"/v1/{table}/{{id}}", self._retrieving(table))
            doing = self._doings.get(table, Doing())
            if doing.create:
                yield Endpoint("POST", f"/v1/{table}", self._creating(table))
            if doing.edit:
                yield Endpoint("POST", f"/v1/{table}/{{id}}", self._editing(table))
            if doing.remove:
                yield Endpoint("DELETE", f"/v1/{table}/{{id}}", self._removing(table))
        yield Endpoint("GET", "/v2/core/events", self._v2_events)
        yield Endpoint("GET", "/v2/core/events/{id}", self._v2_event)

    def _acts(self) -> Mapping[str, Callable[[str, Json], Json]]:
        """By path; they are looked up when they are done, since `begin` makes the books anew."""
        return {
            "/v1/invoices/{id}/finalize": lambda key, _: self.billing.finalize(key),
            "/v1/invoices/{id}/pay": lambda key, given: self.billing.pay(
                key, yes(given.get("paid_out_of_band", "false"), "paid_out_of_band")
            ),
            "/v1/invoices/{id}/void": lambda key, _: self.billing.void(key),
            "/v1/invoices/{id}/mark_uncollectible": lambda key, _: self.billing.mark_uncollectible(key),
            "/v1/invoices/{id}/send": lambda key, _: self.billing.send(key),
            "/v1/credit_notes/{id}/void": lambda key, _: self.billing.void_credit(key),
        }

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        self._known(call)
        request, faults = "req_" + self.code(14), self.world.faults
        if call.path.startswith("/v2/") and "stripe-version" not in call.headers:
            raise Refused(error(400, "Please provide a Stripe-Version header."))
        if faults.strikes("lock_timeout", call.path):
            raise Refused(error(429, "This object cannot be accessed right now.", code="lock_timeout"))
        if faults.strikes("missing_scope", call.path):
            wrong = f"The provided key '{masked(self._key(call))}' does not have the required permissions."
            raise Refused(error(403, wrong))
        answer = self._once(endpoint, call, request)
        return replace(answer, headers={"request-id": request, "stripe-version": API_VERSION, **answer.headers})

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        del wait  # Stripe does not say how long
        if why == "throttle":
            limited = {"stripe-rate-limited-reason": "global-rate", "stripe-should-retry": "false"}
            return error(429, "Request rate limit exceeded.", code="rate_limit", headers=limited)
        if why == "revoked_token":
            return error(401, f"Expired API Key provided: {masked(self._key(call))}", code="api_key_expired")
        if why == "server_error":
            return error(500, "An unknown error occurred.", kind="api_error")
        return error(404, f"Unrecognized request URL ({call.method}: {call.path}).")

    # --- parts ---

    def _key(self, call: Call) -> str:
        kind, _, value = call.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return value.strip()
        try:
            return base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""

    def _known(self, call: Call) -> None:
        key = self._key(call)
        if not key:
            raise Refused(error(401, "You did not provide an API key."))
        if not key.startswith(("sk_test_", "rk_test_")):
            raise Refused(error(401, f"Invalid API Key provided: {masked(key)}"))

    def _once(self, endpoint: Endpoint, call: Call, request: str) -> Answer:
        """The work, or what was answered before under its key. Kept is what began; what was wrong in itself is not."""
        key, now = call.headers.get("idempotency-key", ""), self.world.clock.now()
        self.books.cause = Cause(request, key or None)
        try:
            if not key or call.method != "POST":
                return endpoint.handle(call)
            asked = (call.method, call.path, call.body)
            if (kept := self._keys.answer(key, asked, now)) is not None:
                return kept
            if self.world.faults.strikes("key_in_use", call.path):
                return error(
                    409,
                    "There is currently another in-progress request using this Idempotent Key.",
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                )
            if self.world.faults.strikes("stored_500", call.path):
                answer = error(500, "An unknown error occurred.", kind="api_error")
            else:
                answer = self._answered(endpoint, call)
            if answer.status < 400 or answer.status in (402, 500):
                self._keys.keep(key, asked, answer, request, now)
            return replace(answer, headers={"idempotency-key": key, **answer.headers})
        finally:
            self.books.cause = Cause()

    def _answered(self, endpoint: Endpoint, call: Call) -> Answer:
        try:
            return endpoint.handle(call)
        except Refused as refused:
            return refused.answer

    def _shown(self, value: Json, asked: Json) -> Json:
        """With the objects that `expand` names in place of their ids."""
        for path in asked.get("expand", []):
            name = path.removeprefix("data.")
            if name not in _EXPANDED:
                raise invalid(f"This property cannot be expanded ({path}).", "expand")
            if value.get("object") == "list":
                value = {**value, "data": [self._expanded(each, name) for each in value["data"]]}
            else:
                value = self._expanded(value, name)
        return value

    def _expanded(self, value: Json, name: str) -> Json:
        row = self.tables[_EXPANDED[name]].ever(value.get(name) or "")
        return {**value, name: row.data} if row else value

    def _listing(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            asked = decoded(call.query)
            if unknown := asked.keys() - _FILTERS - _PAGES - ({"types"} if table == "events" else set()):
                name = min(unknown)
                raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
            if asked.get("starting_after") and self.world.faults.strikes("repeated_page", call.path):
                del asked["starting_after"]
            fits = self._fits(table, asked)
            knows = not (asked.get("starting_after") and self.world.faults.strikes("expired_cursor", call.path))
            found = lists.page(self.tables[table], asked, called(table), call.path, fits, knows)
            return told(self._shown(found, asked))

        return answer

    def _fits(self, table: str, asked: Json) -> lists.Fits:
        wanted = {name: value for name, value in asked.items() if name in _FILTERS}
        if table == "subscriptions" and wanted.get("status", "") in ("", "all"):
            ended = wanted.pop("status", "") == "all"
        else:
            ended = True
        if table == "events" and "types" in asked:
            wanted["type"] = asked["types"]
        made = lists.within(asked["created"]) if "created" in asked else lambda _: True
        since = self.world.clock.now() - RETENTION if table == "events" else 0.0

        def fits(each: Json) -> bool:
            if each["created" if "created" in each else "date"] < since or not made(each):
                return False
            if not ended and each["status"] == "canceled":
                return False
            return all(_same(each.get(name), value) for name, value in wanted.items())

        return fits

    def _retrieving(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            key = call.parts["id"]
            row = self.tables[table].ever(key)
            if row is not None and row.deleted and table in ("customers", "products"):
                return told({"id": key, "object": row.data["object"], "deleted": True})
            found = self.books.get(table, key)
            if table == "events" and found["created"] < self.world.clock.now() - RETENTION:
                raise missing("event", key)
            return told(self._shown(found, decoded(call.query)))

        return answer

    def _creating(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            given = decoded(call.body.decode("utf-8", "replace"))
            make = self._doings[table].create
            assert make is not None
            return told(self._shown(make(given), given))

        return answer

    def _editing(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            given = decoded(call.body.decode("utf-8", "replace"))
            edit = self._doings[table].edit
            assert edit is not None
            return told(self._shown(edit(call.parts["id"], given), given))

        return answer

    def _removing(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            remove = self._doings[table].remove
            assert remove is not None
            return told(remove(call.parts["id"]))

        return answer

    def _acting(self, act: Callable[[str, Json], Json]) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            return told(act(call.parts["id"], decoded(call.body.decode("utf-8", "replace"))))

        return answer

    def _lines(self, call: Call) -> Answer:
        self.books.get("invoices", call.parts["id"])
        return told(lists.listed(self.billing.lines(call.parts["id"]), decoded(call.query), call.path))

    def _searching(self, table: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            asked = decoded(call.query)
            return told(lists.searched(self.tables[table], asked, call.path, self.world.clock.now()))

        return answer

    def _v2_events(self, call: Call) -> Answer:
        asked = decoded(call.query)
        start = lists.last_of(str(asked["page"])) if asked.get("page") else ""
        if start and (self.tables["events"].ever(start) is None or self.world.faults.strikes("expired_cursor")):
            raise invalid("Invalid page token", "page")
        since, types = self.world.clock.now() - RETENTION, asked.get("types", [])
        made = lists.within(asked["created"]) if "created" in asked else lambda _: True
        rows = (
            (row, shown)
            for row in self.tables["events"].older(start)
            if row.created >= since
            and asked.get("object_id", row.data["data"]["object"]["id"]) == row.data["data"]["object"]["id"]
            and made(row.data)
            and (shown := self._thin(row))["type"] in (types or [shown["type"]])
        )
        return told(lists.v2_page(rows, asked, call.path))

    def _v2_event(self, call: Call) -> Answer:
        row = self.tables["events"].get("evt_" + call.parts["id"].removeprefix("evt_test_"))
        if row is None or row.created < self.world.clock.now() - RETENTION:
            raise Refused(error(404, f"No such event: '{call.parts['id']}'", code="not_found"))
        return told(self._thin(row))

    def _thin(self, row: Row) -> Json:
        inner = row.data["data"]["object"]
        table = next(name for name in self.tables if called(name) == inner["object"])
        return thin(row.data, row.created, f"/v1/{table}/{inner['id']}")


def _same(held: Any, wanted: Any) -> bool:
    """`type=invoice.*` and lists of words are understood too."""
    if isinstance(wanted, list):
        return any(_same(held, each) for each in wanted)
    if isinstance(wanted, str) and wanted.endswith(".*"):
        return str(held).startswith(wanted[:-1])
    return bool(held == wanted)
