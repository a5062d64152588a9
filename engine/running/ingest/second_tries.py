"""Changes that were set aside, tried again: in rounds through all of them, one page at a time.

A page is small, so that whoever takes in new changes meanwhile waits for no more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fieldwarden.engine import bugs
from fieldwarden.engine.change import Change, RawChange, RowRef
from fieldwarden.engine.deciding.kept_changes import has_its_key, shell, unpack
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.meaning import Meanings
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.ports.hub import PAGE, Hub
from fieldwarden.engine.ports.source import Source
from fieldwarden.rules.rulebook import Stream


class SecondTries:
    """What one source has set aside. `found` is told of every bug that one change meets."""

    def __init__(
        self,
        hub: Hub,
        source: Source,
        streams: Mapping[str, Stream],
        meanings: Meanings,
        found: Callable[[Exception], None],
    ) -> None:
        self._hub = hub
        self._source = source
        self._streams = streams
        self._meanings = meanings
        self._found = found
        self._after: int | None = None

    def begin(self) -> None:
        """A new round, from the first that is set aside."""
        self._after = 0

    @property
    def over(self) -> bool:
        """Whether the round has been through all of them."""
        return self._after is None

    async def next(self) -> list[Mapped]:
        """Those of the next page that may go on now, as if they came now: none, perhaps, although more come later."""
        if self._after is None:
            return []
        waiting, self._after = await self._hub.releasable(self._source.system, PAGE, self._after)
        return await self._mapped(waiting) if waiting else []

    async def _mapped(self, waiting: Sequence[SetAside]) -> list[Mapped]:
        """A row is identified by the newest of its changes."""
        mapped = []
        newest: dict[RowRef, Change] = {}
        for kept in waiting:
            item = await self._again(kept)
            mapped.append(item)
            if item.change is not None and item.change.operation == "upsert":
                newest[item.row] = item.change
        for item in mapped:
            if item.row in newest:
                item.identified_by = newest[item.row]
        return mapped

    async def _again(self, kept: SetAside) -> Mapped:
        raw = shell(kept)
        try:
            if kept.row.stream not in self._streams:
                raise SchemaDrift("its table is not read any more")
            raw = _told_to(kept.row.stream, await self._source.again(unpack(kept.payload)))
            raw.follows_rekey = raw.follows_rekey and not has_its_key(kept)
            item = self._meanings.of(raw, kept.id)
        except SchemaDrift as error:
            item = Mapped(raw, kept.row, kept.entity, None, refused=error.message, release=kept.id)
        except Exception as error:
            if not bugs.of_one_record(error):
                raise
            why = bugs.reason(error, "this change")
            item = Mapped(raw, kept.row, kept.entity, None, refused=why, release=kept.id)
            self._found(error)
        self._meanings.forget(raw.relation)
        return item


def _told_to(stream: str, raw: RawChange) -> RawChange:
    """The change as this stream is told of it: one that is decoded anew is told to all that read its table."""
    own = next((each for each in raw.relation.siblings if each.stream == stream), raw.relation)
    return replace(raw, relation=replace(own, siblings=()))
