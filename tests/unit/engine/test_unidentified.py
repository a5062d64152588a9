"""Which new records wait for child rows that come on topics of their own, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.identity import uuid7
from fieldwarden.engine.deciding.unidentified import Unidentified, waits_for_logs
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook

CUSTOMER = {
    "entity": "customer",
    "identity": {"match": ["tax_id", "email"]},
    "defaults": {"strategy": "source_priority", "order": ["erp", "crm"]},
    "fields": {"tax_id": {"type": "text"}, "email": {"type": "text"}, "name": {"type": "text"}},
}
FLAT: dict[str, Any] = {
    "party": {
        "entity": "customer",
        "key": "id",
        "create": True,
        "external_id": "ext",
        "fields": {"tax_id": "tax", "email": "email", "name": "name"},
    }
}
PLURAL: dict[str, Any] = {
    "party": {"entity": "customer", "key": "id", "fields": {"email": "email", "name": "name"}},
    "identifier": {"entity": "customer", "key": "id", "parent": {"party": "party"}, "fields": {"tax_id": "code"}},
}
BEGUN = 1_800_000_000.0


def rules(kind: str = "debezium", streams: dict[str, Any] = PLURAL, **connector: str) -> Rulebook:
    systems = [
        {"system": "erp", "connector": {"kind": kind, "dsn": "x", **connector}, "streams": streams},
        {"system": "crm", "connector": {"kind": "postgres", "dsn": "x"}, "streams": FLAT},
    ]
    return rulebook_from_documents([CUSTOMER], systems)


Told = tuple[str, str, dict[str, Value]]


def record(*rows: Told) -> Record:
    contributions = [
        Contribution(system, stream, "1", "1", Stamp("1", None), fields) for system, stream, fields in rows
    ]
    golden = {name: value for _, _, fields in rows for name, value in fields.items()}
    return Record(uuid7(int(BEGUN * 1e6), 7), "customer", 1, golden, contributions)


PARTY: Told = ("erp", "party", {"name": "Elm", "email": "e@elm"})
IDENTIFIER: Told = ("erp", "identifier", {"tax_id": "GB1"})


def wait(rules: Rulebook, *rows: Told, after: float = 1.0, target: str = "crm") -> float:
    return round(Unidentified(rules, target).wait(record(*rows), BEGUN + after), 3)


def test_a_row_whose_key_stands_below_it_waits_from_its_beginning_on() -> None:
    assert wait(rules(), PARTY) == 4.0
    assert wait(rules(settle="20s"), PARTY) == 19.0
    assert wait(rules(), PARTY, after=5.0) == 0.0
    assert wait(rules(), PARTY, after=-60.0) == 0.0, "begun by a process whose clock is ahead"


def test_it_waits_no_longer_once_the_key_is_stated() -> None:
    assert wait(rules(), PARTY, IDENTIFIER) == 0.0


def test_where_it_stands_already_nothing_waits() -> None:
    crm: Told = ("crm", "party", {"name": "Elm", "email": "e@elm"})
    assert wait(rules(), PARTY, crm) == 0.0
    assert wait(rules(), crm) == 0.0, "it did not begin where keys come late"


def test_what_is_read_whole_or_states_all_keys_itself_never_waits() -> None:
    assert not Unidentified(rules("postgres"), "crm")
    assert not Unidentified(rules(), "erp"), "nothing is created there"
    assert not Unidentified(rules(streams=FLAT), "crm")
    assert wait(rules("postgres"), PARTY) == 0.0


ONE_WAY: dict[str, Any] = {"party": {**FLAT["party"], "create": False}}
CREATING = {"system": "billing", "mode": "target", "connector": {"kind": "postgres", "dsn": "x"}, "streams": FLAT}


@pytest.mark.parametrize(
    ("sources", "target", "waits"),
    [
        ({"erp": ONE_WAY}, "billing", False),
        ({"erp": PLURAL}, "billing", True),  # whose it is stands in a row of its own
        ({"erp": ONE_WAY, "crm": ONE_WAY}, "billing", True),  # the other may tell that two are one
        ({"erp": ONE_WAY, "crm": FLAT}, "crm", True),  # it may stand there already
        ({"erp": {"party": {**ONE_WAY["party"], "merged_into": "into"}}}, "billing", True),  # two may be one later
        ({"erp": ONE_WAY}, "erp", True),  # somebody may have edited there what is to be written
    ],
)
def test_deliveries_wait_at_their_start_unless_one_system_alone_tells(
    sources: dict[str, dict[str, Any]], target: str, waits: bool
) -> None:
    systems = [
        {"system": name, "connector": {"kind": "postgres", "dsn": "x"}, "streams": streams}
        for name, streams in sources.items()
    ]
    customer = {**CUSTOMER, "defaults": {"strategy": "source_priority", "order": ["erp"]}}
    assert waits_for_logs(rulebook_from_documents([customer], [*systems, CREATING]), target) == waits
