"""The rows of one object in one schema of its events: what an event tells of the columns that are wanted.

A field that is null on the wire is null in Salesforce only where the event says so. In an update all that did not
change is null on the wire, too: it stays unknown. What the event names and does not carry (a long text of which it
has the difference only, a field that others compute) is read from Salesforce afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fieldwarden.connectors.salesforce.decoding.bitmaps import bits
from fieldwarden.connectors.salesforce.decoding.fields import Column, Described, NoText, Text, column
from fieldwarden.connectors.salesforce.decoding.header import Header
from fieldwarden.connectors.salesforce.decoding.shapes import EventSchema, Spot
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, RawValue, Relation
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.engine.wanted import Wanted

KEY: Final = "Id"
_MOST_PLANS = 4_096


class _Taken(NamedTuple):
    """One column that is read from an event: where it goes, and where it stands."""

    place: int
    name: str
    part: str
    text: Text | None


class _Plan(NamedTuple):
    """What one combination of bitmaps comes to. `row` holds what is known without a look at the event's fields."""

    row: tuple[RawValue, ...]
    taken: tuple[_Taken, ...]
    look: bool
    speaks: bool


class Row(NamedTuple):
    """What an event tells of each record that it names. `values` have UNKNOWN for the key. `speaks`: something wanted
    is among it; `look`: something wanted has to be read from Salesforce."""

    values: tuple[RawValue, ...]
    speaks: bool
    look: bool


class ObjectReader:
    """Reads the events of one object in one schema. `fields` is what `describe` tells, by column. `known` are the
    relations made before, by columns and types: one that has not changed stays the same object.

    Raises SchemaDrift where a wanted column is missing or has another type than it is described with."""

    def __init__(
        self,
        schema: EventSchema,
        wanted: Wanted,
        fields: Mapping[str, Described],
        known: dict[tuple[tuple[str, ...], tuple[str, ...]], Relation],
    ) -> None:
        names = tuple(sorted(wanted.columns))
        compiled = [_compiled(wanted, name, fields, schema.spots.get(name)) for name in names]
        types = tuple(kind for kind, _ in compiled)
        self.relation = known.setdefault((names, types), wanted.relation(names, types))
        self.key = names.index(KEY)
        self._schema = schema
        self._columns = [
            (place, schema.spots.get(name), text, name in fields and fields[name].computed)
            for place, (name, (_, text)) in enumerate(zip(names, compiled, strict=True))
            if name != KEY
        ]
        self._plans: dict[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], _Plan] = {}
        self._whole = self._planned_whole()

    def nothing(self) -> tuple[RawValue, ...]:
        """A row of which nothing is known."""
        return (UNKNOWN,) * len(self.relation.columns)

    def row(self, head: Header, event: Mapping[str, Any]) -> Row:
        """What an event that is no gap and no deletion tells. Raises Unreadable, with what cannot be read."""
        if head.kind != "UPDATE":
            return self._filled(self._whole, event, whole=True)
        bitmaps = (head.changed, head.nulled, head.diffed)
        plan = self._plans.get(bitmaps)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[bitmaps] = self._planned(head)
        return self._filled(plan, event, whole=False)

    def _planned_whole(self) -> _Plan:
        """Of a new record, or one that came back: all of it is there, but for what others compute."""
        taken = [
            _Taken(place, spot.name, spot.part, text) for place, spot, text, _ in self._columns if spot is not None
        ]
        look = any(computed or spot is None for _, spot, _, computed in self._columns)
        return _Plan(self.nothing(), tuple(taken), look, True)

    def _planned(self, head: Header) -> _Plan:
        changed, nulled, diffed = bits(head.changed), bits(head.nulled), bits(head.diffed)
        row, taken, look = list(self.nothing()), list[_Taken](), False
        for place, spot, text, computed in self._columns:
            if spot is None or computed:
                look = True
            elif nulled.has(spot.place, spot.child):
                row[place] = None
            elif diffed.has(spot.place, spot.child):
                look = True
            elif changed.has(spot.place, spot.child):
                taken.append(_Taken(place, spot.name, spot.part, text))
        speaks = bool(taken) or any(value is None for value in row)
        return _Plan(tuple(row), tuple(taken), look, speaks)

    def _filled(self, plan: _Plan, event: Mapping[str, Any], *, whole: bool) -> Row:
        row, look = list(plan.row), plan.look
        for place, name, part, text in plan.taken:
            value = event[name]
            if part:
                value = value[part] if type(value) is dict else None
            if value is None:
                # In an update a field that changed and was not set to null has a value: where it has none, the event
                # does not carry it, and it may be anything.
                if whole:
                    row[place] = None
                else:
                    look = True
            elif type(value) is dict:
                look = True  # a name that is one text or several parts, and here it is parts
            else:
                row[place] = value if text is None else self._text(place, text, value)
                if text is None and "\0" in value:
                    raise Unreadable(f"column {self._named(place)} holds a NUL character, which cannot be stored")
        return Row(tuple(row), plan.speaks, look)

    def _text(self, place: int, text: Text, value: Any) -> str:
        try:
            return text(value)
        except (ValueError, OverflowError, TypeError):
            raise Unreadable(f"column {self._named(place)} does not hold what its type says") from None

    def _named(self, place: int) -> str:
        return self.relation.columns[place]


def _compiled(wanted: Wanted, name: str, fields: Mapping[str, Described], spot: Spot | None) -> tuple[str, Text | None]:
    found = _column(wanted, name, fields)
    if found is None:
        return "text", None
    if spot is not None and not spot.avro & found.avro:
        carried = ", ".join(sorted(spot.avro))
        raise SchemaDrift(
            f"{wanted.stream}.{name} is described as {fields[name].type}, but events carry it as {carried}",
            suggestion="wait until Salesforce has finished the change of its type, then start `fieldwarden run`",
            path=f"{wanted.stream}.{name}",
        )
    return found.type, found.text


def typed(wanted: Wanted, name: str, fields: Mapping[str, Described]) -> str:
    """The portable type of a wanted column. Raises SchemaDrift where it is missing, or has no text of its own."""
    found = _column(wanted, name, fields)
    return "text" if found is None else found.type


def _column(wanted: Wanted, name: str, fields: Mapping[str, Described]) -> Column | None:
    """None: the key."""
    if name == KEY:
        return None
    described = fields.get(name)
    if described is None:
        raise SchemaDrift(
            f"{wanted.stream}: Salesforce describes no field {name}, or the user we log in as may not see it",
            suggestion=f"bring it back, let the user read it, or mend the mapping of {wanted.stream}",
            path=f"{wanted.stream}.{name}",
        )
    try:
        return column(described)
    except NoText as error:
        raise SchemaDrift(
            f"{wanted.stream}.{name} cannot be read: {error}",
            suggestion="mend the mapping, then start `fieldwarden run`",
            path=f"{wanted.stream}.{name}",
        ) from None
