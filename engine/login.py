"""How a role of ours comes to be in a database, the hub's or a system's: it can log in, and has no power of its own.

Only the texts, which whoever has a driver fills in: `literal` and `name` are the role's name as a string and as an
identifier."""

from __future__ import annotations

from typing import Final

MADE: Final = (
    "do $$ begin if not exists (select from pg_roles where rolname = {literal}) then create role {name} "
    "login nosuperuser nocreatedb nocreaterole nobypassrls {replication}; end if; end $$"
)
"""`replication` or `noreplication`. A role that is there already keeps what it is."""

ENTERS: Final = (
    "do $$ begin execute format('grant {rights} on database %I to %I', current_database(), {literal}); end $$"
)
"""The database is whichever the script runs in. Where somebody runs it again who may not, PostgreSQL only warns."""
