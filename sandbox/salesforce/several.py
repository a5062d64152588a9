"""Requests about several records: collections, whose rows succeed each for itself or all together, and composite
requests, of which a later one uses what an earlier one answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, Refused, read_json, told
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.salesforce.books import Books
from fieldwarden.sandbox.salesforce.errors import error, read, refused
from fieldwarden.sandbox.salesforce.objects import OBJECTS

COLLECTION, COMPOSITE = 200, 25


class Several:
    """`endpoints` are those that a composite request may ask."""

    def __init__(self, books: Books, endpoints: Callable[[], Sequence[Endpoint]]) -> None:
        self._books = books
        self._endpoints = endpoints

    def written(self, call: Call) -> Answer:
        """Each row for itself, or with `allOrNone` none if one fails."""
        given = read(call)
        rows = given.get("records")
        if not isinstance(rows, list) or not 0 < len(rows) <= COLLECTION:
            raise refused("LIMIT_EXCEEDED", f"a collection has 1 to {COLLECTION} records")
        return told(self._each(rows, bool(given.get("allOrNone")), lambda row: self._put(call, row)))

    def deleted(self, call: Call) -> Answer:
        keys = [each for each in call.asked.get("ids", "").split(",") if each]
        prefixes = {each.prefix: each.name for each in OBJECTS.values()}

        def delete(key: str) -> Json:
            self._books.delete(prefixes.get(key[:3], key), key)
            return {"id": key, "success": True, "errors": []}

        return told(self._each(keys, call.asked.get("allOrNone") == "true", delete))

    def _each(self, rows: Sequence[Any], together: bool, do: Callable[[Any], Json]) -> list[Json]:
        results: list[Json] = []
        with self._books.together() as undo:
            for place, row in enumerate(rows):
                try:
                    results.append(do(row))
                except Refused as problem:
                    results.append({"success": False, "errors": [_wrong(problem)]})
                    if together:
                        undo()
                        rolled = {
                            "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
                            "message": "rolled back",
                            "fields": [],
                        }
                        failed: Json = {"success": False, "errors": [rolled]}
                        return [failed if other != place else results[-1] for other in range(len(rows))]
        return results

    def _put(self, call: Call, row: Json) -> Json:
        name = call.parts.get("name") or str((row.get("attributes") or {}).get("type", ""))
        fields = {each: value for each, value in row.items() if each not in ("attributes", "id", "Id")}
        if call.method == "POST":
            return {"id": self._books.create(name, fields).key, "success": True, "errors": []}
        if "field" not in call.parts:
            key = str(row.get("id") or row.get("Id") or "")
            return {"id": self._books.update(name, key, fields).key, "success": True, "errors": []}
        field = call.parts["field"]
        if self._books.held(name, field, str(fields.get(field, ""))):
            key = self._books.only(name, field, str(fields[field])).key
            return {"id": self._books.update(name, key, fields).key, "success": True, "errors": [], "created": False}
        return {"id": self._books.create(name, fields).key, "success": True, "errors": [], "created": True}

    def composite(self, call: Call) -> Answer:
        """One request after the other; `@{ref.id}` is what an earlier one answered."""
        requests = read(call).get("compositeRequest")
        if not isinstance(requests, list) or not 0 < len(requests) <= COMPOSITE:
            raise refused("LIMIT_EXCEEDED", f"a composite request has 1 to {COMPOSITE} requests")
        answers: dict[str, Any] = {}
        results: list[Json] = []
        for each in requests:
            filled = json.loads(re.sub(r"@\{(\w+)\.(\w+)\}", lambda match: _answer(answers, match), json.dumps(each)))
            inner = self._inner(call, filled)
            body = read_json(inner.body) if inner.body else None
            answers[str(each.get("referenceId"))] = body
            results.append(
                {
                    "body": body,
                    "httpHeaders": {},
                    "httpStatusCode": inner.status,
                    "referenceId": each.get("referenceId"),
                }
            )
        return told({"compositeResponse": results})

    def _inner(self, call: Call, each: Json) -> Answer:
        url, method = urlsplit(str(each.get("url", ""))), str(each.get("method", "GET")).upper()
        for endpoint in self._endpoints():
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", endpoint.path)
            match = re.fullmatch(pattern, url.path)
            if match and endpoint.method == method and "/composite" not in endpoint.path:
                parts = {name: unquote(value) for name, value in match.groupdict().items()}
                body = json.dumps(each.get("body")).encode() if each.get("body") is not None else b""
                try:
                    return endpoint.handle(Call(method, url.path, url.query, call.headers, body, call.base, parts))
                except Refused as problem:
                    return problem.answer
        return error(404, "NOT_FOUND", "The requested resource does not exist")


def _wrong(problem: Refused) -> Json:
    """The error of a row."""
    said = read_json(problem.answer.body)
    first = said[0] if isinstance(said[0], dict) else {"errorCode": "MULTIPLE_CHOICES", "message": "ambiguous"}
    return {"statusCode": first["errorCode"], "message": first["message"], "fields": first.get("fields", [])}


def _answer(answers: dict[str, Any], match: re.Match[str]) -> str:
    body = answers.get(match[1])
    return str(body.get(match[2], "")) if isinstance(body, dict) else ""
