"""The names of tables, taken exactly as the files spell them."""

from __future__ import annotations


def table_parts(table: str) -> tuple[str, ...]:
    """The exact (schema, table) of a stream's `table`, or (table,). A part with a dot in it is written in double
    quotes; nothing is folded to lower case."""
    parts: list[str] = []
    rest = table
    while True:
        if rest.startswith('"'):
            end = 1
            while (end := rest.index('"', end)) + 1 < len(rest) and rest[end + 1] == '"':
                end += 2
            parts.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :]
            if not rest:
                return tuple(parts)
            rest = rest.removeprefix(".")
        else:
            part, dot, rest = rest.partition(".")
            parts.append(part)
            if not dot:
                return tuple(parts)


def qualified(table: str) -> tuple[str, ...]:
    """The exact (schema, table) of a table in PostgreSQL: a bare name is in the schema public, wherever a role's
    search_path would look first."""
    parts = table_parts(table)
    return parts if len(parts) > 1 else ("public", *parts)
