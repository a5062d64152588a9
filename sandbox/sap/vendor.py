"""SAP S/4HANA: the same entities by OData V2 and V4, behind CSRF tokens and ETags; V4 with deltas that tell of
deletions and end after a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from urllib.parse import unquote

from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible, Refused, read_json, told
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.frame.tokens import Tokens, basic, bearer
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.sap.books import Books, taken
from fieldwarden.sandbox.sap.metadata import document
from fieldwarden.sandbox.sap.odata import Dialect, condition, etag, key_of, written_key
from fieldwarden.sandbox.sap.seed import sample
from fieldwarden.sandbox.sap.sets import PARENTS, SETS, Set

CLIENT, SECRET = "client", "secret"
TOKEN_PATH = "/sap/bc/sec/oauth2/token"  # noqa: S105  (a path)
TOKEN_SECONDS = 3600.0
CSRF_SECONDS = 1800.0
DELTA_SECONDS = 7 * 86400.0
PAGE = 100
_TOKENS_KEPT = 10_000
_PERSON = "DIALOG1"
_SEEDED = {"BusinessPartner": 20, "BusinessPartnerAddress": 20, "SalesOrder": 8, "BillingDocument": 8}


class Sap(Vendor):
    name = "sap"
    title = "SAP S/4HANA"
    rate = Rate(50, 1.0)
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "locked": "a change is refused with 423: a person works on the entity",
        "csrf_expired": "a change is refused with 403: its CSRF token is none any more",
        "error_in_200": "a change is answered with 200 and an error in the header sap-message; nothing is done",
        "expired_cursor": "a delta link is answered with 410",
        "no_tracking": "Prefer: odata.track-changes is not heeded: there is no delta link",
        "repeated_page": "a next link leads to the first page again",
    }
    notes = (
        f"POST {TOKEN_PATH}: client credentials {CLIENT}, {SECRET}; or basic authentication by the same",
        "changes need X-CSRF-Token and its cookie (GET with X-CSRF-Token: Fetch), and If-Match",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.books = Books(self.world)
        self.tables = self.books.tables
        self._tokens = Tokens(self.world.clock, self.world.random, TOKEN_SECONDS, "")
        self._csrf: dict[str, tuple[str, float]] = {}
        self._deltas: dict[str, tuple[str, int, float]] = {}

    def begin(self) -> None:
        self._fresh()
        for name, count in _SEEDED.items():
            for number in range(count):
                self.create(name, self.sample(name, number))

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        self.table(table)
        return self.books.create(table, self._new(Dialect(True), SETS[table], data), _PERSON).key

    def edit(self, table: str, key: str, changes: Json) -> None:
        row = self._row(Dialect(True), SETS[self.table(table).name], key)
        self.books.change(table, row, taken(Dialect(True), table, changes, False), _PERSON)

    def remove(self, table: str, key: str) -> None:
        row = self._row(Dialect(True), SETS[self.table(table).name], key)
        if "DELETE" not in SETS[table].verbs:
            raise NotPossible(f"nobody deletes a {table}")
        self.books.delete(table, row, _PERSON)

    def actions(self, table: str) -> Sequence[str]:
        return ("cancel",) if table == "BillingDocument" else ()

    def act(self, table: str, key: str, action: str) -> None:
        if action not in self.actions(table):
            raise NotPossible(f"{table} has no action {action!r}")
        self.books.cancel(self._row(Dialect(True), SETS[table], key), _PERSON)

    def sample(self, table: str, number: int) -> Json:
        return sample(self.books, table, number)

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("POST", TOKEN_PATH, self._token)
        for dialect in (Dialect(False), Dialect(True)):
            for service in dict.fromkeys(each.v4 if dialect.four else each.v2 for each in SETS.values()):
                yield Endpoint("GET", f"{service}/", lambda _: told({"d": {"EntitySets": []}}))
                yield Endpoint("GET", f"{service}/$metadata", self._metadata(service, dialect.four))
            for of in SETS.values():
                path = f"{of.v4}/{of.name}" if dialect.four else f"{of.v2}/A_{of.name}"
                yield Endpoint("GET", path, self._of(dialect, of, self._list))
                one = path + "({key})"
                yield Endpoint("GET", one, self._of(dialect, of, self._get))
                for navigation in of.below:
                    yield Endpoint("GET", f"{one}/{navigation}", self._children(dialect, of, navigation))
                if "POST" in of.verbs:
                    yield Endpoint("POST", path, self._of(dialect, of, self._post))
                if "PATCH" in of.verbs:
                    for verb in ("PATCH",) if dialect.four else ("PATCH", "MERGE"):
                        yield Endpoint(verb, one, self._of(dialect, of, self._patch))
                if "DELETE" in of.verbs:
                    yield Endpoint("DELETE", one, self._of(dialect, of, self._delete))
        yield Endpoint("POST", f"{SETS['BillingDocument'].v2}/Cancel", self._cancel)

    def _of(
        self, dialect: Dialect, of: Set, answer: Callable[[Dialect, Set, Call], Answer]
    ) -> Callable[[Call], Answer]:
        return lambda call: answer(dialect, of, call)

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        if endpoint.path == TOKEN_PATH:
            return endpoint.handle(call)
        value = call.headers.get("authorization", "")
        if basic(value) != (CLIENT, SECRET) and not self._tokens.good(bearer(value)):
            raise Refused(self.refusal("revoked_token", call))
        dialect = _dialect(call)
        if call.method != "GET":
            self._guarded(dialect, call)
        if call.method != "GET" and self.world.faults.strikes("error_in_200", call.path):
            message = '{"code":"V1/555","message":"Nothing was saved","severity":"error","details":[]}'
            return Answer(200, b"{}", {"sap-message": message})
        answer = endpoint.handle(call)
        version = {"odata-version": "4.0"} if dialect.four else {"dataserviceversion": "2.0"}
        if call.headers.get("x-csrf-token", "").lower() == "fetch":
            session, token = self.code(24), self.code(24)
            self._csrf[session] = token, self.world.clock.now() + CSRF_SECONDS
            while len(self._csrf) > _TOKENS_KEPT:
                del self._csrf[next(iter(self._csrf))]
            version |= {"x-csrf-token": token, "set-cookie": f"SAP_SESSIONID_S4H_100={session}; path=/; HttpOnly"}
        return replace(answer, headers={**version, **answer.headers})

    def _guarded(self, dialect: Dialect, call: Call) -> None:
        """Whoever changes something has a token that was fetched in the same session."""
        faults, now = self.world.faults, self.world.clock.now()
        cookies = dict(part.strip().partition("=")[::2] for part in call.headers.get("cookie", "").split(";"))
        token, until = self._csrf.get(cookies.get("SAP_SESSIONID_S4H_100", ""), ("", 0.0))
        given = call.headers.get("x-csrf-token", "")
        if faults.strikes("csrf_expired", call.path) or not token or given != token or until <= now:
            required = {"x-csrf-token": "Required"}
            raise Refused(dialect.error(403, "/IWFND/CM_CSRF", "CSRF token validation failed", required))
        if faults.strikes("locked", call.path):
            raise dialect.refused(423, f"The entity is currently being processed by user {_PERSON}")

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        dialect = _dialect(call)
        if why == "throttle":
            headers = {"retry-after": str(max(1, round(wait)))}
            return dialect.error(429, "/IWFND/MED_THROTTLING", "Too many requests", headers)
        if why == "revoked_token":
            headers = {"www-authenticate": 'Bearer error="invalid_token"'}
            return Answer(401, b"<html><body><h1>Logon Error Message</h1></body></html>", headers, "text/html")
        if why == "server_error":
            return dialect.error(500, "/IWBEP/CX_MGW_TECH_EXCEPTION", "An exception was raised")
        return dialect.error(
            404, "/IWBEP/CX_MGW_RESOURCE_NOT_FOUND", f"Resource not found for the segment '{call.path}'"
        )

    # --- answers ---

    def _token(self, call: Call) -> Answer:
        form = call.form
        client = basic(call.headers.get("authorization", ""))
        if client == ("", ""):
            client = form.get("client_id", ""), form.get("client_secret", "")
        if client != (CLIENT, SECRET):
            return told({"error": "invalid_client"}, 401)
        if form.get("grant_type") != "client_credentials":
            return told({"error": "unsupported_grant_type"}, 400)
        lasts = int(self._tokens.lasts)
        return told({"access_token": self._tokens.issue().access, "token_type": "Bearer", "expires_in": lasts})

    def _metadata(self, service: str, four: bool) -> Callable[[Call], Answer]:
        return lambda _: Answer(200, document(service, four).encode(), content_type="application/xml")

    def _row(self, dialect: Dialect, of: Set, key: str) -> Row:
        row = self.tables[of.name].get(key)
        if row is None:
            code = "/IWBEP/CX_MGW_RESOURCE_NOT_FOUND"
            raise dialect.refused(404, f"No entity with key {key!r} found in '{of.name}'", code)
        return row

    def _list(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        asked = call.asked
        if "$deltatoken" in asked or "!deltatoken" in asked:
            return self._delta(dialect, of, call)
        fits = condition(dialect, of, asked.get("$filter", ""))
        rows = [row for row in self.tables[of.name] if fits(row.data)]
        name, _, way = asked.get("$orderby", of.key[0]).partition(" ")
        dialect.read(of, name, None)
        rows.sort(
            key=lambda row: (row.data.get(name) is not None, row.data.get(name) or row.key), reverse=way == "desc"
        )
        total, position = len(rows), len(self.books.log)
        rows = rows[_whole(dialect, asked, "$skip", 0) :][: _whole(dialect, asked, "$top", total)]
        start, mark = 0, ""
        if "$skiptoken" in asked:
            mark, _, after = asked["$skiptoken"].partition("-")
            start, position = (int(each) if each.isdecimal() else 0 for each in (after, mark))
            if self.world.faults.strikes("repeated_page", call.path):
                start = 0
        page = rows[start : start + PAGE]
        following = f"{position}-{start + PAGE}" if start + PAGE < len(rows) else ""
        values = [self._shown(dialect, of, row, call) for row in page]
        count = total if asked.get("$inlinecount") == "allpages" or asked.get("$count") == "true" else None
        return self._page(dialect, of, call, values, following, position, count)

    def _page(
        self,
        dialect: Dialect,
        of: Set,
        call: Call,
        values: list[Json],
        following: str,
        position: int,
        count: int | None,
    ) -> Answer:
        where = f"{call.base}{call.path}"
        kept = "&".join(
            part
            for part in call.query.split("&")
            if part and not unquote(part).startswith(("$skiptoken", "$deltatoken"))
        )
        onward = f"{where}?{kept}&$skiptoken={following}" if kept else f"{where}?$skiptoken={following}"
        if not dialect.four:
            inner: Json = {"results": values}
            if count is not None:
                inner["__count"] = str(count)
            return told({"d": {**inner, "__next": onward} if following else inner})
        body: Json = {"@odata.context": f"{call.base}{of.v4}/$metadata#{of.name}"}
        if count is not None:
            body["@odata.count"] = count
        body["value"] = values
        tracks = "odata.track-changes" in call.headers.get("prefer", "")
        tracks = tracks and not self.world.faults.strikes("no_tracking", call.path)
        if following:
            body["@odata.nextLink"] = onward
        elif tracks:
            body["@odata.deltaLink"] = f"{where}?$deltatoken={self._mark(of, position)}"
        return told(body, headers={"preference-applied": "odata.track-changes"} if tracks else {})

    def _mark(self, of: Set, position: int) -> str:
        """A token that says nothing by its looks."""
        token = self.code(20)
        self._deltas[token] = of.name, position, self.world.clock.now()
        while len(self._deltas) > _TOKENS_KEPT:
            del self._deltas[next(iter(self._deltas))]
        return token

    def _delta(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        """Each entity that changed since, once, as it is now; what is gone, by its address. Deletions come last."""
        token = call.asked.get("$deltatoken", "")
        name, position, issued = self._deltas.get(token, ("", 0, 0.0))
        expired = self.world.clock.now() - issued > DELTA_SECONDS or self.world.faults.strikes(
            "expired_cursor", call.path
        )
        if name != of.name or expired:
            raise dialect.refused(410, "The delta token is not valid any more: read everything again")
        keys = [*dict.fromkeys(key for table, key in islice(self.books.log, position, None) if table == of.name)]
        rows = [row for key in keys if (row := self.tables[of.name].ever(key))]
        values = [self._shown(dialect, of, row, call) for row in rows if not row.deleted]
        values += [
            {"@id": f"{call.base}{of.v4}/{of.name}({written_key(of, row.key)})", "@removed": {"reason": "deleted"}}
            for row in rows
            if row.deleted
        ]
        body: Json = {"@odata.context": f"{call.base}{of.v4}/$metadata#{of.name}/$delta", "value": values}
        body["@odata.deltaLink"] = f"{call.base}{call.path}?$deltatoken={self._mark(of, len(self.books.log))}"
        return told(body, headers={"preference-applied": "odata.track-changes"})

    def _shown(self, dialect: Dialect, of: Set, row: Row, call: Call) -> Json:
        asked = call.asked
        chosen = tuple(each for each in asked.get("$select", "").split(",") if each)
        for each in chosen:
            if each not in of.below:
                dialect.read(of, each, None)
        shown = dialect.entity(of, row, call.base, chosen)
        expanded = asked.get("$expand", "").split(",")
        for navigation, child in of.below.items():
            if navigation in expanded:
                inner = [dialect.entity(SETS[child], each, call.base) for each in self.books.below(child, row.key)]
                shown[navigation] = inner if dialect.four else {"results": inner}
            elif not dialect.four and not chosen:
                shown[navigation] = {"__deferred": {"uri": f"{shown['__metadata']['uri']}/{navigation}"}}
        return shown

    def _get(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        row = self._row(dialect, of, key_of(of, call.parts["key"]))
        return self._one(dialect, of, row, call)

    def _one(self, dialect: Dialect, of: Set, row: Row, call: Call, status: int = 200) -> Answer:
        shown, headers = self._shown(dialect, of, row, call), {"etag": etag(row)}
        if status == 201:
            set_name = of.name if dialect.four else f"A_{of.name}"
            place = f"{of.v4 if dialect.four else of.v2}/{set_name}({written_key(of, row.key)})"
            headers["location"] = call.base + place
        if dialect.four:
            context = f"{call.base}{of.v4}/$metadata#{of.name}/$entity"
            return told({"@odata.context": context, **shown}, status, headers)
        return told({"d": shown}, status, headers)

    def _children(self, dialect: Dialect, of: Set, navigation: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            row, child = self._row(dialect, of, key_of(of, call.parts["key"])), SETS[of.below[navigation]]
            values = [self._shown(dialect, child, each, call) for each in self.books.below(child.name, row.key)]
            return self._page(dialect, child, call, values, "", 0, None)

        return answer

    def _post(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        fields = self._new(dialect, of, _object(dialect, call))
        row = self.books.create(of.name, fields, CLIENT.upper())
        return self._one(dialect, of, row, call, 201)

    def _new(self, dialect: Dialect, of: Set, given: Json) -> Json:
        """What a new entity is made of. What belongs to another one has to say to which. Raises Refused."""
        fields = taken(dialect, of.name, given, True)
        if parent := PARENTS.get(of.name):
            self._row(dialect, SETS[parent], str(fields.get(of.key[0], "")))
        return fields

    def _patch(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        row = self._matched(dialect, of, call)
        row = self.books.change(of.name, row, taken(dialect, of.name, _object(dialect, call), False), CLIENT.upper())
        return Answer(204, headers={"etag": etag(row)})

    def _delete(self, dialect: Dialect, of: Set, call: Call) -> Answer:
        self.books.delete(of.name, self._matched(dialect, of, call), CLIENT.upper())
        return Answer(204)

    def _matched(self, dialect: Dialect, of: Set, call: Call) -> Row:
        """The entity, if it is the one that was read. What belongs to another one is not guarded. Raises Refused."""
        row, given = self._row(dialect, of, key_of(of, call.parts["key"])), call.headers.get("if-match", "")
        if of.name in PARENTS:
            return row
        if not given:
            raise dialect.refused(428, "This request has to carry an If-Match header")
        if given not in ("*", etag(row)):
            raise dialect.refused(412, "The entity was changed by another user after it was read")
        return row

    def _cancel(self, call: Call) -> Answer:
        dialect, of = Dialect(False), SETS["BillingDocument"]
        row = self._row(dialect, of, call.asked.get("BillingDocument", "").strip("'"))
        try:
            return self._one(dialect, of, self.books.cancel(row, CLIENT.upper()), call)
        except NotPossible as error:
            raise dialect.refused(400, str(error)) from None


def _dialect(call: Call) -> Dialect:
    return Dialect(call.path.startswith("/sap/opu/odata4/"))


def _whole(dialect: Dialect, asked: dict[str, str], name: str, usual: int) -> int:
    text = asked.get(name, str(usual))
    if not text.isdecimal():
        raise dialect.refused(400, f"Invalid value for {name}: {text}")
    return int(text)


def _object(dialect: Dialect, call: Call) -> Json:
    try:
        given = read_json(call.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise dialect.refused(400, "The request body is no JSON object")
    inner = given.get("d", given)
    return inner if isinstance(inner, dict) else given
