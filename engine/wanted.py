"""What reading a stream needs of its table, whichever connector reads it."""

from __future__ import annotations

from typing import NamedTuple

from rules.rulebook import Stream


class Wanted(NamedTuple):
    """What one stream reads of its table: the key's columns, and every column (the key's among them)."""

    stream: str
    key: tuple[str, ...]
    columns: frozenset[str]


def wanted_columns(stream: Stream) -> Wanted:
    """Every column that reading the stream needs."""
    columns = {*stream.key, *stream.parent_columns}
    if stream.external_id:
        columns.add(stream.external_id)
    for expression in (stream.where, stream.changed_at):
        if expression is not None:
            columns |= expression.columns
    for mapped in stream.fields.values():
        if mapped.column is not None:
            columns.add(mapped.column)
        if mapped.read is not None:
            columns |= mapped.read.columns
    return Wanted(stream.name, stream.key, frozenset(columns))
