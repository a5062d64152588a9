"""Salesforce over REST: queries by pages behind locators, records by id and external id, collections whose rows succeed
each for itself, composite requests, descriptions, limits, Bulk 2.0 queries."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fieldwarden.sandbox.frame.clock import seconds_of
from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, Refused, told
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.frame.tokens import Tokens, bearer
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.salesforce.books import Books, attributes, sample, stamp
from fieldwarden.sandbox.salesforce.bulk import Bulk
from fieldwarden.sandbox.salesforce.errors import error, read, refused
from fieldwarden.sandbox.salesforce.objects import OBJECTS
from fieldwarden.sandbox.salesforce.several import Several

CLIENT, SECRET = "client", "secret"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  (a path)
TOKEN_SECONDS = 7200.0
DAILY = 15_000
PAGE = 2000
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DATA = "/services/data/{version}"
_KEPT = 1000
_SEEDED = {"Account": 20, "Contact": 25, "Product2": 5, "Opportunity": 8, "Order": 6}


class Salesforce(Vendor):
    name = "salesforce"
    title = "Salesforce (REST)"
    rate = Rate(100, 1.0)
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "unable_to_lock": "a write of one record fails with UNABLE_TO_LOCK_ROW",
        "request_limit": "a request is answered with 403 REQUEST_LIMIT_EXCEEDED",
        "expired_cursor": "a query's locator is not valid any more",
        "ambiguous": "a second record with an external id is let in, so that an upsert by it finds two (300)",
        "bulk_failed": "a job of Bulk 2.0 fails",
    }
    notes = (
        f"POST {TOKEN_PATH}: client credentials {CLIENT}, {SECRET}; or a JWT of {CLIENT}, whoever signed it",
        f"{DAILY:,} requests a day, as /limits and Sforce-Limit-Info tell",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.books = Books(self.world)
        self.tables = self.books.tables
        self._tokens = Tokens(self.world.clock, self.world.random, TOKEN_SECONDS, "")
        self._cursors: dict[str, list[Json]] = {}
        self.bulk = Bulk(self.world, self.books)
        self.several = Several(self.books, self.endpoints)
        self._used = 0

    def begin(self) -> None:
        self._fresh()
        for name, count in _SEEDED.items():
            for number in range(count):
                self.create(name, self.sample(name, number))

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        return self.books.create(self.table(table).name, data).key

    def edit(self, table: str, key: str, changes: Json) -> None:
        self.books.update(self.table(table).name, key, changes)

    def remove(self, table: str, key: str) -> None:
        self.books.delete(self.table(table).name, key)

    def sample(self, table: str, number: int) -> Json:
        return sample(self.books, table, number)

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("POST", TOKEN_PATH, self._token)
        yield Endpoint("GET", "/services/data/", lambda _: told([{"label": "Winter '26", "version": "65.0"}]))
        for method, path, handle in (
            ("GET", "/limits", self._limits),
            ("GET", "/query", self._query),
            ("GET", "/query/{locator}", self._more),
            ("GET", "/queryAll", self._query_all),
            ("GET", "/queryAll/{locator}", self._more),
            ("GET", "/sobjects", self._objects),
            ("POST", "/composite", lambda call: self.several.composite(call)),
            ("POST", "/composite/sobjects", lambda call: self.several.written(call)),
            ("PATCH", "/composite/sobjects", lambda call: self.several.written(call)),
            ("DELETE", "/composite/sobjects", lambda call: self.several.deleted(call)),
            ("PATCH", "/composite/sobjects/{name}/{field}", lambda call: self.several.written(call)),
            ("GET", "/sobjects/{name}/describe", self._describe),
            ("GET", "/sobjects/{name}/deleted", self._deleted),
            ("GET", "/sobjects/{name}/updated", self._updated),
            ("POST", "/sobjects/{name}", self._post),
            ("GET", "/sobjects/{name}/{id}", self._get),
            ("PATCH", "/sobjects/{name}/{id}", self._patch),
            ("DELETE", "/sobjects/{name}/{id}", self._delete),
            ("GET", "/sobjects/{name}/{field}/{value}", self._get_external),
            ("PATCH", "/sobjects/{name}/{field}/{value}", self._upsert),
            ("POST", "/jobs/query", lambda call: self.bulk.begin(call)),
            ("GET", "/jobs/query/{id}", lambda call: self.bulk.state(call)),
            ("DELETE", "/jobs/query/{id}", lambda call: self.bulk.delete(call)),
            ("GET", "/jobs/query/{id}/results", lambda call: self.bulk.results(call)),
        ):
            yield Endpoint(method, _DATA + path, handle)
            yield Endpoint(method, f"{_DATA}{path}/", handle)  # a slash at the end makes no difference there

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        if endpoint.path in (TOKEN_PATH, "/services/data/"):
            return endpoint.handle(call)
        if not self._tokens.good(bearer(call.headers.get("authorization", ""))):
            raise Refused(self.refusal("revoked_token", call))
        self._used += 1
        if self._used > DAILY or self.world.faults.strikes("request_limit", call.path):
            raise Refused(error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
        try:
            answer = endpoint.handle(call)
        except Refused as problem:
            answer = problem.answer
        return replace(answer, headers={"sforce-limit-info": f"api-usage={self._used}/{DAILY}", **answer.headers})

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        del wait, call  # Salesforce does not say how long
        if why == "throttle":
            return error(503, "SERVER_UNAVAILABLE", "The server is too busy. Try again later.")
        if why == "revoked_token":
            return error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if why == "server_error":
            return error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
        return error(404, "NOT_FOUND", "The requested resource does not exist")

    # --- logging in, and what there is ---

    def _token(self, call: Call) -> Answer:
        form, now = call.form, self.world.clock.now()
        kind = form.get("grant_type", "")
        if kind == "client_credentials":
            good = (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        elif kind == _JWT:
            claims = _claims(form.get("assertion", ""))
            good = (
                claims.get("iss") == CLIENT
                and bool(claims.get("sub"))
                and now < float(claims.get("exp", 0)) <= now + 300
            )
        else:
            return told({"error": "unsupported_grant_type", "error_description": "grant type not supported"}, 400)
        if not good:
            return told({"error": "invalid_grant", "error_description": "invalid assertion or credentials"}, 400)
        access = self._tokens.issue().access
        names = {"instance_url": call.base, "id": f"{call.base}/id/00Dxx0000001gPLEAY/005xx000001SwiUAAS"}
        return told({"access_token": access, **names, "token_type": "Bearer", "issued_at": str(int(now * 1000))})

    def _limits(self, call: Call) -> Answer:
        del call
        bulk = {"Max": 10_000, "Remaining": 10_000 - len(self.bulk)}
        return told({"DailyApiRequests": {"Max": DAILY, "Remaining": DAILY - self._used}, "DailyBulkV2QueryJobs": bulk})

    def _objects(self, call: Call) -> Answer:
        del call
        return told({"sobjects": [{"name": each.name, "keyPrefix": each.prefix} for each in OBJECTS.values()]})

    def _describe(self, call: Call) -> Answer:
        return told(self.books.object(call.parts["name"]).described())

    # --- reading ---

    def _query(self, call: Call) -> Answer:
        return self._answered(call, False)

    def _query_all(self, call: Call) -> Answer:
        return self._answered(call, True)

    def _answered(self, call: Call, with_deleted: bool) -> Answer:
        query, rows = self.books.found(call.asked.get("q", ""), with_deleted)
        if not query.fields:
            return told({"totalSize": len(rows), "done": True, "records": []})
        locator = "01g" + self.code(15)
        self._cursors[locator] = rows
        while len(self._cursors) > _KEPT:
            del self._cursors[next(iter(self._cursors))]
        return self._page(call, locator, 0)

    def _more(self, call: Call) -> Answer:
        locator, _, start = call.parts["locator"].rpartition("-")
        if (
            locator not in self._cursors
            or not start.isdecimal()
            or self.world.faults.strikes("expired_cursor", call.path)
        ):
            raise refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, locator, int(start))

    def _page(self, call: Call, locator: str, start: int) -> Answer:
        wanted = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        size = min(PAGE, max(200, int(wanted[1]))) if wanted else PAGE
        rows, onward = self._cursors[locator], start + size
        body: Json = {"totalSize": len(rows), "done": onward >= len(rows)}
        if onward < len(rows):
            kind = "queryAll" if "/queryAll" in call.path else "query"
            body["nextRecordsUrl"] = f"/services/data/{call.parts['version']}/{kind}/{locator}-{onward}"
        return told({**body, "records": rows[start:onward]})

    def _deleted(self, call: Call) -> Answer:
        rows = [row for row in self._changed(call) if row.deleted]
        return self._span(
            call, {"deletedRecords": [{"id": row.key, "deletedDate": stamp(row.modified)} for row in rows]}
        )

    def _updated(self, call: Call) -> Answer:
        return self._span(call, {"ids": [row.key for row in self._changed(call) if not row.deleted]})

    def _changed(self, call: Call) -> list[Row]:
        try:
            start, end = (seconds_of(call.asked.get(each, "")) for each in ("start", "end"))
        except ValueError:
            raise refused("INVALID_REPLICATION_DATE", "start and end have to be times") from None
        if end <= start or start < self.world.clock.now() - 30 * 86400:
            raise refused("INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago, or after endDate")
        name = self.books.object(call.parts["name"]).name
        return [row for row in self.tables[name].all() if start <= row.modified < end]

    def _span(self, call: Call, found: Json) -> Answer:
        latest = stamp(min(self.world.clock.now(), seconds_of(call.asked["end"])))
        return told({**found, "latestDateCovered": latest})

    # --- one record ---

    def _get(self, call: Call) -> Answer:
        return self._record(call, self.books.get(call.parts["name"], call.parts["id"]))

    def _get_external(self, call: Call) -> Answer:
        return self._record(call, self.books.only(call.parts["name"], call.parts["field"], call.parts["value"]))

    def _record(self, call: Call, row: Row) -> Answer:
        name = call.parts["name"]
        of, chosen = self.books.object(name), [each for each in call.asked.get("fields", "").split(",") if each]
        if unknown := [each for each in chosen if each not in of.fields]:
            raise refused("INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type {name}")
        shown = {each: row.data.get(each) for each in chosen or of.fields}
        headers = {"last-modified": _http_date(row.modified)} | ({"etag": _etag(row)} if name == "Account" else {})
        return told({"attributes": attributes(name, row.key), **shown}, headers=headers)

    def _post(self, call: Call) -> Answer:
        row = self.books.create(call.parts["name"], read(call))
        return told({"id": row.key, "success": True, "errors": []}, 201)

    def _patch(self, call: Call) -> Answer:
        row = self.books.get(call.parts["name"], call.parts["id"])
        self._unchanged(call, row)
        self.books.update(call.parts["name"], row.key, read(call))
        return Answer(204)

    def _delete(self, call: Call) -> Answer:
        self.books.delete(call.parts["name"], call.parts["id"])
        return Answer(204)

    def _upsert(self, call: Call) -> Answer:
        name, field, value = call.parts["name"], call.parts["field"], call.parts["value"]
        if not self.books.held(name, field, value):
            if call.asked.get("updateOnly") == "true":
                raise refused("NOT_FOUND", "The requested resource does not exist", status=404)
            row = self.books.create(name, {**read(call), field: value})
            return told({"id": row.key, "success": True, "errors": [], "created": True}, 201)
        row = self.books.only(name, field, value)
        self._unchanged(call, row)
        self.books.update(name, row.key, read(call))
        return told({"id": row.key, "success": True, "errors": [], "created": False})

    def _unchanged(self, call: Call, row: Row) -> None:
        """If-Match counts for accounts only; If-Unmodified-Since has whole seconds. Raises Refused."""
        match, since = call.headers.get("if-match", ""), call.headers.get("if-unmodified-since", "")
        stale = bool(match) and call.parts["name"] == "Account" and match not in ("*", _etag(row))
        if since:
            stale = stale or int(row.modified) > parsedate_to_datetime(since).timestamp()
        if stale:
            raise Refused(Answer(412))


def _claims(assertion: str) -> Json:
    try:
        _, claims, _ = assertion.split(".")
        return dict(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))))
    except (ValueError, TypeError, binascii.Error):
        return {}


def _etag(row: Row) -> str:
    return f'"{row.key}{(row.version * 7654321) % 10_000_000:07}--gzip"'


def _http_date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%a, %d %b %Y %H:%M:%S GMT}"
