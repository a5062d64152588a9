"""The last look at a write before it leaves: what may be written where, checked against the rulebook itself.

The rules are folded into write sets once (`Stream.update_fields`, `Stream.create_fields`), and statements are built
from those. Nothing here trusts that: every generated statement is parsed again and its write set read back out of
the text, so that a mistake in a builder is refused before it reaches finance's columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engine.errors import EngineError
from rules.rulebook import Stream

Operation = Literal["create", "update", "delete"]

_NODES: Mapping[Operation, type[exp.Expr]] = {"create": exp.Insert, "update": exp.Update, "delete": exp.Delete}
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
_ROOTS = (exp.Select, exp.Insert, exp.Update, exp.Delete)
_FOREIGN = (exp.Command, exp.Create, exp.Drop, exp.Alter, exp.Copy, exp.TruncateTable, exp.Into, exp.Lock, exp.Set)


class GuardViolation(EngineError):
    """A write outside what the rulebook allows was about to be made. A bug: it stops the process."""

    code = "guard_violation"


def writable(stream: Stream, operation: Operation) -> frozenset[str]:
    """The fields that a write of this operation may carry."""
    if operation == "delete":
        return frozenset()
    return frozenset(stream.update_fields if operation == "update" else stream.create_fields)


def columns(stream: Stream, operation: Operation) -> frozenset[str]:
    """The columns that a statement of this operation may write: never one the system owns and protects, but for
    those of which the rules let others supply the first value when the row is created."""
    fields = {stream.fields[name].column for name in writable(stream, operation)}
    mapped = frozenset(column for column in fields if column is not None)
    mapped |= stream.on_write.keys()
    if operation != "create":
        return mapped - stream.protected_columns
    set_once = {*stream.parent_columns, *stream.constants, *([stream.external_id] if stream.external_id else [])}
    return mapped | (set_once - stream.protected_columns)


def check_statement(stream: Stream, operation: Operation, table: tuple[str, ...], statement: str) -> None:
    """Refuse any statement that is not exactly one write of this operation to `table`, within its write set.

    `table` is the exact name, as (schema, table) or (table,). Raises GuardViolation naming the column."""
    node = _only_write(stream, operation, statement)
    if _table(node) != table:
        raise _violation(stream, operation, f"writes to {'.'.join(_table(node))}")
    if operation != "create" and node.args.get("where") is None:
        raise _violation(stream, operation, "names no rows: it would write the whole table")
    written = set(_written(stream, operation, node))
    allowed = columns(stream, operation)
    for column in sorted(written - allowed):
        kind = "protected column" if column in stream.protected_columns else "column outside its write set,"
        raise _violation(stream, operation, f"writes {kind} {column!r}")


def _only_write(stream: Stream, operation: Operation, statement: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(statement, dialect="postgres")
    except SqlglotError as error:
        raise _violation(stream, operation, "cannot be parsed again") from error
    if len(trees) != 1 or not isinstance(trees[0], _ROOTS):
        raise _violation(stream, operation, "is not exactly one statement")
    tree = trees[0]
    writes = list(tree.find_all(*_WRITES))
    if len(writes) != 1 or not isinstance(writes[0], _NODES[operation]):
        raise _violation(stream, operation, f"is not exactly one {operation}")
    if tree.find(*_FOREIGN) is not None:
        raise _violation(stream, operation, "does more than read and write rows")
    return writes[0]


def _table(node: exp.Expr) -> tuple[str, ...]:
    target = node.this.this if isinstance(node.this, exp.Schema) else node.this
    if not isinstance(target, exp.Table) or target.args.get("catalog") is not None:
        return ("?",)
    parts = (target.args.get("db"), target.this)
    return tuple(_name(part) for part in parts if isinstance(part, exp.Identifier))


def _name(identifier: exp.Identifier) -> str:
    """The name as PostgreSQL understands it: unquoted names are folded to lower case."""
    text = str(identifier.this)
    return text if identifier.args.get("quoted") else text.lower()


def _written(stream: Stream, operation: Operation, node: exp.Expr) -> Iterator[str]:
    if isinstance(node, exp.Update):
        for assignment in node.expressions:
            if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
                raise _violation(stream, operation, "assigns to something that is not a column")
            yield _name(assignment.this.this)
    elif isinstance(node, exp.Insert):
        if not isinstance(node.this, exp.Schema):
            raise _violation(stream, operation, "does not list its columns")
        for column in node.this.expressions:
            if not isinstance(column, exp.Identifier):
                raise _violation(stream, operation, "inserts into something that is not a column")
            yield _name(column)
        conflict = node.args.get("conflict")
        if conflict is not None and conflict.expressions:
            raise _violation(stream, operation, "overwrites the row that is already there")


def _violation(stream: Stream, operation: str, what: str) -> GuardViolation:
    return GuardViolation(
        f"a generated {operation} for {stream.system} {stream.name} {what}; nothing was sent",
        suggestion="this is a defect in Fieldwarden, not in your files: please report it with the statement's stream",
        path=f"{stream.system}.{stream.name}",
    )
