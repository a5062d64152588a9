"""One golden record as the engine holds it: the golden values and the contributions they were chosen from.

These structs are what the hub stores (JSON by msgspec), so a record is loaded, decided on and stored without
another shape in between. A contribution belongs to a source row; it is also that row's shadow.

A row says what it holds. Per field a contribution keeps the value and whose word it is:
- `fields`: the row's own word. Its people or its system wrote it there, and it competes for golden.
- `carried`: we wrote it there, so it is somebody else's word. It counts as the word of the field's owner, and where
  no own word is left.
- `void`: the row holds it, but it is nobody's word: it was refused, or put back after a refusal, or the system filled
  it in when we made the row.
A name stands in one of these at most. `base` is the stamp that most own words share, `stamps` holds those that changed
later. `sent` is what we wrote since the source last told of the field: it has replaced whatever stands below.
Images from before our write still come in after it; what they repeat says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from fieldwarden.engine.change import RowRef, Value

LARGE = 1 << 18
"""Characters from which on a text is kept from being copied as a part of something else."""


REMEMBERED = 8
"""So many times the ledger says that a field holds something unlike what we wrote, for one golden value."""

UNDERWAY = 32
"""Of so many values, that we may have written to a field and that have not come back yet, the digests are kept."""


class Stamp(NamedTuple):
    """When a field last changed: the position in its stream, and the time in µs since 1970 UTC (None: the source stated
    none)."""

    position: str
    at: int | None


class Told(NamedTuple):
    """How often the ledger has said of a field that it held something unlike what we wrote. Counted from 0 again for
    each golden value, whose digest is `golden`."""

    golden: str
    times: int


class Contribution(msgspec.Struct, omit_defaults=True, gc=False):
    """What one source row currently says about a record. Of these properties and methods none changes anything.

    `said` is the newest position heard. `lag` names fields that the newest image left unknown, with the position of the
    last image that had them. `restore`: what a refused value has to be put back to while golden has no value. `deleted`
    is the position of the row's deletion; the last values stay, since a protected field outlives its owner's row.
    `removed`: we deleted it ourselves when its record was retired, and may bring it back.

    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", 1000), fields={"name": "Ann"}, sent={"name": "Anna"})
    >>> row.told("name"), row.holds("name"), row.own("name")
    ('Ann', 'Anna', False)
    """

    system: str
    stream: str
    key: str
    said: str
    base: Stamp
    fields: dict[str, Value]
    stamps: dict[str, Stamp] = {}
    lag: dict[str, str] = {}
    carried: dict[str, Value] = {}
    void: dict[str, Value] = {}
    restore: dict[str, Value] = {}
    sent: dict[str, Value] = {}
    deleted: str | None = None
    removed: bool = False
    unreadable: dict[str, str] = {}
    """Fields that the row holds a value of that cannot be one of theirs, and why (never the value)."""
    merged: str = ""
    """The key of the row of its stream that it is by now, as its system says. It is deleted then as far as its record
    goes; one that is live is not merged, since those rows name each other in a circle."""
    under: str = ""
    """The key of the row above it, for child rows of streams whose rows may be merged."""
    order: tuple[str | None, ...] = ()
    """Where it stands among several rows of its stream, for streams with `first_by` (`engine.deciding.plural`)."""
    still: dict[str, Value] = {}
    """Fields in which a person gave its former word back to the row (it is in `fields` or `carried`), and what its
    source told last: the value of ours that the row holds until that word is written there and comes back."""

    known: dict[str, list[str]] = {}
    """By field, as digests: what we may have written there, and meant something newer before its source told of it: it
    may come back yet (`engine.deciding.echoes`)."""

    unlike: dict[str, Told] = {}
    """By field: how often the ledger has told of what came with our own write and was not ours."""

    former: dict[str, list[str]] = {}
    """By field, as digests: what was golden before, while a row of some system may be on its way to being made with it.
    It concerns the record, and stands in one of its rows that tell of the field."""

    row_version: str = ""
    """What its system last called the version of the row, in answer to a write of ours: an ETag, a SyncToken, a lock
    version. The next write of the row is made for that version."""

    @property
    def ref(self) -> RowRef:
        """The row's name in the crosswalk."""
        return RowRef(self.system, self.stream, self.key)

    @property
    def live(self) -> bool:
        """True until the row is deleted, or merged into another."""
        return self.deleted is None

    @property
    def husk(self) -> bool:
        """True if the row was merged into another row and stands for no record of its own."""
        # Rows that name each other in a circle keep `merged` and stay live: none of them is a husk.
        return bool(self.merged) and self.deleted is not None

    def stamp(self, name: str) -> Stamp:
        """When the row's own word on the field last changed."""
        return self.stamps.get(name, self.base)

    def changed_at(self, names: Sequence[str]) -> int | None:
        """The latest time at which one of these fields changed, in µs since 1970 UTC. None if no time of any of them is
        known."""
        return max((at for name in names if (at := self.stamp(name).at) is not None), default=None)

    def holds(self, name: str) -> Value | msgspec.UnsetType:
        """What the row holds as far as we know: our own write if one has not come back yet, else what the source told.
        UNSET if neither was ever heard of."""
        return self.sent[name] if name in self.sent else self.told(name)

    def given(self, name: str) -> bool:
        """True if what the row holds there is our own write, as far as we know."""
        return name in self.sent or name in self.carried

    def told(self, name: str) -> Value | msgspec.UnsetType:
        """What the row held when its source last spoke of the field. UNSET if the source never did."""
        return self.still[name] if name in self.still else self._known(name)

    def word(self, name: str) -> Value | msgspec.UnsetType:
        """What the row stands for in the field. It is what the row holds, except where a split gave the row its former
        word back: then it is that word, though it is yet to be written there. UNSET if never heard of."""
        return self.sent[name] if name in self.sent else self._known(name)

    def _known(self, name: str) -> Value | msgspec.UnsetType:
        if name in self.fields:
            return self.fields[name]
        if name in self.carried:
            return self.carried[name]
        return self.void.get(name, msgspec.UNSET)

    def own(self, name: str) -> bool:
        """True if what the row stands for there is its own word. It is not where our write has replaced it, unless that
        write is the row's own former word on its way back (`still`)."""
        if name not in self.fields:
            return False
        return name not in self.sent or (name in self.still and self.sent[name] == self.fields[name])

    def names(self) -> list[str]:
        """The fields of which the source has told. Fields that we only wrote (`sent`) are not among them."""
        return [*self.fields, *self.carried, *self.void]


def digest(value: Value) -> str:
    """A short text (16 hexadecimal digits) by which a value is recognised later without being kept. Null has one of its
    own.

    >>> digest("Ann") == digest("Ann"), digest(None) == digest("")
    (True, False)
    """
    # "surrogatepass": a text that is not UTF-8 comes with lone surrogates, and is recognised as well.
    return blake2b(b"\0" if value is None else b"\1" + value.encode(errors="surrogatepass"), digest_size=8).hexdigest()


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """A golden record. `id` is a UUIDv7 in text form; `version` is the number of ledger entries about it; `rows` are
    all source rows that stand for it, deleted ones included."""

    id: str
    entity: str
    version: int
    golden: dict[str, Value]
    rows: list[Contribution]
    retired: bool = False
    large: bool = False
    """It holds, or may hold, a text that is too large to be carried in one piece. Not stored."""

    def row(self, ref: RowRef) -> Contribution | None:
        """What this source row says of the record. None if the row does not stand for it.

        >>> account = Contribution("crm", "account", "1", "7", Stamp("7", None), {"name": "Ann"})
        >>> record = Record("0190", "customer", 1, {"name": "Ann"}, [account])
        >>> record.row(RowRef("crm", "account", "1")) is account, record.row(RowRef("erp", "party", "1"))
        (True, None)
        """
        for row in self.rows:
            # The key first: it differs most often. Comparing `row.ref` would make a tuple for each row on the hot path.
            if row.key == ref.key and row.stream == ref.stream and row.system == ref.system:
                return row
        return None
