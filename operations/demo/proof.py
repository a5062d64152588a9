"""Whether the systems of a project agree, judged without the engine: by queries that a person wrote.

A project may hold a folder `proof`: `shared.csv` says which system holds which field of which entity, and
`<system>.sql` reads them all out of that system's own tables as (entity, key, field, value), in words that all
systems share. Nothing here reads the rulebook, the mapping or the hub, so what this finds cannot be wrong in the same
way as the replication is.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psycopg

from fieldwarden.rules.secret import Secretive, revealed

Value: TypeAlias = str | None


class Cell(NamedTuple):
    """One field of one thing, named by what people call it (a tax id, an invoice number)."""

    entity: str
    key: str
    field: str


class Difference(NamedTuple):
    """A cell on which systems differ: per system what it holds, or "(missing)", "(null)", "(twice)"."""

    cell: Cell
    holds: dict[str, str]

    def __str__(self) -> str:
        entity, key, name = self.cell
        return f"{entity} {key}, {name}: " + ", ".join(f"{system} {text}" for system, text in self.holds.items())


@dataclass(slots=True)
class Proof:
    """`compared`: cells that at least two systems share; `things`: per entity how many the systems agree on."""

    compared: int = 0
    things: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        return self.compared > 0 and not self.differences


Shared: TypeAlias = Mapping[tuple[str, str], tuple[str, ...]]
Held: TypeAlias = Mapping[Cell, list[Value]]


def prove(folder: Path, dsns: Mapping[str, Secretive]) -> Proof:
    """Compare the systems, row by row and field by field. `dsns`: system -> connection string."""
    shared = read_shared(folder / "shared.csv")
    return compare(shared, {system: read_system(dsn, folder / f"{system}.sql") for system, dsn in dsns.items()})


def read_shared(path: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """(entity, field) -> the systems that hold it."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row.pop("entity"), row.pop("field")): tuple(name for name, word in row.items() if word == "yes")
            for row in csv.DictReader(file)
        }


def read_system(dsn: Secretive, query: Path) -> dict[Cell, list[Value]]:
    """Every cell of one system; more than one value means that it holds the thing more than once."""
    held: dict[Cell, list[Value]] = {}
    with psycopg.connect(revealed(dsn)) as connection:
        connection.read_only = True
        for entity, key, name, value in connection.execute(query.read_bytes()):
            held.setdefault(Cell(entity, key if key is not None else "(without a key)", name), []).append(value)
    return held


def compare(shared: Shared, systems: Mapping[str, Held]) -> Proof:
    """Every shared cell must be there once, with one value, in every system that holds its field."""
    proof = Proof()
    things: dict[str, set[str]] = {}
    unequal: set[tuple[str, str]] = set()
    for cell in sorted({cell for held in systems.values() for cell in held}):
        holders = [name for name in shared.get((cell.entity, cell.field), ()) if name in systems]
        if len(holders) < 2:
            continue
        proof.compared += 1
        things.setdefault(cell.entity, set()).add(cell.key)
        texts = {name: _text(systems[name].get(cell, ())) for name in holders}
        if len(set(texts.values())) > 1 or "(twice)" in texts.values():
            proof.differences.append(Difference(cell, texts))
            unequal.add((cell.entity, cell.key))
    proof.things = {entity: sum((entity, key) not in unequal for key in keys) for entity, keys in things.items()}
    return proof


def _text(values: Iterable[Value]) -> str:
    found = list(values)
    if not found:
        return "(missing)"
    if len(found) > 1:
        return "(twice)"
    return "(null)" if found[0] is None else repr(found[0])
