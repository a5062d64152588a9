"""What a row of a target is meant to hold."""

from __future__ import annotations

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Stream


def wanted(record: Record, row: Contribution | None, name: str) -> Value:
    """What a row should hold in a field: the golden value; where there is none, what it held before a refusal."""
    if name in record.golden:
        return record.golden[name]
    if row is None:
        return None
    if name in row.unreadable and name not in row.restore:
        told = row.told(name)
        return None if told is msgspec.UNSET else told
    return row.restore.get(name)


def is_another_records(record: Record, stream: Stream, row: Contribution) -> bool:
    """Whether all that a child row says left the record with another system's row."""
    return not row.fields and all(
        name not in record.golden and row.restore.get(name, msgspec.UNSET) is None for name in stream.fields
    )
