"""What one ingest transaction makes durable: the values that the pure core hands to the hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.large import Pieces
from fieldwarden.engine.ports.aside import SetAside
from fieldwarden.engine.record import Record


class Duplicate(NamedTuple):
    """Live records of one entity that carry the same value of a match key: they may be one and the same."""

    entity: str
    key: str
    records: tuple[str, ...]


@dataclass(slots=True)
class Entry:
    """One ledger entry: all that was decided for one change of one record. `body` is canonical JSON (bytes), in pieces
    where values may be large."""

    record: str
    version: int
    body: bytes | Pieces


@dataclass(frozen=True, slots=True)
class Rekey:
    """A row that went on under another key, as told at `position` of the old key's stream of changes. `open`: its
    changes under the new key come from elsewhere and may wait for this. Where both are one: the row was deleted before
    any record knew it."""

    old: RowRef
    row: RowRef
    position: str
    open: bool


@dataclass(frozen=True, slots=True)
class Join:
    """A record of an entity that was joined to another, which goes on, and the rows that came with it.

    `named_in`: match keys that may hold the absorbed one's id, as (entity, key, the id as it stands there, whether it
    comes first): whoever carries such a pair is to follow."""

    entity: str
    absorbed: str
    survivor: str
    rows: tuple[RowRef, ...]
    named_in: tuple[tuple[str, str, str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class AlikePair:
    """A match pair of an entity, and the live records that carry it."""

    entity: str
    key: str
    value: str
    records: tuple[str, ...]


@dataclass(slots=True)
class IngestOutcome:
    """Everything one ingest transaction makes durable at once.

    `records` are full new states (new or changed); `links`/`unlinks` change the crosswalk; `match_keys` maps a
    record to its entity and all its (match key name, normalised value) pairs, where these changed; `dirty` marks
    (target, record) afresh, `suspect` only where it is not marked yet (our own write came back other than golden), so
    that attempts go on counting; `agreed` need nothing any more: what is parked of them is due again, to be found done.
    `asked` are match pairs, by entity, with the records that carried them when they were looked up: what was decided
    holds only while that is so. `rekeyed` are rows that went on under another key; `arrived` are new keys of such rows
    that have been heard of since, so that nothing waits for them any more. `released` are ids of set-aside changes that
    this outcome has dealt with; a `set_aside` with an id was tried again in vain and keeps its place. `retried` are ids
    of those that wait for a person and may be tried again without one; so are those that wait for a steward to be told
    from a record in `vacated`, a row of which is gone. `joined` are
    records that were made one, in order; `considered` are pairs of the queue of duplicates that were looked into, and
    `followed` records that were to follow a join and do so now.
    """

    records: list[Record] = field(default_factory=list)
    links: list[tuple[RowRef, str]] = field(default_factory=list)
    unlinks: list[RowRef] = field(default_factory=list)
    match_keys: dict[str, tuple[str, list[tuple[str, str]]]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    dirty: list[tuple[str, str]] = field(default_factory=list)
    suspect: list[tuple[str, str]] = field(default_factory=list)
    agreed: list[tuple[str, str]] = field(default_factory=list)
    asked: dict[str, dict[tuple[str, str], tuple[str, ...]]] = field(default_factory=dict)
    rekeyed: list[Rekey] = field(default_factory=list)
    arrived: list[RowRef] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)
    vacated: list[str] = field(default_factory=list)
    joined: list[Join] = field(default_factory=list)
    considered: list[AlikePair] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
