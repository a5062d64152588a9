"""One golden record as the engine holds it: the golden values and the contributions they were chosen from.

These structs are what the hub stores (JSON by msgspec), so a record is loaded, decided on and stored without
another shape in between. A contribution belongs to a source row; it is also that row's shadow.

Per contribution three things are kept apart:
- what the row's system itself *said* (`fields`), which alone competes for golden;
- when it said so: `base` is the stamp most fields share, `stamps` holds those that changed later;
- what the row *holds* where that differs, because we wrote it: `held` once its source has told so, `sent` until
  then. Images from before our write still come in after it: what they repeat says nothing. Nor does a value that
  we wrote, which is our echo.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from engine.change import RowRef, Value


class Stamp(NamedTuple):
    """When a field last changed: position in its stream, and time (µs since 1970 UTC; None: never stated)."""

    position: str
    at: int | None


class Contribution(msgspec.Struct, omit_defaults=True, gc=False):
    """What one source row currently says about a record.

    `said` is the newest position heard. `lag` names fields that the newest image left unknown, with the position
    of the last image that had them. `deleted` is the position of the row's deletion; the last values stay, since a
    protected field outlives its owner's row. `removed`: we deleted it ourselves when its record was retired, and may
    bring it back.
    """

    system: str
    stream: str
    key: str
    said: str
    base: Stamp
    fields: dict[str, Value]
    stamps: dict[str, Stamp] = {}
    lag: dict[str, str] = {}
    held: dict[str, Value] = {}
    sent: dict[str, Value] = {}
    deleted: str | None = None
    removed: bool = False

    @property
    def ref(self) -> RowRef:
        return RowRef(self.system, self.stream, self.key)

    @property
    def live(self) -> bool:
        return self.deleted is None

    def stamp(self, name: str) -> Stamp:
        return self.stamps.get(name, self.base)

    def holds(self, name: str) -> Value | msgspec.UnsetType:
        """What the row holds as far as we know: our own write, else what it said; UNSET if never heard."""
        return self.sent[name] if name in self.sent else self.told(name)

    def given(self, name: str) -> bool:
        """Whether what the row holds there is our own write, as far as we know."""
        return name in self.sent or name in self.held

    def told(self, name: str) -> Value | msgspec.UnsetType:
        """What the row held when its source last spoke of it; UNSET if never heard."""
        return self.held[name] if name in self.held else self.fields.get(name, msgspec.UNSET)


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """A golden record. `version` counts the ledger entries about it; `id` is a UUIDv7 in text form."""

    id: str
    entity: str
    version: int
    golden: dict[str, Value]
    rows: list[Contribution]
    retired: bool = False
