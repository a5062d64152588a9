"""Which record a source row speaks of.

By crosswalk; else by the record id that the row itself carries; else by the entity's match keys, exact after
normalising. A match that is not unique, or that another row of the same stream already stands for, is never merged
silently: the row waits for a steward.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from engine.change import RowRef, Value
from engine.record import Record
from rules.rulebook import Entity


@dataclass(frozen=True, slots=True)
class Found:
    record: str
    how: Literal["crosswalk", "external_id", "match", "parent"]


@dataclass(frozen=True, slots=True)
class New:
    """No record is known to be this one: a new one begins."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    candidates: tuple[str, ...]
    reason: str


MatchPair = tuple[str, str]


class Duplicate(NamedTuple):
    """Live records of one entity that carry the same value of a match key: they may be one and the same."""

    entity: str
    key: str
    records: tuple[str, ...]


LONGEST = 500
"""Characters of a normalised value that stand for themselves: with four bytes each an index of the hub takes them."""

_ASCII = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}


@lru_cache(maxsize=16_384)
def normalise(text: str) -> str:
    """Letters and digits only, case folded, compatibility forms unified: what "exact after normalising" means.

    A text without any letter or digit ("-", an emoji) is told apart by what it has: all but its blanks. Else it would
    be no key at all, and a row known by nothing else could never be found again. Only a blank text comes to nothing.
    """
    if text.isascii():
        return text.translate(_ASCII) or "".join(text.split())
    unified = unicodedata.normalize("NFKC", text)
    return ("".join(filter(str.isalnum, unified)) or "".join(unified.split())).casefold()


def _joined(parts: Iterable[str]) -> str:
    """One key's parts as one text; a long one is named by its hash, whose colon no normalised value holds."""
    text = "\x1f".join(parts)
    return text if len(text) <= LONGEST else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def match_pairs(entity: Entity, fields: Mapping[str, Value]) -> list[MatchPair]:
    """The (match key name, normalised value) pairs that these values state; incomplete keys state nothing."""
    pairs = []
    for key in entity.match:
        parts = [normalise(fields.get(name) or "") for name in key.fields]
        if all(parts):
            pairs.append((key.name, parts[0] if len(parts) == 1 and len(parts[0]) <= LONGEST else _joined(parts)))
    return pairs


def possible_pairs(
    entity: Entity, fields: Mapping[str, Value], possible: Mapping[str, Collection[str]]
) -> list[MatchPair]:
    """The pairs that a row may come to state: `possible` gives, for each of its references, the records that this may
    turn out to mean."""
    names = list(possible)
    told = {name: value for name, value in fields.items() if name not in possible}
    return [
        pair
        for ids in itertools.product(*(possible[name] or (None,) for name in names))
        for pair in match_pairs(entity, {**told, **dict(zip(names, ids, strict=True))})
    ]


def record_pairs(entity: Entity, record: Record) -> list[MatchPair]:
    """The pairs by which a record can be found: what its golden values and each of its rows state.

    Deleted rows and retired records count: whether a row comes before or after another's deletion must not
    decide to which record it belongs.
    """
    if not entity.match:
        return []
    if len(record.rows) == 1 and record.golden == record.rows[0].fields:
        return sorted(match_pairs(entity, record.golden))
    pairs = set()
    values = [record.golden, *[{**row.carried, **row.fields} for row in record.rows if row.fields]]
    for key in entity.match:
        for stated in {tuple([fields.get(name) or "" for name in key.fields]) for fields in values}:
            parts = [normalise(text) for text in stated]
            if all(parts):
                pairs.add((key.name, _joined(parts)))
    return sorted(pairs)


def identify(
    entity: str,
    row: RowRef,
    external_id: str | None,
    pairs: Sequence[MatchPair],
    matches: Mapping[MatchPair, Sequence[str]],
    records: Mapping[str, Record],
) -> Found | New | Ambiguous:
    """Find the record of a row that the crosswalk does not know. The first match key that finds any decides."""
    carried = records.get(external_id) if external_id is not None else None
    if carried is not None and carried.entity == entity:
        return Found(carried.id, "external_id")
    for pair in pairs:
        candidates = sorted({id for id in matches.get(pair, ()) if id in records})
        if not candidates:
            continue
        free = [id for id in candidates if not _stands(records[id], row)]
        if len(free) == 1 and len(candidates) == 1:
            return Found(free[0], "match")
        if not free:
            return Ambiguous(tuple(candidates), f"another row of {row.system} {row.stream} has the same {pair[0]}")
        return Ambiguous(tuple(candidates), f"{len(candidates)} records have the same {pair[0]}")
    return New()


def _stands(record: Record, row: RowRef) -> bool:
    return any(
        other.deleted is None and other.system == row.system and other.stream == row.stream and other.key != row.key
        for other in record.rows
    )


def uuid7(now_us: int, random: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds, 12 + 62 random bits."""
    milliseconds = (now_us // 1000) & ((1 << 48) - 1)
    high, low = (random >> 62) & 0xFFF, random & ((1 << 62) - 1)
    value = f"{(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low:032x}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"
