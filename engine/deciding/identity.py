"""Which record a source row speaks of.

By crosswalk; else by the record id that the row itself carries; else by the entity's match keys, each compared as its
normalisers say (rules.normalising), the first of which that both state decides. A match that is not unique, or that
another row of the same stream already stands for, is never merged silently: the row waits for a steward.

What a row states is a claim of whoever may write it, not a proof: a copied record id, or a key that only another system
may give, would make its writer another's customer. It is believed where nobody else of that system stands for the
record. Otherwise the row waits as suspicious, and is named as that.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Entity

Claim = Literal["record_id", "match_key", "merge"]
"""By what a row says that it belongs to a record."""


@dataclass(frozen=True, slots=True)
class Found:
    """The row speaks of `record`; `how` it was found stands in the ledger."""

    record: str
    how: Literal["crosswalk", "external_id", "match", "parent"]


@dataclass(frozen=True, slots=True)
class New:
    """No record is known to be this one: a new one begins."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A steward has to say which record the row speaks of: `candidates` are the ids that it may be, `reason` says why
    in words. `suspicious`: by what the row claims something that it should not be able to say of itself; "" where it
    does not."""

    candidates: tuple[str, ...]
    reason: str
    suspicious: Claim | Literal[""] = ""


MatchPair = tuple[str, str]


LONGEST = 500
"""Characters of a normalised value that stand for themselves: with four bytes each an index of the hub takes them."""

_BETWEEN = "\x1f"
_HASHED = "sha256:"


def _joined(parts: Sequence[str]) -> str:
    """One key's parts as one text, different for different parts. A long one is named by its hash, and so is one that
    holds what parts are joined by, or looks like a hash."""
    text = parts[0] if len(parts) == 1 else _BETWEEN.join(parts)
    # Else ("a\x1fb", "c") and ("a", "b\x1fc") would be one key.
    torn = len(parts) > 1 and text.count(_BETWEEN) >= len(parts)
    if len(text) <= LONGEST and not torn and not text.startswith(_HASHED):
        return text
    whole = json.dumps(parts) if torn else text
    return f"{_HASHED}{hashlib.sha256(whole.encode()).hexdigest()}"


def match_pairs(entity: Entity, fields: Mapping[str, Value]) -> list[MatchPair]:
    """The (match key, normalised value) pairs that these values state. A key of which a field is null, unknown or
    normalised to nothing states nothing.

    >>> customer = Entity("customer", {}, (), {}, match=(MatchKey("tax_id", ("tax_id",), ("alphanumeric",)),))
    >>> match_pairs(customer, {"tax_id": "de 12-3"}), match_pairs(customer, {"tax_id": None})
    ([('tax_id', 'de123')], [])
    """
    pairs = []
    for key in entity.match:
        parts = [normalised(fields.get(name) or "") for name, normalised in key.parts]
        if all(parts):
            alone = len(parts) == 1 and len(parts[0]) <= LONGEST and parts[0][:7] != _HASHED
            pairs.append((key.name, parts[0] if alone else _joined(parts)))
    return pairs


def possible_pairs(
    entity: Entity, fields: Mapping[str, Value], possible: Mapping[str, Collection[str]]
) -> list[MatchPair]:
    """The pairs that a row may come to state, once its references are translated. `possible` gives, for each reference
    field, the ids of the records that it may turn out to mean; with none of them the field states nothing."""
    names = list(possible)
    told = {name: value for name, value in fields.items() if name not in possible}
    return [
        pair
        for ids in itertools.product(*(possible[name] or (None,) for name in names))
        for pair in match_pairs(entity, {**told, **dict(zip(names, ids, strict=True))})
    ]


def record_pairs(entity: Entity, record: Record) -> list[MatchPair]:
    """The pairs by which a record can be found: what its golden values and each of its rows state, sorted, each once.

    Deleted rows and retired records count: whether a row comes before or after another's deletion must not decide to
    which record it belongs."""
    if not entity.match:
        return []
    if len(record.rows) == 1 and record.golden == record.rows[0].fields and not record.rows[0].carried:
        return sorted(match_pairs(entity, record.golden))
    pairs = set()
    values = [record.golden, *[{**row.carried, **row.fields} for row in record.rows if row.fields]]
    for key in entity.match:
        for stated in {tuple([fields.get(name) or "" for name in key.fields]) for fields in values}:
            parts = [normalised(text) for (_, normalised), text in zip(key.parts, stated, strict=True)]
            if all(parts):
                pairs.add((key.name, _joined(parts)))
    return sorted(pairs)


def identify(
    entity: Entity,
    row: RowRef,
    external_id: str | None,
    pairs: Sequence[MatchPair],
    matches: Mapping[MatchPair, Sequence[str]],
    records: Mapping[str, Record],
    becoming: Collection[RowRef] = (),
    roots: Collection[tuple[str, str]] = (),
    ours: bool = False,
) -> Found | New | Ambiguous:
    """Find the record of a root row that the crosswalk does not know: by the record id that it carries, else by the
    first match key that finds any record. `New` if none does. Nothing is changed.

    `pairs` are what the row states, in the order of the entity's keys; `matches` the ids of the records that state each
    pair; `records` those at hand. `becoming`: rows of which their system tells just now that they are merged into this
    one. `roots`: the (system, stream) pairs whose rows stand for the entity's records. `ours`: we wrote the row, and
    its record id with it.

    >>> customer = Entity("customer", {}, (), {}, match=(MatchKey("tax_id", ("tax_id",)),))
    >>> erp = Record("0190", "customer", 1, {"tax_id": "1"}, [])
    >>> pair = ("tax_id", "1")
    >>> identify(customer, RowRef("crm", "account", "7"), None, [pair], {pair: ["0190"]}, {"0190": erp})
    Found(record='0190', how='match')
    """
    carried = records.get(external_id) if external_id is not None else None
    if carried is not None and carried.entity == entity.name:
        if _stands(carried, row, becoming, () if ours else roots):
            reason = f"it carries the record id of a row of {row.system} that is there: copied, or forged"
            # A copied row brings the record id along with everything else.
            return Ambiguous((carried.id,), reason, "record_id")
        return Found(carried.id, "external_id")
    for place, pair in enumerate(pairs):
        if not matches.get(pair):
            continue  # nearly always, of a new row
        before = {name for name, _ in pairs[:place] if name != pair[0]}
        # What a record states under an earlier key is none of the row's, which would have found it.
        candidates = sorted(
            id for id in set(matches[pair]) if id in records and not (before and before & _stated(entity, records[id]))
        )
        if not candidates:
            continue
        # Two rows of one stream with the same key are two customers, or one entered twice: only a steward can tell.
        free = [id for id in candidates if not _stands(records[id], row, becoming)]
        if len(free) == 1 and len(candidates) == 1:
            return Found(free[0], "match")
        if not free:
            reason = f"another row of {row.system} {row.stream} has the same {pair[0]}"
            owner = keeper(entity, pair[0], row.system)
            if owner:
                return Ambiguous(tuple(candidates), f"{reason}, which only {owner} may give", "match_key")
            return Ambiguous(tuple(candidates), reason)
        return Ambiguous(tuple(candidates), f"{len(candidates)} records have the same {pair[0]}")
    return New()


def _stated(entity: Entity, record: Record) -> set[str]:
    """The match keys that a record states."""
    return {name for name, _ in match_pairs(entity, record.golden)}


def keeper(entity: Entity, key: str, system: str) -> str:
    """The system that alone may state a field of this match key, so that another's stating it is a claim. "" if
    `system` may state it as well, or nobody keeps it."""
    fields = next((each.fields for each in entity.match if each.name == key), ())
    kept = [policy for name in fields if (policy := entity.unit_of[name].policy).protected]
    owners = [policy.owner for policy in kept if system != policy.owner and system not in policy.seed_from]
    return next((owner for owner in owners if owner), "")


def _stands(record: Record, row: RowRef, becoming: Collection[RowRef], roots: Collection[tuple[str, str]] = ()) -> bool:
    """Whether another row of the same stream, or of these streams of its system, is there and not to be this one."""
    return any(
        other.deleted is None
        and other.system == row.system
        and (other.stream == row.stream or (other.system, other.stream) in roots)
        and (other.key != row.key or other.stream != row.stream)
        and (not other.merged or other.merged != row.key)
        and (not becoming or other.ref not in becoming)
        for other in record.rows
    )


def uuid7(now_us: int, random: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) as text: 48 bits of milliseconds, then 12 and 62 random bits. `now_us`: µs since
    1970 UTC; `random`: a number of at least 74 random bits.

    >>> uuid7(1_700_000_000_000_000, 0)
    '018bcfe5-6800-7000-8000-000000000000'
    """
    milliseconds = (now_us // 1000) & ((1 << 48) - 1)
    high, low = (random >> 62) & 0xFFF, random & ((1 << 62) - 1)
    value = f"{(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low:032x}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"
