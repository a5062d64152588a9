"""Debezium's envelope: what one event says happened to which row, as the engine is told of it.

Facts: Debezium's connector reference, "Data change events"; https://debezium.io/documentation/reference/stable/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from fieldwarden.connectors.debezium.decoding.rows import RowReader
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, Operation, RawValue

OPERATIONS: dict[str, Operation] = {"c": "insert", "u": "update", "d": "delete", "r": "observe", "t": "truncate"}
SNAPSHOT = frozenset({"true", "first", "first_in_data_collection", "last_in_data_collection", "last", "incremental"})
"""Values of `source.snapshot` for rows that were read, not streamed (older versions: a boolean)."""

_LONGER_THAN_ANY_STAND_IN = 16
"""Characters. Only values of more bytes than a TOAST pointer has are stored apart, and so left out."""


Micros: TypeAlias = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
Millis: TypeAlias = Annotated[int, Meta(ge=-(1 << 52), le=1 << 52)]
Long: TypeAlias = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class Source(msgspec.Struct, gc=False):
    """What is used of the `source` block; times are such as can be stored in microseconds."""

    ts_us: Micros | None = None
    ts_ms: Millis | None = None
    txId: Long | str | None = None  # noqa: N815
    snapshot: str | bool | None = None
    gtid: str | None = None
    sequence: str | None = None

    @property
    def read(self) -> bool:
        """Whether the row was read by a snapshot, not changed."""
        return self.snapshot is True or self.snapshot in SNAPSHOT

    @property
    def at(self) -> int | None:
        """The commit time in microseconds since 1970 UTC."""
        return self.ts_us if self.ts_us is not None else None if self.ts_ms is None else self.ts_ms * 1_000


@dataclass(slots=True)
class Event:
    """One event as its format gave it. `before` and `after` hold what was decoded of the wanted columns; `before` is
    decoded only when it is asked for. `careful`: a text in it may be a placeholder."""

    shape: RowReader
    op: str
    after: list[Any] | None
    before: Callable[[], list[Any] | None]
    source: Source
    careful: bool = True


def operation(event: Event) -> Operation | None:
    """None for a logical message. Raises Unreadable."""
    if event.op == "m":
        return None
    try:
        found = OPERATIONS[event.op]
    except KeyError:
        raise Unreadable("its `op` is none of c, u, d, r, t, m") from None
    return "observe" if found in ("insert", "update") and event.source.read else found


def new_values(event: Event) -> tuple[RawValue, ...]:
    """The row after the change; unknown values are taken from the row before it, where that was sent whole.

    Raises Unreadable."""
    if event.after is None:
        raise Unreadable("its `after` is missing")
    values = event.shape.values(event.after, careful=event.careful)
    if event.op == "u" and UNKNOWN in values and (before := event.before()) is not None:
        values = _filled(event.shape, values, event.shape.values(before))
    return values


def _filled(shape: RowReader, values: tuple[RawValue, ...], before: tuple[RawValue, ...]) -> tuple[RawValue, ...]:
    """With REPLICA IDENTITY FULL `before` holds what was left out of `after`.

    With any other, columns beyond the identity hold null, their default, or an empty value, which are no news: all of
    these are shorter than what PostgreSQL would leave out, or are the default itself."""
    return tuple(
        was
        if value is UNKNOWN and isinstance(was, str) and len(was) > _LONGER_THAN_ANY_STAND_IN and was != default
        else value
        for value, was, default in zip(values, before, shape.defaults, strict=True)
    )
