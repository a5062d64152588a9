"""A record's story in words: what happened to its rows, and what that did to its values.

Pure: entries go in, sentences come out. What a reader may not see is masked by the `show` that is handed in, so no
sentence is made of a value directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.unreadable import UNREAD
from fieldwarden.engine.ledger.entries import Decision, EntryBody

Show: TypeAlias = Callable[[str, Value], str]
"""(field, value) -> how the value is shown."""


@dataclass(slots=True)
class Event:
    """One ledger entry as far as it is about what is told."""

    version: int
    at: str
    source_time: str | None
    system: str
    stream: str
    key: str
    event: str
    headline: str
    decisions: list[str]
    outcomes: dict[str, str]
    transaction: str
    lane: str
    height: int
    ordinal: int
    rulebook: str


@dataclass(slots=True)
class StoryRow:
    """One system's row of the record: how it was linked, and which fields it still holds otherwise than golden."""

    system: str
    stream: str
    key: str
    linked: str
    since: str | None
    live: bool
    differs: list[str]


@dataclass(slots=True)
class PendingDelivery:
    """A target that may not hold the golden values yet."""

    target: str
    status: str
    since: str
    attempts: int
    reason: str
    awaits: str | None


@dataclass(slots=True)
class Kept:
    """A set-aside change of one of the record's rows, or one that may be about this record."""

    id: int
    system: str
    stream: str
    key: str
    kind: str
    reason: str
    since: str


@dataclass(slots=True)
class Reference:
    """A reference from or to this record: `field` is that of the referring record. `label` is the other one's."""

    field: str
    entity: str
    record: str
    label: str


@dataclass(slots=True)
class Trail:
    """Everything known about one record. `record` is its id, the correlation id. Timeline: oldest entry first.

    `referred_by` holds a few samples; `referring` counts them all, None where counting took too long."""

    entity: str
    record: str
    label: str
    found_by: str
    version: int
    retired: bool
    golden: dict[str, str | None]
    rows: list[StoryRow]
    timeline: list[Event]
    deliveries: list[PendingDelivery]
    set_aside: list[Kept]
    refers_to: list[Reference] = field(default_factory=list)
    referred_by: list[Reference] = field(default_factory=list)
    referring: int | None = 0


def when(micros: int | None) -> str | None:
    """A moment for people: `2026-01-31 10:02:15` (UTC). None where no time was stated; `... µs` for one that no
    calendar has.

    >>> when(1_700_000_000_000_000)
    '2023-11-14 22:13:20'
    """
    if micros is None:
        return None
    try:
        return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{micros} µs"


def decision_words(decision: Decision, event: str, show: Show) -> str:
    """One decision as a clause that begins with the field's name. `event` is that of its entry; each value is shown by
    `show`.

    >>> refused = Decision("terms", "refused", "NET90", "NET30", "NET30", "erp", "owner erp, protected")
    >>> decision_words(refused, "said", lambda field, value: value)
    'terms NET90 refused: stays NET30 (owner erp, protected)'
    """
    name, outcome, proposed, before, after, winner, rule = decision
    new, old, said = show(name, after), show(name, before), show(name, proposed)
    stays = f"stays {new}" if before == after else f"becomes {new}"
    if outcome == "accepted":
        change = f"{name} set to {new}" if before is None else f"{name} changed from {old} to {new}"
        return f"{change} ({rule})"
    if outcome == "agreed":
        return f"{name} {stays}: {'it agrees' if before == after else 'confirmed'}"
    if outcome == "held" and event in ("deleted", "vanished", "left"):
        return f"{name} keeps {new}, though the row it came from is gone ({rule})"
    if rule.startswith(UNREAD):
        said = "a value that cannot be read"
    by = f" of {winner}" if winner and before != after else ""
    words = {
        "outranked": f"{name} {said} did not win: {stays}{by} ({rule})",
        "refused": f"{name} {said} refused: {stays} ({rule})",
        "held": f"{name} {said} held for approval: {stays} ({rule})",
        "unreadable": f"{name} {rule}: {stays} until its row says a value that can",
        "stale": f"{name} {said} came too late: {stays}",
        "withdrawn": f"{name} withdrawn: {stays}{by}",
        "joined": f"{name} {stays}{by}",
        "merged": f"{name} {old} goes on there",
        "split": f"{name} {stays}{by}",
        "restored": f"{name} {stays}{by}, as it was before the join",
        "released": f"{name} released: {stays}{by} ({rule})",
    }
    return words.get(outcome, f"{name} {outcome}: {stays}")


_EVENTS = {
    "said": "{row} said",
    "observed": "{row} was read",
    "carried": "{row} carries what was written there",
    "deleted": "{row} was deleted",
    "vanished": "{row} was not found any more",
    "mended": "a newer word of {row} made dead letter {was} pointless: it resolved itself",
    "rekeyed": "{row} took the place of key {was}",
    "moved": "{row} moved here from record {was}",
    "left": "{row} moved to another record",
    "joined": "record {was} turned out to be this one",
    "merged": "this record turned out to be {was}, which goes on",
    "followed": "what it refers to was joined to another record",
    "parted": "what it refers to is record {was} again",
    "split": "rows were given back between this record and {was}",
    "replaced": "{row} was merged into the row {was}, and says nothing any more",
    "claimed": "{row} claimed to be this record by {was}, and was not believed: a steward decides",
}
IDENTITY = frozenset({"joined", "merged", "split", "parted"})
"""Events whose `was` is another record."""
LINKED = {
    "new": "a new record",
    "external_id": "linked by the record id it carries",
    "match": "linked by a match key",
    "parent": "linked by its parent row",
    "merged_into": "linked by the row that it was merged into",
}


def headline(body: EntryBody, key: str, was: str) -> str:
    """What happened to the row, in a clause. `key` and `was` are given as they may be shown.

    >>> body = EntryBody("customer", ("crm", "account", "1"), "said", "7", 1000, [], linked="new")
    >>> headline(body, "1", "")
    'crm account 1 said; a new record'
    """
    system, stream, _ = body.row
    row = f"{system} {stream} {key}"
    words = [_EVENTS[body.event].format(row=row, was=was)]
    if body.event in IDENTITY and system:
        words.append(f"{row} told")
    if body.linked:
        words.append(LINKED.get(body.linked, body.linked))
    if body.retired is not None:
        words.append("the record is retired" if body.retired else "the record is alive again")
    return "; ".join(words)
