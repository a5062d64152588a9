"""A change event becomes what the engine is told: nothing that it does not say, and nothing left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldwarden.connectors.salesforce.decoding.events import Event, SchemaNeeded
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import SchemaDrift
from tests.unit.salesforce.events import (
    ACCOUNT,
    ANN,
    AT,
    BOB,
    DESCRIBED,
    HERE,
    KINDS,
    at,
    decoder,
    optional,
    payload,
    row,
    schema_of,
    told,
)


def keys(hints: list[RawChange]) -> list[object]:
    return [each.values[0] for each in hints]


# --- what changed -------------------------------------------------------------------------------------------------


def test_an_update_tells_of_what_changed_and_leaves_all_else_unknown() -> None:
    """All that did not change is null on the wire, too: read as null it would clear the row in every system."""
    found = told(["Name", "Phone", "AnnualRevenue"], payload(changed=at("Phone"), Phone="+49 30 1"))
    (change,) = found.changes
    assert row(change) == {"Phone": "+49 30 1", "Name": UNKNOWN, "AnnualRevenue": UNKNOWN}
    assert found.hints == []


def test_a_field_is_null_where_the_event_says_that_it_was_set_to_null() -> None:
    (change,) = told(["Name", "Phone"], payload(nulled=at("Phone"))).changes
    assert row(change) == {"Phone": None, "Name": UNKNOWN}


def test_a_new_record_is_told_of_whole() -> None:
    found = told(["Name", "Phone"], payload("CREATE", Name="Ann"))
    (change,) = found.changes
    assert (change.operation, row(change)) == ("insert", {"Name": "Ann", "Phone": None})
    assert found.hints == []


def test_a_record_that_came_back_is_told_of_whole() -> None:
    (change,) = told(["Name"], payload("UNDELETE", Name="Ann")).changes
    assert (change.operation, row(change)) == ("insert", {"Name": "Ann"})


def test_a_deletion_carries_the_key_alone() -> None:
    (change,) = told(["Name"], payload("DELETE")).changes
    assert (change.operation, change.values) == ("delete", (ANN, UNKNOWN))


def test_a_change_of_nothing_that_is_mapped_is_not_told() -> None:
    found = told(["Name"], payload(changed=at("LastModifiedDate"), LastModifiedDate=AT))
    assert (found.changes, found.hints) == ([], [])
    assert found.head is not None


def test_an_enriched_field_that_did_not_change_is_not_told() -> None:
    (change,) = told(["Name", "Phone"], payload(changed=at("Phone"), Phone="1", Name="Ann")).changes
    assert row(change) == {"Phone": "1", "Name": UNKNOWN}


def test_a_change_says_when_it_was_committed_and_in_which_transaction() -> None:
    (change,) = told(["Phone"], payload(changed=at("Phone"), Phone="1", transaction="0001-a")).changes
    assert (change.at, change.transaction) == (AT * 1_000, "0001-a")
    assert (change.position, change.place) == ("0001.000000000007", "/data/AccountChangeEvent 01")


# --- what it does not carry is read afterwards --------------------------------------------------------------------


def test_a_long_text_that_came_as_a_difference_is_read_from_salesforce() -> None:
    data = payload(changed=at("Description", "Phone"), diffed=at("Description"), Description="@@ -1 +1 @@", Phone="1")
    found = told(["Description", "Phone"], data)
    (change,) = found.changes
    assert row(change) == {"Description": UNKNOWN, "Phone": "1"}
    assert keys(found.hints) == [ANN]


def test_a_field_that_changed_and_has_no_value_is_read_from_salesforce() -> None:
    found = told(["Phone"], payload(changed=at("Phone")))
    assert [row(each) for each in found.changes] == [{"Phone": UNKNOWN}]
    assert keys(found.hints) == [ANN]


def test_a_field_that_others_compute_is_read_with_every_change_of_its_row() -> None:
    found = told(["Score__c", "Phone"], payload(changed=at("LastModifiedDate")))
    assert (found.changes, keys(found.hints)) == ([], [ANN])


def test_a_name_that_came_in_parts_is_read_where_it_is_mapped_as_one_text() -> None:
    found = told(["Name"], payload("CREATE", Name={"Salutation": None, "FirstName": "Ann", "LastName": "Lee"}))
    assert keys(found.hints) == [ANN]


# --- several records, wildcards, gaps -----------------------------------------------------------------------------


def test_one_event_of_several_records_tells_of_each() -> None:
    found = told(["Phone"], payload(ids=[ANN, BOB], changed=at("Phone"), Phone="1"))
    assert [(each.values[0], row(each)) for each in found.changes] == [(ANN, {"Phone": "1"}), (BOB, {"Phone": "1"})]


def test_a_wildcard_has_all_rows_of_its_beginning_read_again() -> None:
    found = told(["Phone"], payload(ids=["001*"], changed=at("Phone"), Phone="1"))
    assert (found.changes, found.hints, found.rescan, found.lost) == ([], [], True, False)


@pytest.mark.parametrize("kind", KINDS[4:])
def test_a_gap_has_its_records_looked_at(kind: str) -> None:
    found = told(["Phone"], payload(kind, [ANN, BOB]))
    assert (found.stream, found.changes, keys(found.hints), found.rescan) == ("account", [], [ANN, BOB], False)
    assert {(each.operation, each.position, each.relation.columns) for each in found.hints} == {
        ("hint", HERE.row, ("Id",))
    }


def test_a_gap_of_a_wildcard_has_those_rows_read_again() -> None:
    found = told(["Phone"], payload("GAP_UPDATE", ["001*"]))
    assert (found.hints, found.rescan, found.lost) == ([], True, False)


@pytest.mark.parametrize("kind", ["DELETE", "GAP_DELETE"])
def test_a_wildcard_of_deletions_leaves_nobody_to_tell_which_rows_are_gone(kind: str) -> None:
    assert told(["Phone"], payload(kind, ["001*"])).lost


def test_an_overflow_has_every_row_read_again_and_leaves_nobody_to_tell_which_are_gone() -> None:
    found = told(["Phone"], payload("GAP_OVERFLOW", ["000000000000000AAA"]))
    assert (found.changes, found.hints, found.rescan, found.lost) == ([], [], True, True)


# --- parts of compound fields -------------------------------------------------------------------------------------


def test_a_part_of_an_address_changes_alone() -> None:
    data = payload(changed=at(nested={"BillingAddress": 0b010}), BillingAddress={"City": "Berlin"})
    (change,) = told(["BillingStreet", "BillingCity", "ShippingCity"], data).changes
    assert row(change) == {"BillingCity": "Berlin", "BillingStreet": UNKNOWN, "ShippingCity": UNKNOWN}


def test_a_part_that_is_set_to_null_is_null_though_its_parent_is_null_as_a_whole() -> None:
    (change,) = told(["BillingStreet", "BillingCity"], payload(nulled=at(nested={"BillingAddress": 0b011}))).changes
    assert row(change) == {"BillingCity": None, "BillingStreet": None}


def test_an_address_that_is_set_to_null_whole_clears_every_part() -> None:
    (change,) = told(["BillingStreet", "BillingCity"], payload(nulled=at("BillingAddress"))).changes
    assert row(change) == {"BillingCity": None, "BillingStreet": None}


def test_a_record_that_the_schema_names_a_second_time_is_known() -> None:
    data = payload(changed=at(nested={"ShippingAddress": 0b010}), ShippingAddress={"City": "Bonn"})
    (change,) = told(["ShippingCity"], data).changes
    assert row(change) == {"ShippingCity": "Bonn"}


def test_parts_of_a_name_and_of_a_place() -> None:
    data = payload(
        "CREATE", Name={"FirstName": "Ann", "LastName": "Lee"}, Site__c={"Latitude": 52.5, "Longitude": 13.4}
    )
    (change,) = told(["FirstName", "LastName", "Site__Latitude__s"], data).changes
    assert row(change) == {"FirstName": "Ann", "LastName": "Lee", "Site__Latitude__s": "52.5"}


# --- values -------------------------------------------------------------------------------------------------------


def test_values_have_the_texts_that_postgres_would_write() -> None:
    columns = ["Active__c", "AnnualRevenue", "LastModifiedDate", "NumberOfEmployees", "Since__c"]
    data = payload(
        "CREATE",
        Active__c=True,
        AnnualRevenue=1234.5,
        LastModifiedDate=1_712_694_387_120,
        NumberOfEmployees=12,
        Since__c=1_709_164_800_000,
    )
    (change,) = told(columns, data).changes
    assert row(change) == {
        "Active__c": "t",
        "AnnualRevenue": "1234.5",
        "LastModifiedDate": "2024-04-09 20:26:27.12+00",
        "NumberOfEmployees": "12",
        "Since__c": "2024-02-29",
    }
    assert dict(zip(change.relation.columns, change.relation.types, strict=True)) == {
        "Id": "text",
        "Active__c": "boolean",
        "AnnualRevenue": "numeric",
        "LastModifiedDate": "timestamptz",
        "NumberOfEmployees": "integer",
        "Since__c": "date",
    }


def test_an_amount_that_a_double_cannot_carry_is_no_decimal() -> None:
    (change,) = told(["AnnualRevenue"], payload("CREATE", AnnualRevenue=1234567890123456.75)).changes
    assert row(change) == {"AnnualRevenue": "~1234567890123456.8"}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Since__c", 1_709_164_800_001, "column Since__c does not hold what its type says"),
        ("LastModifiedDate", 1 << 60, "column LastModifiedDate does not hold what its type says"),
        ("Phone", "1\0", "column Phone holds a NUL character, which cannot be stored"),
    ],
)
def test_a_value_that_cannot_be_read_keeps_the_change_for_later(column: str, value: Any, reason: str) -> None:
    data = payload("CREATE", [ANN], **{column: value})
    (change,) = told([column], data).changes
    assert change.undecoded is not None
    assert change.undecoded.reason == f"/data/AccountChangeEvent 01: {reason}"
    assert (change.values[0], change.undecoded.value) == (ANN, data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it does not fit its Avro schema"),
        (payload("CREATE", Name="Ann") + b"\0", "it is longer than its Avro schema says"),
        (payload(ids=[]), "its header names no records"),
    ],
)
def test_an_event_that_cannot_be_read_is_kept_and_nothing_follows_from_it(data: bytes, reason: str) -> None:
    (change,) = told(["Name"], data).changes
    assert change.undecoded is not None
    assert reason in change.undecoded.reason
    assert change.values == (UNKNOWN,)


def test_a_bitmap_that_is_none_keeps_the_change_with_its_key() -> None:
    (change,) = told(["Name"], payload(changed=["Name"], Name="Ann")).changes
    assert change.undecoded is not None
    assert "a bitmap of fields that is none" in change.undecoded.reason
    assert "Ann" not in change.undecoded.reason


# --- our own changes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "echo"),
    [
        ("com/salesforce/api/rest/65.0;client=fieldwarden-7", True),
        ("com/salesforce/api/rest/65.0;client=fieldwarden-70", False),
        ("com/salesforce/api/rest/65.0", False),
        ("", False),
    ],
)
def test_our_own_changes_are_found_by_the_client_that_wrote_them(origin: str, echo: bool) -> None:
    (change,) = told(["Phone"], payload(changed=at("Phone"), Phone="1", origin=origin)).changes
    assert change.echo is echo


# --- schemas that change ------------------------------------------------------------------------------------------


def test_a_schema_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(SchemaNeeded) as needed:
        decoder("Name").decode(Event("s9", payload(), b""), HERE)
    assert needed.value.id == "s9"


def test_events_of_two_schemas_are_read_each_by_its_own_and_have_one_shape() -> None:
    second = schema_of(optional("Extra__c", "string"), *json.loads(ACCOUNT)["fields"][1:])
    reads = decoder("Name", "Phone", schemas={"s1": ACCOUNT, "s2": second})
    (first,) = reads.decode(Event("s1", payload(changed=at("Phone"), Phone="1"), b"\x01"), HERE).changes
    shifted = payload(schema=second, changed=["0x8"], Phone="2")  # one field further behind
    (later,) = reads.decode(Event("s2", shifted, b"\x02"), HERE).changes
    assert (row(first)["Phone"], row(later)["Phone"]) == ("1", "2")
    assert first.relation is later.relation


def test_a_field_that_is_described_with_another_type_than_events_have_stops_the_stream() -> None:
    second = schema_of(optional("Phone", "double"))
    with pytest.raises(SchemaDrift, match=r"account\.Phone is described as phone, but events carry it as double"):
        decoder("Phone", schemas={"s2": second}).decode(Event("s2", payload("CREATE", schema=second), b""), HERE)


def test_a_field_that_is_gone_stops_the_stream() -> None:
    reads = decoder("Phone")
    reads.decode(Event("s1", payload("CREATE"), b""), HERE)
    reads.describe({"Account": {name: each for name, each in DESCRIBED.items() if name != "Phone"}})
    with pytest.raises(SchemaDrift, match="Salesforce describes no field Phone") as drift:
        reads.decode(Event("s1", payload("CREATE"), b""), HERE)
    assert drift.value.suggestion


def test_a_field_without_a_text_of_its_own_says_what_to_map_instead() -> None:
    reads = decoder("BillingAddress")
    reads.describe({"Account": {"BillingAddress": Described("address")}})
    with pytest.raises(SchemaDrift, match="map its parts, as BillingStreet"):
        reads.decode(Event("s1", payload("CREATE"), b""), HERE)


def test_a_field_that_events_do_not_carry_is_read_with_every_change() -> None:
    reads = decoder("Phone", schemas={"s2": schema_of(optional("Name", "string"))})
    data = payload(schema=schema_of(optional("Name", "string")), changed=["0x2"], Name="Ann")
    found = reads.decode(Event("s2", data, b""), HERE)
    assert (found.changes, keys(found.hints)) == ([], [ANN])


@pytest.mark.parametrize("text", ["{", '{"type":"record","name":"E","fields":[]}', '"string"', "[]"])
def test_a_schema_that_is_none_spoils_its_events_only(text: str) -> None:
    reads = decoder("Name", schemas={"bad": text, "s1": ACCOUNT})
    (spoiled,) = reads.decode(Event("bad", payload(), b"\x01"), HERE).changes
    assert spoiled.undecoded is not None
    (read,) = reads.decode(Event("s1", payload("CREATE", Name="Ann"), b"\x02"), HERE).changes
    assert row(read) == {"Name": "Ann"}


def test_an_object_that_nobody_reads_is_passed_over() -> None:
    found = told(["Name"], payload("CREATE", entity="Contact", Name="Ann"))
    assert (found.changes, found.hints, found.rescan) == ([], [], False)
