"""Objects of a desk, written one by one: never over what somebody else has written since we looked, and never twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.rules.rulebook import System

from .reading import held
from .session import DeskSession


class DeskTarget:
    """A desk compares (`If-Match`), and takes a record's id as an external id that is unique: nothing is in doubt."""

    capabilities = Capabilities(batch=20)

    def __init__(self, session: DeskSession, system: System) -> None:
        self.system = system.name
        self._session = session
        self._streams = system.streams

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        for write in writes:
            yield await (self._create(write) if write.key is None else self._change(write, write.key))

    async def look_up(self, intents: Sequence[Intent], /) -> Sequence[Found]:
        return []

    async def close(self) -> None:
        """The session is not ours."""

    async def _create(self, write: Write) -> WriteResult:
        stream = self._streams[write.stream]
        fields = self._columns(write, write.values) | dict(stream.constants)
        body = {"external_id": write.record, "fields": fields | {str(stream.external_id): write.record}}
        made = (await self._session.ask("POST", f"/objects/{stream.table}", json=body)).json()
        return self._result(write, made["id"], made["fields"])

    async def _change(self, write: Write, key: str) -> WriteResult:
        path = f"/objects/{self._streams[write.stream].table}/{key}"
        row = await held(self._session, self._streams[write.stream].table, key)
        if row is None:
            return WriteResult(write.token, "applied" if write.operation == "delete" else "missing", key)
        match = {"If-Match": row["version"]}
        if write.operation == "delete":
            answer = await self._session.ask("DELETE", path, headers=match)
            return WriteResult(write.token, "conflict" if answer.status_code == 412 else "applied", key)
        named = {name: self._columns(write, {name: value}) for name, value in write.values.items()}
        free = {
            name: columns
            for name, columns in named.items()
            if name in write.unguarded or all(row["fields"].get(c) == write.expected.get(name) for c in columns)
        }
        torn = {name for block in write.blocks if not set(block) & named.keys() <= free.keys() for name in block}
        fields = {c: v for name, columns in free.items() if name not in torn for c, v in columns.items()}
        if not fields:
            return self._result(write, key, row["fields"])
        answer = await self._session.ask("PATCH", path, headers=match, json={"fields": fields})
        if answer.status_code == 412:
            return WriteResult(write.token, "conflict", key)
        return self._result(write, key, answer.json()["fields"])

    def _columns(self, write: Write, values: Mapping[str, Value]) -> dict[str, Any]:
        """By the desk's own names."""
        maps = self._streams[write.stream].fields
        return {str(maps[name].column): value for name, value in values.items()}

    def _result(self, write: Write, key: str, fields: Mapping[str, Any]) -> WriteResult:
        maps = self._streams[write.stream].fields
        now = {name: fields.get(str(maps[name].column)) for name in write.values}
        differing = {name: value for name, value in now.items() if value != write.values[name]}
        return WriteResult(write.token, "applied", key, differing)
