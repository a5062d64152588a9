"""What makes a stream stand still: rows of a new shape that no longer fit the mapping, and order that is lost.

It stands still before the first such record, and everything else goes on. Nothing is lost, since the records wait in
Kafka; it goes on from there once the files are mended.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.connectors.postgres.looking.fit import can_carry
from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.deciding.mapping import StreamMapper
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.rules.rulebook import Entity, Stream, System

_WHOLE = ("insert", "update", "observe")
"""Those that carry a whole row."""


class FittingShapes:
    """Checks each shape of a system's rows once, before the first change in it is handed over."""

    def __init__(self, system: System, entities: Mapping[str, Entity]) -> None:
        self._system = system
        self._entities = entities
        self._fitting: dict[int, Relation] = {}

    def check(self, change: RawChange, partitions: int) -> None:
        """`partitions` is how many the change's topic has. Raises SchemaDrift."""
        if change.operation == "truncate":
            _check_order(self._system.name, change.relation.stream, partitions)
        elif id(change.relation) not in self._fitting and change.undecoded is None and change.operation in _WHOLE:
            for relation in (change.relation, *change.relation.siblings):
                stream = self._system.streams[relation.stream]
                _check_shape(stream, self._entities[stream.entity], relation)
            self._fitting[id(change.relation)] = change.relation


def _check_order(system: str, stream: str, partitions: int) -> None:
    if partitions > 1:
        raise SchemaDrift(
            f"{system}: {stream} was truncated, and its topic has {partitions} partitions: which changes came before "
            "that and which after it cannot be told",
            suggestion=f"read everything again with `fieldwarden run --rebaseline {system}`",
        )


def _check_shape(stream: Stream, entity: Entity, relation: Relation) -> None:
    """Names the first mapped column that is gone, or whose type the field cannot hold."""
    StreamMapper(stream, entity, relation)
    types = dict(zip(relation.columns, relation.types, strict=True))
    for mapped in stream.fields.values():
        field = entity.fields.get(mapped.field)
        if field is None or mapped.column is None or mapped.read is not None or mapped.codes is not None:
            continue
        if not can_carry(types[mapped.column], field.type):
            raise SchemaDrift(
                f"{stream.system}: the column {mapped.column!r} of {stream.name} is {types[mapped.column]} now, "
                f"which cannot hold the field {mapped.field} ({field.type})",
                suggestion=f"mend the mapping in the system file of {stream.system}, then start `fieldwarden run`",
            )
