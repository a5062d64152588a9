"""What `doctor` says of a source's publication: whether it is there, covers what is mapped, and is in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.catalog import Table, table_name, tables_of
from fieldwarden.connectors.postgres.harm import needs_stored
from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.reading.publications import is_ours
from fieldwarden.connectors.postgres.session import rows
from fieldwarden.engine.ports.finding import Finding, bad, good, note
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.connections import debezium_names
from fieldwarden.rules.rulebook import System

Connection = psycopg.AsyncConnection[TupleRow]


async def publication_findings(
    system: System, connection: Connection, name: str, tables: Mapping[str, Table], project: str | None
) -> list[Finding]:
    """Of the publication that a directly read system is followed by."""
    (facts,) = await rows(connection, QUERIES["publication_facts"], {"name": name})
    if facts["options"] is None:
        if facts["creates"]:
            return [note("publication", f"publication {name} does not exist yet; the first run makes it")]
        what = f"publication {name} does not exist, and the role may not make it"
        remedy = "GRANT CREATE ON DATABASE to the role (it must own the tables too), or have their owner make it"
        return [bad("publication", what, remedy)]
    published = {row["name"]: row["columns"] for row in await rows(connection, QUERIES["published"], [name])}
    missing = sorted(set(tables_of(system)) - set(published))
    if is_ours(facts["comment"], project):
        if not missing:
            return [good("publication", f"{name} covers every mapped table")]
        what = f"{name} does not cover {', '.join(missing)} yet; a new baseline adds what is missing"
        return [note("publication", what)]
    found = list(_foreign(system, name, published, facts["options"], tables, connection.info.server_version))
    if missing:
        listed = ", ".join(missing)
        found.append(
            bad("publication", f"{name} does not cover {listed}", f"ALTER PUBLICATION {name} ADD TABLE {listed}")
        )
    return found or [good("publication", f"{name} covers every mapped table")]


def _foreign(
    system: System,
    name: str,
    published: Mapping[str, list[str] | None],
    options: Mapping[str, Any],
    tables: Mapping[str, Table],
    version: int,
) -> Iterator[Finding]:
    if harmed := _harmed(system, tables, options, version):
        yield bad(
            "publication",
            f"{name} leaves out stored generated columns of {', '.join(harmed)}, so that its application cannot update "
            "or delete rows (REPLICA IDENTITY FULL)",
            f"ALTER PUBLICATION {name} SET (publish_generated_columns = stored)",
        )
    for stream in system.read_streams.values():
        columns = published.get(table_name(stream.table))
        if columns is None or table_name(stream.table) not in tables:
            continue
        there = tables[table_name(stream.table)].columns
        for column in sorted((wanted_columns(stream).columns & there.keys()) - set(columns)):
            yield bad(
                "publication",
                f"{name} does not publish {stream.name}.{column}, which is mapped",
                f"ALTER PUBLICATION {name}: publish {stream.table} without a list of columns",
                stream.name,
                column,
            )


async def debezium_findings(system: System, connection: Connection, tables: Mapping[str, Table]) -> list[Finding]:
    """Of the publication that Debezium is to read by. Where there is none, Debezium makes it by defaults."""
    name = debezium_names(system).publication
    (facts,) = await rows(connection, QUERIES["publication_facts"], {"name": name})
    harmed = _harmed(system, tables, facts["options"] or {}, connection.info.server_version)
    if not harmed:
        return []
    listed = ", ".join(sorted(tables_of(system)))
    if facts["options"] is None:
        what = f"the publication {name}, as Debezium would make it, leaves"
        remedy = (
            f"first CREATE PUBLICATION {name} FOR TABLE {listed} WITH (publish_via_partition_root, "
            "publish_generated_columns = stored), as the role that Debezium has"
        )
    else:
        what, remedy = f"{name} leaves", f"ALTER PUBLICATION {name} SET (publish_generated_columns = stored)"
    return [
        bad(
            "publication",
            f"{what} out stored generated columns of {', '.join(harmed)}: the application could not update or delete "
            "rows (REPLICA IDENTITY FULL)",
            remedy,
        )
    ]


def _harmed(system: System, tables: Mapping[str, Table], options: Mapping[str, Any], version: int) -> list[str]:
    if options.get("pubgencols") == "s":
        return []
    names = set(tables_of(system)) & tables.keys()
    return sorted({part for name in names for part in needs_stored(tables[name].parts, version)})
