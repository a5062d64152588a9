"""A project's files once read and shaped, before they are checked against each other and folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fieldwarden.rules.codes import CodeTable
from fieldwarden.rules.documents import Document, FilePosition
from fieldwarden.rules.models import EntityFile, StreamModel, SystemFile
from fieldwarden.rules.normalising import EXACT

Model = TypeVar("Model")


@dataclass(frozen=True)
class File(Generic[Model]):
    """One file: what it says, and where it says it."""

    model: Model
    document: Document


@dataclass(frozen=True)
class Files:
    """All that makes a rulebook. `ranks` names the systems, best first; `unread` names the entities, systems and
    code lists whose files could not be read, so that naming them is not an error of its own. `unnamed` is the
    normaliser of match keys that name none. `planned` names systems that rules may name, and that take no part yet.
    `vendors` are the project's own descriptions of vendors' APIs by name, as they were read: what they say is the
    concern of whoever reads such systems."""

    entities: Mapping[str, File[EntityFile]]
    systems: Mapping[str, File[SystemFile]]
    codes: Mapping[str, CodeTable]
    ranks: tuple[str, ...]
    unread: frozenset[str] = frozenset()
    code_texts: Mapping[str, str] = field(default_factory=dict)
    unnamed: str = EXACT
    planned: tuple[str, ...] = ()
    vendors: Mapping[str, Document] = field(default_factory=dict)

    def ranked(self) -> list[str]:
        """Known systems, best rank first."""
        listed = [name for name in self.ranks if name in self.systems]
        return listed + sorted(set(self.systems) - set(listed))

    def streams(self, entity: str, system: str) -> Iterator[tuple[str, StreamModel]]:
        for name, stream in self.systems[system].model.streams.items():
            if stream.entity == entity:
                yield name, stream

    def suppliers(self, entity: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """The systems, by rank, that are read for all of these fields of an entity."""
        return tuple(
            system
            for system in self.ranked()
            if all(any(name in stream.fields for stream in self._read(entity, system)) for name in names)
        )

    def has_field(self, entity: str, name: str) -> bool:
        """Whether the entity's file names the field, even where it could not be understood."""
        file = self.entities[entity]
        written = file.document.data.get("fields")
        return name in file.model.fields or (isinstance(written, dict) and name in written)

    def mapped(self, entity: str, name: str) -> bool:
        return any(name in stream.fields for system in self.systems for _, stream in self.streams(entity, system))

    def _read(self, entity: str, system: str) -> list[StreamModel]:
        return [stream for _, stream in self.streams(entity, system) if reads(self.systems[system].model, stream)]


def reads(system: SystemFile, stream: StreamModel) -> bool:
    return "target" not in (system.mode, stream.mode)


def writes(system: SystemFile, stream: StreamModel) -> bool:
    return "source" not in (system.mode, stream.mode)


def place(files: Files, system: str, stream: str | None, field: str | None, part: str | None) -> FilePosition:
    """Where the files speak of something: see `Project.locate`."""
    document = files.systems[system].document
    if part is not None and stream is None:
        places = (("connector", part), ("connector", "options", part), ("connector",))
        return document.at(*next(place for place in places if document.nearest(place) == place))
    path: tuple[str, ...] = ("streams", stream) if stream else ("system",)
    if field is not None:
        path = (*path, "fields", field)
    elif part is not None:
        path = (*path, part)
    return document.key_at(*path) if field is None and part is None else document.at(*path)
