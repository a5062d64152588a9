"""Bulk 2.0: queries that are asked once and fetched in pieces, as CSV, behind locators."""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass

from fieldwarden.sandbox.frame.exchange import Answer, Call, told
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.frame.vendor import World
from fieldwarden.sandbox.salesforce.books import Books, lines, stamp
from fieldwarden.sandbox.salesforce.errors import read, refused


@dataclass(slots=True)
class Job:
    """A query of Bulk 2.0 and its rows, as lines of CSV."""

    told: Json
    rows: list[list[str]]


class Bulk:
    def __init__(self, world: World, books: Books) -> None:
        self._world = world
        self._books = books
        self._jobs: dict[str, Job] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(self, call: Call) -> Answer:
        given = read(call)
        query, rows = self._books.found(str(given.get("query", "")), given.get("operation") == "queryAll")
        self._last += 1
        key, at = f"750xx{self._last:013}", stamp(self._world.clock.now())
        fails = self._world.faults.strikes("bulk_failed")
        job: Json = {
            "id": key,
            "operation": given.get("operation", "query"),
            "object": query.object.name,
            "createdDate": at,
        }
        job |= {
            "state": "Failed" if fails else "JobComplete",
            "contentType": "CSV",
            "numberRecordsProcessed": len(rows),
        }
        self._jobs[key] = Job(job, [*lines(rows, query.fields)])
        return told({**job, "state": "UploadComplete"})

    def _found(self, call: Call) -> Job:
        if call.parts["id"] not in self._jobs:
            raise refused("NOT_FOUND", "The requested resource does not exist", status=404)
        return self._jobs[call.parts["id"]]

    def state(self, call: Call) -> Answer:
        return told(self._found(call).told)

    def delete(self, call: Call) -> Answer:
        self._found(call)
        del self._jobs[call.parts["id"]]
        return Answer(204)

    def results(self, call: Call) -> Answer:
        job, asked = self._found(call), call.asked
        if job.told["state"] != "JobComplete":
            raise refused("INVALIDJOBSTATE", "the job failed")
        head, *rows = job.rows
        start = int(base64.b64decode(asked["locator"]).decode()) if asked.get("locator") else 0
        onward = start + int(asked.get("maxRecords", len(rows) or 1))
        page = rows[start:onward]
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([head, *page])
        locator = base64.b64encode(str(onward).encode()).decode() if onward < len(rows) else "null"
        headers = {"sforce-locator": locator, "sforce-numberofrecords": str(len(page))}
        return Answer(200, text.getvalue().encode(), headers, "text/csv; charset=utf-8")
