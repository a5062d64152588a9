"""A row of a system as it is now, read in the words of its entity: what `check` compares with the golden record.

It is mapped by the very mapper of the stream, so that expressions, codes and types mean here what they mean there. A
field whose value cannot be read spoils only itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, RowRef, Value, key_text
from fieldwarden.engine.deciding.mapping import StreamMapper, undecoded_row
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.rules.rulebook import Entity, Stream


@dataclass(slots=True)
class Seen:
    """A row as it was seen. `fields` holds canonical values. Those of `references` are not in it before `resolve` was
    told which records they mean. `unreadable` says of a field (or, under "", of the whole row) why it cannot be read.
    """

    key: str
    fields: dict[str, Value] = field(default_factory=dict)
    references: dict[str, RowRef] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    nameless: bool = False
    """Its key cannot be read either: `key` is a name for it, which stands nowhere among keys."""
    merged: bool = False
    """Its system merged it into another row."""
    outside: bool = False
    """Its stream's `where` leaves it out since."""

    def resolve(self, records: dict[RowRef, str]) -> None:
        """Put records in the place of the references to these rows; other references stay. The row is changed in place.

        >>> row = RowRef("crm", "account", "1")
        >>> seen = Seen("7", references={"customer": row, "payer": RowRef("crm", "account", "2")})
        >>> seen.resolve({row: "0190"})
        >>> seen.fields, list(seen.references)
        ({'customer': '0190'}, ['payer'])
        """
        for name, row in list(self.references.items()):
            if row in records:
                self.fields[name] = records[row]
                del self.references[name]


class Seeing:
    """Reads the rows of one stream in one shape. Making one raises SchemaDrift if a needed column is not there."""

    def __init__(self, stream: Stream, entity: Entity, relation: Relation) -> None:
        self._stream = replace(stream, changed_at=None, external_id=None)
        self._whole = StreamMapper(self._stream, entity, relation)
        self._key = [relation.columns.index(column) for column in stream.key]

    def __call__(self, raw: RawChange) -> Seen | None:
        """The row as it is seen now. None for a row that the stream does not speak of."""
        if raw.undecoded is not None:
            row = undecoded_row(self._stream, raw)
            return Seen(row.key, unreadable={"": raw.undecoded.reason}, nameless=UNKNOWN in raw.values)
        seen = Seen(key_text(tuple(str(raw.values[place]) for place in self._key)))
        try:
            change = self._whole(raw)
        except ValueRefused as error:
            seen.unreadable = {"": error.message}  # not a field, but the key or the `where`
            return seen
        if change.operation == "delete":
            return None
        seen.merged, seen.outside = change.merged is not None, change.outside
        seen.fields, seen.references, seen.unreadable = change.fields, change.references, change.unreadable
        return seen
