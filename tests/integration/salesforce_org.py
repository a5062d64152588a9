"""An org's REST API on loopback, as far as we ask of it, over the records of the sandbox's org: so that what is
written here is told on its event bus, too."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from fieldwarden.connectors.rest.asking.logins import Client
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.salesforce.asking.login import OAuth
from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.rules.secret import Secret
from fieldwarden.sandbox.pubsub.bus import Bus
from fieldwarden.sandbox.pubsub.objects import Field, Object
from fieldwarden.sandbox.pubsub.org import ACCOUNT, Org

EXT = "Ext__c"
PARTY = Object("Account", "001", (Field(EXT), Field("Score__c", "double"), *ACCOUNT.fields))
SITE = Object("Site__c", "a01", (Field(EXT), Field("Account__c", "reference"), Field("City__c")))
NOW = 1_772_000_000_000
_BASE = "/services/data/v65.0"
_PAGE = re.compile(r"SELECT (\S+) FROM (\w+)(?: WHERE Id > '(\w*)')? ORDER BY Id LIMIT (\d+)").fullmatch
_AMONG = re.compile(r"SELECT (\S+) FROM (\w+) WHERE (\w+) IN \((.*)\)").fullmatch
_NEWEST = re.compile(r"SELECT MAX\(SystemModstamp\) newest FROM (\w+)").fullmatch
_FLAGS = {
    EXT: {"unique": True, "externalId": True},
    "Score__c": {"calculated": True, "createable": False, "updateable": False},
    "LastModifiedDate": {"createable": False, "updateable": False},
}


@dataclass
class RestOrg:
    """`refuse` gives errors of a record that is to be written (code, field), `answers` come in place of the next
    answers (None: what is asked for is done, and the line is cut). `described` are changes to what is described."""

    bus: Bus = field(default_factory=lambda: Bus([PARTY, SITE]))
    refuse: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: list[tuple[int, Any] | None] = field(default_factory=list)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    before_write: Callable[[], None] | None = None
    """What somebody does between our look and our write, once."""
    bodies: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    token: str = "token-1"
    now: int = NOW
    """Milliseconds since 1970, there and here."""
    usage: str = "api-usage=18/5000"
    port: int = 0

    def __post_init__(self) -> None:
        self.org = Org(self.bus, lambda: self.now)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def rows(self, object: str) -> dict[str, dict[str, Any]]:
        return {id: each for id, each in self.org.records.items() if each["entity"] == object}

    # --- HTTP ----------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                headers = {}
                while (line := await reader.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answered = self._answered(method, target, headers, body)
                if answered is None:
                    break
                status, answer = answered
                content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                told = [f"Content-Length: {len(content)}", f"Sforce-Limit-Info: {self.usage}"]
                told.append(f"Date: {formatdate(self.now / 1_000, usegmt=True)}")
                writer.write("\r\n".join([f"HTTP/1.1 {status} X", *told, "", ""]).encode() + content)
                await writer.drain()
        except asyncio.CancelledError:
            return  # the org is closed, and nobody waits for this connection
        finally:
            writer.close()

    def _answered(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any] | None:
        url = urlsplit(target)
        path, query = url.path.removeprefix(_BASE), {name: each[0] for name, each in parse_qs(url.query).items()}
        self.requests.append((method, path))
        self.headers.append(headers)
        if path == "/services/oauth2/token":
            who = f"{self.url}/id/00Dxx0000001gPLEAY/005xx000001TT96AAG"
            return 200, {"access_token": self.token, "instance_url": self.url, "id": who}
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        if self.answers:
            instead = self.answers.pop(0)
            if instead is not None:
                return instead
            self._done(method, path, query, body)
            return None
        return self._done(method, path, query, body)

    def _done(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        asked = json.loads(body) if body else {}
        if path.endswith("/describe"):
            return self._describe(path.split("/")[2])
        if path == "/query":
            return self._query(query["q"])
        if path == "/composite/sobjects":
            if method == "DELETE":
                return 200, [self._delete(id) for id in query["ids"].split(",")]
            write = self._create if method == "POST" else self._update
            meanwhile, self.before_write = self.before_write, None
            if meanwhile is not None:
                meanwhile()
            self.bodies.append(body)
            return 200, [write(each) for each in asked["records"]]
        if path.startswith("/composite/sobjects/"):
            return 200, [self._shown(path.rpartition("/")[2], id, asked["fields"]) for id in asked["ids"]]
        return 404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]

    # --- what it does --------------------------------------------------------------------------------------------

    def _describe(self, name: str) -> tuple[int, Any]:
        if name not in self.bus.objects:
            return 404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
        object = self.bus.objects[name]
        fields = [{"name": "Id", "type": "id"}]
        for each in object.fields:
            fields += [self._field(part, "string") for _, part in each.parts] or [self._field(each.name, each.type)]
        return 200, {
            "name": name,
            "keyPrefix": object.prefix,
            "fields": [each for each in fields if "gone" not in each],
        }

    def _field(self, name: str, type: str) -> dict[str, Any]:
        scale = 2 if type in ("currency", "double") else 0
        plain = {"name": name, "type": type, "scale": scale, "createable": True, "updateable": True}
        return plain | _FLAGS.get(name, {}) | self.described.get(name, {})

    def _query(self, text: str) -> tuple[int, Any]:
        if page := _PAGE(text):
            ids = sorted(id for id in self.rows(page[2]) if id > (page[3] or ""))[: int(page[4])]
        elif newest := _NEWEST(text):
            at = self.org.touched.get(newest[1])
            told = None if at is None else datetime.fromtimestamp(at / 1_000, UTC).isoformat(timespec="milliseconds")
            return 200, {"totalSize": 1, "done": True, "records": [{"newest": told}]}
        elif among := _AMONG(text):
            wanted = set(re.findall(r"'((?:[^'\\]|\\.)*)'", among[4]))
            ids = [id for id, each in self.rows(among[2]).items() if each.get(among[3]) in wanted]
            page = among
        else:
            return 400, [{"errorCode": "MALFORMED_QUERY", "message": text}]
        records = [self._shown(page[2], id, page[1].split(",")) for id in ids]
        return 200, {"totalSize": len(records), "done": True, "records": records}

    def _shown(self, object: str, id: str, fields: Sequence[str]) -> dict[str, Any] | None:
        row = self.rows(object).get(id)
        if row is None:
            return None
        kinds = {each.name: each.type for each in self.bus.objects[object].fields}
        shown = {name: id if name == "Id" else _json(kinds.get(name, ""), row.get(name)) for name in fields}
        return {"attributes": {"type": object}, **shown}

    def _create(self, told: dict[str, Any]) -> dict[str, Any]:
        entity, values = told.pop("attributes")["type"], told
        if error := self._error(entity, values, None):
            return _failed(*error)
        return {"id": self.org.create(entity, values), "success": True, "errors": []}

    def _update(self, told: dict[str, Any]) -> dict[str, Any]:
        entity, id, values = told.pop("attributes")["type"], told.pop("id"), told
        if id not in self.org.records:
            return _failed("ENTITY_IS_DELETED", "", "entity is deleted")
        if error := self._error(entity, values, id):
            return _failed(*error)
        self.org.update([id], values)
        return {"id": id, "success": True, "errors": []}

    def _delete(self, id: str) -> dict[str, Any]:
        if id not in self.org.records:
            return _failed("ENTITY_IS_DELETED", "", "entity is deleted")
        self.org.delete(id)
        return {"id": id, "success": True, "errors": []}

    def _error(self, entity: str, values: Mapping[str, Any], id: str | None) -> tuple[str, str, str] | None:
        for name, value in values.items():
            if name == EXT:
                for other, row in self.rows(entity).items():
                    if row.get(EXT) == value and other != id:
                        return (
                            "DUPLICATE_VALUE",
                            EXT,
                            f"duplicate value found: duplicates value on record with id: {other}",
                        )
            if isinstance(value, str) and value in self.refuse:
                return *self.refuse[value], f"{value} is bad"
            if name == "Phone" and len(value or "") >= 10:
                return "STRING_TOO_LONG", "Phone", f"Phone: data value too large: {value}"
        return None


@asynccontextmanager
async def logged_in(org: RestOrg) -> AsyncIterator[SalesforceSession]:
    """A session of that org, by client credentials."""
    wire = Wire("erp", org.url, seconds=10.0, answer_bytes=1 << 24)
    client = Client(wire, "/services/oauth2/token", "client-1", Secret("hush-hush"), in_body=True)
    login = OAuth("erp", client, lambda: {"grant_type": "client_credentials"}, lambda: 0.0)
    session = SalesforceSession(wire, login, micros=lambda: org.now * 1_000)
    session.works_for("7")
    try:
        yield session
    finally:
        await session.close()


def _failed(code: str, field: str, message: str) -> dict[str, Any]:
    error = {"statusCode": code, "message": message, "fields": [field] if field else []}
    return {"success": False, "errors": [error]}


def _json(kind: str, value: Any) -> Any:
    return "2026-02-25T06:13:20.000+0000" if kind == "datetime" and value is not None else value
