"""Who may do what in the hub's schema: the roles' exact rights, as the SQL that gives them.

The ledger proves what happened only if whoever works with it cannot rewrite it. So the schema belongs to an `owner`,
who migrates it and does nothing else; the engine works as `runtime`, which may add to the ledger and never change or
remove what stands there. `auditor` reads everything, `reader` all but the values that records hold and rows' keys.

Rights are stated per table, and none by default: a table that a later migration brings is nobody's but the owner's
until it stands here. `READABLE` names the columns of a table where others hold values, so that a column which is added
later is not readable by accident either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

from fieldwarden.engine.login import ENTERS, MADE

Kind = Literal["runtime", "reader", "auditor"]

RIGHTS: Mapping[str, str] = {
    # The ledger, the rulebooks that its entries were decided by, and what was applied to the schema: never changed.
    "ledger_block": "select, insert",
    "ledger_entry": "select, insert",
    "rulebook": "select, insert",
    "migration": "select",
    "made_role": "select",
    "project": "select",
    # Keys: of the marks on our writes, and of what rows with personal keys are called.
    "mark_key": "select",
    "row_name_key": "select",
    # The engine's memory of rows and records.
    "record": "select, insert, update",
    "crosswalk": "select, insert, update, delete",
    "match_key": "select, insert, delete",
    "duplicate": "select, insert, update, delete",
    "joined": "select, insert, update, delete",
    "kept_apart": "select, insert, delete",
    "following": "select, insert, delete",
    "set_aside": "select, insert, update, delete",
    "seen": "select, insert, delete",
    "rekeyed": "select, insert, update",
    # Work that is pending, who does it, and how far it is.
    "dirty": "select, insert, update, delete",
    "marked": "select, insert, update, delete",
    "intent": "select, insert, update, delete",
    "announced": "select, insert, update, delete",
    "source": "select, insert, update",
    "followed": "select, insert, update",
    "forged_mark": "select, insert, update",
    "partition": "select, insert, update",
    "live_rulebook": "select, insert, update",
    "worker": "select, insert, update, delete",
    "duty": "select, insert, update",
    # What systems told us by webhook, until it is read.
    "inbox": "select, insert, update, delete",
    "hook": "select, insert, update",
}
"""What the runtime may do with each table."""

VIEWS: Mapping[str, str] = {"pending": "select", "decision": "select"}
"""What the runtime may do with each view; `decision` is the ledger, as people and the demo look at it."""

SEQUENCES: Mapping[str, str] = {"mark": "usage"}
FUNCTIONS: Mapping[str, str] = {"shard_of(uuid)": "execute"}
"""Of these: pending work falls into shards by a generated column, which calls it as whoever writes the row."""

READABLE: Mapping[str, tuple[str, ...]] = {
    "migration": (),
    "rulebook": (),
    "live_rulebook": (),
    "ledger_block": (),
    "ledger_entry": ("lane", "height", "ordinal", "record", "version"),
    "record": ("id", "entity", "version", "revision", "retired"),
    "crosswalk": ("system", "stream", "record", "linked_at"),
    "match_key": ("record", "entity", "name"),
    "duplicate": ("entity", "name", "record", "considered"),
    "joined": ("id", "entity", "record", "at"),
    "kept_apart": (),
    "set_aside": ("id", "system", "stream", "entity", "kind", "position", "candidates", "released", "since", "moves"),
    "dirty": ("target", "record", "mark", "due", "since", "attempts", "status", "awaits", "shard"),
    "marked": (),
    "intent": ("key", "target", "record", "stream", "operation", "version", "since"),
    "source": (),
    "followed": (),
    "forged_mark": (),
    "partition": (),
    "worker": (),
    "duty": (),
    "inbox": ("system", "number", "stream", "arrived", "taken_at"),
    "hook": (),
    "project": ("single", "id", "created_at"),
}
"""What the reader may read of each table: these columns, or (where none are named) all of it."""

AUDITED: Mapping[str, tuple[str, ...]] = {
    name: READABLE[name] if name == "project" else () for name in (*RIGHTS, *VIEWS) if name != "mark_key"
}
"""What the auditor may read, in the same way: not what our marks are sealed with, by which edits could be passed off as
ours."""


@dataclass(frozen=True, slots=True)
class HubRoles:
    """The roles' names. An empty one is a role that is not wanted."""

    owner: str = "fieldwarden_owner"
    runtime: str = "fieldwarden_runtime"
    reader: str = "fieldwarden_reader"
    auditor: str = "fieldwarden_auditor"

    @property
    def named(self) -> list[str]:
        return [name for each in fields(self) if (name := getattr(self, each.name))]


def creation(roles: HubRoles, schema: str) -> list[sql.Composed]:
    """The statements that make the roles and the schema where they are missing: for a superuser, or a role that may
    create roles and schemas. Passwords are set apart, so that none stands in a script."""
    # Sessions of the hub have temporary tables, in which changes land; whoever only reads some tables needs none.
    entering: dict[str, LiteralString] = {roles.reader: "connect"}
    return [
        *(_made(name) for name in roles.named),
        *(_enters(name, entering.get(name, "connect, temporary")) for name in roles.named),
        # Not IF NOT EXISTS: that asks for a right on the database even where the schema is there.
        sql.SQL(
            "do $$ begin if not exists (select from pg_namespace where nspname = {}) then create schema {} "
            "authorization {}; end if; end $$"
        ).format(sql.Literal(schema), sql.Identifier(schema), _role(roles.owner)),
    ]


def ownership(roles: HubRoles, schema: str) -> list[sql.Composed]:
    """The statements that hand a migrated schema over to the owner, in a transaction. What is the owner's already is
    not even locked, and what somebody works with is not waited for: the first statement sees to that."""
    called = [_function(schema, each).as_string(None) for each in FUNCTIONS]
    return [
        # Below PostgreSQL's own deadlock_timeout (1 s): who works in the hub is not the one who is thrown out.
        sql.SQL("set local lock_timeout = {}").format(sql.Literal(_OWNERSHIP_WAITS)),
        sql.SQL(_OWNED).format(
            schema=sql.Literal(schema),
            owner=sql.Literal(roles.owner),
            relations=sql.Literal([*RIGHTS, *VIEWS, *SEQUENCES]),
            functions=sql.Literal(called),
        ),
    ]


_OWNERSHIP_WAITS = "500ms"

_OWNED = """do $$ declare each text; begin
  for each in
    with hub as (select oid, nspname, nspowner from pg_namespace where nspname = {schema})
    select format('schema %I', nspname) from hub where pg_get_userbyid(nspowner) <> {owner}
    union all select format('table %I.%I', nspname, relname) from hub join pg_class c on relnamespace = hub.oid
      where relname = any ({relations}::text[]) and pg_get_userbyid(relowner) <> {owner}
    union all select format('function %s', p.oid::regprocedure) from pg_proc p
      where p.oid in (select to_regprocedure(named) from unnest({functions}::text[]) named)
      and pg_get_userbyid(proowner) <> {owner}
  loop execute format('alter %s owner to %I', each, {owner}); end loop; end $$"""
"""ALTER TABLE is for views and sequences, too."""


def grants(roles: HubRoles, schema: str) -> list[sql.Composed]:
    """The statements that give the roles their rights in a migrated schema, and take every other: for its owner."""
    names = [name for name in (roles.runtime, roles.reader, roles.auditor) if name]
    return [*_taken(schema, names, public=True), *_given(roles, schema), *_noted(roles, schema)]


def printed(roles: HubRoles, schema: str, *, new: bool = False) -> str:
    """All of it as one script for psql, with what each part is for. `new`: for a hub that is not there yet,
    whose tables can be given to nobody: only the roles and the empty schema. Its owner then runs `hub roles`."""
    parts = [
        ("For a superuser, or a role that may create roles. Passwords: psql's \\password ROLE.", creation),
        ("The schema belongs to its owner, who alone migrates it (`fieldwarden hub migrate`).", ownership),
        ("What the others may do, and nothing more.", grants),
    ]
    first = "a new hub; then, by hub.owner_dsn: fieldwarden hub roles" if new else "a hub that is there already"
    text = [f"-- The roles of {first}.", "begin;"]
    for title, part in parts[:1] if new else parts:
        text += ["", f"-- {title}", *(f"{each.as_string(None)};" for each in part(roles, schema))]
    return "\n".join([*text, "", "commit;"])


def set_up(connection: psycopg.Connection[Any], roles: HubRoles, schema: str) -> None:
    """Make the roles of a migrated hub and give them their rights, in one transaction. Raises psycopg.Error:
    LockNotAvailable where something would be handed over that somebody works with."""
    with connection.transaction():
        for statement in (*creation(roles, schema), *ownership(roles, schema), *grants(roles, schema)):
            connection.execute(statement)


def admission(connection: psycopg.Connection[Any], runtime: str, schema: str) -> list[sql.Composed]:
    """What is missing for a role to enter this database and to read in the schema, if there is one."""
    there, usable = connection.execute(_ADMITTED, {"role": runtime, "schema": schema}).fetchone() or (False, False)
    found = [] if there else [_made(runtime)]
    if not usable:
        name, role = sql.Identifier(schema), _role(runtime)
        found.append(sql.SQL("grant usage on schema {} to {}").format(name, role))
        found.append(sql.SQL("grant select on all tables in schema {} to {}").format(name, role))
    return found


_ADMITTED = """
    select r.oid is not null, n.oid is null or coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE'), false)
    from (select) as one left join pg_roles r on r.rolname = %(role)s
    left join pg_namespace n on n.nspname = %(schema)s"""


def works(connection: psycopg.Connection[Any], runtime: str, schema: str) -> bool:
    """Whether a role has the runtime's rights as this version gives them. The note alone does not tell: a role may have
    been dropped, and made again."""
    ledger = sql.Identifier(schema, "ledger_entry").as_string(connection)
    noted = sql.SQL(_WORKS).format(sql.Identifier(schema, "made_role"))
    row = connection.execute(noted, {"ledger": ledger, "name": runtime, "digest": digest()}).fetchone()
    return bool(row and row[0])


_WORKS = """
    select has_table_privilege(%(name)s, %(ledger)s, 'INSERT')
    and exists (select from {} where name = %(name)s and kind = 'runtime' and rights = %(digest)s)"""


def renew(connection: psycopg.Connection[Any], schema: str) -> None:
    """Inside a transaction: the roles that `hub roles` made have exactly their rights afterwards on every thing of
    ours, new ones included. Nobody else's rights change, nor those on other things in the schema."""
    noted = connection.execute(*noted_roles(schema)).fetchall() if notes_read(connection, schema) else []
    found: dict[str, list[Kind]] = {name: kinds for name, kinds, _ in noted}
    statements = [*_taken(schema, list(found), public=False)] if found else []
    for name, kinds in found.items():
        as_each = replace(_NOBODY, **dict.fromkeys(kinds, name))
        statements += [*_given(as_each, schema), *_noted(as_each, schema)]
    for statement in statements:
        connection.execute(statement)


_NOBODY = HubRoles("", "", "", "")


def outdated(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    """The roles that `hub roles` made and another version gave other rights; none to whoever may not ask."""
    if not notes_read(connection, schema):
        return []
    return [name for name, _, current in connection.execute(*noted_roles(schema)) if not current]


def notes_read(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Whether the schema has notes of which roles were made, and the connection's role may read them."""
    row = connection.execute(NOTES_READ, {"table": notes_name(schema)}).fetchone()
    return bool(row and row[0])


NOTES_READ = "select coalesce(has_table_privilege(to_regclass(%(table)s), 'SELECT'), false)"


def notes_name(schema: str) -> str:
    return sql.Identifier(schema, "made_role").as_string(None)


def noted_roles(schema: str) -> tuple[sql.Composed, dict[str, str]]:
    """The query for the roles that were noted, with its values: name, kinds, and whether this version gave its rights.

    Of those that are there and were not shut out of the schema since (a role that was dropped, and made again by
    somebody else, is)."""
    return sql.SQL(_NOTES).format(sql.Identifier(schema, "made_role")), {"schema": schema, "digest": digest()}


_NOTES = """
    select r.rolname, array_agg(made.kind), bool_and(made.rights = %(digest)s)
    from {} made join pg_roles r on r.rolname = made.name join pg_namespace n on n.nspname = %(schema)s
    where exists (select from aclexplode(n.nspacl) a where a.grantee = r.oid)
    group by r.rolname order by r.rolname"""


def digest() -> str:
    """Of all that this version gives to roles and takes from them: another version that does otherwise has another."""
    roles = HubRoles("", "runtime", "reader", "auditor")
    said = (*_taken("hub", ["role"], public=True), *_given(roles, "hub"))
    return hashlib.sha256("\n".join(each.as_string(None) for each in said).encode()).hexdigest()


def _noted(roles: HubRoles, schema: str) -> Iterator[sql.Composed]:
    """Note which roles are ours, beside those that were noted before. Only the owner may, so that nobody else gives
    rights, even where what comes before was nothing but a warning to him."""
    kinds = [(getattr(roles, kind), kind) for kind in ("runtime", "reader", "auditor") if getattr(roles, kind)]
    table = sql.Identifier(schema, "made_role")
    names = sql.SQL(", ").join(sql.Literal(name) for name in dict.fromkeys(name for name, _ in kinds))
    rows = sql.SQL(", ").join(sql.SQL("({}, {}, {})").format(*map(sql.Literal, (*each, digest()))) for each in kinds)
    if kinds:
        yield sql.SQL("delete from {} where name in ({})").format(table, names)
        yield sql.SQL("insert into {} (name, kind, rights) values {}").format(table, rows)


def _made(name: str) -> sql.Composed:
    return sql.SQL(MADE).format(literal=sql.Literal(name), name=_role(name), replication=sql.SQL("noreplication"))


def _enters(name: str, rights: LiteralString) -> sql.Composed:
    return sql.SQL(ENTERS).format(rights=sql.SQL(rights), literal=sql.Literal(name))


def _objects(schema: str) -> Iterator[tuple[str, sql.Composable]]:
    """The kind and the name of each thing in the schema."""
    for kind, names in (("table", RIGHTS), ("view", VIEWS), ("sequence", SEQUENCES)):
        for name in names:
            yield kind, sql.Identifier(schema, name)
    for signature in FUNCTIONS:
        yield "function", _function(schema, signature)


def _taken(schema: str, names: list[str], *, public: bool) -> Iterator[sql.Composed]:
    """Of our own things: others in the schema are other people's, and may not even be ours to take from."""
    roles = [_role(name) for name in names]
    everybody = [sql.SQL("public"), *roles]
    others = sql.SQL(", ").join(everybody if public else roles)
    for kind, name in _objects(schema):
        # A function that a migration brings is everybody's at first, as PostgreSQL has it.
        whose = sql.SQL(", ").join(everybody) if kind == "function" else others
        on = sql.SQL("table" if kind == "view" else kind)
        yield sql.SQL("revoke all on {} {} from {}").format(on, name, whose)
    yield sql.SQL("revoke all on schema {} from {}").format(sql.Identifier(schema), others)


def _given(roles: HubRoles, schema: str) -> Iterator[sql.Composed]:
    for name in (roles.runtime, roles.reader, roles.auditor):
        if name:
            yield sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), _role(name))
    if roles.runtime:
        for table, rights in {**RIGHTS, **VIEWS}.items():
            if rights:
                yield _grant(rights, sql.Identifier(schema, table), roles.runtime)
        for sequence, rights in SEQUENCES.items():
            yield _grant(f"{rights} on sequence", sql.Identifier(schema, sequence), roles.runtime)
        for signature, rights in FUNCTIONS.items():
            yield _grant(f"{rights} on function", _function(schema, signature), roles.runtime)
    for name, readable in ((roles.reader, READABLE), (roles.auditor, AUDITED)):
        if name:
            yield from _readable(schema, name, readable)


def _readable(schema: str, name: str, tables: Mapping[str, tuple[str, ...]]) -> Iterator[sql.Composed]:
    for table, columns in tables.items():
        what = f"select ({', '.join(columns)})" if columns else "select"
        yield _grant(what, sql.Identifier(schema, table), name)


def _grant(rights: str, what: sql.Composable, name: str) -> sql.Composed:
    on = rights if " on " in rights else f"{rights} on"
    return sql.SQL("grant {} {} to {}").format(sql.SQL(on), what, _role(name))


def _role(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _function(schema: str, signature: str) -> sql.Composed:
    name, _, rest = signature.partition("(")
    return sql.SQL("{}({}").format(sql.Identifier(schema, name), sql.SQL(rest))
