"""Which columns a stream's columns really are: by the catalogue's identity, whatever they are called there.

A view's column is the column of the table below it, a partitioned or inherited table's is that of all its parts, a
generated column is what it is generated from; a rule writes where its action does. A column is (server, database,
relation, number). The server is known by the moment it was started: its system identifier is that of its clones too,
and asking for it can be forbidden.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import psycopg
from psycopg.generators import execute
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from connectors.postgres.catalog import table_name
from connectors.postgres.session import rows
from rules.protecting import Use
from rules.rulebook import System

_HERE = """
    select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as started, d.oid as database
    from pg_database d where d.datname = current_database()"""

_NAMED = """
    select n.nspname || '.' || c.relname as name, c.oid, a.attname, a.attnum
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where n.nspname || '.' || c.relname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')"""

_STEPS = """
    with given as (select * from unnest(%(tables)s::oid[], %(columns)s::int2[]) as g (rel, att))
    select 'part' as how, g.rel, g.att, i.inhrelid as to_rel, c.attnum as to_att
    from given g join pg_inherits i on i.inhparent = g.rel
    join pg_attribute a on a.attrelid = g.rel and a.attnum = g.att
    join pg_attribute c on c.attrelid = i.inhrelid and c.attname = a.attname and not c.attisdropped
    union all
    select 'generated', g.rel, g.att, d.refobjid, d.refobjsubid
    from given g join pg_attribute a on a.attrelid = g.rel and a.attnum = g.att and a.attgenerated <> ''
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = g.rel
        and d.refobjsubid > 0 and d.refobjsubid <> g.att
    left join pg_attrdef f on f.adrelid = g.rel and f.adnum = g.att
    where (d.classid = 'pg_class'::regclass and d.objid = g.rel and d.objsubid = g.att)
        or (d.classid = 'pg_attrdef'::regclass and d.objid = f.oid)
    union all
    select 'rule', g.rel, g.att, d.refobjid, d.refobjsubid
    from given g join pg_rewrite r on r.ev_class = g.rel and r.ev_type <> '1'
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> g.rel and d.refobjsubid > 0"""

_VIEWS = """
    select c.oid, pg_get_viewdef(c.oid) as query,
           exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgtype & 64 <> 0) as instead,
           array(select a.attnum::int from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                 and not a.attisdropped order by a.attnum) as numbers
    from pg_class c where c.oid = any(%s) and c.relkind in ('v', 'm')"""

_MENTIONED = """
    select r.ev_class as rel, d.refobjid as to_rel, d.refobjsubid as to_att
    from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class and d.refobjsubid > 0
    where r.ev_class = any(%s) and r.ev_type = '1'"""

Place: TypeAlias = tuple[int, int]
"""(relation, attribute number)"""


@dataclass(frozen=True, slots=True)
class Database:
    """Which database of which running server."""

    started: int
    oid: int


@dataclass(slots=True)
class _Graph:
    """What columns lead to, as far as it was asked."""

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
class Reach:
    """The columns of some systems' streams, as far as they are in one database."""

    database: Database
    written: Mapping[Use, frozenset[Hashable]]
    read: Mapping[Use, frozenset[Hashable]]
    opaque: frozenset[str]
    """Tables ("schema.table") that are views with INSTEAD OF triggers."""


async def here(connection: psycopg.AsyncConnection[TupleRow]) -> Database:
    ((row),) = await rows(connection, _HERE)
    return Database(row["started"], row["database"])


async def reach(
    connection: psycopg.AsyncConnection[TupleRow],
    systems: Mapping[str, System],
    writes: Collection[Use],
    reads: Collection[Use],
) -> Reach:
    """What these columns are in the database that is connected. A column that is not there is none.

    Its role needs no rights on the tables: only the catalogue is read. Raises psycopg.Error."""
    database = await here(connection)
    uses = {use: table_name(systems[use.system].streams[use.stream].table) for use in (*writes, *reads)}
    places = await _named(connection, set(uses.values()))
    wanted = {use: places[table, use.column] for use, table in uses.items() if (table, use.column) in places}
    graph = await _followed(connection, set(wanted.values()))

    def known(of: Iterable[Use], *kinds: str) -> dict[Use, frozenset[Hashable]]:
        found = ((use, graph.reached(wanted[use], kinds)) for use in of if use in wanted)
        return {use: frozenset((database, *place) for place in places) for use, places in found}

    opaque = {uses[use] for use, (table, _) in wanted.items() if table in graph.opaque}
    return Reach(
        database,
        known(writes, "part", "view", "rule"),
        known(reads, "part", "view", "generated", "computed"),
        frozenset(opaque),
    )


async def _named(
    connection: psycopg.AsyncConnection[TupleRow], tables: Collection[str]
) -> dict[tuple[str, str], Place]:
    found = await rows(connection, _NAMED, [list(tables)])
    return {(row["name"], row["attname"]): (row["oid"], row["attnum"]) for row in found}


async def _followed(connection: psycopg.AsyncConnection[TupleRow], start: Collection[Place]) -> _Graph:
    """Everything that columns lead to, step by step: a view over a view over a partitioned table takes three."""
    graph, known, left = _Graph(), set(start), list(start)
    while left:
        found: list[tuple[str, Place, Place]] = []
        given = {"tables": [table for table, _ in left], "columns": [column for _, column in left]}
        for row in await rows(connection, _STEPS, given):
            found.append((row["how"], (row["rel"], row["att"]), (row["to_rel"], row["to_att"])))
        found += await _through_views(connection, {table for table, _ in left}, graph)
        for kind, place, to in found:
            graph.steps[kind][place].add(to)
        left = list({to for _, _, to in found} - known)
        known |= {*left}
    return graph


async def _through_views(
    connection: psycopg.AsyncConnection[TupleRow], tables: Collection[int], graph: _Graph
) -> list[tuple[str, Place, Place]]:
    """(kind, column, column below it) of those of the tables that are views: "view" where it is that very column, which
    can be written through it; else "computed", of each that the view speaks of."""
    views = await rows(connection, _VIEWS, [list(tables)])
    mentioned: dict[int, list[Place]] = {}
    for row in await rows(connection, _MENTIONED, [[view["oid"] for view in views]]):
        mentioned.setdefault(row["rel"], []).append((row["to_rel"], row["to_att"]))
    found: list[tuple[str, Place, Place]] = []
    for view in views:
        if view["instead"]:
            graph.opaque.add(view["oid"])
        origins = await _origins(connection, view["query"])
        for number, origin in zip(view["numbers"], origins, strict=True):
            if origin[0]:
                found.append(("view", (view["oid"], number), origin))
            else:
                found += [("computed", (view["oid"], number), each) for each in mentioned.get(view["oid"], ())]
    return found


async def _origins(connection: psycopg.AsyncConnection[TupleRow], query: str) -> Sequence[Place]:
    """The column that each column of a query is, (0, 0) of one that is computed: as the server describes the query,
    which is prepared and not run."""
    server = connection.pgconn
    async with connection.lock:
        server.send_prepare(b"", query.encode())
        await _answer(connection)
        server.send_describe_prepared(b"")
        result = await _answer(connection)
    return [(result.ftable(number), result.ftablecol(number)) for number in range(result.nfields)]


async def _answer(connection: psycopg.AsyncConnection[TupleRow]) -> PGresult:
    result: PGresult = (await connection.wait(execute(connection.pgconn)))[-1]
    if result.error_message:
        raise psycopg.errors.error_from_result(result)
    return result
