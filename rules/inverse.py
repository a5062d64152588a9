"""Which expressions a column may be read through and be written all the same: those that read back what was written.

`lower(mail)` gives back every value that it has given. `case when type = 'email' then value end` does not: what is
written may not come back, and a row that is another thing would be written.
"""

from __future__ import annotations

from typing import Literal

from sqlglot import exp

from fieldwarden.rules.expressions import Expression

Reading = Literal["exact", "normalising", "other"]


def reading(read: Expression, column: str) -> Reading:
    """What reading a column through an expression makes of its values.

    "normalising": it may take away a difference of case or blanks, and leaves alone what has none. "exact": no two
    values of the column read alike, but for such as mean the same. "other": what is written may not be read again."""
    found: Reading = "exact"
    node = read.tree.unnest()
    while not isinstance(node, exp.Column):
        trims = isinstance(node, exp.Trim) and (node.expression is None or _constant(node.expression))
        if trims or isinstance(node, exp.Lower | exp.Upper):
            found = "normalising"
        elif not (isinstance(node, exp.Cast) or (isinstance(node, exp.Nullif) and _constant(node.expression))):
            return "other"
        node = node.this.unnest()
    return found if node.name == column else "other"


def _constant(node: exp.Expr) -> bool:
    return isinstance(node.unnest(), exp.Literal)
