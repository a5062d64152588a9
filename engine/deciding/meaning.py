"""What raw changes of one system mean: each with the mapper of its stream and shape.

A change that cannot be mapped is told apart here, with its reason; so is one that meets a bug. The others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from fieldwarden.engine import bugs, failpoints
from fieldwarden.engine.change import RawChange, Relation, RowRef
from fieldwarden.engine.deciding.known import Mapped
from fieldwarden.engine.deciding.mapping import StreamMapper, deletion, is_bare, rekeying, undecoded_row
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.rules.rulebook import Entity, Stream

Told = Callable[[Exception], None]


class Meanings:
    """`told` hears what changes met that nobody foresaw. Raises SchemaDrift where a mapped column is not there."""

    def __init__(self, streams: Mapping[str, Stream], entities: Mapping[str, Entity], told: Told) -> None:
        self._streams = streams
        self._entities = entities
        self._told = told
        self._mappers: dict[int, tuple[StreamMapper, object]] = {}

    def all(self, changes: Iterable[RawChange]) -> list[Mapped]:
        """What these changes mean, in their order. A change of a table that several streams read means something to
        each of them."""
        found: list[Mapped] = []
        for raw in changes:
            if raw.relation.siblings:
                found += self._each(raw)
            else:
                found.append(self.of(raw))
        return found

    def of(self, raw: RawChange, release: int = 0) -> Mapped:
        """What one change means to its own stream. Where it cannot be mapped, `change` is None and `refused` says why.
        `release`: the id of the set-aside change that this is, when it is tried again.

        >>> meanings = Meanings(RULES.systems["crm"].streams, RULES.entities, print)
        >>> told = meanings.of(whole("public.account", 1, "C-1", phone="555", credit_limit="1.005"))
        >>> told.row == ACCOUNT, told.change.fields["phone"], told.change.unreadable.keys() == {"credit_limit"}
        (True, '555', True)
        """
        try:
            return self._of(raw, release)
        except Exception as error:
            if not bugs.of_one_record(error):
                raise
            self._told(error)
            return self._unmapped(raw, release, bugs.reason(error, "this change"))

    def forget(self, relation: Relation) -> None:
        """Drop the mapper of this shape, whose columns are not followed any more."""
        self._mappers.pop(id(relation), None)

    def clear(self) -> None:
        """Drop all mappers."""
        self._mappers.clear()

    def _each(self, raw: RawChange) -> list[Mapped]:
        # Those that the row leaves come first: passing from one stream to another it is never in both.
        said = [self.of(raw), *(self.of(replace(raw, relation=sibling)) for sibling in raw.relation.siblings)]
        return sorted(said, key=lambda mapped: mapped.change is None or mapped.change.operation != "delete")

    def _of(self, raw: RawChange, release: int) -> Mapped:
        stream = self._streams[raw.relation.stream]
        if raw.undecoded is not None:
            return self._unmapped(raw, release, raw.undecoded.reason)
        if raw.operation == "truncate":
            return Mapped(raw, RowRef(stream.system, stream.name, ""), stream.entity, None)
        if raw.operation == "hint":
            return Mapped(raw, deletion(stream, raw).row, stream.entity, None, release=release)
        if raw.operation == "rekey" or is_bare(stream, raw):
            change = rekeying(stream, raw) if raw.operation == "rekey" else deletion(stream, raw)
            # A rekey has its place among the changes of the old key.
            return Mapped(raw, change.old_row or change.row, stream.entity, change, release=release)
        mapper = self._mapper(stream, raw.relation)
        try:
            change = mapper(raw)
            failpoints.hit("ingest.mapping", change.row.key)
        except ValueRefused as error:
            return Mapped(raw, mapper.row(raw), stream.entity, None, refused=error.message, release=release)
        return Mapped(raw, change.row, stream.entity, change, release=release)

    def _unmapped(self, raw: RawChange, release: int, why: str) -> Mapped:
        stream = self._streams[raw.relation.stream]
        return Mapped(raw, undecoded_row(stream, raw), stream.entity, None, refused=why, release=release)

    def _mapper(self, stream: Stream, relation: Relation) -> StreamMapper:
        found = self._mappers.get(id(relation))
        if found is None:
            mapper = StreamMapper(stream, self._entities[stream.entity], relation)
            found = self._mappers[id(relation)] = (mapper, relation)
        return found[0]
