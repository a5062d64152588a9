"""From a source's columns to a record's fields."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fieldwarden.engine.change import UNKNOWN, RawChange, Relation, RowRef
from fieldwarden.engine.deciding.mapping import StreamMapper
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.rules.loading import rulebook_from_documents
from tests.builders import ERP, raw

ENTITY = {
    "entity": "item",
    "fields": {
        "sku": {"type": "text"},
        "price": {"type": "decimal(10,2)"},
        "since": {"type": "date"},
        "terms": {"type": "code(terms)"},
        "label": {"type": "text"},
        "parent": {"type": "ref(item)"},
    },
}
SYSTEM: dict[str, Any] = {
    "system": "erp",
    "connector": ERP["connector"],
    "streams": {
        "public.item": {
            "entity": "item",
            "key": "id",
            "external_id": "ext",
            "where": "kind = 'sold'",
            "changed_at": "touched",
            "fields": {
                "sku": "sku",
                "price": "price",
                "since": "since",
                "terms": "terms",
                "label": "upper(label)",
                "parent": {"column": "parent_id"},
            },
        }
    },
}
RULES = rulebook_from_documents([ENTITY], [SYSTEM], {"terms": "canonical,erp\nNET30,N30|N30X\n"}, ["erp"])
COLUMNS = {
    "id": "7",
    "sku": "A",
    "price": "1.5",
    "since": "2026-01-31",
    "terms": "N30X",
    "label": "wide",
    "parent_id": "3",
    "kind": "sold",
    "ext": None,
    "touched": "2026-01-01 00:00:01+00",
}


def item(operation: str = "update", **columns: object) -> RawChange:
    return raw("public.item", operation, 1, **(COLUMNS | columns))  # type: ignore[arg-type]


def mapper(change: RawChange) -> StreamMapper:
    return StreamMapper(RULES.systems["erp"].streams["public.item"], RULES.entities["item"], change.relation)


def test_columns_become_canonical_fields() -> None:
    change = mapper(item())(item())
    assert change.row == RowRef("erp", "public.item", "7")
    assert change.fields == {"sku": "A", "price": "1.50", "since": "2026-01-31", "terms": "NET30", "label": "WIDE"}
    assert change.references == {"parent": RowRef("erp", "public.item", "3")}
    assert change.at == 1767225601000000


def test_a_value_that_did_not_come_is_no_field() -> None:
    change = mapper(item())(item(sku=UNKNOWN, label=UNKNOWN, parent_id=None))
    assert "sku" not in change.fields
    assert "label" not in change.fields
    assert change.fields["parent"] is None


def test_a_row_outside_the_filter_has_left() -> None:
    assert mapper(item())(item(kind="bought")).operation == "delete"


def test_the_record_id_that_a_row_carries_is_read_if_it_is_one() -> None:
    id = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert mapper(item())(item(ext=id.upper())).external_id == id
    assert mapper(item())(item(ext="something else")).external_id is None


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("price", "1.005", "more than 2 digits"),
        ("price", "123456789.00", "too large"),
        ("price", "NaN", "not a decimal"),
        ("since", "2026-02-30", "not a valid date"),
        ("terms", "N99", "not in the code list terms for erp"),
    ],
)
def test_a_value_that_cannot_be_read_spoils_its_field_only_and_is_not_repeated(
    column: str, value: str, words: str
) -> None:
    whole = mapper(item())(item())
    [(name, why)] = mapper(item())(item(**{column: value})).unreadable.items()
    change = mapper(item())(item(**{column: value}))
    assert words in why
    assert value not in why
    assert change.fields == {other: said for other, said in whole.fields.items() if other != name}


def test_several_values_may_be_unreadable_at_once() -> None:
    assert len(mapper(item())(item(price="NaN", since="2026-02-30")).unreadable) == 2


def test_a_time_that_cannot_be_read_leaves_the_change_undated() -> None:
    change = mapper(item())(item(touched="yesterday"))
    assert change.at is None
    assert "not a valid timestamp" in change.undated
    assert change.unreadable == {}


def test_a_mapped_column_that_vanished_is_drift() -> None:
    narrower = raw("public.item", "update", 1, **{k: v for k, v in COLUMNS.items() if k != "price"})
    with pytest.raises(SchemaDrift, match=r"public\.item has no column 'price'"):
        mapper(narrower)


def test_a_reference_may_be_read_through_an_expression() -> None:
    system = copy.deepcopy(SYSTEM)
    system["streams"]["public.item"]["fields"]["parent"] = {"column": "parent_id", "read": "nullif(parent_id, '0')"}
    rules = rulebook_from_documents([ENTITY], [system], {"terms": "canonical,erp\nNET30,N30|N30X\n"}, ["erp"])
    bound = StreamMapper(rules.systems["erp"].streams["public.item"], rules.entities["item"], item().relation)
    assert bound(item()).references == {"parent": RowRef("erp", "public.item", "3")}
    assert bound(item(parent_id="0")).fields["parent"] is None


def test_an_expression_that_no_longer_fits_the_columns_is_drift() -> None:
    change = item()
    columns = change.relation.columns
    types = tuple("date" if column == "label" else "text" for column in columns)
    change.relation = Relation("public.item", columns, types)
    with pytest.raises(SchemaDrift, match="no longer fits the expression"):
        mapper(change)
