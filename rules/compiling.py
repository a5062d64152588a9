"""Compiles a checked expression tree into one Python closure over a row.

Every node becomes a `Term`: its PostgreSQL type and a function from a row to a value. Values are those of
`rules.scalars`, None for null, or UNKNOWN where the answer depends on a column that the row does not carry.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from sqlglot import exp

from fieldwarden.rules import numerics, scalars, texts
from fieldwarden.rules.allowed import cast_target, number_literal, whole_literal
from fieldwarden.rules.terms import (
    INTEGERS,
    NUMBERS,
    ORDERED,
    Row,
    Run,
    Term,
    coerced,
    common_type,
    comparable,
    constant,
    logical,
    spoken,
    strict,
)
from fieldwarden.rules.values import UNKNOWN, RawValue
from fieldwarden.rules.zones import from_local, to_local, zone

Columns: TypeAlias = Mapping[str, tuple[int, str]]

_WRITTEN = ("text", *NUMBERS, "boolean", "date", "timestamp", "uuid", "float")


def compile_text(tree: exp.Expr, columns: Columns) -> Callable[[Row], RawValue]:
    """The closure that gives the expression's value as text. Raises ValueError where types do not fit."""
    term = _Compiler(columns).term(tree)
    if term.type == "literal":
        return constant(term.literal)
    write = scalars.WRITE.get(term.type)
    return strict(write, [term.run]) if write else term.run


class _Compiler:
    """One method per kind of node; `columns` maps a name to its place in the row and its type."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    def term(self, node: exp.Expr) -> Term:
        return _NODES[type(node)](self, node)

    def argument(self, node: exp.Expr, kind: str) -> Run:
        return coerced(self.term(node), kind).run

    def arguments(self, node: exp.Expr, **kinds: str) -> list[Run]:
        return [self.argument(node.args[name], kind) for name, kind in kinds.items() if node.args.get(name)]

    # --- leaves and casts

    def column(self, node: exp.Expr) -> Term:
        place, kind = self.columns[node.name]
        kind = "int8" if kind == "integer" else kind
        read = scalars.READ.get(kind)
        get = operator.itemgetter(place)
        return Term(kind, strict(read, [get]) if read else get)

    def paren(self, node: exp.Expr) -> Term:
        return self.term(node.this)

    def literal(self, node: exp.Expr) -> Term:
        if node.args["is_string"]:
            return Term("literal", constant(node.name), node.name)
        number = number_literal(node.name)
        for kind in INTEGERS:
            bound = 2 ** (31 if kind == "int4" else 63)
            if node.name.isdecimal() and number < bound:
                return Term(kind, constant(int(number)))
        return Term("numeric", constant(number))

    def null(self, _: exp.Expr) -> Term:
        return Term("literal", constant(None))

    def boolean(self, node: exp.Expr) -> Term:
        return Term("boolean", constant(bool(node.this)))

    def cast(self, node: exp.Expr) -> Term:
        kind, limit = cast_target(node.args["to"])
        source = self.term(node.this)
        if source.type in ("literal", kind):
            result = coerced(source, kind).run
        elif (source.type, kind) in scalars.EXPLICIT:
            result = strict(scalars.EXPLICIT[source.type, kind], [source.run])
        else:
            raise ValueError(f"a cast from {spoken(source.type)} to {spoken(kind)} is not allowed")
        return Term(kind, strict(limit, [result]) if limit else result)

    def at_time_zone(self, node: exp.Expr) -> Term:
        """Of a timestamp the moment at which that zone's clocks show it; of a moment what they show."""
        term, where = self.term(node.this), zone(node.args["zone"].name)
        if term.type == "timestamp":
            return Term("timestamptz", strict(lambda moment: from_local(moment, where), [term.run]))
        if term.type != "timestamptz":
            raise ValueError(f"at time zone goes with timestamp and timestamptz, not with {spoken(term.type)}: cast it")
        return Term("timestamp", strict(lambda moment: to_local(moment, where), [term.run]))

    # --- choices

    def coalesce(self, node: exp.Expr) -> Term:
        kind, runs = self.common([node.this, *node.expressions])

        def first(row: Row) -> Any:
            for run in runs:
                value = run(row)
                if value is not None:
                    return value
            return None

        return Term(kind, first)

    def nullif(self, node: exp.Expr) -> Term:
        left, right = self.term(node.this), self.term(node.expression)
        kind = comparable(left, right, ordered=False)
        a, b = coerced(left, kind).run, coerced(right, kind).run
        result = left if kind in ("timestamp", "int8") and left.type != "literal" else coerced(left, kind)
        equal = strict(operator.eq, [a, b])

        def run(row: Row) -> Any:
            value, same = result.run(row), equal(row)
            if value is None or same is True:
                return None
            return UNKNOWN if same is UNKNOWN else value

        return Term(result.type, run)

    def case(self, node: exp.Expr) -> Term:
        branches, default = node.args["ifs"], node.args.get("default")
        kind, values = self.common([branch.args["true"] for branch in branches] + ([default] if default else []))
        conditions = [self.condition(node.this, branch.this) for branch in branches]
        otherwise = values[len(branches)] if default else constant(None)
        pairs = list(zip(conditions, values, strict=False))

        def run(row: Row) -> Any:
            for condition, value in pairs:
                truth = condition(row)
                if truth is UNKNOWN:
                    return UNKNOWN
                if truth:
                    return value(row)
            return otherwise(row)

        return Term(kind, run)

    def condition(self, subject: exp.Expr | None, when: exp.Expr) -> Run:
        if subject is None:
            return self.argument(when, "boolean")
        return self.compared(operator.eq, self.term(subject), self.term(when), ordered=False)

    def extreme(self, node: exp.Expr) -> Term:
        kind, runs = self.common([node.this, *node.expressions])
        if kind not in ORDERED:
            raise ValueError(f"greatest and least of {spoken(kind)} are not allowed: its order is the database's own")
        better = operator.gt if isinstance(node, exp.Greatest) else operator.lt

        def run(row: Row) -> Any:
            best = None
            values = [run(row) for run in runs]
            if UNKNOWN in values:
                return UNKNOWN
            for value in values:
                if value is not None and (best is None or better(value, best)):
                    best = value
            return best

        return Term(kind, run)

    def common(self, nodes: Sequence[exp.Expr]) -> tuple[str, list[Run]]:
        terms = [self.term(node) for node in nodes]
        kind = common_type(terms)
        return kind, [coerced(term, kind).run for term in terms]

    # --- logic

    def conjunction(self, node: exp.Expr) -> Term:
        """AND, and OR as its mirror: `decisive` is the value that settles the answer whatever the others are."""
        decisive = isinstance(node, exp.Or)
        runs = self.arguments(node, this="boolean", expression="boolean")
        return Term("boolean", logical(runs, decisive))

    def negation(self, node: exp.Expr) -> Term:
        return Term("boolean", strict(operator.not_, self.arguments(node, this="boolean")))

    def is_(self, node: exp.Expr) -> Term:
        expected = node.expression
        if isinstance(expected, exp.Null):
            run, wanted = self.term(node.this).run, None
        else:
            run, wanted = self.argument(node.this, "boolean"), bool(expected.this)
        negate = bool(node.args.get("negate"))

        def test(row: Row) -> Any:
            value = run(row)
            return UNKNOWN if value is UNKNOWN else (value is wanted) != negate

        return Term("boolean", test)

    def comparison(self, node: exp.Expr) -> Term:
        compare, ordered = _COMPARISONS[type(node)]
        return Term(
            "boolean", self.compared(compare, self.term(node.this), self.term(node.expression), ordered=ordered)
        )

    def compared(self, compare: Callable[..., Any], left: Term, right: Term, *, ordered: bool) -> Run:
        kind = comparable(left, right, ordered=ordered)
        return strict(compare, [coerced(left, kind).run, coerced(right, kind).run])

    def between(self, node: exp.Expr) -> Term:
        subject = self.term(node.this)
        low = self.compared(operator.ge, subject, self.term(node.args["low"]), ordered=True)
        high = self.compared(operator.le, subject, self.term(node.args["high"]), ordered=True)
        return Term("boolean", logical([low, high], False))

    def in_(self, node: exp.Expr) -> Term:
        kind, (subject, *items) = self.common([node.this, *node.expressions])
        if kind not in (*ORDERED, "text"):
            raise ValueError(f"IN over {spoken(kind)} is not allowed")
        return Term("boolean", logical([strict(operator.eq, [subject, item]) for item in items], True))

    def like(self, node: exp.Expr) -> Term:
        match = texts.like(node.expression.name, ignore_case=isinstance(node, exp.ILike))
        run = strict(match, self.arguments(node, this="text"))
        return Term("boolean", strict(operator.not_, [run]) if node.args.get("negate") else run)

    # --- numbers

    def arithmetic(self, node: exp.Expr) -> Term:
        left, right = self.term(node.this), self.term(node.expression)
        kinds = [term.type for term in (left, right) if term.type != "literal"]
        if not kinds or any(kind not in NUMBERS for kind in kinds):
            raise ValueError(f"+ - * / go with numbers, not with {' and '.join(map(spoken, kinds)) or 'literals'}")
        kind = max(kinds, key=NUMBERS.index)
        on_numbers, on_integers = _ARITHMETIC[type(node)]
        function = on_numbers if kind == "numeric" else on_integers(kind)
        return Term(kind, strict(function, [coerced(left, kind).run, coerced(right, kind).run]))

    def sign(self, node: exp.Expr) -> Term:
        """Unary minus and abs."""
        term = self.term(node.this)
        if term.type not in NUMBERS:
            raise ValueError(f"- and abs go with numbers, not with {spoken(term.type)}")
        negative = isinstance(node, exp.Neg)
        kind = term.type

        def exact(number: Decimal) -> Decimal:
            return numerics.negate(number) if negative else number.copy_abs()

        def whole(number: int) -> int:
            return numerics.fitting(kind, -number if negative else abs(number))

        return Term(kind, strict(exact if kind == "numeric" else whole, [term.run]))

    def round_(self, node: exp.Expr) -> Term:
        term, decimals = self.term(node.this), node.args.get("decimals")
        if term.type != "numeric" and not (term.type in INTEGERS and decimals):
            raise ValueError(f"round goes with numeric, not with {spoken(term.type)}: cast it first")
        places = whole_literal(decimals) if decimals else 0
        run = coerced(term, "numeric").run
        return Term("numeric", strict(lambda number: numerics.rounded(number, places), [run]))

    # --- text

    def text_function(self, node: exp.Expr) -> Term:
        function, kinds, result = _TEXT_FUNCTIONS[type(node)]
        return Term(result, strict(function, self.arguments(node, **kinds)))

    def trim(self, node: exp.Expr) -> Term:
        strip = {"LEADING": str.lstrip, "TRAILING": str.rstrip}.get(node.args.get("position") or "", str.strip)
        if node.args.get("expression"):
            return Term("text", strict(strip, self.arguments(node, this="text", expression="text")))
        return Term("text", strict(lambda text: strip(text, " "), self.arguments(node, this="text")))

    def substring(self, node: exp.Expr) -> Term:
        return Term("text", strict(texts.substring, self.arguments(node, this="text", start="int4", length="int4")))

    def pipe(self, node: exp.Expr) -> Term:
        terms = [self.term(node.this), self.term(node.expression)]
        if not any(term.type in ("text", "literal") for term in terms):
            raise ValueError("one side of || must be text: cast it")
        return Term("text", strict(texts.join, [self.written(term) for term in terms]))

    def concat(self, node: exp.Expr) -> Term:
        runs = [self.written(self.term(item), truth="t", falsehood="f") for item in node.expressions]

        def run(row: Row) -> Any:
            values = [run(row) for run in runs]
            return UNKNOWN if UNKNOWN in values else texts.join(*(value for value in values if value is not None))

        return Term("text", run)

    def written(self, term: Term, truth: str = "true", falsehood: str = "false") -> Run:
        if term.type == "literal":
            return term.run
        if term.type not in _WRITTEN:
            raise ValueError(f"{spoken(term.type)} cannot be joined to text")
        if term.type == "boolean":
            return strict(lambda value: truth if value else falsehood, [term.run])
        write = scalars.WRITE.get(term.type)
        return strict(write, [term.run]) if write else term.run


def _whole(function: Callable[[int, int], int]) -> Callable[[str], Callable[[int, int], int]]:
    return lambda kind: lambda left, right: numerics.fitting(kind, function(left, right))


def _division(kind: str) -> Callable[[int, int], int]:
    return lambda left, right: numerics.divide_integers(kind, left, right)


_ARITHMETIC: dict[type[exp.Expr], tuple[Callable[..., Any], Callable[[str], Callable[[int, int], int]]]] = {
    exp.Add: (numerics.add, _whole(operator.add)),
    exp.Sub: (numerics.subtract, _whole(operator.sub)),
    exp.Mul: (numerics.multiply, _whole(operator.mul)),
    exp.Div: (numerics.divide, _division),
}
_COMPARISONS: dict[type[exp.Expr], tuple[Callable[..., Any], bool]] = {
    exp.EQ: (operator.eq, False),
    exp.NEQ: (operator.ne, False),
    exp.LT: (operator.lt, True),
    exp.LTE: (operator.le, True),
    exp.GT: (operator.gt, True),
    exp.GTE: (operator.ge, True),
}
_TEXT_FUNCTIONS: dict[type[exp.Expr], tuple[Callable[..., Any], dict[str, str], str]] = {
    exp.Upper: (texts.upper, {"this": "text"}, "text"),
    exp.Lower: (texts.lower, {"this": "text"}, "text"),
    exp.Length: (len, {"this": "text"}, "int4"),
    exp.Left: (lambda text, count: text[:count], {"this": "text", "expression": "int4"}, "text"),
    exp.Right: (texts.right, {"this": "text", "expression": "int4"}, "text"),
    exp.Replace: (texts.replace, {"this": "text", "expression": "text", "replacement": "text"}, "text"),
    exp.SplitPart: (texts.split_part, {"this": "text", "delimiter": "text", "part_index": "int4"}, "text"),
}
_NODES: dict[type[exp.Expr], Callable[[_Compiler, exp.Expr], Term]] = {
    exp.Column: _Compiler.column,
    exp.Paren: _Compiler.paren,
    exp.Literal: _Compiler.literal,
    exp.Null: _Compiler.null,
    exp.Boolean: _Compiler.boolean,
    exp.Cast: _Compiler.cast,
    exp.AtTimeZone: _Compiler.at_time_zone,
    exp.Coalesce: _Compiler.coalesce,
    exp.Nullif: _Compiler.nullif,
    exp.Case: _Compiler.case,
    exp.Greatest: _Compiler.extreme,
    exp.Least: _Compiler.extreme,
    exp.And: _Compiler.conjunction,
    exp.Or: _Compiler.conjunction,
    exp.Not: _Compiler.negation,
    exp.Is: _Compiler.is_,
    exp.In: _Compiler.in_,
    exp.Between: _Compiler.between,
    exp.Like: _Compiler.like,
    exp.ILike: _Compiler.like,
    exp.Neg: _Compiler.sign,
    exp.Abs: _Compiler.sign,
    exp.Round: _Compiler.round_,
    exp.Trim: _Compiler.trim,
    exp.Substring: _Compiler.substring,
    exp.DPipe: _Compiler.pipe,
    exp.Concat: _Compiler.concat,
    **dict.fromkeys(_COMPARISONS, _Compiler.comparison),
    **dict.fromkeys(_ARITHMETIC, _Compiler.arithmetic),
    **dict.fromkeys(_TEXT_FUNCTIONS, _Compiler.text_function),
}
