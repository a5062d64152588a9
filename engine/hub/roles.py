"""Who may do what in the hub's schema: the roles' exact rights, as the SQL that gives them.

The ledger proves what happened only if whoever works with it cannot rewrite it. So the schema belongs to an `owner`,
who migrates it and does nothing else; the engine works as `runtime`, which may add to the ledger and never change or
remove what stands there. `auditor` reads everything, `reader` all but the values that records hold and rows' keys.

Rights are stated per table, and none by default: a table that a later migration brings is nobody's but the owner's
until it stands here. `READABLE` names the columns of a table where others hold values, so that a column which is added
later is not readable by accident either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, LiteralString

import psycopg
from psycopg import sql

from engine.login import ENTERS, MADE

Kind = Literal["runtime", "reader", "auditor"]

RIGHTS: Mapping[str, str] = {
    # The ledger, the rulebooks that its entries were decided by, and what was applied to the schema: never changed.
    "ledger_block": "select, insert",
    "ledger_entry": "select, insert",
    "rulebook": "select, insert",
    "migration": "select",
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
    "announced": "select, insert, update, delete",
    "source": "select, insert, update",
    "followed": "select, insert, update",
    "forged_mark": "select, insert, update",
    "partition": "select, insert, update",
    "live_rulebook": "select, insert, update",
    "worker": "select, insert, update, delete",
    "duty": "select, insert, update",
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
    "source": (),
    "followed": (),
    "forged_mark": (),
    "partition": (),
    "worker": (),
    "duty": (),
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
    """The statements that hand a migrated schema over to the owner; nothing changes where it is the owner's already."""
    return [
        sql.SQL("alter {} {} owner to {}").format(sql.SQL(kind), name, _role(roles.owner))
        for kind, name in (("schema", sql.Identifier(schema)), *_objects(schema))
    ]


def grants(roles: HubRoles, schema: str) -> list[sql.Composed]:
    """The statements that give the roles their rights in a migrated schema, and take every other: for its owner."""
    names = [name for name in (roles.runtime, roles.reader, roles.auditor) if name]
    return [*_taken(schema, names, public=True), *_given(roles, schema), *_recorded(roles, schema)]


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
    """Make the roles of a migrated hub and give them their rights, in one transaction. Raises psycopg.Error."""
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
    """Whether a role may add to the ledger, and so has the runtime's rights."""
    ledger = sql.Identifier(schema, "ledger_entry").as_string(connection)
    row = connection.execute("select has_table_privilege(%s, %s, 'INSERT')", [runtime, ledger]).fetchone()
    return bool(row and row[0])


def renew(connection: psycopg.Connection[Any], schema: str) -> None:
    """Inside the transaction of a migration: the roles that `hub roles` made have exactly their rights afterwards on
    every thing of ours, new ones included. Nobody else's rights change, nor those on other things in the schema."""
    found: dict[str, list[Kind]] = dict(connection.execute(_RECORDED, {"schema": schema}).fetchall())
    statements = [*_taken(schema, list(found), public=False)] if found else []
    for name, kinds in found.items():
        statements += _given(replace(_NOBODY, **dict.fromkeys(kinds, name)), schema)
    for statement in statements:
        connection.execute(statement)


_NOBODY = HubRoles("", "", "", "")

_RECORDED = """
    select r.rolname, array(select jsonb_array_elements_text(known.kinds))
    from pg_namespace n
    join pg_class c on c.relnamespace = n.oid and c.relname = 'migration'
    cross join lateral obj_description(c.oid, 'pg_class') as told
    cross join lateral jsonb_each(case when told like '{%%' then told::jsonb end) as known(name, kinds)
    join pg_roles r on r.rolname = known.name
    where n.nspname = %(schema)s and exists (select from aclexplode(n.nspacl) a where a.grantee = r.oid)
    order by r.rolname"""
"""Of the roles that were recorded: those that are there and were not shut out of the schema since (a role that was
dropped, and made again by somebody else, is)."""


def _recorded(roles: HubRoles, schema: str) -> Iterator[sql.Composed]:
    """Note which roles are ours, beside those that were noted before: as the comment on `migration`, which the owner
    may write, a dump carries, and nobody else can change. By their rights they could not be told from others'."""
    kinds: dict[str, list[str]] = {}
    for kind in ("runtime", "reader", "auditor"):
        if name := getattr(roles, kind):
            kinds.setdefault(name, []).append(kind)
    if kinds:
        yield sql.SQL(
            "do $$ declare told text := obj_description(format('%I.migration', {schema})::regclass, 'pg_class'); begin "
            "execute format('comment on table %I.migration is %L', {schema}, "
            "case when told like '{{%' then told::jsonb else '{{}}' end || {kinds}::jsonb); end $$"
        ).format(schema=sql.Literal(schema), kinds=sql.Literal(json.dumps(kinds)))


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
