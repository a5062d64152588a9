"""What a hub's roles may do, as the server has it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from fieldwarden.engine.hub.migrate import SCHEMA
from tests.integration.reading import ask


def drop(dsn: str, *names: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for name in names:
            if connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
                connection.execute(f'drop owned by "{name}" cascade'.encode())
                connection.execute(f'drop role "{name}"'.encode())


def entered(dsn: str, role: str) -> str:
    return make_conninfo(dsn, user=role)


def refused(dsn: str, statement: str) -> bool:
    """Whether the server refuses the statement for want of a right (and for nothing else)."""
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(f"set search_path to {SCHEMA}".encode())
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    return False


def rights_in(dsn: str) -> list[tuple[Any, ...]]:
    """Who owns each thing in the hub's schema and may do what with it, columns included."""
    found: list[tuple[Any, ...]] = ask(
        dsn,
        f"""
        select array_agg(told order by told::text) from (
            select c.relname, '' as part, c.relowner::regrole::text as owner, c.relacl::text as acl
            from pg_class c where c.relnamespace = '{SCHEMA}'::regnamespace and c.relkind in ('r', 'v', 'S')
            union all select c.relname, a.attname, '', a.attacl::text from pg_attribute a
            join pg_class c on c.oid = a.attrelid where c.relnamespace = '{SCHEMA}'::regnamespace and attacl is not null
            union all select proname, '', proowner::regrole::text, proacl::text from pg_proc
            where pronamespace = '{SCHEMA}'::regnamespace
            union all select nspname, '', nspowner::regrole::text, nspacl::text from pg_namespace
            where nspname = '{SCHEMA}'
        ) as told""",
    )
    return found
