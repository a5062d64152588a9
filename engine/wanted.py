"""What reading streams needs of their tables, whichever connector reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fieldwarden.engine.change import Relation
from fieldwarden.rules.rulebook import Stream


class Wanted(NamedTuple):
    """What is read of one table: the key's columns, and every column (the key's among them).

    `stream` is the stream that reads it; where several do, it is the first, and `others` are the rest. They have one
    key, and every column that any of them needs is among `columns`."""

    stream: str
    key: tuple[str, ...]
    columns: frozenset[str]
    others: tuple[str, ...] = ()

    def relation(self, columns: tuple[str, ...], types: tuple[str, ...]) -> Relation:
        """The shape of the table's rows, for all streams that read it."""
        siblings = tuple(Relation(name, columns, types) for name in self.others)
        return Relation(self.stream, columns, types, siblings)


def wanted_columns(stream: Stream) -> Wanted:
    """Every column that reading the stream needs."""
    columns = {*stream.key, *stream.parent_columns, *stream.first_by, *stream.merged_into}
    if stream.external_id:
        columns.add(stream.external_id)
    for expression in (stream.where, stream.changed_at, *(where for _, where in stream.rivals)):
        if expression is not None:
            columns |= expression.columns
    for mapped in stream.fields.values():
        if mapped.column is not None:
            columns.add(mapped.column)
        if mapped.read is not None:
            columns |= mapped.read.columns
    return Wanted(stream.name, stream.key, frozenset(columns))


def wanted_tables(streams: Iterable[Stream], name: Callable[[str], str]) -> dict[str, Wanted]:
    """By table (as `name` spells what the files call it), what all streams that read it need together."""
    found: dict[str, Wanted] = {}
    for stream in streams:
        table, wanted = name(stream.table), wanted_columns(stream)
        known = found.get(table)
        if known is not None:
            others = (*known.others, stream.name)
            wanted = known._replace(columns=known.columns | wanted.columns, others=others)
        found[table] = wanted
    return found
