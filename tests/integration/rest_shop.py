"""A vendor whose objects are read in every way that there is, over real HTTP, with a clock that a test moves.

customers   listed by token, changes by time of change, deleted ones marked
orders      listed and followed by links (OData), deleted ones as tombstones
invoices    listed by offset, changes by time, deletions told elsewhere
products    listed by token, changes by events that only name them
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fieldwarden.connectors.rest.asking.logins import Fixed
from fieldwarden.connectors.rest.asking.session import Clocks, RestSession
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.rest.description import Vendor
from fieldwarden.connectors.rest.moments import SECOND, told
from fieldwarden.connectors.rest.vendors import vendor_in
from fieldwarden.rules.secret import Secret
from tests.integration.rest_server import Asked, Reply, Served

BEGIN = 1_900_000_000 * SECOND
OBJECTS = ("customers", "orders", "invoices", "products")

FILE = """
vendor: shop
title: A shop
url: https://shop.example
auth: {kind: token}
limits: {concurrency: 4}
objects:
  customers:
    key: id
    columns: {id: id, name: name, amount: {place: money.amount, type: numeric}}
    modified: {place: updated}
    newer_by: modified
    all:
      request: {path: /customers, query: {limit: "{size}"}}
      records: {path: "$.data[*]"}
      page: {kind: token, size: 3, next: $.next, query: {after: "{token}"}}
    changes:
      cursor: {kind: time_window, format: iso_ms, overlap: 5s, end_lag: 1s, retention: 1h}
      request: {path: /customers, query: {limit: "{size}", since: "{since}", until: "{until}"}}
    one: {request: {path: "/customers/{key}"}, records: {path: $}}
    delete: {kind: marker, when: "@.deleted == true"}
  orders:
    key: id
    columns: {id: id, name: name, amount: {place: money.amount, type: numeric}}
    version: "$['@odata.etag']"
    all:
      request: {path: /orders}
      records: {path: "$.value[*]"}
      page: {kind: next_link, next: "$['@odata.nextLink']"}
    changes: {cursor: {kind: delta_link, next: "$['@odata.deltaLink']"}}
    one: {request: {path: "/orders/{key}"}, records: {path: $}}
    delete: {kind: tombstone, when: "@['@removed']", key: "$['@id']", pattern: "orders\\\\('(.+)'\\\\)"}
  invoices:
    key: id
    columns: {id: id, name: name, amount: {place: money.amount, type: numeric}}
    modified: {place: updated}
    all:
      request: {path: /invoices, query: {limit: "{size}", offset: "{offset}"}}
      records: {path: "$.data[*]"}
      page: {kind: offset, size: 3}
    changes:
      cursor: {kind: time_window, format: iso_ms, overlap: 5s, end_lag: 1s}
      request: {path: /invoices, query: {limit: "{size}", offset: "{offset}", since: "{since}", until: "{until}"}}
      page: {kind: offset, size: 3, cap: 9}
    one: {request: {path: "/invoices/{key}"}, records: {path: $}}
    delete:
      kind: separate_feed
      cursor: {kind: time_window, format: iso_ms, overlap: 5s, end_lag: 1s}
      request: {path: /deleted, query: {since: "{since}"}}
      records: {path: "$.data[*]", key: id}
      when: "@.kind == 'invoices'"
      page: {kind: none, cap: 20}
  products:
    key: id
    columns: {id: id, name: name, amount: {place: money.amount, type: numeric}}
    all:
      request: {path: /products, query: {limit: "{size}"}}
      records: {path: "$.data[*]"}
      page: {kind: token, size: 3, next: $.next, query: {after: "{token}"}}
    changes:
      reads: keys
      cursor: {kind: time_window, format: iso_ms, overlap: 5s, end_lag: 1s}
      request: {path: /events, query: {limit: "{size}", since: "{since}", until: "{until}"}}
      records: {path: "$.data[*]", key: object.id}
    one: {request: {path: "/products/{key}"}, records: {path: $}}
"""


def shop_vendor() -> Vendor:
    return vendor_in("shop.yaml", FILE.encode())


@dataclass
class Shop:
    """`now` is its clock; each request takes it on by a second. `before` is called with each request: for people who
    work meanwhile, and for what goes wrong."""

    now: int = BEGIN
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {name: {} for name in OBJECTS})
    log: list[tuple[int, str, str, dict[str, Any] | None]] = field(default_factory=list)
    before: Callable[[Asked], Reply | None] = lambda asked: None
    oldest_delta: int = 0

    def put(self, kind: str, id: str, name: str, amount: str = "1.00") -> None:
        """As a person does."""
        self.now += SECOND // 4
        row = {"id": id, "name": name, "money": {"amount": amount}, "updated": told(self.now, "iso_ms")}
        self.rows[kind][id] = row | {"@odata.etag": f'W/"{-self.now}"'}
        self.log.append((self.now, kind, id, row))

    def delete(self, kind: str, id: str) -> None:
        self.now += SECOND // 4
        if self.rows[kind].pop(id, None) is not None:
            self.log.append((self.now, kind, id, None))

    def held(self, kind: str) -> dict[str, tuple[str, str]]:
        """What people see there."""
        return {id: (row["name"], row["money"]["amount"]) for id, row in self.rows[kind].items()}

    def __call__(self, asked: Asked) -> Reply:
        self.now += SECOND
        reply = self.before(asked) or self.answer(asked)
        return Reply(reply.told, reply.status, {"Date": told(self.now, "http_date"), **reply.headers}, reply.cut)

    def answer(self, asked: Asked) -> Reply:
        match asked.path.strip("/").split("/"):
            case [kind, id] if kind in self.rows:
                row = self.rows[kind].get(id)
                return Reply(row) if row is not None else Reply({"error": "none"}, 404)
            case ["orders"]:
                return self._orders(asked)
            case ["events"]:
                return self._paged(asked, [_event(*each) for each in self._since(asked, "products")])
            case ["deleted"]:
                gone = [each for each in self._since(asked) if each[3] is None]
                return Reply({"data": [{"kind": kind, "id": id} for _, kind, id, _ in gone][-20:]})
            case ["invoices"]:
                return self._offset(asked)
            case [kind] if kind in self.rows:
                return self._paged(asked, self._listed(asked, kind))
        return Reply({}, 404)

    def _listed(self, asked: Asked, kind: str) -> list[dict[str, Any]]:
        if asked.one("since") is None:
            return [self.rows[kind][id] for id in sorted(self.rows[kind])]
        last = {id: (at, row) for at, _, id, row in self._since(asked, kind)}
        found = []
        for id, (at, _) in sorted(last.items()):
            now = self.rows[kind].get(id)
            if (now is not None and now["updated"] < (asked.one("until") or "")) or (
                now is None and kind == "customers"
            ):
                found.append(now or {"id": id, "deleted": True, "updated": told(at, "iso_ms")})
        return found

    def _since(self, asked: Asked, kind: str = "") -> list[tuple[int, str, str, dict[str, Any] | None]]:
        since, until = asked.one("since") or "", asked.one("until") or "~"
        return [each for each in self.log if since <= told(each[0], "iso_ms") < until and kind in ("", each[1])]

    def _paged(self, asked: Asked, found: list[dict[str, Any]]) -> Reply:
        after, size = asked.one("after") or "", int(asked.one("limit") or 3)
        left = [each for each in found if each["id"] > after]
        return Reply({"data": left[:size], "next": left[size - 1]["id"] if len(left) > size else None})

    def _offset(self, asked: Asked) -> Reply:
        found = sorted(self._listed(asked, "invoices"), key=lambda row: (row["updated"], row["id"]))
        if asked.one("since") is None:
            found = sorted(found, key=lambda row: row["id"])
        offset, size = int(asked.one("offset") or 0), int(asked.one("limit") or 3)
        return Reply(
            {"data": found[:9][offset : offset + size] if asked.one("since") else found[offset : offset + size]}
        )

    def _orders(self, asked: Asked) -> Reply:
        """The link of an answer has the number of the change up to which it goes, taken before its first page."""
        base, size = f"http://{asked.headers['host']}/orders", 3
        upto = int(asked.one("upto") or len(self.log))
        since = asked.one("delta")
        if since is not None and int(since) < self.oldest_delta:
            return Reply({"error": "gone"}, 410)
        after = asked.one("after") or ""
        if since is None:
            found = [self.rows["orders"][id] for id in sorted(self.rows["orders"]) if id > after]
        else:
            ids = sorted({each[2] for each in self.log[int(since) :] if each[1] == "orders"})
            rows = self.rows["orders"]
            found = [rows.get(id) or {"@id": f"{base}('{id}')", "@removed": {}, "id": id} for id in ids if id > after]
        told = {
            "value": [{k: v for k, v in each.items() if k != "id" or "@removed" not in each} for each in found[:size]]
        }
        if len(found) > size:
            kept = f"&delta={since}" if since is not None else ""
            return Reply(told | {"@odata.nextLink": f"{base}?after={found[size - 1]['id']}&upto={upto}{kept}"})
        return Reply(told | {"@odata.deltaLink": f"{base}?delta={upto}"})


def _event(at: int, kind: str, id: str, row: dict[str, Any] | None) -> dict[str, Any]:
    """As it was then, which is not how it is."""
    return {"id": f"evt_{at}", "type": "deleted" if row is None else "put", "object": {"id": id, "name": "of old"}}


def session_of(served: Served, shop: Shop, vendor: Vendor | None = None) -> RestSession:
    async def sleep(seconds: float) -> None:
        shop.now += int(seconds * SECOND)

    def passing() -> int:
        shop.now += SECOND // 4
        return shop.now

    wire = Wire("shop", served.url, seconds=30, answer_bytes=1_000_000)
    clocks = Clocks(lambda: shop.now / SECOND, passing, sleep)
    return RestSession(wire, vendor or shop_vendor(), {}, Fixed("Authorization", Secret("Bearer of-the-tests")), clocks)
