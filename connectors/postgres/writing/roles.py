"""The roles that a PostgreSQL system gives us, by what its mapping reads and writes: the exact SQL, and no right more.

Two roles, since reading and writing need different things. The source role streams: REPLICATION, and SELECT on what is
mapped. The target role writes: INSERT and UPDATE on the very columns that are delivered, which never are columns that
the system owns and protects, and DELETE only where the mapping deletes. Neither owns anything: the publication is made
here, by whoever runs the script, and is from then on only checked.

Where Debezium reads, the source role is Debezium's, which reads whole tables and publishes nothing by itself
(`publication.autocreate.mode: disabled`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, LiteralString

from psycopg import sql

from fieldwarden.connectors.postgres.writing.shapes import arbiter
from fieldwarden.engine.guard import columns
from fieldwarden.engine.login import ENTERS, MADE
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Stream, System


@dataclass(slots=True)
class Rights:
    """What one role may do with one table: columns by privilege. `whole`: SELECT is on all of it."""

    select: set[str] = field(default_factory=set)
    insert: set[str] = field(default_factory=set)
    update: set[str] = field(default_factory=set)
    delete: bool = False
    whole: bool = False


def source_role(system: System, name: str, publication: str) -> list[sql.Composable]:
    """The statements that make the role by which the system is read; none where nothing is."""
    rights: dict[tuple[str, ...], Rights] = {}
    for stream in system.read_streams.values():
        right = rights.setdefault(qualified(stream.table), Rights(whole=not _read_directly(system)))
        right.select |= wanted_columns(stream).columns
    if not rights:
        return []
    return [
        _made(name, "replication"),
        _enters(name, "connect"),
        *_granted(name, rights),
        *_published(publication, rights),
    ]


def target_role(system: System, name: str) -> list[sql.Composable]:
    """The statements that make the role by which the system is written to; none where nobody of ours comes by it."""
    rights = target_rights(system)
    if not rights:
        return []
    entered = [_made(name, "noreplication"), _enters(name, "connect, temporary")]
    writes = any(each.insert or each.update or each.delete for each in rights.values())
    return [*entered, *_granted(name, rights), *(_sequences(name, rights)), *([_marks(name)] if writes else [])]


def target_rights(system: System) -> dict[tuple[str, ...], Rights]:
    """By table. A table of several streams has what all of them need: columns cannot tell its rows apart."""
    rights: dict[tuple[str, ...], Rights] = {}
    for stream in system.streams.values():
        # Debezium's systems are looked at by this role, too: nobody else of ours comes there.
        if not _read_directly(system) or _writes(stream):
            right = rights.setdefault(qualified(stream.table), Rights())
            right.select |= _looked_at(stream)
    for stream in filter(_writes, system.streams.values()):
        right = rights[qualified(stream.table)]
        right.insert |= columns(stream, "create") if stream.creates else set()
        right.update |= columns(stream, "update") if stream.update_fields else set()
        right.delete |= stream.on_retire == "delete"
    for stream in system.streams.values():
        if stream.parent_row is not None:
            _may_lock(system, stream, rights)
    return rights


def printed(system: System, source: str, target: str, publication: str) -> str:
    """Both roles as one script for psql, for whoever owns the system's tables and may create roles."""
    parts = (
        (f"{source} reads {system.name}: connector: {_reads_by(system)}", source_role(system, source, publication)),
        (f"{target} writes to {system.name}: connector: {_writes_by(system)}", target_role(system, target)),
    )
    text = [f"-- The roles for {system.name}: run in its database by its owner or a superuser.", "begin;"]
    for title, statements in parts:
        if statements:
            text += ["", f"-- {title}", *(f"{each.as_string(None)};" for each in statements)]
    return "\n".join([*text, "", "commit;", "-- Then give each a password (\\password ROLE in psql)."])


def _reads_by(system: System) -> str:
    return "dsn" if _read_directly(system) else "connect_dsn (Debezium's)"


def _writes_by(system: System) -> str:
    return "target_dsn" if _read_directly(system) else "dsn"


def _read_directly(system: System) -> bool:
    return database_settings(system).read_directly


def _writes(stream: Stream) -> bool:
    return bool(stream.creates or stream.update_fields or stream.on_retire == "delete")


def _looked_at(stream: Stream) -> set[str]:
    """What statements compare with, return, and find rows by."""
    found = {*wanted_columns(stream).columns, *arbiter(stream), *stream.constants, *stream.on_write}
    for expression in (stream.conflict_where, *stream.on_write.values()):
        found |= expression.columns if expression is not None else set()
    return found


def _may_lock(system: System, child: Stream, rights: dict[tuple[str, ...], Rights]) -> None:
    """A parent's row is locked while a child row is created, for which PostgreSQL wants UPDATE on any of them."""
    assert child.parent_row is not None
    name, key = child.parent_row
    right = rights.setdefault(qualified(name), Rights())
    right.select |= set(key)
    if right.update:
        return
    parent = next((each for each in system.streams.values() if each.table == name), None)
    ours = parent.external_id if parent is not None else None
    right.update.add(ours or key[0])


def _made(name: str, replication: Literal["replication", "noreplication"]) -> sql.Composed:
    return sql.SQL(MADE).format(literal=sql.Literal(name), name=sql.Identifier(name), replication=sql.SQL(replication))


def _enters(name: str, rights: LiteralString) -> sql.Composed:
    return sql.SQL(ENTERS).format(rights=sql.SQL(rights), literal=sql.Literal(name))


def _granted(name: str, rights: Mapping[tuple[str, ...], Rights]) -> Iterator[sql.Composed]:
    for schema in sorted({table[0] for table in rights}):
        yield sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), sql.Identifier(name))
    for table, right in rights.items():
        for what in _privileges(right):
            yield sql.SQL("grant {} on {} to {}").format(what, sql.Identifier(*table), sql.Identifier(name))


def _privileges(right: Rights) -> Iterator[sql.Composable]:
    yield sql.SQL("select") if right.whole else _on("select", right.select)
    if right.insert:
        yield _on("insert", right.insert)
    if right.update:
        yield _on("update", right.update)
    if right.delete:
        yield sql.SQL("delete")


def _on(privilege: str, names: Iterable[str]) -> sql.Composed:
    listed = sql.SQL(", ").join(map(sql.Identifier, sorted(names)))
    return sql.SQL("{} ({})").format(sql.SQL(privilege), listed)


def _sequences(name: str, rights: Mapping[tuple[str, ...], Rights]) -> Iterator[sql.Composed]:
    """A default that takes the next number of a sequence takes it as whoever inserts; an identity column does not."""
    for table, right in rights.items():
        if right.insert:
            text = sql.Identifier(*table).as_string(None)
            yield sql.SQL(_NUMBERED).format(sql.Literal(text), sql.Literal(sorted(right.insert)), sql.Literal(name))


_NUMBERED = """do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = {}::regclass and a.attname <> all ({}::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, {}); end loop; end $$"""


def _marks(name: str) -> sql.Composed:
    """Our transactions are marked in the change stream. The function has another form in each version of PostgreSQL;
    PUBLIC may have lost the right to it (docs/security.md)."""
    return sql.SQL(_EMITS).format(sql.Literal(name))


_EMITS = """do $$ declare each text; begin
  for each in
    select oid::regprocedure::text from pg_proc
    where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace order by 1
  loop execute format('grant execute on function %s to %I', each, {}); end loop; end $$"""


def _published(name: str, tables: Iterable[tuple[str, ...]]) -> Iterator[sql.Composed]:
    """Without a comment of ours, by which we would take a publication for one that we may alter."""
    yield sql.SQL(_PUBLICATION).format(name=sql.Literal(name))
    for table in tables:
        schema, bare = table
        yield sql.SQL(_COVERS).format(
            sql.Literal(name), sql.Literal(schema), sql.Literal(bare), sql.Identifier(name), sql.Identifier(*table)
        )
    yield sql.SQL("comment on publication {} is null").format(sql.Identifier(name))


_PUBLICATION = """do $$ begin
  if not exists (select from pg_publication where pubname = {name}) then
    execute format('create publication %I with (publish = %L, publish_via_partition_root = true%s)', {name},
      'insert, update, delete, truncate', case when current_setting('server_version_num')::int >= 180000
      then ', publish_generated_columns = stored' else '' end);
  end if; end $$"""

_COVERS = """do $$ begin
  if not exists (select from pg_publication_tables where pubname = {} and schemaname = {} and tablename = {}) then
    alter publication {} add table only {};
  end if; end $$"""
