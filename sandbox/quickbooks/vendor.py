"""QuickBooks Online: one company's books behind SyncTokens, a query language, changes of thirty days a thousand at a
time, refresh tokens that are good for one use."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible, Refused, read_json, told
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.names import company, mail, town
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.frame.tokens import Tokens, basic, bearer
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.quickbooks import query
from fieldwarden.sandbox.quickbooks.books import Books
from fieldwarden.sandbox.quickbooks.entities import ENTITIES, stamp
from fieldwarden.sandbox.quickbooks.errors import fault, gateway, refused
from fieldwarden.sandbox.quickbooks.events import body, legacy_body, sign

REALM = "9130350000000001"
CLIENT, SECRET, REFRESH = "client", "secret", "refresh"
TOKEN_SECONDS = 3600.0
RETENTION = 30 * 86400.0
KEYS_SECONDS = 86400.0
CDC_MOST = 1000
BATCH = 30
_SEEDED = {"Customer": 20, "Item": 5, "Invoice": 12, "Payment": 4, "CreditMemo": 2}


class QuickBooks(Vendor):
    name = "quickbooks"
    title = "QuickBooks Online"
    rate = Rate(500, 60.0)
    retries = (20.0, 30.0, 50.0, 1200.0, 2400.0, 3600.0, 14400.0)
    secret = "verifier"  # noqa: S105  (of a sandbox: it protects nothing)
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "stale_token": "a change is refused with 5010: somebody else was faster",
        "closed_period": "a transaction is refused with 6210: its period is closed",
        "error_in_200": "a read or a write is answered with 200 and a Fault inside; nothing is done",
        "expired_cursor": "changes are refused: changedSince is too long ago",
        "repeated_page": "a query begins at its first row again, whatever its startposition is",
        "legacy_hook": "a webhook has the form of before CloudEvents",
    }
    notes = (
        f"company (realm) {REALM}",
        f"POST /oauth2/v1/tokens/bearer: client id {CLIENT}, client secret {SECRET}, first refresh token {REFRESH}",
        f"webhooks are signed by {secret}",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.books = Books(self.world, self._tell)
        self.tables = self.books.tables
        self._tokens = Tokens(self.world.clock, self.world.random, TOKEN_SECONDS, REFRESH, rotating=True)
        self._events = 0
        self._kept: dict[str, tuple[float, Answer]] = {}

    def begin(self) -> None:
        self._fresh()
        for entity, count in _SEEDED.items():
            for number in range(count):
                self.create(entity, self.sample(entity, number))

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        self.table(table)
        return self.books.create(table, data).key

    def edit(self, table: str, key: str, changes: Json) -> None:
        known = {"Id": key, "SyncToken": self._token_of(table, key), "sparse": True}
        self.books.update(table, {**changes, **known})

    def remove(self, table: str, key: str) -> None:
        """A customer or an item is made inactive: nobody can delete one."""
        if not ENTITIES[self.table(table).name].transaction:
            self.edit(table, key, {"Active": False})
            return
        self.books.delete(table, {"Id": key, "SyncToken": self._token_of(table, key)})

    def actions(self, table: str) -> Sequence[str]:
        return ("void",) if table == "Invoice" else ()

    def act(self, table: str, key: str, action: str) -> None:
        if action not in self.actions(table):
            raise NotPossible(f"{table} has no action {action!r}")
        self.books.void(table, {"Id": key, "SyncToken": self._token_of(table, key)})

    def _token_of(self, table: str, key: str) -> str:
        return str(self.books.get(self.table(table).name, key).data["SyncToken"])

    def sample(self, table: str, number: int) -> Json:
        if table == "Customer":
            city, postal_code, country = town(number)
            address = {
                "Line1": f"{number + 1} Market Street",
                "City": city,
                "PostalCode": postal_code,
                "Country": country,
            }
            return {"DisplayName": company(number), "PrimaryEmailAddr": {"Address": mail(number)}, "BillAddr": address}
        if table == "Item":
            return {"Name": f"Service {number}", "Type": "Service", "UnitPrice": Decimal(f"{100 + number}.50")}
        customer = self.tables["Customer"].pick(number)
        if customer is None or table not in ENTITIES:
            raise NotPossible(f"{table} needs a customer first")
        whose: Json = {"CustomerRef": {"value": customer.key}}
        amount = Decimal(1000 + 137 * number) / 100
        if table == "Payment":
            invoice = self.tables["Invoice"].pick(number)
            if invoice is None:
                return {**whose, "TotalAmt": amount}
            line = {"Amount": Decimal("1.00"), "LinkedTxn": [{"TxnId": invoice.key, "TxnType": "Invoice"}]}
            return {"CustomerRef": invoice.data["CustomerRef"], "TotalAmt": Decimal("1.00"), "Line": [line]}
        detail = {"DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "1"}}}
        return {**whose, "Line": [{"Amount": amount, "Description": f"Work of week {number}", **detail}]}

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        company_path = "/v3/company/{realm}"
        yield Endpoint("POST", "/oauth2/v1/tokens/bearer", self._token)
        yield Endpoint("POST", "/v2/oauth2/tokens/revoke", self._revoke)
        yield Endpoint("GET", f"{company_path}/query", lambda call: self._query(call.asked.get("query", "")))
        yield Endpoint("POST", f"{company_path}/query", lambda call: self._query(call.body.decode("utf-8", "replace")))
        yield Endpoint("GET", f"{company_path}/cdc", self._changes)
        yield Endpoint("POST", f"{company_path}/batch", self._batch)
        for entity in ENTITIES:
            yield Endpoint("GET", f"{company_path}/{entity.lower()}/{{id}}", self._read(entity))
            yield Endpoint("POST", f"{company_path}/{entity.lower()}", self._write(entity))

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        if "realm" not in call.parts:
            return endpoint.handle(call)
        if not self._tokens.good(bearer(call.headers.get("authorization", ""))):
            raise Refused(self.refusal("revoked_token", call))
        if call.parts["realm"] != REALM:
            raise Refused(gateway(403, "ApplicationAuthorizationFailed", "3100", "AUTHORIZATION"))
        if self.world.faults.strikes("error_in_200", call.path):
            return told({"Fault": fault("6000", "Business Validation Error: on demand"), "time": self._time()})
        return self._once(endpoint, call)

    def _once(self, endpoint: Endpoint, call: Call) -> Answer:
        """A `requestid` is answered again, whatever else the request says."""
        key, now = call.asked.get("requestid", ""), self.world.clock.now()
        if not key or call.method != "POST":
            return endpoint.handle(call)
        if key in self._kept and now - self._kept[key][0] < KEYS_SECONDS:
            return self._kept[key][1]
        answer = endpoint.handle(call)
        while self._kept and now - self._kept[oldest := next(iter(self._kept))][0] >= KEYS_SECONDS:
            del self._kept[oldest]
        self._kept[key] = now, answer
        return answer

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        del wait, call  # QuickBooks does not say how long
        if why == "throttle":
            return gateway(429, "ThrottleExceeded", "3001", "THROTTLE")
        if why == "revoked_token":
            return gateway(401, "AuthenticationFailed", "3200", "AUTHENTICATION", "Token expired or revoked")
        if why == "server_error":
            return gateway(500, "InternalServerError", "10000", "SYSTEM")
        return gateway(404, "NotFound", "4", "SERVICE")

    # --- answers ---

    def _time(self) -> str:
        return stamp(self.world.clock.now())

    def _token(self, call: Call) -> Answer:
        form = call.form
        if basic(call.headers.get("authorization", "")) != (CLIENT, SECRET):
            return told({"error": "invalid_client"}, 401)
        if form.get("grant_type") != "refresh_token":
            return told({"error": "unsupported_grant_type"}, 400)
        pair = self._tokens.refreshed(form.get("refresh_token", ""))
        if pair is None:
            said = "Incorrect or invalid refresh token"
            return told({"error": "invalid_grant", "error_description": said}, 400)
        lasts = {"expires_in": int(self._tokens.lasts), "x_refresh_token_expires_in": 8726400}
        return told({"access_token": pair.access, "refresh_token": pair.refresh, "token_type": "bearer", **lasts})

    def _revoke(self, call: Call) -> Answer:
        if basic(call.headers.get("authorization", "")) != (CLIENT, SECRET):
            return told({"error": "invalid_client"}, 401)
        self._tokens.revoke()
        return told({})

    def _read(self, entity: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            row = self.books.get(entity, call.parts["id"])
            return told({entity: self.books.shown(entity, row.data), "time": self._time()})

        return answer

    def _write(self, entity: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            given = _object(call)
            return told({entity: self._written(entity, call.asked.get("operation", ""), given), "time": self._time()})

        return answer

    def _written(self, entity: str, operation: str, given: Json) -> Json:
        if operation == "delete":
            return {"status": "Deleted", "domain": "QBO", "Id": self.books.delete(entity, given).key}
        if operation == "void":
            row = self.books.void(entity, given)
        elif given.get("Id"):
            row = self.books.update(entity, given)
        else:
            row = self.books.create(entity, given)
        return self.books.shown(entity, row.data)

    def _query(self, text: str) -> Answer:
        return told({"QueryResponse": self._found(text), "time": self._time()})

    def _found(self, text: str) -> Json:
        asked = query.read(text)
        rows = (self.books.shown(asked.entity, row.data) for row in self.tables[asked.entity])
        found = [each for each in rows if asked.fits(each)]
        if asked.counts:
            return {"totalCount": len(found)}
        if asked.by:
            found.sort(key=_order(asked.by), reverse=asked.down)
        start = 1 if self.world.faults.strikes("repeated_page") else asked.start
        page = found[start - 1 : start - 1 + asked.most]
        return {asked.entity: page, "startPosition": asked.start, "maxResults": len(page)} if page else {}

    def _changes(self, call: Call) -> Answer:
        """What changed since then, in no order, and not more than a thousand objects in all, without a word of more."""
        asked = call.asked
        try:
            since = seconds_of(asked.get("changedSince", ""))
        except ValueError:
            raise refused("2020", "changedSince is missing or no time", "changedSince") from None
        if since < self.world.clock.now() - RETENTION or self.world.faults.strikes("expired_cursor"):
            raise refused("6000", "changedSince is more than 30 days ago", "changedSince")
        answers: list[Json] = []
        left = CDC_MOST
        for name in asked.get("entities", "").split(","):
            entity = next((each for each in ENTITIES if each.lower() == name.strip().lower()), "")
            if not entity:
                raise refused("2010", f"Entity {name!r} is unsupported", "entities")
            rows = [row for row in self.tables[entity].all() if int(row.modified) >= since]
            rows.sort(key=lambda row: zlib.crc32(row.key.encode()))
            found = [
                {
                    "domain": "QBO",
                    "status": "Deleted",
                    "Id": row.key,
                    "MetaData": {"LastUpdatedTime": stamp(row.modified)},
                }
                if row.deleted
                else self.books.shown(entity, row.data)
                for row in rows[:left]
            ]
            left -= len(found)
            answers.append({entity: found, "startPosition": 1, "maxResults": len(found)} if found else {})
        return told({"CDCResponse": [{"QueryResponse": answers}], "time": self._time()})

    def _batch(self, call: Call) -> Answer:
        """Each for itself: a Fault of one stands beside what came of the others, and the status is 200."""
        items = _object(call).get("BatchItemRequest")
        if not isinstance(items, list) or not 1 <= len(items) <= BATCH:
            raise refused("2020", f"a batch has 1 to {BATCH} items", "BatchItemRequest")
        return told({"BatchItemResponse": [self._item(each) for each in items], "time": self._time()})

    def _item(self, each: Json) -> Json:
        name = {"bId": each.get("bId")}
        try:
            if "Query" in each:
                return {**name, "QueryResponse": self._found(str(each["Query"]))}
            entity = next((entity for entity in ENTITIES if entity in each), "")
            if not entity:
                raise refused("2010", "the item names no entity that is supported")
            return {**name, entity: self._written(entity, str(each.get("operation", "")), each[entity])}
        except Refused as error:
            return {**name, "Fault": read_json(error.answer.body)["Fault"]}

    def _tell(self, entity: str, key: str, what: str) -> None:
        if self.world.quiet:
            return
        self._events += 1
        at = self.world.clock.now()
        old = self.world.faults.strikes("legacy_hook")
        sent = legacy_body(REALM, entity, key, what, at) if old else body(REALM, self._events, entity, key, what, at)
        self.world.hooks.tell(str(self._events), sent, sign)


def _order(path: str) -> Any:
    def compare(one: Json, other: Json) -> int:
        left, right = query.comparable(query.at(one, path)), query.comparable(query.at(other, path))
        if type(left) is not type(right):
            left, right = str(left), str(right)
        return int(left > right) - int(left < right)

    return cmp_to_key(compare)


def _object(call: Call) -> Json:
    try:
        given = read_json(call.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise refused("2010", "the body is no JSON object")
    return given
