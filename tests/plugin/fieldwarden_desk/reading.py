"""What changed in a desk, by asking for it again and again; and what its objects hold now.

A desk numbers its changes in one row, over all objects. It tells of each changed object once, with the number of its
last change: so whoever asks from 0 is told of everything there is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation, RowRef
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.engine.ports.inbox import INBOX, Event, Hint, Item
from fieldwarden.engine.ports.kinds import Reading
from fieldwarden.engine.ports.parts import LOG, Part
from fieldwarden.engine.ports.source import Batch, Observation, Start
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream

from .session import DeskSession

_PAGE = 50
_EAGER = 0.02


class DeskSource:
    """Its positions are `{"read": N, "first": M}`: changes up to N are durable, and up to M they were what was there
    when it was read for the first time. `first` is left out once all that is read."""

    def __init__(self, session: DeskSession, reading: Reading) -> None:
        self.system = reading.system.name
        self._session = session
        self._arrivals = reading.arrivals
        self._inbox: Part | None = None
        settings: Any = reading.system.settings
        self._poll = _EAGER if reading.eager else settings.poll.total_seconds()
        self._relations = {each.table: relation(each) for each in reading.system.read_streams.values()}
        self._part = Part(0, None)
        self._baseline = 0
        self._read = 0
        self._first: int | None = None

    async def open(self, start: Start) -> None:
        self._baseline = start.baseline
        if self._arrivals is not None:
            self._inbox = (await start.take([INBOX]))[INBOX]
            await self._arrivals.open(self._inbox.position)
        part = self._part = (await start.take([LOG]))[LOG]
        if part.position is None or start.is_new_to(part):
            self._read, self._first = 0, await end(self._session)
            return
        held = json.loads(part.position)
        self._read, self._first = held["read"], held.get("first")

    async def batches(self) -> AsyncIterator[Batch]:
        """What it tells us, as soon as it does; and what it is asked for every now and then."""
        if self._first == 0:
            yield self._batch([])
        while True:
            while told := await _changes(self._session, self._read):
                self._read = told[-1]["number"]
                yield self._batch([raw for each in told if (raw := self._raw(each)) is not None])
            due = time.monotonic() + self._poll
            while (left := due - time.monotonic()) > 0:
                if self._arrivals is None or self._inbox is None:
                    await asyncio.sleep(left)
                elif arrived := await self._arrivals.wait(left):
                    changes = [raw for each in arrived if (raw := self._told(each.item)) is not None]
                    part = replace(self._inbox, position=self._arrivals.position)
                    yield replace(self._batch(changes), parts={INBOX: part})
                    if any(isinstance(each.item, Hint) and not each.item.key for each in arrived):
                        break

    def _told(self, item: Item) -> RawChange | None:
        """What an event or a hint is. An object's number is in its position, so an older one says nothing; a row of
        which there is a hint is looked at."""
        if isinstance(item, Event):
            return self._raw(json.loads(item.payload))
        shape = self._relations.get(item.stream)
        if shape is None or not item.key:
            return None
        key = tuple(item.key if column == "id" else UNKNOWN for column in shape.columns)
        return RawChange(shape, "hint", key, "", None)

    def _batch(self, changes: list[RawChange]) -> Batch:
        snapshot: Literal["running", "done"] | None = None
        if self._first is not None:
            snapshot = "done" if self._read >= self._first else "running"
        held = {"read": self._read} | ({"first": self._first} if snapshot == "running" else {})
        if snapshot == "done":
            self._first = None
        return Batch(changes, {LOG: replace(self._part, position=json.dumps(held))}, snapshot)

    def _raw(self, told: Mapping[str, Any]) -> RawChange | None:
        shape = self._relations.get(told["type"])
        if shape is None:
            return None
        number = self._number(told["number"])
        if self._first is not None:
            return None if told["deleted"] else RawChange(shape, "observe", values(shape, told), number, None)
        return RawChange(shape, "delete" if told["deleted"] else "update", values(shape, told), number, told["at"])

    async def acknowledge(self, batch: Batch) -> None:
        """A desk keeps its changes for ever; the inbox need not keep what it told us."""
        if self._arrivals is not None and INBOX in batch.parts:
            await self._arrivals.durable(batch.parts[INBOX].position or "")

    async def ends(self, baseline: int) -> None:
        """It reads its objects by itself."""

    async def again(self, raw: RawChange) -> RawChange:
        return raw

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        """All changes up to the desk's last number, which is asked for first, are older than what is seen."""
        position = f"{self._number(await end(self._session))}!"
        return [Observation(row, await self._seen(row, position), position) for row in rows]

    async def _seen(self, row: RowRef, position: str) -> RawChange | None:
        shape = self._relations[row.stream]
        told = await held(self._session, row.stream, row.key)
        return None if told is None else RawChange(shape, "observe", values(shape, told), position, None)

    def _number(self, number: int) -> str:
        return f"{self._baseline:04x}.{number:012d}"

    async def close(self) -> None:
        """The session is not ours."""


class DeskLag:
    """How far a desk is ahead: the number of its last change."""

    def __init__(self, session: DeskSession) -> None:
        self._session = session

    async def end(self) -> int:
        return await end(self._session)

    def reached(self, positions: Mapping[str, str | None], end: int) -> bool:
        read = json.loads(positions.get(LOG) or '{"read": -1}')
        return "first" not in read and bool(read["read"] >= end)

    async def slot(self) -> None:
        return None

    async def close(self) -> None:
        """The session is not ours."""


class DeskLooking:
    """A desk's objects as they are now."""

    def __init__(self, session: DeskSession) -> None:
        self._session = session

    def relation(self, stream: Stream) -> Relation:
        return relation(stream)

    async def rows(self, stream: Stream, relation: Relation) -> AsyncGenerator[list[RawChange], None]:
        objects = (await self._session.ask("GET", f"/objects/{stream.table}")).json()
        ordered = sorted(objects, key=lambda each: str(each["id"]).encode())
        yield [RawChange(relation, "observe", values(relation, each), "", None) for each in ordered]

    async def again(self, stream: Stream, relation: Relation, keys: Sequence[str]) -> list[RawChange]:
        found = [await held(self._session, stream.table, key) for key in keys]
        return [RawChange(relation, "observe", values(relation, each), "", None) for each in found if each is not None]

    async def untold(self, followed: Followed, position: str | None) -> bool | None:
        return None


def reread(position: str) -> str:
    """All that was read is told of once more, as it is now. An object that changes meanwhile is told of as a change."""
    return json.dumps({"read": 0, "first": json.loads(position)["read"]})


def relation(stream: Stream) -> Relation:
    """Everything in a desk is text."""
    columns = tuple(sorted(wanted_columns(stream).columns))
    return Relation(stream.name, columns, ("text",) * len(columns))


def values(shape: Relation, told: Mapping[str, Any]) -> tuple[RawValue, ...]:
    """In the order of the columns; of a deleted object the key is all there is."""
    if told.get("deleted"):
        return tuple(told["id"] if column == "id" else UNKNOWN for column in shape.columns)
    return tuple(told["id"] if column == "id" else told["fields"].get(column) for column in shape.columns)


async def end(session: DeskSession) -> int:
    number: int = (await session.ask("GET", "/desk")).json()["number"]
    return number


async def held(session: DeskSession, type: str, id: str) -> dict[str, Any] | None:
    """An object with its version; None if there is none."""
    answer = await session.ask("GET", f"/objects/{type}/{quote(id, safe='')}")
    return None if answer.status_code == 404 else answer.json() | {"version": answer.headers["ETag"]}


async def _changes(session: DeskSession, read: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = (await session.ask("GET", "/changes", params={"after": read, "limit": _PAGE})).json()
    return told
