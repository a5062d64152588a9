"""The last look at a statement before it leaves: what may be written where, checked against the rulebook itself.

The rules are folded into write sets once (`Stream.update_fields`, `Stream.create_fields`), and statements are built
from those. Nothing here trusts that: every generated statement is parsed again, each of its nodes must be one that
guarded statements are made of, and its write set is read back out of the text, so that a mistake in a builder is
refused before it reaches finance's columns. That it is the very statement that its write asks for, condition by
condition, is for the connector to compare (`connectors.postgres.writing.exactly`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from fieldwarden.engine.errors import EngineError
from fieldwarden.rules.allowed import ARGUMENTS
from fieldwarden.rules.rulebook import Stream

Operation = Literal["create", "update", "delete"]

_NODES: Mapping[Operation, type[exp.Expr]] = {"create": exp.Insert, "update": exp.Update, "delete": exp.Delete}
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
_ROOTS = (exp.Select, exp.Insert, exp.Update, exp.Delete)
_FUNCTIONS = frozenset({"array_to_json"})
"""Beside those of expressions (`rules.allowed`): what statements call by themselves. None of them writes."""
_NAMES = frozenset({"t", "i", "o", "made", "parent"})
"""The names by which statements know the tables that they speak of."""
_PARTS: Mapping[type[exp.Expr], frozenset[str]] = {
    **ARGUMENTS,
    **{
        kind: frozenset(arguments.split())
        for kind, arguments in {
            exp.Update: "this expressions from_ where returning",
            exp.Insert: "this expression conflict returning",
            exp.Delete: "this using where returning",
            exp.Select: "expressions from_ joins where order limit with_ locks",
            exp.With: "expressions",
            exp.CTE: "this alias",
            exp.Subquery: "this alias",
            exp.From: "this",
            exp.Join: "this on side",
            exp.Where: "this",
            exp.Order: "expressions",
            exp.Ordered: "this",
            exp.Limit: "expression",
            exp.Lock: "update expressions",
            exp.Returning: "expressions",
            exp.Schema: "this expressions",
            exp.OnConflict: "conflict_keys index_predicate action",
            exp.Var: "this",
            exp.Table: "this db alias",
            exp.TableAlias: "this",
            exp.Alias: "this alias",
            exp.Column: "this table",
            exp.Star: "",
            exp.Exists: "this",
            exp.Tuple: "expressions",
            exp.Array: "expressions",
            exp.Parameter: "this",
            exp.Collate: "this expression",
            exp.NullSafeEQ: "this expression",
            exp.NullSafeNEQ: "this expression",
            exp.CurrentTimestamp: "",
            exp.Anonymous: "this expressions",
            exp.DataType: "this expressions nested kind",
            exp.Dot: "this expression",
        }.items()
    },
}
"""What a statement may be made of: the kind of a node, and what may hang at it."""


class GuardViolation(EngineError):
    """A write outside what the rulebook allows was about to be made. Nothing was sent. It is a bug, so it stops the
    process."""

    code = "guard_violation"


def writable(stream: Stream, operation: Operation) -> frozenset[str]:
    """The fields that a write of this operation may carry: the stream's write set, and none for a delete.

    >>> account = Stream("crm", "account", "customer", ("id",), {}, update_fields=("name",), create_fields=("terms",))
    >>> [set(writable(account, operation)) for operation in ("create", "update", "delete")]
    [{'terms'}, {'name'}, set()]
    """
    if operation == "delete":
        return frozenset()
    return frozenset(stream.update_fields if operation == "update" else stream.create_fields)


def columns(stream: Stream, operation: Operation) -> frozenset[str]:
    """The columns that a statement of this operation may write. They are the mapped columns of `writable`, those of
    `on_write`, and for a create also what is set once: the parent's key, constants and the record id.

    A column that the system owns and protects is never among them, except in a create, for a field whose first value
    the rules let others supply (`seed_from`)."""
    fields = {stream.fields[name].column for name in writable(stream, operation)}
    mapped = frozenset(column for column in fields if column is not None)
    mapped |= stream.on_write.keys()
    if operation != "create":
        return mapped - stream.protected_columns
    set_once = {*stream.parent_columns, *stream.constants, *([stream.external_id] if stream.external_id else [])}
    return mapped | (set_once - stream.protected_columns)


def check_statement(stream: Stream, operation: Operation, table: tuple[str, ...], statement: str) -> None:
    """Passes if the statement is exactly one write of this operation to `table`, writes no column twice and none
    outside `columns(stream, operation)`, and is made of nothing but what our statements are made of. An update or
    delete must have a WHERE.

    `table` is the exact name, as (schema, table) or (table,). Raises GuardViolation, which names what is amiss.

    >>> account = Stream("crm", "account", "customer", ("id",), {})
    >>> check_statement(account, "delete", ("account",), "DELETE FROM account WHERE id = 1")
    >>> check_statement(account, "update", ("account",), "UPDATE account SET vip = 1 WHERE id = 1")
    Traceback (most recent call last):
        ...
    fieldwarden.engine.guard.GuardViolation: ... writes column outside its write set, 'vip'; nothing was sent
    """
    tree = _parsed(stream, operation, statement)
    node = _only_write(stream, operation, tree)
    if _table(node) != table:
        raise violation(stream, operation, f"writes to {'.'.join(_table(node))}")
    if operation != "create" and node.args.get("where") is None:
        raise violation(stream, operation, "names no rows: it would write the whole table")
    written = list(_written(stream, operation, node))
    allowed = columns(stream, operation)
    for column in sorted({*written} - allowed):
        kind = "protected column" if column in stream.protected_columns else "column outside its write set,"
        raise violation(stream, operation, f"writes {kind} {column!r}")
    if len(written) > len({*written}):
        raise violation(stream, operation, "writes a column twice")
    _check_parts(stream, operation, tree, statement)


def check_question(stream: Stream, statement: str) -> None:
    """Passes if the statement is exactly one SELECT made of nothing but what our statements are made of.

    Raises GuardViolation, which names what is amiss."""
    tree = _parsed(stream, "question", statement)
    if not isinstance(tree, exp.Select) or tree.find(*_WRITES) is not None:
        raise violation(stream, "question", "is not a question only")
    _check_parts(stream, "question", tree, statement)


def check_expressions(stream: Stream) -> None:
    """Passes if every expression of the stream is made of what the rules allow, however it came there (a rulebook may
    be unpacked from the hub). Raises GuardViolation."""
    for expression in stream.expressions:
        if (amiss := expression.amiss()) is not None:
            raise violation(stream, "statement", f"reads through what is no expression of the rules: {amiss}")


def violation(stream: Stream, what: str, amiss: str) -> GuardViolation:
    """The error that says what is amiss with a generated statement. `what` was generated: an operation ("update"), or a
    "question" about rows; `amiss` is a clause such as "writes a column twice"."""
    return GuardViolation(
        f"a generated {what} for {stream.system} {stream.name} {amiss}; nothing was sent",
        suggestion="this is a defect in Fieldwarden, not in your files: please report it with the statement's stream",
        path=f"{stream.system}.{stream.name}",
    )


def _parsed(stream: Stream, what: str, statement: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(statement, dialect="postgres")
    except (SqlglotError, RecursionError) as error:
        raise violation(stream, what, "cannot be parsed again") from error
    if len(trees) != 1 or not isinstance(trees[0], _ROOTS):
        raise violation(stream, what, "is not exactly one statement")
    return trees[0]


def _only_write(stream: Stream, operation: Operation, tree: exp.Expr) -> exp.Expr:
    writes = list(tree.find_all(*_WRITES))
    if len(writes) != 1 or not isinstance(writes[0], _NODES[operation]):
        raise violation(stream, operation, f"is not exactly one {operation}")
    return writes[0]


def _check_parts(stream: Stream, what: str, tree: exp.Expr, statement: str) -> None:
    for node in tree.walk():
        if (amiss := _foreign(node)) is not None:
            raise violation(stream, what, f"holds {amiss}, which none of our statements does")
    # What the parser leaves out or takes for something else would be sent all the same: so nothing is left out.
    if tree.sql(dialect="postgres") != statement:
        raise violation(stream, what, "is not spelled as our statements are")


def _foreign(node: exp.Expr) -> str | None:
    """What of this node belongs to no statement of ours."""
    if node.comments:
        return "a comment"
    if isinstance(node, exp.Anonymous) and str(node.this).lower() not in _FUNCTIONS:
        return f"the function {str(node.this).lower()}()"
    parts = _PARTS.get(type(node))
    if parts is None:
        return f"the function {node.sql_name().lower()}()" if isinstance(node, exp.Func) else type(node).__name__
    more = sorted(name for name, value in node.args.items() if value and name not in parts)
    if more:
        return f"{type(node).__name__} with {more[0].rstrip('_')}"
    # A word is what happens on a conflict, or limits a type: geometry(Point, 4326).
    if isinstance(node, exp.Var) and not isinstance(node.parent, exp.OnConflict | exp.DataTypeParam):
        return f"the word {node.name}"
    if isinstance(node, exp.Dot) and not isinstance(node.parent, exp.DataType | exp.Dot):  # a type's schema, no field's
        return f"the part {node.name}"
    if isinstance(node, exp.Column) and node.table and node.table not in _NAMES:
        return f"a column of {node.table}"
    return None


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
            target = assignment.this if isinstance(assignment, exp.EQ) else None
            if not isinstance(target, exp.Column) or not isinstance(target.this, exp.Identifier):
                raise violation(stream, operation, "assigns to something that is not a column")
            if len(target.parts) != 1:  # `SET address.city = ...`: of the column address
                raise violation(stream, operation, f"assigns to a part of column {target.parts[0].name!r}")
            yield _name(target.this)
    elif isinstance(node, exp.Insert):
        if not isinstance(node.this, exp.Schema):
            raise violation(stream, operation, "does not list its columns")
        for column in node.this.expressions:
            if not isinstance(column, exp.Identifier):
                raise violation(stream, operation, "inserts into something that is not a column")
            yield _name(column)
        conflict = node.args.get("conflict")
        if conflict is not None and (conflict.expressions or str(conflict.args.get("action")) != "DO NOTHING"):
            raise violation(stream, operation, "overwrites the row that is already there")
