"""Which columns a stream's columns really are: by the catalogue's identity, whatever they are called there.

A view's column is the column of the table below it, a partitioned or inherited table's is that of all its parts, a
generated column is what it is generated from; a rule writes where its action does. A column is (database, relation,
number).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.places import Database
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.rules.names import qualified
from fieldwarden.rules.protecting import Use
from fieldwarden.rules.rulebook import System

_TREE = re.compile(r"\\.|[{}]|(?<= ):(res\w+) ((?:\\.|[^\\\s{}()])+)", re.DOTALL)
"""Of a query's tree as pg_rewrite shows it: braces, and what is said of a column. In names, these are escaped."""
_COLUMN = 2
"""How deep in braces the columns of the query itself stand: ({QUERY ... :targetList ({TARGETENTRY ...} ...)})."""

Place: TypeAlias = tuple[int, int]
"""(relation, attribute number)"""
_Name: TypeAlias = tuple[str, ...]
"""The exact (schema, table)"""


@dataclass(slots=True)
class _Graph:
    """What columns lead to, as far as it was asked."""

    places: set[Place]
    """Every column that is known of."""
    steps: dict[str, dict[Place, set[Place]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set[Place]))
    )
    opaque: set[int] = field(default_factory=set)
    """Views that a trigger writes through: nobody can tell where."""

    def reached(self, start: Place, kinds: Collection[str]) -> frozenset[Place]:
        found, left = {start}, [start]
        while left:
            place = left.pop()
            for kind in kinds:
                more = self.steps[kind].get(place, set()) - found
                found |= more
                left += more
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Watched:
    """What an answer depends on: if the catalogue says the same of it, the answer is the same."""

    tables: frozenset[_Name]
    columns: frozenset[str]
    relations: frozenset[int]
    """Whatever the tables lead to, themselves included."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The columns of some systems' streams, as far as they are in one database."""

    written: Mapping[Use, frozenset[Hashable]]
    """Of a write that ends, through however many views, in one with an INSTEAD OF trigger: whatever is read here."""
    read: Mapping[Use, frozenset[Hashable]]
    missing: tuple[Use, ...]
    """Writes to tables that are not there: what their columns are, nobody can tell."""
    watched: Watched


async def reach(
    connection: psycopg.AsyncConnection[TupleRow],
    database: Database,
    systems: Mapping[str, System],
    writes: Collection[Use],
    reads: Collection[Use],
) -> Reach:
    """What these columns are in `database`, the one that is connected. A column that is not there is none.

    Its role needs no rights on the tables: only the catalogue is read. Raises psycopg.Error."""
    uses = {use: qualified(systems[use.system].streams[use.stream].table) for use in (*writes, *reads)}
    places = await _named(connection, set(uses.values()))
    there = {table for table, _ in places}
    wanted = {use: places[table, use.column] for use, table in uses.items() if (table, use.column) in places}
    graph = await _followed(connection, set(wanted.values()))

    def known(of: Iterable[Use], *kinds: str) -> dict[Use, frozenset[Place]]:
        return {use: graph.reached(wanted[use], kinds) for use in of if use in wanted}

    def identified(columns: Mapping[Use, frozenset[Place]]) -> dict[Use, frozenset[Hashable]]:
        return {use: frozenset((database, *place) for place in places) for use, places in columns.items()}

    read = known(reads, "part", "view", "generated", "computed")
    everything = frozenset(place for places in read.values() for place in places)
    written = {
        use: places | everything if any(table in graph.opaque for table, _ in places) else places
        for use, places in known(writes, "part", "view", "rule").items()
    }
    missing = tuple(use for use in writes if uses[use] not in there)
    relations = frozenset(table for table, _ in graph.places)
    watched = Watched(frozenset(uses.values()), frozenset(use.column for use in uses), relations)
    return Reach(identified(written), identified(read), missing, watched)


async def fingerprint(connection: psycopg.AsyncConnection[TupleRow], watched: Watched) -> str:
    """A text that is another if the catalogue says anything else of what is watched. One query; no rights on the
    tables are needed. Raises psycopg.Error."""
    schemas, names = _columns(watched.tables)
    given = {"schemas": schemas, "names": names}
    given |= {"columns": list(watched.columns), "relations": list(watched.relations)}
    ((row),) = await rows(connection, QUERIES["fingerprint"], given)
    return str(row["fingerprint"])


async def present(connection: psycopg.AsyncConnection[TupleRow], tables: Collection[_Name]) -> frozenset[_Name]:
    """Those of the tables that are there. Raises psycopg.Error."""
    found = await rows(connection, QUERIES["present"], _columns(tables))
    return frozenset((row["nspname"], row["relname"]) for row in found)


def _columns(pairs: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Pairs as two lists, as `unnest` takes them."""
    return [list(column) for column in zip(*pairs, strict=True)] or [[], []]


async def _named(
    connection: psycopg.AsyncConnection[TupleRow], tables: Collection[_Name]
) -> dict[tuple[_Name, str], Place]:
    found = await rows(connection, QUERIES["named_columns"], _columns(tables))
    return {((row["nspname"], row["relname"]), row["attname"]): (row["oid"], row["attnum"]) for row in found}


async def _followed(connection: psycopg.AsyncConnection[TupleRow], start: Collection[Place]) -> _Graph:
    """Everything that columns lead to, step by step: a view over a view over a partitioned table takes three."""
    graph, left = _Graph(set(start)), list(start)
    while left:
        found: list[tuple[str, Place, Place]] = []
        given = dict(zip(("tables", "columns"), _columns(left), strict=True))
        for row in await rows(connection, QUERIES["reached"], given):
            found.append((row["how"], (row["rel"], row["att"]), (row["to_rel"], row["to_att"])))
        found += await _through_views(connection, {table for table, _ in left}, graph)
        for kind, place, to in found:
            graph.steps[kind][place].add(to)
        left = list({to for _, _, to in found} - graph.places)
        graph.places.update(left)
    return graph


async def _through_views(
    connection: psycopg.AsyncConnection[TupleRow], tables: Collection[int], graph: _Graph
) -> list[tuple[str, Place, Place]]:
    """(kind, column, column below it) of those of the tables that are views: "view" where it is that very column, which
    can be written through it; else "computed", of each that the view speaks of."""
    views = await rows(connection, QUERIES["views"], [list(tables)])
    mentioned: dict[int, list[Place]] = {}
    for row in await rows(connection, QUERIES["mentioned"], [[view["oid"] for view in views]]):
        mentioned.setdefault(row["rel"], []).append((row["to_rel"], row["to_att"]))
    found: list[tuple[str, Place, Place]] = []
    for view in views:
        if view["instead"]:
            graph.opaque.add(view["oid"])
        for number, origin in zip(view["numbers"], origins(view["query"]), strict=True):
            if origin[0]:
                found.append(("view", (view["oid"], number), origin))
            else:
                found += [("computed", (view["oid"], number), each) for each in mentioned.get(view["oid"], ())]
    return found


def origins(tree: str) -> Sequence[Place]:
    """The column that each column of a view is, (0, 0) of one that is computed, out of the view's stored query.

    It is what the server would say of the query's result (resorigtbl and resorigcol, primnodes.h), but to ask that
    takes USAGE of every schema below the view, and a role that may use the view has no need of it."""
    found: list[Place] = []
    depth, said = 0, dict[str, str]()
    for part in _TREE.finditer(tree):
        if part[0] == "{":
            depth += 1
        elif part[0] == "}":
            if depth == _COLUMN and "resorigtbl" in said and said["resjunk"] == "false":
                found.append((int(said["resorigtbl"]), int(said["resorigcol"])))
            depth, said = depth - 1, said if depth > _COLUMN else {}
        elif part[1] and depth == _COLUMN:
            said[part[1]] = part[2]
    return found
