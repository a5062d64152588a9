"""The canonical envelope: what a source tells the engine, before and after mapping.

A `RawChange` is one committed row change in the source's own columns; a `Change` is the same thing said of a
record's fields. Values are canonical text end to end (`rules.values`): `None` is null, an absent field or
`UNKNOWN` is *unknown* and never changes anything.

Positions are opaque text. Inside one source row they compare as text: greater is newer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from fieldwarden.rules.values import UNKNOWN, RawValue, Value

__all__ = [
    "UNKNOWN",
    "Change",
    "Operation",
    "RawChange",
    "RawValue",
    "Relation",
    "RowRef",
    "Undecoded",
    "Value",
    "behind",
    "key_parts",
    "key_text",
]


_COUNTED = re.compile(r"(.*!!)([0-9a-f]{8})", re.DOTALL).fullmatch


def behind(position: str) -> str:
    """A position greater than this one, and less than all that a source gives after it. It grows no longer, however
    often there is nothing newer to stand behind.

    >>> behind("7"), behind("7!"), behind("7!!00000001"), behind("7!!0000ffff")
    ('7!', '7!!00000001', '7!!00000002', '7!!00010000')
    """
    if counted := _COUNTED(position):
        return f"{counted[1]}{int(counted[2], 16) + 1:08x}"
    return f"{position}!00000001" if position.endswith("!") else f"{position}!"


class RowRef(NamedTuple):
    """Names one source row; the crosswalk goes from it to a record. `key` is the text of the key column, or a JSON
    array where the key has several columns (`key_text`).

    >>> RowRef("crm", "account", "1").key
    '1'
    """

    system: str
    stream: str
    key: str


def key_text(parts: tuple[str, ...]) -> str:
    """The one text that stands for a key of one or several columns. `parts` must not be empty. `key_parts` is the
    inverse.

    >>> key_text(("42",)), key_text(("42", "DE"))
    ('42', '["42","DE"]')
    """
    return parts[0] if len(parts) == 1 else json.dumps(parts, separators=(",", ":"), ensure_ascii=False)


def key_parts(key: str, columns: int) -> tuple[str, ...]:
    """The key's columns as texts, from what `key_text` made of them. `columns` is how many columns the key has.

    >>> key_parts('["42","DE"]', 2)
    ('42', 'DE')
    """
    return (key,) if columns == 1 else tuple(json.loads(key))


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """The shape of a stream's rows at one moment. A source makes a new one when the schema changes; two are the same
    only if they are one object.

    `types` are portable names (`rules.expressions.COLUMN_TYPES`), aligned with `columns`. `siblings` are the same shape
    for the other streams of the same table: a change in this shape is told to each of them too
    (`engine.deciding.meaning`)."""

    stream: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    siblings: tuple[Relation, ...] = ()


Operation: TypeAlias = Literal["insert", "update", "delete", "observe", "vanish", "truncate", "rekey", "hint"]


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Stands in for a change that cannot be decoded: the reason in words, and the bytes as they came, so that they can
    be decoded later by a mended decoder."""

    reason: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class RawChange:
    """One committed change of one row, as the source holds it.

    `values` align with `relation.columns`; a delete carries the key's columns and UNKNOWN for the rest; a truncate
    carries none; "vanish" is a delete that nobody told of: a re-read did not find the row. `old_values` is set only
    when the key changed (the old key's columns, UNKNOWN for the rest). `at` is the commit time in microseconds since
    1970 UTC (None for an observation). `echo`: the source knows that this transaction was written by Fieldwarden
    itself; None: it cannot know, but the hub can, by `transaction`, which also names it for people. `place` is where
    the change stands in its source, for people (a topic's partition and offset).

    A "hint" names a row, by its key alone, of which something may have changed: its source is asked what the row holds
    now (`Source.look`), and that is decided in its place.

    "rekey" says that a row goes on under another key: `values` hold the new key's columns and UNKNOWN for the rest,
    `old_values` the old key's. Where its own news under the new key may overtake that (they stand in different
    partitions), both are marked `follows_rekey`: the news wait for it, and their positions are counted anew.

    `undecoded`: the row's key is all that could be read, or not even that (then the key's columns are UNKNOWN).
    `large`: one of its texts may be (`engine.record.LARGE`).
    """

    relation: Relation
    operation: Operation
    values: tuple[RawValue, ...]
    position: str
    at: int | None
    old_values: tuple[RawValue, ...] | None = None
    echo: bool | None = False
    transaction: str = ""
    place: str = ""
    follows_rekey: bool = False
    undecoded: Undecoded | None = None
    large: bool = False


@dataclass(slots=True)
class Change:
    """One change said of one source row's contribution to a record.

    `fields` holds canonical values; of a reference field it holds nothing until the engine has translated
    `references[field]` (the row referred to) into a record id. `external_id` is the record id that the row carries.
    `changed` names the fields that the source says were changed; None: find out by comparing.
    `order`: what a row of a stream with `first_by` is ordered by (`engine.deciding.plural`).
    `unreadable`: fields that the source did tell of, but whose value cannot be one of theirs, with the reason in words
    and never the value; fields of a group go together. `undated`: why the source's own time could not be read.
    `delete` with an `observation` is a row that a re-read did not find again. `rekey`: the row `old_row` goes on as
    `row`, and nothing else is said; `follows_rekey` as in `RawChange`.
    """

    row: RowRef
    entity: str
    operation: Literal["upsert", "delete", "rekey"]
    position: str
    at: int | None
    fields: dict[str, Value] = field(default_factory=dict)
    references: dict[str, RowRef] = field(default_factory=dict)
    parent: RowRef | None = None
    old_row: RowRef | None = None
    external_id: str | None = None
    changed: frozenset[str] | None = None
    observation: bool = False
    echo: bool = False
    transaction: str = ""
    follows_rekey: bool = False
    unreadable: dict[str, str] = field(default_factory=dict)
    undated: str = ""
    order: tuple[RawValue, ...] = ()
    unlike: Sequence[str] = ()
    """Of an echo: the fields that hold what we are not known to have written (`contribution.unlike_ours`)."""
    merged: RowRef | None = None
    """The row that this one is by now, as its system says; never itself."""
    outside: bool = False
    """Of one that is another by now: its stream's `where` leaves it out."""

    def states(self, names: Iterable[str]) -> bool:
        """True if the change tells of all of `names`, whether their values can be read or not.

        >>> change = Change(RowRef("crm", "account", "1"), "customer", "upsert", "7", None, fields={"name": "Ann"})
        >>> change.states(["name"]), change.states(["name", "city"])
        (True, False)
        """
        return all(name in self.fields or name in self.references or name in self.unreadable for name in names)
