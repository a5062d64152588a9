"""Changes set aside: how a raw change is kept until a person, or another row, lets it go on.

What is kept is the change as the source told it, before mapping, so that a mended mapping or code list
applies when it is tried again.
"""

from __future__ import annotations

import re

import msgspec

from fieldwarden.engine.change import UNKNOWN, Operation, RawChange, RawValue, Relation, Undecoded
from fieldwarden.engine.ports.aside import FOR_ANOTHER, SetAside


class Payload(msgspec.Struct, omit_defaults=True):
    """A raw change as JSON; `unknown` are the positions of values that it did not carry."""

    stream: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    operation: Operation
    values: list[str | None]
    unknown: list[int]
    position: str
    at: int | None
    old_values: list[str | None] | None = None
    old_unknown: list[int] = []
    echo: bool | None = False
    transaction: str = ""
    place: str = ""
    follows_rekey: bool = False
    undecoded: Undecoded | None = None
    escaped: bool = False
    """The values are told with escapes: PostgreSQL, which keeps this, has no way to hold a NUL."""


_NUL = b"\\u0000"
_ESCAPE = re.compile(r"\\(.)")
_decoder = msgspec.json.Decoder(Payload)


def pack(raw: RawChange) -> bytes:
    """A raw change as JSON, to be kept until it is tried again. `unpack` is the inverse, but for the relation's
    siblings.

    >>> raw = RawChange(Relation("account", ("id", "name"), ("text", "text")), "update", ("1", UNKNOWN), "7", None)
    >>> unpack(pack(raw)).values
    ('1', UNKNOWN)
    """
    values, unknown = _split(raw.values)
    payload = Payload(
        raw.relation.stream,
        raw.relation.columns,
        raw.relation.types,
        raw.operation,
        values,
        unknown,
        raw.position,
        raw.at,
        echo=raw.echo,
        transaction=raw.transaction,
        place=raw.place,
        follows_rekey=raw.follows_rekey,
        undecoded=raw.undecoded,
    )
    if raw.old_values is not None:
        payload.old_values, payload.old_unknown = _split(raw.old_values)
    packed = msgspec.json.encode(payload)
    if _NUL not in packed:
        return packed
    payload.escaped, payload.values = True, [*map(_escaped, payload.values)]
    payload.old_values = payload.old_values and [*map(_escaped, payload.old_values)]
    return msgspec.json.encode(payload)


def unpack(data: bytes) -> RawChange:
    """The raw change that was packed. Raises msgspec.DecodeError for anything else."""
    payload = _decoder.decode(data)
    if payload.escaped:
        payload.values = [*map(_plain, payload.values)]
        payload.old_values = payload.old_values and [*map(_plain, payload.old_values)]
    old = None if payload.old_values is None else _join(payload.old_values, payload.old_unknown)
    return RawChange(
        Relation(payload.stream, payload.columns, payload.types),
        payload.operation,
        _join(payload.values, payload.unknown),
        payload.position,
        payload.at,
        old_values=old,
        echo=payload.echo,
        transaction=payload.transaction,
        place=payload.place,
        follows_rekey=payload.follows_rekey,
        undecoded=payload.undecoded,
    )


def shell(kept: SetAside) -> RawChange:
    """What stands for a kept change that cannot be unpacked, so that it can be set aside again. Its payload stays as it
    is."""
    return RawChange(Relation(kept.row.stream, (), ()), "update", (), kept.position, None)


def has_its_key(kept: SetAside) -> bool:
    """True if a kept change waits no more for the word that its row has taken a new key: it came further once, or a
    person says that this word will not come."""
    return kept.kind in FOR_ANOTHER or (kept.kind == "rekey" and kept.released)


def _split(values: tuple[RawValue, ...]) -> tuple[list[str | None], list[int]]:
    known = [value if isinstance(value, str) else None for value in values]
    return known, [position for position, value in enumerate(values) if value is UNKNOWN]


def _join(values: list[str | None], unknown: list[int]) -> tuple[RawValue, ...]:
    joined: list[RawValue] = list(values)
    for position in unknown:
        joined[position] = UNKNOWN
    return tuple(joined)


def _escaped(value: str | None) -> str | None:
    return value and value.replace("\\", "\\\\").replace("\0", "\\0")


def _plain(value: str | None) -> str | None:
    return value and _ESCAPE.sub(lambda found: "\0" if found[1] == "0" else found[1], value)
