"""A vendor's records as rows: exactly, and no more than they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.description import ObjectSpec
from fieldwarden.connectors.rest.rows import Shape, answer_of, keys_of
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import DecodeError

READING = {"request": {"path": "/x"}, "records": {"path": "$.data[*]"}}


def spec(**more: Any) -> ObjectSpec:
    columns = {
        "id": "Id",
        "name": "Name",
        "city": "Address.City",
        "total": {"place": "Total", "type": "numeric"},
        "lines": {"place": "Lines", "type": "json"},
        "due": {"place": "Due", "type": "timestamptz", "format": "epoch"},
    }
    given: dict[str, Any] = {"key": "id", "columns": columns, "all": READING, "one": READING}
    given["changes"] = {"cursor": {"kind": "time_window"}}
    return ObjectSpec.model_validate(given | more)


def row(text: str, *columns: str, **more: Any) -> Any:
    return Shape(spec(**more), columns).row(answer_of(text.encode()))


@pytest.mark.parametrize(
    ("number", "text"),
    [("1.10", "1.10"), ("100", "100"), ("1e3", "1000"), ("-0.30", "-0.30"), ("12345678901234567890.123456789", None)],
)
def test_a_number_keeps_its_digits(number: str, text: str | None) -> None:
    assert row(f'{{"Id": "1", "Total": {number}}}', "total").values == (text or number,)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_no_amount_passes_through_binary_floating_point(amount: Any) -> None:
    assert row(f'{{"Id": "1", "Total": {amount:f}}}', "total").values == (f"{amount:f}",)


def test_a_number_of_a_million_digits_is_the_trouble_of_its_row() -> None:
    found = row('{"Id": "1", "Total": 1e1000000}', "id", "total")
    assert found.trouble == "a number has more digits than any column holds"
    assert found.key == ("1",)


def test_what_a_record_leaves_out_is_unknown() -> None:
    assert row('{"Id": "1"}', "id", "name", "city").values == ("1", UNKNOWN, UNKNOWN)


def test_where_a_vendor_leaves_out_what_is_empty_it_is_cleared() -> None:
    assert row('{"Id": "1"}', "name", "city", absent="cleared").values == (None, None)


def test_below_a_null_stands_null() -> None:
    assert row('{"Id": "1", "Address": null, "Name": null}', "name", "city").values == (None, None)


def test_nested_objects_are_columns_by_path_and_arrays_exact_json() -> None:
    found = row('{"Id": 7, "Address": {"City": "Ulm"}, "Lines": [{"Amount": 1.50}]}', "id", "city", "lines")
    assert found.values == ("7", "Ulm", '[{"Amount":1.50}]')
    assert found.key == ("7",)


def test_a_moment_in_a_vendors_own_form_is_read_and_one_that_is_none_is_left_for_its_field_to_refuse() -> None:
    assert row('{"Id": "1", "Due": 1764324000}', "due").values == ("2025-11-28T10:00:00.000000+00:00",)
    assert row('{"Id": "1", "Due": "soon"}', "due").values == ("soon",)


@pytest.mark.parametrize(
    "record", ['{"Name": "x"}', '{"Id": null}', '{"Id": {"a": 1}}', '{"Id": "a\\u0000b"}', "[]", "7"]
)
def test_a_record_without_a_key_is_trouble_and_no_row(record: str) -> None:
    assert row(record, "id", "name").trouble == "it has no key"


def test_a_text_that_cannot_be_stored_is_the_trouble_of_its_row() -> None:
    found = row('{"Id": "1", "Name": "a\\u0000b"}', "id", "name")
    assert "cannot be stored" in found.trouble
    assert found.values == ("1", UNKNOWN)


def test_a_marked_row_is_gone() -> None:
    found = row(
        '{"Id": "1", "status": "Deleted"}', "id", "name", delete={"kind": "marker", "when": "@.status == 'Deleted'"}
    )
    assert (found.gone, found.key, found.values) == (True, ("1",), ("1", UNKNOWN))


def test_a_tombstone_names_the_key_of_a_row_that_is_gone() -> None:
    tombstone = {"kind": "tombstone", "when": "@['@removed']", "key": "$['@id']", "pattern": r"Customer\('([^']+)'\)$"}
    found = row('{"@id": "http://s/Customer(\'42\')", "@removed": {}}', "id", "name", delete=tombstone)
    assert (found.gone, found.key, found.trouble) == (True, ("42",), "")
    lost = row('{"@id": "http://s/Order(\'42\')", "@removed": {}}', "id", "name", delete=tombstone)
    assert lost.trouble == "it has no key"


def test_a_version_is_kept_as_the_vendor_writes_it() -> None:
    assert row('{"Id": "1", "SyncToken": "007"}', "id", version="SyncToken").version == "007"


def test_keys_that_records_name_come_once_each() -> None:
    from fieldwarden.connectors.rest.description import Records

    records = Records.model_validate({"path": "$", "key": "data.object.id"})
    events = [{"data": {"object": {"id": each}}} for each in ("a", "b", "a")]
    assert keys_of(spec(), records, events) == [("a",), ("b",)]


@pytest.mark.parametrize("content", [b"<html>", b"", b"\xff", b"[" * 100_000])
def test_what_is_no_json_says_so(content: bytes) -> None:
    with pytest.raises(DecodeError):
        answer_of(content)


def test_requests_ask_for_each_field_once_by_the_vendors_own_name() -> None:
    columns = {"id": {"place": "id", "field": "hs_object_id"}, "email": {"place": "properties.email", "field": "email"}}
    columns["changed"] = {"place": "properties.lastmodifieddate", "field": "lastmodifieddate"}
    of = spec(columns=columns, modified={"place": "properties.lastmodifieddate"})
    assert Shape(of, ("email", "id")).fields == ("hs_object_id", "email", "lastmodifieddate")
