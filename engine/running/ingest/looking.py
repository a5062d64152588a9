"""Rows looked at in their system, and what was seen as if it had been told: for hints, and for rows nobody told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from fieldwarden.engine import bugs
from fieldwarden.engine.change import Operation, RawChange, Relation, RowRef, key_parts
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.mapping import deletion
from fieldwarden.engine.deciding.meaning import Meanings, Told
from fieldwarden.engine.ports.source import Observation, Source
from fieldwarden.rules.rulebook import Stream

log = structlog.get_logger(__name__)

AT_ONCE = 500
"""Rows of one look, all of which are in memory at once."""
_SILENT = "nothing could be said of these rows when they were looked at for a hint"


def is_hint(item: Mapped) -> bool:
    """Whether it says nothing but that its row has to be looked at."""
    return item.raw.operation == "hint" and not item.refused


class Looker:
    """Of one source."""

    def __init__(self, source: Source, streams: Mapping[str, Stream], meanings: Meanings, told: Told) -> None:
        """`told` hears what looks met that nobody foresaw."""
        self._source = source
        self._streams = streams
        self._meanings = meanings
        self._told = told

    async def look(self, rows: Sequence[RowRef]) -> dict[RowRef, Mapped]:
        """What each of these rows holds now, by the row that was asked for; a row that is gone is a "vanish". Those of
        which nothing could be said are left out. Raises EnvironmentUnfit, TransientError."""
        found = await self._source.look(rows)
        seen = {each.row: self._meant(each) for each in found}
        for each in found:
            if each.image is not None:  # the next look may bring the same rows in another shape
                self._meanings.forget(each.image.relation)
        return seen

    async def hinted(self, rows: Sequence[RowRef]) -> list[Mapped]:
        """What hints of these rows lead to. A row whose look meets a bug is set aside by itself."""
        try:
            seen = await self.look(rows)
        except Exception as error:
            if not bugs.of_one_record(error):
                raise
            if len(rows) == 1:
                self._told(error)
                return [self._unseen(rows[0], bugs.reason(error, "this row when it was looked at"))]
            middle = len(rows) // 2
            return await self.hinted(rows[:middle]) + await self.hinted(rows[middle:])
        if silent := len(rows) - len(seen):
            log.warning("source.hints_unanswered", system=self._source.system, count=silent, message=_SILENT)
        return list(seen.values())

    async def instead(self, tried: Sequence[Mapped]) -> list[Mapped]:
        """The same set-aside changes, with the rows that hints among them name as they are now."""
        hints = {item.row: item for item in tried if is_hint(item)}
        if not hints:
            return list(tried)
        seen = {item.row: item for item in await self.hinted(list(hints))}
        for row, hint in hints.items():
            seen.setdefault(row, self._unseen(row, _SILENT)).release = hint.release
        return [seen[item.row] if is_hint(item) else item for item in tried]

    def _unseen(self, row: RowRef, why: str) -> Mapped:
        """A hint that leads to nothing yet."""
        stream = self._streams[row.stream]
        return Mapped(_of_key(stream, row, "hint", "", None), row, stream.entity, None, refused=why)

    def _meant(self, seen: Observation) -> Mapped:
        if seen.image is None:
            return gone(self._streams[seen.row.stream], seen.row, "vanish", seen.position, None)
        return self._meanings.of(replace(seen.image, position=seen.position))


def gone(stream: Stream, row: RowRef, operation: Operation, position: str, at: int | None, *, among: int = 0) -> Mapped:
    """A row that is not there any more. `among` as in `Mapped`."""
    raw = _of_key(stream, row, operation, position, at)
    return Mapped(raw, row, stream.entity, deletion(stream, raw), among=among)


def _of_key(stream: Stream, row: RowRef, operation: Operation, position: str, at: int | None) -> RawChange:
    """A change that holds nothing but the row's key."""
    relation = Relation(stream.name, stream.key, ("text",) * len(stream.key))
    try:
        parts = key_parts(row.key, len(stream.key))
    except ValueError:  # a row known only by the name of its unusable key
        parts = (row.key, *[""] * (len(stream.key) - 1))
    return RawChange(relation, operation, parts, position, at)
