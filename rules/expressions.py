"""The SQL scalar expressions of system files: parsed by sqlglot, allow-listed, compiled to closures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rules.values import RawValue

COLUMN_TYPES = (
    "text",
    "integer",
    "numeric",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
    "json",
    "float",
    "other",
)


@dataclass(frozen=True)
class Expression:
    """A checked expression. `columns` are the columns it reads; equal text means equal expression."""

    text: str
    columns: frozenset[str]

    def bind(self, columns: Sequence[str], types: Sequence[str]) -> Callable[[Sequence[RawValue]], RawValue]:
        """Compile for rows of this shape. The closure gives the result as text, None for null, UNKNOWN where the
        answer depends on a value that the row does not carry; raises ValueRefused on bad data."""
        raise NotImplementedError

    def sql(self, alias: str) -> str:
        """The same expression as PostgreSQL text, columns qualified by `alias`."""
        raise NotImplementedError


def parse(text: str) -> Expression:
    """Raises ValueError saying what is not allowed and what is."""
    raise NotImplementedError
