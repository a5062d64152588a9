"""Columns without a time zone hold local time: how it is read, written back, and when it cannot be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fieldwarden.connectors.debezium.decoding.times import timestamp_of_micros
from fieldwarden.engine.change import RawChange, Relation
from fieldwarden.engine.deciding.mapping import StreamMapper, inward, outward
from fieldwarden.rules.changes import compare
from fieldwarden.rules.errors import ConfigurationError, ValueRefused
from fieldwarden.rules.loading import load_rulebook_source
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.values import moment_micros
from tests.builders import CRM, CUSTOMER, rulebook

ENTITY = {**CUSTOMER, "fields": {**CUSTOMER["fields"], "signed": {"type": "timestamp"}, "born": {"type": "date"}}}
PLACE = ("crm", "public.account")


def crm(system: dict[str, Any] | None = None, **stream: Any) -> dict[str, Any]:
    document = {**copy.deepcopy(CRM), **(system or {})}
    document["streams"]["public.account"] |= stream
    document["streams"]["public.account"]["fields"] = {"tax_id": "tax_id", "signed": "signed", "born": "born"}
    return document


BERLIN = rulebook(ENTITY, crm=crm({"timezone": "Europe/Berlin"}, changed_at="edited"))


def mapped(rules: Rulebook, kind: str = "timestamp", **columns: str) -> tuple[dict[str, Any], int | None]:
    """The fields and the time of a row's change, whose `signed` and `edited` are of a type."""
    stream = rules.systems["crm"].streams["public.account"]
    values = {"id": "1", "ext": None, "tax_id": "T", "signed": None, "born": None, "edited": None} | columns
    types = tuple(kind if name in ("signed", "edited", "born") else "text" for name in values)
    relation = Relation("public.account", tuple(values), types)
    change = StreamMapper(stream, rules.entities["customer"], relation)(
        RawChange(relation, "update", tuple(values.values()), "1", 0)
    )
    assert not change.unreadable
    return change.fields, change.at


@pytest.mark.parametrize(
    ("held", "moment"),
    [
        ("2026-01-31 10:00:00", "2026-01-31T09:00:00.000000Z"),
        ("2026-07-31 10:00:00.25", "2026-07-31T08:00:00.250000Z"),
        ("2026-03-29 02:30:00", "2026-03-29T01:30:00.000000Z"),  # which no clock showed
        ("2026-10-25 02:30:00", "2026-10-25T01:30:00.000000Z"),  # which they showed twice
        ("2026-01-31 10:00:00+00", "2026-01-31T10:00:00.000000Z"),  # a column with a zone
    ],
)
def test_local_time_is_read_by_the_systems_clocks(held: str, moment: str) -> None:
    fields, at = mapped(BERLIN, signed=held, edited=held)
    assert fields["signed"] == moment
    [field] = [m for m in BERLIN.systems["crm"].streams["public.account"].fields.values() if m.field == "signed"]
    assert inward(BERLIN.entities["customer"], field, held) == moment
    assert at == mapped(rulebook(ENTITY, crm=crm(changed_at="edited")), edited=moment)[1]


def test_what_debezium_tells_of_a_column_without_a_zone_is_local_time_too() -> None:
    """It counts the microseconds as if the clocks showed UTC."""
    held = timestamp_of_micros(moment_micros("2026-07-31T10:00:00Z"))
    assert mapped(BERLIN, signed=held)[0]["signed"] == "2026-07-31T08:00:00.000000Z"


def test_a_date_is_the_date_that_the_row_shows() -> None:
    assert mapped(BERLIN, born="2026-01-31 00:00:00")[0]["born"] == "2026-01-31"


def test_a_streams_zone_goes_before_its_systems() -> None:
    rules = rulebook(ENTITY, crm=crm({"timezone": "Europe/Berlin"}, timezone="UTC"))
    assert mapped(rules, signed="2026-01-31 10:00:00")[0]["signed"] == "2026-01-31T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("golden", "text"),
    [
        ("2026-01-31T09:00:00.000000Z", "2026-01-31T10:00:00.000000+01:00"),
        ("2026-07-31T08:00:00.250000Z", "2026-07-31T10:00:00.250000+02:00"),
        ("2026-10-25T01:30:00.000000Z", "2026-10-25T02:30:00.000000+01:00"),
        (None, None),
    ],
)
def test_what_is_written_shows_the_time_of_the_systems_clocks(golden: str | None, text: str | None) -> None:
    assert outward(BERLIN.systems["crm"].streams["public.account"].fields["signed"], golden) == text


def test_a_moment_that_would_be_read_as_another_is_not_written() -> None:
    with pytest.raises(ValueRefused, match="show this time twice"):
        outward(BERLIN.systems["crm"].streams["public.account"].fields["signed"], "2026-10-25T00:30:00.000000Z")


def test_another_zone_has_the_rows_read_again_and_is_part_of_the_rules() -> None:
    before = rulebook(ENTITY, crm=crm(changed_at="edited"))
    assert [(each.system, each.stream, each.fields) for each in compare(before, BERLIN).reading] == [(*PLACE, ())]
    assert compare(BERLIN, BERLIN).reading == ()
    assert load_rulebook_source(BERLIN.source) == BERLIN


@pytest.mark.parametrize("name", ["CET+1", "berlin", "Europe/Berlinn", "", "localtime", "../etc/passwd"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time zone; write its full name"):
        rulebook(ENTITY, crm=crm({"timezone": name}))
