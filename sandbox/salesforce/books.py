"""Salesforce's books: records by id and by external id, each write told of by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fieldwarden.sandbox.frame.clock import iso
from fieldwarden.sandbox.frame.exchange import NotPossible, Refused, told
from fieldwarden.sandbox.frame.names import company, mail, town
from fieldwarden.sandbox.frame.records import Json, Row, Table
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.salesforce.errors import refused
from fieldwarden.sandbox.salesforce.objects import OBJECTS, Object, long_id
from fieldwarden.sandbox.salesforce.soql import Query, Reading, comparable

USER = "005xx000001SwiUAAS"


def stamp(seconds: float) -> str:
    """As REST writes a time: `stamp(0)` -> "1970-01-01T00:00:00.000+0000"."""
    return iso(int(seconds)).replace("Z", "+0000")


class Books:
    def __init__(self, world: World) -> None:
        self.world = world
        self.tables = {name: Table(name, world.clock) for name in OBJECTS}
        self._last = 0
        self._done: list[tuple[str, str, Row | None]] | None = None
        self._external: dict[tuple[str, str], list[str]] = {}

    def object(self, name: str) -> Object:
        """Raises Refused."""
        if name not in OBJECTS:
            raise refused("NOT_FOUND", "The requested resource does not exist", status=404)
        return OBJECTS[name]

    def get(self, name: str, key: str) -> Row:
        """Raises Refused: what is deleted says so."""
        row = self.tables[self.object(name).name].ever(long_id(key))
        if row is None:
            raise refused("NOT_FOUND", "Provided external ID field does not exist or is not accessible", status=404)
        if row.deleted:
            raise refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def held(self, name: str, field: str, value: str) -> list[Row]:
        """The records that have this external id: more than one is possible, and then nothing may be written."""
        if field == "Id":
            return [self.get(name, value)]
        if field != self.object(name).external:
            raise refused("NOT_FOUND", f"{field} is no external id of {name}", status=404)
        return [self.get(name, key) for key in self._external.get((name, value.lower()), [])]

    def only(self, name: str, field: str, value: str) -> Row:
        """Raises Refused: 300 with where they are, if there are several."""
        rows = self.held(name, field, value)
        if not rows:
            raise refused("NOT_FOUND", "The requested resource does not exist", status=404)
        if len(rows) > 1:
            raise Refused(told([attributes(name, row.key)["url"] for row in rows], 300))
        return rows[0]

    def create(self, name: str, given: Json) -> Row:
        of = self.object(name)
        fields = self._taken(of, given, "")
        if missing := [each for each in of.needs if fields.get(each) is None]:
            raise refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)
        self._last += 1
        at = stamp(self.world.clock.now())
        key = long_id(f"{of.prefix}xx0000{self._last:06}".ljust(15, "A"))
        system = {"Id": key, "IsDeleted": False, "CreatedById": USER, "LastModifiedById": USER}
        system |= {"CreatedDate": at, "LastModifiedDate": at, "SystemModstamp": at}
        row = self.tables[name].add(key, self._scored(of, {**dict.fromkeys(of.fields), **fields, **system}))
        self._index(of, {}, row.data)
        self._note(name, row.key, None)
        return row

    def update(self, name: str, key: str, given: Json) -> Row:
        of, row = self.object(name), self.get(name, key)
        fields, at = self._taken(of, given, row.key), stamp(self.world.clock.now())
        self._note(name, row.key, row)
        before = row.data
        after = {**before, **fields, "LastModifiedDate": at, "SystemModstamp": at}
        row = self.tables[name].put(row.key, self._scored(of, after))
        self._index(of, before, row.data)
        return row

    def delete(self, name: str, key: str) -> None:
        """It goes to the recycle bin: `queryAll` still finds it."""
        row, at = self.get(name, key), stamp(self.world.clock.now())
        self._note(name, row.key, row)
        self._index(self.object(name), row.data, {})
        self.tables[name].put(row.key, {**row.data, "IsDeleted": True, "SystemModstamp": at})
        self.tables[name].remove(row.key)

    @contextlib.contextmanager
    def together(self) -> Iterator[Callable[[], None]]:
        """Within it all writes can be taken back, by calling what it yields."""
        self._done = []
        try:
            yield self._take_back
        finally:
            self._done = None

    def _take_back(self) -> None:
        for name, key, former in reversed(self._done or []):
            of, row = self.object(name), self.tables[name].ever(key)
            assert row is not None
            self._index(of, {} if row.deleted else row.data, former.data if former else {})
            if former is None:
                self.tables[name].forget(key)
            else:
                self.tables[name].restore(former)

    def _note(self, name: str, key: str, former: Row | None) -> None:
        if self._done is not None:
            self._done.append((name, key, replace(former) if former else None))

    def found(self, text: str, with_deleted: bool = False) -> tuple[Query, list[Json]]:
        """The rows of a query, as records of REST. Raises Refused."""
        reading = Reading(text, self._parent)
        query = reading.query
        table = self.tables[query.object.name]
        rows = [row.data for row in (table.all() if with_deleted else table) if query.fits(row.data)]
        for path, down in reversed(query.order):
            rows.sort(key=lambda data: _order(reading.value(data, path)), reverse=down)
        rows = rows[query.offset :][: query.limit]
        return query, [self._shown(reading, data) for data in rows]

    def _shown(self, reading: Reading, data: Json) -> Json:
        of = reading.object
        shown: Json = {"attributes": attributes(of.name, data["Id"])}
        for path in reading.query.fields:
            first, _, rest = path.partition(".")
            if not rest:
                shown[path] = data.get(path)
                continue
            parent = self._parent(of.parents[first + "Id"], data.get(first + "Id"))
            if parent is None:
                shown[first] = None
                continue
            inner = shown.setdefault(first, {"attributes": attributes(of.parents[first + "Id"], parent["Id"])})
            inner[rest] = parent.get(rest)
        return shown

    def _parent(self, name: str, key: Any) -> Json | None:
        row = self.tables[name].get(str(key))
        return row.data if row else None

    def _taken(self, of: Object, given: Json, key: str) -> Json:
        if self.world.faults.strikes("unable_to_lock"):
            raise refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        fields = {name: of.read(name, value) for name, value in given.items() if name != "attributes"}
        for name, parent in of.parents.items():
            if fields.get(name) is not None:
                fields[name] = long_id(fields[name])
                if self.tables[parent].get(fields[name]) is None:
                    raise refused("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {fields[name]}", name)
        holders = [
            each for each in self._external.get((of.name, str(fields.get(of.external)).lower()), []) if each != key
        ]
        if fields.get(of.external) is not None and holders and not self.world.faults.strikes("ambiguous"):
            raise refused("DUPLICATE_VALUE", f"duplicate value found: {of.external} duplicates record {holders[0]}")
        return fields

    def _scored(self, of: Object, data: Json) -> Json:
        """Formula fields follow from others; no change of their own is told."""
        return {**data, "Score__c": Decimal(len(str(data["Name"])))} if "Score__c" in of.calculated else data

    def _index(self, of: Object, before: Json, after: Json) -> None:
        for data, adds in ((before, False), (after, True)):
            if data.get(of.external) is not None:
                keys = self._external.setdefault((of.name, data[of.external].lower()), [])
                (keys.append if adds else keys.remove)(data["Id"])


def attributes(name: str, key: str) -> Json:
    return {"type": name, "url": f"/services/data/v65.0/sobjects/{name}/{key}"}


def _order(value: Any) -> tuple[bool, Any]:
    """What has no value comes first."""
    return value is not None, comparable(value) if value is not None else 0


def sample(books: Books, table: str, number: int) -> Json:
    """Raises NotPossible."""
    erp = {"Erp_Id__c": f"{table[:2].upper()}{number:06}"}
    match table:
        case "Account":
            city, postal_code, country = town(number)
            place = {"BillingCity": city, "BillingPostalCode": postal_code, "BillingCountry": country}
            return {"Name": company(number), "AnnualRevenue": 1000 * number, **place, **erp}
        case "Product2":
            return {"Name": f"Product {number}", "ProductCode": f"SKU{number}", "IsActive": True, **erp}
    account = books.tables["Account"].pick(number)
    if account is None or table not in OBJECTS:
        raise NotPossible(f"{table} needs an account first")
    whose = {"AccountId": account.key, **erp}
    match table:
        case "Contact":
            return {"FirstName": "Zoë", "LastName": f"Nr {number}", "Email": mail(number), **whose}
        case "Opportunity":
            return {
                "Name": f"Deal {number}",
                "StageName": "Prospecting",
                "CloseDate": "2026-12-31",
                "Amount": 100,
                **whose,
            }
    return {"Status": "Draft", "EffectiveDate": "2026-11-01", **whose}


def lines(rows: list[Json], fields: tuple[str, ...]) -> Iterator[list[str]]:
    """As Bulk writes them: text, an empty one for what has no value."""
    yield [*fields]
    for row in rows:
        values: list[str] = []
        for path in fields:
            first, _, rest = path.partition(".")
            value = (row.get(first) or {}).get(rest) if rest else row.get(path)
            values.append("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
        yield values
