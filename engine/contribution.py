"""How a contribution hears a change: what the row newly says, and what is only our own echo.

Per field the newest position wins, so a change that arrives twice or late says nothing new; and a value the
change did not carry stays what it was. A field's stamp is the position and time at which its value last *changed*,
so an edit of one field never makes another look recent.

Where the source names the fields it changed (`Change.changed`), any order of arrival ends in the same contribution.
Where it does not, a field has changed when it differs from what the row held, which needs the source's own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Literal

import msgspec

from engine.change import Change, Value
from engine.record import Contribution, Stamp

NEVER = Stamp("", None)
"""The stamp of a value that was seen, but not seen to change."""

Heard = Literal["said", "held", "echo", "stale", "nothing"]
"""said: news of its own; held: our own write came back, for the first time or other than we knew; echo: as it was
told before; stale: older."""


def begin(change: Change) -> Contribution:
    """The empty contribution of a row heard of for the first time."""
    row = change.row
    return Contribution(row.system, row.stream, row.key, "", Stamp(change.position, change.at), {})


def hear(row: Contribution, change: Change, owned: Set[str], golden: Mapping[str, Value]) -> tuple[Heard, list[str]]:
    """Take an upsert into `row`; give what it was and the fields whose said value or stamp changed.

    `owned` are the fields that this row's system owns: of our own writes (an echo), only those become
    its own word; of the others, those that have no golden value yet (a default the system filled in).
    """
    position = change.position
    kept: list[str] = []
    if row.deleted is not None:
        if position <= row.deleted:
            return "stale", []
        kept = _revive(row, change)
    if position <= row.said:
        return _hear_late(row, change)
    fresh = not (row.fields or row.held or row.sent)
    if fresh and not change.echo and change.changed is None and row.base.position == position:
        row.fields, row.said = dict(change.fields), position
        return "said", list(row.fields)
    changed = kept
    echoed, waiting = False, len(row.sent)
    for name, value in change.fields.items():
        if change.echo and name not in owned and name in golden:
            echoed = _hold(row, name, value) or echoed
        elif _take(row, name, value, change):
            changed.append(name)
    _said(row, change)
    if changed:
        return "said", changed
    if echoed or len(row.sent) < waiting:
        return "held", []
    return ("echo" if change.echo else "nothing"), []


def _hold(row: Contribution, name: str, value: Value) -> bool:
    """Our own write came back: the row holds this now. True if its source had not told so."""
    if row.told(name) == value:
        return False
    row.sent.pop(name, None)
    if name in row.fields and row.fields[name] == value:
        row.held.pop(name, None)
    else:
        row.held[name] = value
    return True


def _take(row: Contribution, name: str, value: Value, change: Change) -> bool:
    """Hear one field's newest value; True if it, or the time it was changed, is news."""
    known = row.told(name)
    edited = change.changed is None or name in change.changed
    if name in row.sent and known != value and row.sent.pop(name) == value and not change.echo:
        _hold(row, name, value)
        known = value
    if known is not msgspec.UNSET and known == value:
        if change.echo and name in row.held:
            # The owner's row holds what we gave it (a seed): from now on that is the owner's own word.
            row.fields[name] = row.held.pop(name)
            _stamp(row, name, change)
            return True
        if change.changed is not None and edited:
            _stamp(row, name, change)
            return True
        return False
    row.fields[name] = value
    row.held.pop(name, None)
    if edited:
        _stamp(row, name, change)
    elif known is msgspec.UNSET:
        row.stamps[name] = NEVER
    return True


def _stamp(row: Contribution, name: str, change: Change) -> None:
    stamp = Stamp(change.position, change.at)
    if stamp == row.base:
        row.stamps.pop(name, None)
    else:
        row.stamps[name] = stamp


def _said(row: Contribution, change: Change) -> None:
    """Move the row's newest position on; fields that this image left unknown keep the position they had."""
    if row.said and (row.held or len(change.fields) < len(row.fields)):
        for name in (*row.fields, *row.held):
            if name not in change.fields:
                row.lag.setdefault(name, row.said)
    if row.lag:
        for name in change.fields:
            row.lag.pop(name, None)
    row.said = change.position


def _hear_late(row: Contribution, change: Change) -> tuple[Heard, list[str]]:
    """An image older than the newest one: it may still tell a field that the newer ones left unknown, and when
    a field that they repeat was really changed."""
    changed = []
    for name, value in change.fields.items():
        last = row.lag.get(name, row.said) if name in row.fields or name in row.held else ""
        if change.position > last:
            row.lag[name] = change.position
            if _take(row, name, value, change):
                changed.append(name)
        elif change.changed is not None and name in change.changed and change.position > row.stamp(name).position:
            _stamp(row, name, change)
            changed.append(name)
    return ("said", changed) if changed else ("stale", [])


def _revive(row: Contribution, change: Change) -> list[str]:
    """The row is there again and says everything anew. What this image leaves unknown it still holds (an update
    brought it back into view, and an unchanged large value did not come along): give those fields."""
    gone = row.deleted or ""
    kept = [name for name in row.fields if name not in change.fields]
    row.stamps = {name: row.stamp(name) for name in kept}
    row.fields = {name: row.fields[name] for name in kept}
    row.lag = dict.fromkeys(kept, gone)
    row.held, row.sent = {}, {}
    row.deleted, row.removed, row.said = None, False, ""
    row.base = Stamp(change.position, change.at)
    return kept


def bury(row: Contribution, change: Change) -> bool:
    """Take a delete into `row`; True if it was news. The last values stay (a protected field outlives its row)."""
    if change.position <= row.said or (row.deleted is not None and change.position <= row.deleted):
        return False
    news = row.deleted is None
    row.deleted = change.position
    row.said = change.position
    row.held, row.sent = {}, {}
    return news
