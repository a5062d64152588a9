"""The short way of `engine.deciding.resolve.decide`, for the change that is by far the most common.

A property test holds it to the long one (`tests/unit/engine/test_short_ways.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plural import is_excluded
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity

_UNHEARD = ""
"""In place of a system's name: some of the fields are not the speaker's to supply."""
_SHAPES = 1000
"""Sets of fields remembered: rows of one stream nearly always state the same ones."""


class Unrivalled:
    """Decides the plainest change: the only row that says anything says something new in fields on which its system is
    heard, and all of it is accepted.

    For which sets of fields that can be depends on the rules alone, so it is found out once per set."""

    def __init__(self, entity: Entity, system: str) -> None:
        self._entity = entity
        self._system = system
        self._owners: dict[tuple[str, ...], frozenset[str]] = {}
        self._below = {
            place: above for unit in entity.units for place, above in unit.below.items() if place[0] == system
        }

    def accept(
        self, record: Record, row: Contribution, changed: Sequence[str]
    ) -> tuple[dict[str, Value], dict[str, Value]] | None:
        """Take the changed fields over into `record.golden`, if this is that case. Gives (the accepted values, those
        non-null values that they replace), as `encode_accepted` wants them.

        The row has taken the change in already, so it is live. `changed` are fields that it has told: some of its own
        words, or all of them and others. None, and nothing is done, where this is not that case: then `decide` has to
        be asked.

        >>> row = Contribution("crm", "public.account", "C-1", "2", Stamp("2", 2), {"phone": "556"})
        >>> record = Record("0190-7", "customer", 1, {"phone": "555"}, [row])
        >>> short = Unrivalled(RULES.entities["customer"], "crm")
        >>> short.accept(record, row, ["phone"]), record.golden
        (({'phone': '556'}, {'phone': '555'}), {'phone': '556'})
        """
        names = tuple(changed)
        owners = self._owners.get(names)
        if owners is None:
            owners = self._owners[names] = self._rivals(names)
            # A source whose changes name ever other fields must not fill the memory.
            if len(self._owners) > _SHAPES:
                self._owners.clear()
        if self._below and is_excluded(row, record.rows, self._below):
            return None
        if _UNHEARD in owners or (len(record.rows) > 1 and not _only_speaker(record.rows, row, owners)):
            return None
        said, golden = row.fields, record.golden
        try:
            accepted = dict(said) if len(names) == len(said) else {name: said[name] for name in names}
        except KeyError:
            # A row that is there again, by an image without its unchanged large texts, still carries what we wrote in
            # one of them: that is decided, too, and is no word of its own.
            return None
        before: dict[str, Value] = {}
        if golden:
            for name, value in accepted.items():
                old = golden.get(name)
                # One field that was so before is `agreed`, not accepted: all are decided one by one then.
                if old == value:
                    return None
                if old is not None:
                    before[name] = old
        whole = accepted
        if None in accepted.values():
            # A null where nothing was before changes nothing and makes no decision. It is golden all the same.
            accepted = {name: value for name, value in accepted.items() if value is not None or name in before}
            if not accepted:
                return None
        golden.update(whole)
        return accepted, before

    def _rivals(self, names: tuple[str, ...]) -> frozenset[str]:
        """Other systems that own some of these fields: their rows' values stand whoever wrote them. _UNHEARD is among
        them where the system may not supply all of the fields, where only the first of several rows may, or where a
        group is not stated whole."""
        given, system = set(names), self._system
        owners = set()
        for name in names:
            unit = self._entity.unit_of.get(name)
            if unit is None or unit.plural or not given.issuperset(unit.fields):
                return frozenset((_UNHEARD,))
            policy = unit.policy
            if not (
                system == policy.owner or system in policy.seed_from if policy.protected else system in policy.order
            ):
                return frozenset((_UNHEARD,))
            if policy.owner is not None and policy.owner != system:
                owners.add(policy.owner)
        return frozenset(owners) if names else frozenset((_UNHEARD,))


def _only_speaker(rows: Sequence[Contribution], row: Contribution, owners: frozenset[str]) -> bool:
    """Whether no other row has a word: none of its own (rows that we created, and whose systems are silent, have none),
    and none as the owner of a field."""
    for other in rows:  # noqa: SIM110 (asked for every change of a record with several rows)
        if (other.fields or other.system in owners) and other is not row:
            return False
    return True
