"""NetSuite: REST records by internal and external id, SuiteQL, what was deleted, tokens for signed assertions."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible, Refused, read_json, told
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.names import company, mail
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.frame.tokens import Tokens, bearer
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.netsuite.books import KINDS, TRANSFORMS, Books
from fieldwarden.sandbox.netsuite.errors import error, invalid
from fieldwarden.sandbox.netsuite.suiteql import PAGE

CLIENT = "client"
TOKEN_PATH = "/services/rest/auth/oauth2/v1/token"  # noqa: S105  (a path)
RECORD = "/services/rest/record/v1"
TOKEN_SECONDS = 3600.0
ASSERTION_SECONDS = 3600
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHMS = {"PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}
_SEEDED = {"customer": 20, "contact": 10, "inventoryItem": 5, "salesOrder": 6, "invoice": 12, "customerPayment": 4}
_SUBSIDIARY = {"id": "1"}


class NetSuite(Vendor):
    name = "netsuite"
    title = "NetSuite"
    rate = Rate(50, 1.0)
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "closed_period": "a transaction is refused: its period is closed",
        "missing_scope": "a request is answered with 403 INSUFFICIENT_PERMISSION",
        "repeated_page": "a query's page is the first one again, whatever its offset is",
        "restlet_limit": "a request is answered with 400 SSS_REQUEST_LIMIT_EXCEEDED, as RESTlets say one too many",
    }
    notes = (
        f"POST {TOKEN_PATH}: an assertion of client {CLIENT} (its signature is not looked at)",
        "without Prefer: transient there is no SuiteQL",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.books = Books(self.world)
        self.tables = self.books.tables
        self._tokens = Tokens(self.world.clock, self.world.random, TOKEN_SECONDS, "")

    def begin(self) -> None:
        self._fresh()
        for kind, count in _SEEDED.items():
            for number in range(count):
                self.create(kind, self.sample(kind, number))

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        self.table(table)
        return self.books.create(table, data).key

    def edit(self, table: str, key: str, changes: Json) -> None:
        self.table(table)
        self.books.update(table, self.books.get(table, key), changes)

    def remove(self, table: str, key: str) -> None:
        self.table(table)
        self.books.delete(table, self.books.get(table, key))

    def actions(self, table: str) -> Sequence[str]:
        return [into for kind, into in sorted(TRANSFORMS) if kind == table]

    def act(self, table: str, key: str, action: str) -> None:
        if action not in self.actions(table):
            raise NotPossible(f"{table} has no action {action!r}")
        self.books.transform(table, self.books.get(table, key), action, {})

    def sample(self, table: str, number: int) -> Json:
        match table:
            case "customer":
                told = {"companyName": company(number), "email": mail(number), "externalId": f"C{number:05}"}
                return {**told, "subsidiary": _SUBSIDIARY, "isPerson": False}
            case "contact":
                name = {"firstName": "Zoë", "lastName": f"Nr {number}"}
                return {**name, "entityId": f"Zoë Nr {number}", "email": mail(number), "subsidiary": _SUBSIDIARY}
            case "inventoryItem":
                return {"itemId": f"SKU{number}", "displayName": f"Product {number}"}
        customer, item = self.tables["customer"].pick(number), self.tables["inventoryItem"].pick(number)
        if table not in KINDS or customer is None or item is None:
            raise NotPossible(f"{table} needs a customer and an item first")
        if table == "customerPayment":
            return {"customer": {"id": customer.key}, "payment": f"{10 + number}.00"}
        line = {"item": {"id": item.key}, "quantity": 1 + number % 3, "rate": f"{10 + number}.50"}
        return {"entity": {"id": customer.key}, "item": {"items": [line]}}

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("POST", TOKEN_PATH, self._token)
        yield Endpoint("POST", "/services/rest/query/v1/suiteql", self._query)
        for kind in KINDS:
            path = f"{RECORD}/{kind}"
            yield Endpoint("GET", path, self._of(kind, self._list))
            yield Endpoint("POST", path, self._of(kind, self._post))
            yield Endpoint("GET", path + "/{id}", self._of(kind, self._get))
            yield Endpoint("PATCH", path + "/{id}", self._of(kind, self._patch))
            yield Endpoint("PUT", path + "/{id}", self._of(kind, self._upsert))
            yield Endpoint("DELETE", path + "/{id}", self._of(kind, self._delete))
            yield Endpoint("POST", path + "/{id}/!transform/{into}", self._of(kind, self._transform))

    def _of(self, kind: str, answer: Callable[[str, Call], Answer]) -> Callable[[Call], Answer]:
        return lambda call: answer(kind, call)

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        if endpoint.path == TOKEN_PATH:
            return endpoint.handle(call)
        if not self._tokens.good(bearer(call.headers.get("authorization", ""))):
            raise Refused(self.refusal("revoked_token", call))
        if self.world.faults.strikes("missing_scope", call.path):
            raise Refused(error(403, "INSUFFICIENT_PERMISSION", "Permission Violation: the role lacks a permission."))
        if self.world.faults.strikes("restlet_limit", call.path):
            raise Refused(error(400, "SSS_REQUEST_LIMIT_EXCEEDED", "Concurrent request limit exceeded."))
        return endpoint.handle(call)

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        del wait  # NetSuite does not say how long
        if why == "throttle":
            said = "Concurrent request limit exceeded. Request blocked."
            return error(429, "CONCURRENCY_LIMIT_EXCEEDED", said)
        if why == "revoked_token":
            return error(401, "INVALID_LOGIN", "Invalid login attempt.", headers={"www-authenticate": "Bearer"})
        if why == "server_error":
            return error(500, "UNEXPECTED_ERROR", "An unexpected error has occurred.")
        return error(404, "NONEXISTENT_RECORD_TYPE", f"Record type or path does not exist: {call.path}")

    # --- answers ---

    def _token(self, call: Call) -> Answer:
        form, now = call.form, self.world.clock.now()
        if form.get("grant_type") != "client_credentials" or form.get("client_assertion_type") != _ASSERTION:
            return told({"error": "unsupported_grant_type"}, 400)
        head, claims = _claims(form.get("client_assertion", ""))
        good = (
            head.get("alg") in _ALGORITHMS
            and bool(head.get("kid"))
            and claims.get("iss") == CLIENT
            and str(claims.get("aud", "")).endswith(TOKEN_PATH)
            and _number(claims.get("iat")) - 60 <= now < _number(claims.get("exp"))
            and _number(claims.get("exp")) - _number(claims.get("iat")) <= ASSERTION_SECONDS
        )
        if not good:
            return told({"error": "invalid_request", "error_description": "The assertion is not valid."}, 400)
        lasts = str(int(self._tokens.lasts))
        return told({"access_token": self._tokens.issue().access, "expires_in": lasts, "token_type": "bearer"})

    def _query(self, call: Call) -> Answer:
        if "transient" not in call.headers.get("prefer", ""):
            raise invalid("Required header Prefer with the value transient is missing.", "Prefer", "INVALID_HEADER")
        limit, offset = _paging(call)
        rows = self.books.copy.asked(str(_object(call).get("q", "")))
        start = 0 if offset and self.world.faults.strikes("repeated_page", call.path) else offset
        items: list[Json] = [{"links": [], **each} for each in rows[start : start + limit]]
        return _collection(call, items, limit, offset, len(rows))

    def _list(self, kind: str, call: Call) -> Answer:
        """Ids only: what a record holds is asked for by its id."""
        limit, offset = _paging(call)
        rows = islice(self.tables[kind], offset, offset + limit)
        items = [{"links": [_link(call, kind, row.key)], "id": row.key} for row in rows]
        return _collection(call, items, limit, offset, len(self.tables[kind]))

    def _get(self, kind: str, call: Call) -> Answer:
        row = self.books.get(kind, call.parts["id"])
        shown: Json = {"links": [_link(call, kind, row.key)], **row.data}
        sublist = KINDS[kind].lines
        if sublist and call.asked.get("expandSubResources") != "true":
            shown[sublist] = {
                "links": [{**_link(call, kind, row.key), "href": f"{_at(call, kind, row.key)}/{sublist}"}]
            }
        return told(shown, content_type="application/vnd.oracle.resource+json; type=singular")

    def _post(self, kind: str, call: Call) -> Answer:
        return self._done(kind, call, self.books.create(kind, _object(call)).key)

    def _patch(self, kind: str, call: Call) -> Answer:
        row = self.books.get(kind, call.parts["id"])
        return self._done(kind, call, self.books.update(kind, row, _object(call)).key)

    def _upsert(self, kind: str, call: Call) -> Answer:
        text, given = call.parts["id"], _object(call)
        if not text.startswith("eid:"):
            raise invalid("Upsert works with an external id: eid:...", "id")
        if self.books.key(kind, text):
            return self._patch(kind, call)
        return self._done(kind, call, self.books.create(kind, {**given, "externalId": text.removeprefix("eid:")}).key)

    def _delete(self, kind: str, call: Call) -> Answer:
        self.books.delete(kind, self.books.get(kind, call.parts["id"]))
        return Answer(204)

    def _transform(self, kind: str, call: Call) -> Answer:
        row = self.books.get(kind, call.parts["id"])
        given = _object(call) if call.body else {}
        return self._done(call.parts["into"], call, self.books.transform(kind, row, call.parts["into"], given).key)

    def _done(self, kind: str, call: Call, key: str) -> Answer:
        return Answer(204, headers={"location": _at(call, kind, key)})


def _claims(assertion: str) -> tuple[Json, Json]:
    """Head and claims of a JWT; empty where it is none."""
    try:
        head, claims, _ = (base64.urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in assertion.split("."))
        return dict(json.loads(head)), dict(json.loads(claims))
    except (ValueError, TypeError, binascii.Error):
        return {}, {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _at(call: Call, kind: str, key: str) -> str:
    return f"{call.base}{RECORD}/{kind}/{key}"


def _link(call: Call, kind: str, key: str) -> Json:
    return {"rel": "self", "href": _at(call, kind, key)}


def _paging(call: Call) -> tuple[int, int]:
    limit, offset = call.asked.get("limit", str(PAGE)), call.asked.get("offset", "0")
    if not limit.isdecimal() or not 1 <= int(limit) <= PAGE:
        raise invalid(f"limit has to be 1 to {PAGE}", "limit", "INVALID_PARAMETER")
    if not offset.isdecimal() or int(offset) % int(limit):
        raise invalid("offset has to be divisible by limit", "offset", "INVALID_PARAMETER")
    return int(limit), int(offset)


def _collection(call: Call, items: list[Any], limit: int, offset: int, total: int) -> Answer:
    more = offset + len(items) < total
    where = f"{call.base}{call.path}?limit={limit}&offset="
    links = [{"rel": "self", "href": f"{where}{offset}"}]
    if more:
        links.append({"rel": "next", "href": f"{where}{offset + limit}"})
    body = {
        "links": links,
        "count": len(items),
        "hasMore": more,
        "items": items,
        "offset": offset,
        "totalResults": total,
    }
    return told(body, content_type="application/vnd.oracle.resource+json; type=collection")


def _object(call: Call) -> Json:
    try:
        given = read_json(call.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise invalid("The request body is no JSON object.")
    return given
