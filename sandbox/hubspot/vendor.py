"""HubSpot: objects of text properties, lists by id, a search that lags and ends at ten thousand, batches that half
succeed, what is archived apart from what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from urllib.parse import parse_qs

from fieldwarden.sandbox.frame.clock import iso
from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, Refused, read_json, told, written
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.frame.tokens import Tokens, bearer
from fieldwarden.sandbox.frame.vendor import Vendor, World
from fieldwarden.sandbox.hubspot import search
from fieldwarden.sandbox.hubspot.errors import error, invalid, missing
from fieldwarden.sandbox.hubspot.events import MOST, happened, sign
from fieldwarden.sandbox.hubspot.objects import read, sample, shown
from fieldwarden.sandbox.hubspot.properties import KINDS, described, normal, wrong

PAGE = 100
BATCH = 100
TOKEN_SECONDS = 1800.0
CLIENT, SECRET, REFRESH = "client", "secret", "refresh"
_FIRST_KEY = 1001
_PLACES = ("/crm/v3/objects", "/crm/objects/2026-03")
_SEEDED = {"companies": 20, "contacts": 25, "products": 5, "deals": 10, "orders": 6, "invoices": 8}


class HubSpot(Vendor):
    name = "hubspot"
    title = "HubSpot"
    rate = Rate(100, 10.0)
    retries = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 14400.0, 21600.0, 21600.0)
    secret = SECRET
    faults = {  # noqa: RUF012  (as the class they are of declares it)
        "daily_limit": "a request is answered with 429: the day's requests are used up",
        "missing_scope": "a request is answered with 403 MISSING_SCOPES",
        "partial_batch": "the first row of a batch fails, and the answer is 207",
        "expired_cursor": "a list's `after` is refused",
        "repeated_page": "a list's page is the first one again, whatever it comes after",
    }
    notes = (
        "token: any that begins with pat-, or one of POST /oauth/v1/token for the refresh token `refresh`",
        f"client id {CLIENT}, client secret {SECRET}: by it webhooks are signed (v3)",
        f"a search sees what was there {search.LAG:.0f} seconds ago",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._fresh()

    def _fresh(self) -> None:
        self.tables = {name: Table(name, self.world.clock) for name in KINDS}
        self._tokens = Tokens(self.world.clock, self.world.random, TOKEN_SECONDS, REFRESH)
        self._last_key = _FIRST_KEY
        self._events = 0
        self._by_person = True
        self._ties: dict[tuple[str, str, str], set[str]] = {}
        self._unique: dict[tuple[str, str, str], str] = {}

    def begin(self) -> None:
        self._fresh()
        for table, count in _SEEDED.items():
            for number in range(count):
                self.create(table, self.sample(table, number))
        for contact, firm in zip(self.tables["contacts"], self.tables["companies"], strict=False):
            self._tie("contacts", contact.key, "companies", firm.key)

    # --- for people ---

    def create(self, table: str, data: Json) -> str:
        return self._create(self.table(table), data).key

    def edit(self, table: str, key: str, changes: Json) -> None:
        self._edit(self.table(table), key, changes)

    def remove(self, table: str, key: str) -> None:
        self._archive(self.table(table), key)

    def sample(self, table: str, number: int) -> Json:
        return sample(table, number)

    # --- for programs ---

    def endpoints(self) -> Sequence[Endpoint]:
        return [*self._endpoints()]

    def _endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("POST", "/oauth/v1/token", self._token)
        for table in KINDS:
            yield Endpoint("GET", f"/crm/v3/properties/{table}", self._of(table, self._properties))
            for place in _PLACES:
                path = f"{place}/{table}"
                yield Endpoint("POST", f"{path}/search", self._of(table, self._search))
                for word in ("read", "create", "update", "upsert", "archive"):
                    yield Endpoint("POST", f"{path}/batch/{word}", self._batch(table, word))
                yield Endpoint("GET", path, self._of(table, self._list))
                yield Endpoint("POST", path, self._of(table, self._post))
                yield Endpoint("GET", path + "/{id}", self._of(table, self._get))
                yield Endpoint("PATCH", path + "/{id}", self._of(table, self._patch))
                yield Endpoint("DELETE", path + "/{id}", self._of(table, self._delete))
        tie = "/crm/v4/objects/{from}/{id}/associations/default/{to}/{other}"
        yield Endpoint("PUT", tie, self._associate)

    def _of(self, table: str, answer: Callable[[Table, Call], Answer]) -> Callable[[Call], Answer]:
        return lambda call: answer(self.tables[table], call)

    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        if endpoint.path == "/oauth/v1/token":
            return endpoint.handle(call)
        token = bearer(call.headers.get("authorization", ""))
        if not token.startswith("pat-") and not self._tokens.good(token):
            raise Refused(self.refusal("revoked_token", call))
        if self.world.faults.strikes("daily_limit", call.path):
            said = "You have reached your daily limit."
            raise Refused(error(429, "RATE_LIMITS", said, errorType="RATE_LIMIT", policyName="DAILY"))
        if self.world.faults.strikes("missing_scope", call.path):
            said = "This app hasn't been granted all required scopes to make this call."
            raise Refused(error(403, "MISSING_SCOPES", said))
        self._by_person = False
        try:
            answer = endpoint.handle(call)
        finally:
            self._by_person = True
        if call.path.endswith("/search"):  # which alone does not tell of limits
            return answer
        limits = {"x-hubspot-ratelimit-interval-milliseconds": "10000", "x-hubspot-ratelimit-max": "100"}
        return replace(answer, headers={**limits, **answer.headers})

    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        if why == "throttle":
            said = "You have reached your ten_secondly_rolling limit."
            policy = {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
            return error(429, "RATE_LIMITS", said, {"retry-after": str(max(1, round(wait)))}, **policy)
        if why == "revoked_token":
            said = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
            return error(401, "INVALID_AUTHENTICATION", said)
        if why == "server_error":
            return error(500, "INTERNAL_ERROR", "internal error")
        return error(404, "OBJECT_NOT_FOUND", f"no such path: {call.path}")

    # --- answers ---

    def _token(self, call: Call) -> Answer:
        form = call.form
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return told({"status": "BAD_CLIENT_ID", "message": "missing or unknown client id"}, 400)
        if form.get("grant_type") != "refresh_token":
            return told({"status": "BAD_GRANT_TYPE", "message": "missing or unknown grant type"}, 400)
        pair = self._tokens.refreshed(form.get("refresh_token", ""))
        if pair is None:
            return told({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token"}, 400)
        lasts = int(self._tokens.lasts)
        body = {"access_token": pair.access, "refresh_token": pair.refresh, "expires_in": lasts, "token_type": "bearer"}
        return told(body)

    def _properties(self, table: Table, call: Call) -> Answer:
        del call
        return told({"results": [described(name, each) for name, each in KINDS[table.name].properties.items()]})

    def _list(self, table: Table, call: Call) -> Answer:
        asked, faults = call.asked, self.world.faults
        limit, after = asked.get("limit", "10"), asked.get("after", "")
        if not limit.isdecimal() or not 1 <= int(limit) <= PAGE:
            raise invalid(f"limit must be 1 to {PAGE}")
        if after and (not after.isdecimal() or faults.strikes("expired_cursor", call.path)):
            raise invalid(f"the cursor {after!r} is not valid")
        if after and faults.strikes("repeated_page", call.path):
            after = ""
        archived = asked.get("archived") == "true"
        rows = (row for row in table.all() if row.deleted == archived and int(row.key) > int(after or 0))
        found = [*islice(rows, int(limit) + 1)]
        page = found[: int(limit)]
        body: Json = {"results": [self._shown(table, row, call) for row in page]}
        if len(found) > len(page):
            last = page[-1].key
            body["paging"] = {"next": {"after": last, "link": f"{call.base}{call.path}?limit={limit}&after={last}"}}
        return told(body)

    def _search(self, table: Table, call: Call) -> Answer:
        asked, kind = read(call), KINDS[table.name]
        states, total, after = search.searched(table, kind, asked, self.world.clock.now())
        names = asked.get("properties") or kind.shown
        body: Json = {"total": total, "results": [shown(kind.changed, each, names) for each in states]}
        if after is not None:
            body["paging"] = {"next": {"after": after}}
        return told(body)

    def _get(self, table: Table, call: Call) -> Answer:
        asked = call.asked
        row = self._found(table, call.parts["id"], asked.get("idProperty", ""), asked.get("archived") == "true")
        return told(self._shown(table, row, call))

    def _post(self, table: Table, call: Call) -> Answer:
        given = read(call)
        row = self._create(table, given.get("properties") or {})
        for each in given.get("associations") or []:
            kind = next((name for name in self.tables if self.tables[name].get(str(each["to"]["id"]))), None)
            if kind is not None:
                self._tie(table.name, row.key, kind, str(each["to"]["id"]))
        return told(self._shown(table, row, call), 201)

    def _patch(self, table: Table, call: Call) -> Answer:
        row = self._found(table, call.parts["id"], call.asked.get("idProperty", ""))
        return told(self._shown(table, self._edit(table, row.key, read(call).get("properties") or {}), call))

    def _delete(self, table: Table, call: Call) -> Answer:
        """Deleting what is gone is no error."""
        if table.get(call.parts["id"]):
            self._archive(table, call.parts["id"])
        return Answer(204)

    def _batch(self, name: str, word: str) -> Callable[[Call], Answer]:
        def answer(call: Call) -> Answer:
            table, given = self.tables[name], read(call)
            inputs = given.get("inputs")
            if not isinstance(inputs, list) or not 1 <= len(inputs) <= BATCH:
                raise invalid(f"a batch has 1 to {BATCH} inputs")
            started = iso(self.world.clock.now())
            results: list[Json] = []
            errors: list[Json] = []
            for place, each in enumerate(inputs):
                try:
                    if place == 0 and self.world.faults.strikes("partial_batch", call.path):
                        raise invalid("this row fails on demand")
                    results += self._one(table, word, each, given, call)
                except Refused as refused:
                    said = read_json(refused.answer.body)
                    context = {"ids": [str(each.get("id", ""))]}
                    errors.append({"status": "error", "category": said["category"], "message": said["message"]})
                    errors[-1]["context"] = context
            if word == "archive":
                return Answer(204)
            body: Json = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": started}
            if errors:
                return told({**body, "numErrors": len(errors), "errors": errors}, 207)
            return told(body, 201 if word == "create" else 200)

        return answer

    def _one(self, table: Table, word: str, each: Json, given: Json, call: Call) -> list[Json]:
        """What comes of one row of a batch."""
        key, by = str(each.get("id", "")), each.get("idProperty") or given.get("idProperty") or ""
        properties = each.get("properties") or {}
        names = given.get("properties") or (*KINDS[table.name].shown, *properties)
        if word == "create":
            row = self._create(table, properties)
        elif word == "upsert":
            known = self._unique.get((table.name, by, key))
            row = self._edit(table, known, properties) if known else self._create(table, {**properties, by: key})
            return [{**shown(KINDS[table.name].changed, row.data, names), "new": known is None}]
        elif word == "archive":
            if table.get(key):
                self._archive(table, key)
            return []
        else:
            row = self._found(table, key, by)
            if word == "update":
                row = self._edit(table, row.key, properties)
        del call
        return [shown(KINDS[table.name].changed, row.data, names)]

    def _associate(self, call: Call) -> Answer:
        names = call.parts
        for table, key in ((names["from"], names["id"]), (names["to"], names["other"])):
            if table not in self.tables or self.tables[table].get(key) is None:
                raise missing(key)
        self._tie(names["from"], names["id"], names["to"], names["other"])
        return told({"status": "COMPLETE", "results": []})

    # --- books ---

    def _tie(self, table: str, key: str, other: str, other_key: str) -> None:
        self._ties.setdefault((table, key, other), set()).add(other_key)
        self._ties.setdefault((other, other_key, table), set()).add(key)

    def _found(self, table: Table, key: str, by: str = "", archived: bool = False) -> Row:
        if by and by != "hs_object_id":
            if by not in KINDS[table.name].properties or not KINDS[table.name].properties[by].unique:
                raise invalid(f"{by!r} is no property with unique values")
            key = self._unique.get((table.name, by, key), "")
        row = table.ever(key)
        if row is None or row.deleted != archived:
            raise missing(key)
        return row

    def _taken(self, table: Table, given: Json, key: str = "") -> Json:
        """What was given, as it is kept. Raises Refused."""
        kind = KINDS[table.name]
        if kind.read_only and not self._by_person:
            raise Refused(error(405, "VALIDATION_ERROR", f"{table.name} cannot be written"))
        bad = [
            {"isValid": False, "message": f'Property "{name}" cannot be {value!r}', "error": code, "name": name}
            for name, value in given.items()
            if (code := wrong(kind, name, value))
        ]
        if bad:
            raise invalid(f"Property values were not valid: {written(bad).decode()}")
        taken = {name: normal(kind.properties[name], value) for name, value in given.items()}
        for name, value in taken.items():
            holder = self._unique.get((table.name, name, value or ""))
            if value is not None and kind.properties[name].unique and holder not in (None, key):
                said = f"{kind.one.capitalize()} already exists. Existing ID: {holder}"
                raise Refused(error(409, "CONFLICT", said))
        return taken

    def _index(self, table: Table, row: Row, before: Json) -> None:
        for name, known in KINDS[table.name].properties.items():
            if known.unique:
                if before.get(name) is not None:
                    self._unique.pop((table.name, name, before[name]), None)
                if row.data.get(name) is not None and not row.deleted:
                    self._unique[table.name, name, row.data[name]] = row.key

    def _create(self, table: Table, given: Json) -> Row:
        kind, taken = KINDS[table.name], self._taken(table, given)
        self._last_key += 1 + self.world.random.randrange(5)
        key, at = str(self._last_key), iso(self.world.clock.now())
        system = {"hs_object_id": key, "createdate": at, kind.changed: at}
        row = table.add(key, {**dict.fromkeys(kind.properties), **taken, **system})
        self._index(table, row, {})
        self._tell([{**self._event(kind.one, "creation", key), "changeFlag": "CREATED"}])
        return row

    def _edit(self, table: Table, key: str, given: Json) -> Row:
        kind, before = KINDS[table.name], self._found(table, key).data
        taken = self._taken(table, given, key)
        changed = {name: value for name, value in taken.items() if before.get(name) != value}
        row = table.get(key)
        assert row is not None
        if changed:
            row = table.put(key, {**before, **changed, kind.changed: iso(self.world.clock.now())})
            self._index(table, row, before)
        self._tell(
            [
                {**self._event(kind.one, "propertyChange", key), "propertyName": name, "propertyValue": value or ""}
                for name, value in changed.items()
            ]
        )
        return row

    def _archive(self, table: Table, key: str) -> None:
        row = table.remove(key)
        self._index(table, row, row.data)
        self._tell([{**self._event(KINDS[table.name].one, "deletion", key), "changeFlag": "DELETED"}])

    def _event(self, one: str, what: str, key: str) -> Json:
        self._events += 1
        return happened(self._events, one, what, key, self.world.clock.now(), self._by_person)

    def _tell(self, events: list[Json]) -> None:
        for start in range(0, 0 if self.world.quiet else len(events), MOST):
            self.world.hooks.tell(str(events[start]["eventId"]), written(events[start : start + MOST]), sign)

    def _shown(self, table: Table, row: Row, call: Call) -> Json:
        kind, asked = KINDS[table.name], parse_qs(call.query)
        names = [name for each in asked.get("properties", []) for name in each.split(",")] or kind.shown
        object = shown(kind.changed, row.data, names)
        if row.deleted:
            object |= {"archived": True, "archivedAt": iso(row.modified)}
        ties: Json = {}
        for other in ",".join(asked.get("associations", [])).split(","):
            if found := self._ties.get((table.name, row.key, other)):
                kinds = f"{kind.one}_to_{KINDS[other].one}"
                ties[other] = {"results": [{"id": key, "type": kinds} for key in sorted(found)]}
        return {**object, "associations": ties} if ties else object
