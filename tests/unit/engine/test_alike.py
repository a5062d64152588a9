"""Records found to be one in the midst of deciding, by several match keys: the first that names somebody decides."""

from __future__ import annotations

from typing import Any

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.testing import MemoryHub
from tests.builders import CUSTOMER, rulebook, whole
from tests.unit.engine.test_letters import tell
from tests.unit.engine.test_loops import account

TWO_KEYS = rulebook({**CUSTOMER, "identity": {"match": ["tax_id", "phone"]}})
"""In the order of their names the second would be the first."""


def subscriber(position: int, key: str, **columns: Any) -> RawChange:
    return whole("public.customer", position, key, **columns)


def standing(hub: MemoryHub) -> list[list[str]]:
    """By record the keys of its rows."""
    return sorted(sorted(row.key for row in record.rows) for record, _ in hub.records.values() if record.rows)


def test_who_states_two_keys_at_once_is_whom_the_first_names() -> None:
    hub = MemoryHub()
    tell(hub, "crm", account(1, "A", phone="+1"), account(2, "B", tax_id="T"), rules=TWO_KEYS)
    tell(hub, "billing", subscriber(1, "X"), subscriber(2, "X", tax_id="T", phone="+1"), rules=TWO_KEYS)
    assert standing(hub) == [["A"], ["B", "X"]]


def test_whom_the_first_key_names_and_may_not_be_joined_is_not_looked_for_by_another() -> None:
    """Two subscribers have one tax id: a person decides, and nobody is taken for who has the same telephone."""
    hub = MemoryHub()
    tell(hub, "crm", account(1, "A", phone="+1"), rules=TWO_KEYS)
    rows = subscriber(1, "X"), subscriber(2, "Y", tax_id="T"), subscriber(3, "X", tax_id="T", phone="+1")
    tell(hub, "billing", *rows, rules=TWO_KEYS)
    assert standing(hub) == [["A"], ["X"], ["Y"]]


def test_a_key_that_nobody_else_states_leaves_it_to_the_next() -> None:
    hub = MemoryHub()
    tell(hub, "crm", account(1, "A", phone="+1"), rules=TWO_KEYS)
    tell(hub, "billing", subscriber(1, "X"), subscriber(2, "X", tax_id="T", phone="+1"), rules=TWO_KEYS)
    assert standing(hub) == [["A", "X"]]


def test_who_is_to_be_told_from_somebody_by_an_earlier_key_first_is_not_taken_by_a_later_one() -> None:
    """The same two subscribers; the account states the telephone of one of them last."""
    hub = MemoryHub()
    tell(hub, "crm", account(1, "A"), rules=TWO_KEYS)
    rows = subscriber(1, "Y", tax_id="T"), subscriber(2, "X"), subscriber(3, "X", tax_id="T", phone="+1")
    tell(hub, "billing", *rows, rules=TWO_KEYS)
    tell(hub, "crm", account(2, "A", phone="+1"), rules=TWO_KEYS)
    assert standing(hub) == [["A"], ["X"], ["Y"]]
