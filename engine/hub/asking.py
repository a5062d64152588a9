"""What a person may ask the hub about, and what to say when nothing is called so."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.rules.rulebook import Entity, Field, Rulebook, Stream

MASK = "•••"
"""What stands in the place of a personal value."""


class UnknownName(FieldwardenError):
    """An entity, field, system or outcome that does not exist."""

    code = "unknown_name"
    exit_code = 2


class NotFound(FieldwardenError):
    """The name is right, but there is nothing of that key."""

    code = "not_found"


class AmbiguousName(FieldwardenError):
    """More than one record has this key. `candidates` are their ids."""

    code = "ambiguous"

    def __init__(self, message: str, candidates: Sequence[str], *, suggestion: str = "") -> None:
        super().__init__(message, suggestion=suggestion)
        self.candidates = tuple(candidates)


def closest(name: str, known: Iterable[str]) -> str:
    """A suggestion: what was probably meant, else what there is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there is {', '.join(known)}" if known else ""


def entity_named(rulebook: Rulebook, name: str) -> Entity:
    """Raises UnknownName."""
    if name not in rulebook.entities:
        raise UnknownName(f"there is no entity {name!r}", suggestion=closest(name, rulebook.entities))
    return rulebook.entities[name]


def field_named(entity: Entity, name: str) -> Field:
    """Raises UnknownName."""
    if name not in entity.fields:
        raise UnknownName(f"{entity.name} has no field {name!r}", suggestion=closest(name, entity.fields))
    return entity.fields[name]


Naming: TypeAlias = Callable[[str, str, str], str]


class Mask:
    """What a reader may see: personal values are hidden, and so are values of fields that no rule knows any more."""

    def __init__(self, rulebook: Rulebook, *, unmask: bool = False, naming: Naming = lambda *_: MASK) -> None:
        """`naming`: what a row is called whose key is hidden."""
        self._rulebook = rulebook
        self._unmask = unmask
        self._naming = naming
        self._hidden: dict[tuple[str, str], bool] = {}

    def hides(self, entity: str, field: str) -> bool:
        if self._unmask:
            return False
        known = self._rulebook.entities.get(entity)
        return known is None or field not in known.fields or known.fields[field].personal

    def value(self, entity: str, field: str, value: str | None) -> str | None:
        return MASK if value is not None and self.hides(entity, field) else value

    def key(self, system: str, stream: str, key: str) -> str:
        """A row's key, or what the row is called instead: where one of the key's columns is personal, and in a stream
        that no rule knows any more."""
        if self._unmask or not key:
            return key
        if (system, stream) not in self._hidden:
            self._hidden[system, stream] = self._hides_key(system, stream, frozenset())
        return self._naming(system, stream, key) if self._hidden[system, stream] else key

    def _hides_key(self, system: str, name: str, seen: frozenset[str]) -> bool:
        """Personal is a column that carries a personal field in any stream of the table, one that is called as such a
        field of its entity, and one that holds the hidden key of another row (of a parent, of a row referred to)."""
        known = self._rulebook.systems.get(system)
        stream = known.streams.get(name) if known else None
        if known is None or stream is None:
            return True
        entity = self._rulebook.entities.get(stream.entity)
        named = {each.name.lower() for each in entity.fields.values() if each.personal} if entity else set()
        columns = {column for column in stream.key if column.lower() in named}
        for other in known.streams.values():
            if other.table == stream.table:
                columns |= self._personal_columns(system, other, seen | {name})
        return not columns.isdisjoint(stream.key)

    def _personal_columns(self, system: str, stream: Stream, seen: frozenset[str]) -> set[str]:
        found: set[str] = set()
        for each in stream.fields.values():
            refers = each.reference is not None and self._refers_hidden(system, each.reference, seen)
            if refers or self.hides(stream.entity, each.field):
                found |= {each.column} if each.column else set()
                found |= each.read.columns if each.read else set()
        if stream.parent is not None and self._refers_hidden(system, stream.parent, seen):
            found |= set(stream.parent_columns)
        return found

    def _refers_hidden(self, system: str, stream: str, seen: frozenset[str]) -> bool:
        return stream not in seen and self._hides_key(system, stream, seen)
