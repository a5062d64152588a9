"""References after a split: what a row refers to is the row that its system names, and goes with it.

A key that stands in a row means the record of the row with that key. Where that row goes back to the record that it
came from, what refers to it has meant that record all along.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fieldwarden.engine.deciding.joining import values_of
from fieldwarden.engine.deciding.reresolve import redecided
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.ledger.entries import Decision
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity, Rulebook

Referring = Mapping[tuple[str, str], Collection[str]]
"""By (system, stream), the fields in which its rows refer to what has left."""


def referring_to(rulebook: Rulebook, gone: Sequence[Contribution], kept: Sequence[Contribution]) -> Referring:
    """Which fields of which rows mean the record that the rows `gone` have gone to. They are the fields that refer to a
    stream of which a live row has gone, in systems that `kept` no live row of that stream in the record that was left.
    """
    leaving = _places(gone) - _places(kept)
    found: dict[tuple[str, str], list[str]] = {}
    for system in rulebook.systems.values():
        for stream in system.streams.values():
            for name, mapping in stream.fields.items():
                if mapping.reference is not None and (system.name, mapping.reference) in leaving:
                    found.setdefault((system.name, stream.name), []).append(name)
    return found


def refer_to(entity: Entity, record: Record, fields: Referring, left: str, to: str) -> tuple[bool, list[Decision]]:
    """Let the record's rows refer to `to` instead of `left` in these fields, and choose anew. The record is changed in
    place, except for its version. Gives whether any row did, and the decisions for the golden values that changed."""
    moved = refer(record.rows, fields, left, to)
    units = {unit.name: unit for name in sorted(moved) if (unit := entity.unit_of.get(name)) is not None}
    return bool(moved), redecided([(unit, choose(unit, record.rows)) for unit in units.values()], record, "split")


def refer(rows: Sequence[Contribution], fields: Referring, left: str, to: str) -> set[str]:
    """Let these rows refer to `to` instead of `left`; they are changed in place. Gives the fields in which any did.

    >>> row = Contribution("crm", "order", "1", "7", Stamp("7", None), {"customer": "0001"})
    >>> refer([row], {("crm", "order"): ["customer"]}, "0001", "0002"), row.fields
    ({'customer'}, {'customer': '0002'})
    """
    moved = set()
    for row in rows:
        for name in fields.get((row.system, row.stream), ()):
            for values in values_of(row):
                if values.get(name) == left:
                    values[name] = to
                    moved.add(name)
    return moved


def _places(rows: Sequence[Contribution]) -> set[tuple[str, str]]:
    return {(row.system, row.stream) for row in rows if row.live}
