"""How a contribution hears a change: what the row's people newly say, and what is only our own write coming back.

Per field the newest position wins, so a change that arrives twice or late says nothing new; and a value the
change did not carry stays what it was. A field's stamp is the position and time at which its own word last *changed*,
so an edit of one field never makes another look recent.

Our own write replaces whatever the row said before: from its echo on the row carries that value, and its former word
is gone. An echo says nothing new, however late it comes and whether or not it was noted before.

Where the source names the fields it changed (`Change.changed`), any order of arrival ends in the same contribution.
Where it does not, a field has changed when it differs from what the row held, which needs the source's own order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Literal

import msgspec

from fieldwarden.engine.change import Change, Value
from fieldwarden.engine.deciding.echoes import came_back
from fieldwarden.engine.record import REMEMBERED, Contribution, Stamp, Told, digest
from fieldwarden.rules.rulebook import Unit

NEVER = Stamp("", None)
"""The stamp of a value that was seen, but not seen to change."""

Heard = Literal["said", "carried", "echo", "stale", "nothing"]
"""said: news of its own; carried: our own write came back, for the first time or other than we knew; echo: as it was
told before; stale: older."""


def begin(change: Change) -> Contribution:
    """The empty contribution of a row heard of for the first time. It says nothing yet: `hear` takes the change in.

    >>> change = Change(RowRef("crm", "account", "1"), "customer", "upsert", "7", 1000, fields={"name": "Ann"})
    >>> row = begin(change)
    >>> hear(row, change, set(), {}), row.fields, row.said
    (('said', ['name']), {'name': 'Ann'}, '7')
    """
    row = change.row
    return Contribution(row.system, row.stream, row.key, "", Stamp(change.position, change.at), {})


def hear(row: Contribution, change: Change, owned: Set[str], golden: Mapping[str, Value]) -> tuple[Heard, list[str]]:
    """Take an upsert into `row`, which is changed in place. `change.references` must be translated into `fields`
    before. Gives what the change was, and the fields concerned:

    - said: news of the row's own; the fields whose own word or stamp changed.
    - carried: our own write came back; the fields in which the row carries our value, or what its system made of it.
    - echo, stale, nothing: no field. It was told before (under our mark or not), or it is older than what the row said.

    `owned` are the fields that this row's system owns, `golden` the golden values. Both say what an echo is worth: a
    value that nobody gave a row of ours (its system's default) is nobody's word, except the owner's.

    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", 1000), {"name": "Ann"}, sent={"name": "Anna"})
    >>> echo = Change(row.ref, "customer", "upsert", "8", 2000, fields={"name": "Anna"}, echo=True)
    >>> hear(row, echo, set(), {"name": "Anna"}), row.fields, row.carried
    (('carried', ['name']), {}, {'name': 'Anna'})
    """
    position = change.position
    kept: list[str] = []
    if row.deleted is not None:
        if position <= row.deleted:
            return "stale", []
        # A row that was inserted again says everything anew, also what it said before it was deleted.
        kept = _revive(row, change)
    if position <= row.said:
        return _hear_late(row, change, owned, golden)
    mended = _note_unreadable(row, change) if change.unreadable or row.unreadable else []
    fresh = not (row.fields or row.carried or row.sent or row.void)
    if fresh and not change.echo and change.changed is None and row.base.position == position:
        row.fields, row.said = dict(change.fields), position
        return "said", list(row.fields)
    changed, echoed, waiting = kept, list[str](), len(row.sent)
    own, by_comparing = row.fields, change.changed is None and not change.echo and not row.still
    for name, value in change.fields.items():
        if by_comparing and own.get(name, msgspec.UNSET) == value:
            continue  # most fields of most changes: a shorter way to what `_take` finds
        if change.echo:
            if _echo(row, name, value, owned, golden):
                echoed.append(name)
        elif _take(row, name, value, change):
            changed.append(name)
    _said(row, change)
    if changed or (mended and not change.echo):
        return "said", [*changed, *echoed, *(name for name in mended if name in row.fields and name not in changed)]
    if echoed or mended or len(row.sent) < waiting:
        return "carried", echoed
    return ("echo" if change.echo else "nothing"), []


def unlike_ours(
    row: Contribution, change: Change, names: Set[str], golden: Mapping[str, Value], given: Collection[str]
) -> list[str]:
    """The fields in which a change under our mark holds what we are not known to have written: the target made that of
    our write, or a trigger of its own wrote it. Ask before `hear`; nothing is changed.

    Only fields among `names` are looked at. `given` are the fields that a row of ours is made with where golden has a
    value: in others of a row made by us its system fills in what it likes. None where the row has heard the change
    before.

    A field that changes so with each write of ours is named a few times only for one golden value (`REMEMBERED`), since
    each time has it written once more."""
    if change.position <= row.said or (row.deleted is not None and change.position <= row.deleted):
        return []
    found = [name for name in change.fields if name in names and _is_unlike(row, name, change.fields[name], golden)]
    if found and not row.names():  # it was made by us, and this is the first that its source tells of it
        return [name for name in found if name in row.sent or (name in given and golden.get(name) is not None)]
    return found


def _is_unlike(row: Contribution, name: str, value: Value, golden: Mapping[str, Value]) -> bool:
    if value == row.told(name) or value == golden.get(name):
        return False
    if value in (row.sent.get(name, msgspec.UNSET), row.restore.get(name, msgspec.UNSET)):
        return False
    return digest(value) not in row.known.get(name, ()) and _told(row, name, golden.get(name)).times < REMEMBERED


def tell(row: Contribution, name: str, golden: Value) -> None:
    """Count that the ledger says once more that the field held something unlike what we wrote, while `golden` is
    golden. `row.unlike` is replaced."""
    told = _told(row, name, golden)
    row.unlike = {**row.unlike, name: told._replace(times=told.times + 1)}


def _told(row: Contribution, name: str, golden: Value) -> Told:
    told, now = row.unlike.get(name), digest(golden)
    return told if told is not None and told.golden == now else Told(now, 0)


def _note_unreadable(row: Contribution, change: Change) -> list[str]:
    """Note what this newest image shows to be unreadable; gives the fields that can be read again. What the row said
    there before keeps its place meanwhile."""
    mended = [name for name in change.fields if name in row.unreadable]
    kept = {name: why for name, why in row.unreadable.items() if name not in mended}
    row.unreadable = kept | change.unreadable
    return mended


def _given(name: str, value: Value, golden: Mapping[str, Value]) -> bool:
    """True if a value in our own write may be one that we gave. Where golden has none, the system filled it in."""
    return name in golden and (golden[name] is not None or value is None)


def _echo(row: Contribution, name: str, value: Value, owned: Set[str], golden: Mapping[str, Value]) -> bool:
    newest = golden.get(name, msgspec.UNSET) == value
    return _carry(row, name, value, name in owned or _given(name, value, golden), newest=newest)


def _carry(row: Contribution, name: str, value: Value, somebodys: bool, *, newest: bool = False) -> bool:
    """Our own write came back: the row holds this now, and what it said before is gone. True if that is news. A newer
    write of ours that is under way stays noted."""
    if name in row.known:
        came_back(row, name, value, newest=newest)
    if name in row.sent and row.sent[name] == value:
        del row.sent[name]
        somebodys = True
    if row.told(name) == value:
        return False
    if row.still.pop(name, msgspec.UNSET) is not msgspec.UNSET and row.word(name) == value:
        return True  # its former word is there again
    row.fields.pop(name, None)
    row.stamps.pop(name, None)
    row.carried.pop(name, None)
    row.void.pop(name, None)
    restored = row.restore.pop(name, msgspec.UNSET)
    if somebodys and restored != value:
        row.carried[name] = value
    else:
        row.void[name] = value
    return True


def _take(row: Contribution, name: str, value: Value, change: Change) -> bool:
    """Hear one field's newest value; True if it, or the time it was changed, is news."""
    known = row.told(name)
    edited = change.changed is None or name in change.changed
    if name in row.sent and known != value:
        if row.sent[name] == value:
            # A source without marks (a topic) tells our write like anybody's: it is known by its value.
            _carry(row, name, value, True)  # our own write, seen without its mark
            return False
        del row.sent[name]
    if known is not msgspec.UNSET and known == value:
        if change.changed is None or not edited or change.observation:
            return False
        _own(row, name, value)
        _stamp(row, name, change)
        return True
    _own(row, name, value)
    if edited:
        _stamp(row, name, change)
    elif known is msgspec.UNSET:
        # The value was seen, but not seen to change: by recency it must not win from an edit that was.
        row.stamps[name] = NEVER
    return True


def _own(row: Contribution, name: str, value: Value) -> None:
    row.fields[name] = value
    for other in (row.carried, row.void, row.still, row.known, row.unlike):
        if other:
            other.pop(name, None)


def refuse(row: Contribution, name: str, before: Value | msgspec.UnsetType) -> None:
    """The row's own word on a field was refused. It counts no more, though the row still holds it; `row` is changed in
    place.

    `before` is what the row is put back to where golden has no value. UNSET: golden has one, or nobody knows what the
    row held.

    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", 1000), {"terms": "NET90"})
    >>> refuse(row, "terms", "NET30")
    >>> row.fields, row.void, row.restore
    ({}, {'terms': 'NET90'}, {'terms': 'NET30'})
    """
    if name in row.fields:
        row.void[name] = row.fields.pop(name)
    if before is msgspec.UNSET:
        row.restore.pop(name, None)
    else:
        row.restore.setdefault(name, before)


def disown(row: Contribution, name: str) -> None:
    """What the row carries there belongs to another record: it is to be cleared where golden has no value."""
    if name not in row.fields and (holds := row.holds(name)) is not msgspec.UNSET:
        row.carried.pop(name, None)
        row.sent.pop(name, None)
        row.still.pop(name, None)
        row.void[name] = holds
        row.restore[name] = None


def give_back(row: Contribution, name: str, value: Value, own: Stamp | None) -> None:
    """What we wrote into the row there is not meant any more: it stands for `value` again, which is yet to be written.
    `own`: when the row itself said that; None: it carried it."""
    still = row.holds(name)
    assert still is not msgspec.UNSET, "only what we wrote is given back"
    for known in (row.fields, row.carried, row.void, row.restore, row.sent):
        known.pop(name, None)
    if own is None:
        row.stamps.pop(name, None)
        row.carried[name] = value
    else:
        row.stamps[name] = own
        row.fields[name] = value
    row.still[name] = still


def leave_blocks(row: Contribution, change: Change, changed: Sequence[str], units: Mapping[str, Unit]) -> None:
    """Somebody has edited a part of a group in which former words were given back to the row: the block that stands
    there by now is its word, and the rest of it stays as it is."""
    for name in changed:
        unit = units.get(name)
        if unit is None or len(unit.fields) < 2 or name in row.still:
            continue
        for other in unit.fields:
            if other in row.still:
                take_back(row, other)
                if other in change.fields:
                    row.sent.pop(other, None)


def take_back(row: Contribution, name: str) -> None:
    """A former word that was given back is not meant any more: the row carries there what it holds."""
    holds = row.still.pop(name)
    if row.told(name) != holds:
        row.fields.pop(name, None)
        row.stamps.pop(name, None)
        row.carried[name] = holds


def overtaken(row: Contribution, golden: Mapping[str, Value], units: Mapping[str, Unit]) -> None:
    """Where golden has become what the row holds before its former word was written there, nothing is to be written,
    and that word is done with: as if it had been written, and the golden value over it."""
    for name, holds in list(row.still.items()):
        if name not in row.still or name in row.sent or golden.get(name) != holds:
            continue
        unit = units.get(name)
        for other in (name,) if unit is None or row.word(name) == holds else unit.fields:
            if other in row.still and other not in row.sent:
                take_back(row, other)


def _stamp(row: Contribution, name: str, change: Change) -> None:
    stamp = Stamp(change.position, change.at)
    if stamp == row.base:
        row.stamps.pop(name, None)
    else:
        row.stamps[name] = stamp


def _said(row: Contribution, change: Change) -> None:
    """Move the row's newest position on; fields that this image left unknown keep the position they had."""
    if row.said and (row.carried or row.void or row.unreadable or len(change.fields) < len(row.fields)):
        for name in (*row.names(), *row.unreadable):
            if name not in change.fields and name not in change.unreadable:
                row.lag.setdefault(name, row.said)
    if row.lag:
        for name in (*change.fields, *change.unreadable):
            row.lag.pop(name, None)
    row.said = change.position


def _hear_late(
    row: Contribution, change: Change, owned: Set[str], golden: Mapping[str, Value]
) -> tuple[Heard, list[str]]:
    """An image older than the newest one: it may still tell a field that the newer ones left unknown, and when
    a field that they repeat was really changed."""
    changed, echoed, mended = [], [], list[str]()
    for name, value in change.fields.items():
        unread = name in row.unreadable
        last = "" if row.told(name) is msgspec.UNSET and not unread else row.lag.get(name, row.said)
        if change.position > last or (unread and change.position == last):  # the very image, tried again
            row.lag[name] = change.position
            if row.unreadable.pop(name, None) is not None and not change.echo:
                mended.append(name)
            if change.echo:
                if _echo(row, name, value, owned, golden):
                    echoed.append(name)
            elif _take(row, name, value, change):
                changed.append(name)
        elif (  # a newer image repeated the value: this one tells when it was really changed
            change.changed is not None
            and not change.echo
            and name in change.changed
            and name in row.fields
            and name not in row.still
            and change.position > row.stamp(name).position
        ):
            _stamp(row, name, change)
            changed.append(name)
    for name, why in change.unreadable.items():
        known = name in row.unreadable or row.told(name) is not msgspec.UNSET
        if change.position > (row.lag.get(name, row.said) if known else ""):
            row.lag[name], row.unreadable[name] = change.position, why
    if changed or mended:
        return "said", [*changed, *(name for name in mended if name in row.fields and name not in changed)]
    return ("carried", echoed) if echoed else ("stale", [])


def _revive(row: Contribution, change: Change) -> list[str]:
    """The row is there again and says everything anew. What this image leaves unknown it still holds (an update
    brought it back into view, and an unchanged large value did not come along): give those fields."""
    gone = row.deleted or ""
    kept = [name for name in row.names() if name not in change.fields]
    row.stamps = {name: row.stamp(name) for name in kept if name in row.fields}
    row.fields = {name: row.fields[name] for name in kept if name in row.fields}
    row.carried = {name: row.carried[name] for name in kept if name in row.carried}
    row.void = {name: row.void[name] for name in kept if name in row.void}
    row.still = {name: row.still[name] for name in kept if name in row.still}
    row.lag = dict.fromkeys(kept, gone)
    row.sent, row.restore, row.unreadable = {}, {}, {}
    if not change.echo:
        row.known, row.unlike = {}, {}
    row.deleted, row.removed, row.said = None, False, ""
    row.base = Stamp(change.position, change.at)
    return kept


def become(row: Contribution, change: Change, merged: str, owned: Set[str], golden: Mapping[str, Value]) -> None:
    """The row is another of its stream by now, the one with the key `merged`. `row` is changed in place: what it says
    stays, since it can be found by that, but it counts as deleted from here on."""
    hear(row, change, owned, golden)
    row.deleted = row.said = change.position
    row.merged = merged
    row.sent, row.restore, row.unreadable, row.still = {}, {}, {}, {}


def bury(row: Contribution, change: Change) -> bool:
    """Take a delete into `row`, which is changed in place. True if that was news: False for one that is older than what
    the row said, or told again. The last values stay, since a protected field outlives its owner's row.

    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", 1000), {"name": "Ann"})
    >>> bury(row, Change(RowRef("crm", "account", "1"), "customer", "delete", "8", 2000))
    True
    >>> row.live, row.fields
    (False, {'name': 'Ann'})
    """
    if change.position <= row.said or (row.deleted is not None and change.position <= row.deleted):
        return False
    news = row.deleted is None
    if news:
        row.merged = ""  # it stood in a circle; what is left of a merged row is gone already
    row.deleted = change.position
    row.said = change.position
    for name, value in list(row.sent.items()):  # what we wrote last is what the row held last
        _carry(row, name, value, True)
    row.sent, row.restore, row.unreadable = {}, {}, {}
    return news
