"""What a row of a target is meant to hold."""

from __future__ import annotations

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Stream


def wanted(record: Record, row: Contribution | None, name: str) -> Value:
    """What a row should hold in a field: the golden value. Where there is none, what the row held before a refusal, or
    what it said before its value became unreadable; else None. `row` is None for a row that is yet to be created.

    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", None), {}, restore={"terms": "NET30"})
    >>> record = Record("0190", "customer", 1, {"name": "Ann"}, [row])
    >>> wanted(record, row, "name"), wanted(record, row, "terms"), wanted(record, row, "city")
    ('Ann', 'NET30', None)
    """
    if name in record.golden:
        return record.golden[name]
    if row is None:
        return None
    if name in row.unreadable and name not in row.restore:
        told = row.told(name)
        return None if told is msgspec.UNSET else told
    return row.restore.get(name)


def is_another_records(record: Record, stream: Stream, row: Contribution) -> bool:
    """True if a child row holds nothing but what left the record with another system's row: it has no own word, and
    every field of it is to be cleared."""
    return not row.fields and all(
        name not in record.golden and row.restore.get(name, msgspec.UNSET) is None for name in stream.fields
    )
