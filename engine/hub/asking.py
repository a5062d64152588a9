"""What a person may ask the hub about, and what to say when nothing is called so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from engine.errors import FieldwardenError
from rules.rulebook import Entity, Field, Rulebook

MASK = "•••"
"""What stands in the place of a personal value."""


class UnknownName(FieldwardenError):
    """An entity, field, system or outcome that does not exist."""

    code = "unknown_name"
    exit_code = 2


class NotFound(FieldwardenError):
    """The name is right, but there is nothing of that key."""

    code = "not_found"


class Ambiguous(FieldwardenError):
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


class Mask:
    """What a reader may see: personal values are hidden, and so are values of fields that no rule knows any more."""

    def __init__(self, rulebook: Rulebook, *, unmask: bool = False) -> None:
        self._rulebook = rulebook
        self._unmask = unmask

    def hides(self, entity: str, field: str) -> bool:
        if self._unmask:
            return False
        known = self._rulebook.entities.get(entity)
        return known is None or field not in known.fields or known.fields[field].personal

    def value(self, entity: str, field: str, value: str | None) -> str | None:
        return MASK if value is not None and self.hides(entity, field) else value

    def key(self, system: str, stream: str, key: str) -> str:
        """A row's key is hidden where one of its columns carries a personal field."""
        if self._unmask or system not in self._rulebook.systems:
            return key
        found = self._rulebook.systems[system].streams.get(stream)
        if found is None:
            return key
        personal = {each.column for each in found.fields.values() if self.hides(found.entity, each.field)}
        return MASK if personal.intersection(found.key) else key
