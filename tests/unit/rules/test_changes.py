"""What differs between two rulebooks: rules, names that come and go, what has to be read, what cannot be applied."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fieldwarden.rules.changes import compare
from tests.builders import BILLING, CRM, CUSTOMER, ERP, rulebook


def entity(**fields: dict[str, Any]) -> dict[str, Any]:
    return {**CUSTOMER, "fields": {**CUSTOMER["fields"], **fields}}


def crm(**stream: Any) -> dict[str, Any]:
    document = copy.deepcopy(CRM)
    document["streams"]["public.account"] |= stream
    return document


def test_equal_rulebooks_differ_in_nothing() -> None:
    found = compare(rulebook(), rulebook())
    assert (found.entities, found.rules, found.came, found.left) == (frozenset(), (), (), ())
    assert (found.reading, found.obstacles) == ((), ())


def test_another_owner_is_told_by_both_sentences() -> None:
    found = compare(rulebook(), rulebook(entity(name={"type": "text", "owner": "crm"})))
    (rule,) = found.rules
    assert rule[:2] == ("customer", "name")
    assert "erp" in rule[2]
    assert "crm" in rule[3]
    assert found.entities == {"customer"}
    assert found.reading == (), "every value is known already"


def test_another_normaliser_of_a_match_key_is_told_and_touches_its_records() -> None:
    found = compare(rulebook(), rulebook({**CUSTOMER, "identity": {"match": ["tax_id", {"name": "case"}]}}))
    assert found.matching == (("customer", "match by tax_id as alphanumeric", "match by tax_id; by name as case"),)
    assert found.rules == ()
    assert found.entities == {"customer"}
    assert found.reading == (), "every value is known already"


def test_a_column_that_is_mapped_later_has_to_be_read() -> None:
    fields = {name: told for name, told in CRM["streams"]["public.account"]["fields"].items() if name != "phone"}
    found = compare(rulebook(crm=crm(fields=fields)), rulebook())
    assert [(each.system, each.stream, each.fields) for each in found.reading] == [
        ("crm", "public.account", ("phone",))
    ]
    assert found.came == ("customer.phone in crm public.account",)


def test_a_table_that_is_mapped_later_has_to_be_read_whole() -> None:
    erp = copy.deepcopy(ERP)
    del erp["streams"]["public.address"]
    found = compare(rulebook(erp=erp), rulebook())
    assert [(each.stream, each.fields) for each in found.reading] == [("public.address", ())]
    assert compare(rulebook(), rulebook(erp=erp)).left == ("stream erp public.address",)


def test_another_condition_on_rows_has_them_read_again() -> None:
    found = compare(rulebook(), rulebook(crm=crm(where="active")))
    assert [(each.stream, each.fields) for each in found.reading] == [("public.account", ())]


def test_rows_that_are_others_by_now_have_their_stream_and_those_below_read_again() -> None:
    erp = copy.deepcopy(ERP)
    erp["streams"]["public.party"]["merged_into"] = "other"
    found = compare(rulebook(), rulebook(erp=erp))
    assert [each.stream for each in found.reading] == ["public.address", "public.party"]
    assert [each.stream for each in compare(rulebook(erp=erp), rulebook()).reading] == ["public.party"]


def test_another_type_and_another_key_cannot_be_applied() -> None:
    found = compare(rulebook(), rulebook(crm=crm(key="ext2")))
    assert [each.words for each in found.obstacles] == ["crm public.account changes its key from id to ext2"]
    found = compare(rulebook(), rulebook(entity(credit_limit={"type": "integer", "owner": "erp", "protected": True})))
    assert [each.words.split(" from ")[0] for each in found.obstacles] == ["customer.credit_limit changes its type"]


def test_a_type_that_holds_every_value_of_the_one_before_can_be_applied() -> None:
    limit = {"owner": "erp", "protected": True, "seed_from": ["billing"]}
    found = compare(rulebook(), rulebook(entity(credit_limit={"type": "decimal(16,2)", **limit})))
    assert found.obstacles == ()
    assert (found.left, found.came) == (
        ("customer.credit_limit as decimal(14,2)",),
        ("customer.credit_limit as decimal(16,2)",),
    )
    narrower = compare(rulebook(), rulebook(entity(credit_limit={"type": "decimal(12,2)", **limit})))
    assert len(narrower.obstacles) == 1


def test_writing_otherwise_reads_nothing() -> None:
    billing = copy.deepcopy(BILLING)
    billing["streams"]["public.customer"]["create"] = False
    found = compare(rulebook(billing=billing), rulebook())
    assert found.entities == {"customer"}
    assert found.reading == ()


def named(**more: Any) -> dict[str, Any]:
    """The ERP, whose address has a name of its own."""
    document = copy.deepcopy(ERP)
    document["streams"]["home"] = document["streams"].pop("public.address") | {"table": "public.address"} | more
    return document


def test_what_only_writing_depends_on_is_named_too() -> None:
    found = compare(rulebook(), rulebook(crm=crm(on_write={"touched": "now()"}, create=False, on_retire="delete")))
    assert found.writing == (("crm public.account", "on_write, create, on_retire"),)
    assert found.reading == ()
    assert compare(rulebook(), rulebook({**CUSTOMER, "delete": {"authority": ["erp"]}})).writing == (
        ("customer", "delete authority"),
    )
    checked = rulebook(entity(segment={**CUSTOMER["fields"]["segment"], "check": [{"length": 3}]}))
    assert ("crm public.account", "check of segment") in compare(rulebook(), checked).writing


def test_a_zone_is_read_by_only_where_a_time_is() -> None:
    def zoned(**more: Any) -> Any:
        return rulebook(crm={**crm(**more), "timezone": "Europe/Berlin"})

    assert compare(rulebook(), zoned()).reading == ()
    (reading,) = compare(rulebook(crm=crm(changed_at="at")), zoned(changed_at="at")).reading
    assert (reading.stream, reading.fields) == ("public.account", ())


def test_two_names_of_one_table_are_no_change() -> None:
    found = compare(rulebook(erp=named(table="address")), rulebook(erp=named(table="public.address")))
    assert (found.obstacles, found.reading) == ((), ())


def test_parts_of_a_rule_are_called_as_the_files_call_them() -> None:
    erp = copy.deepcopy(ERP)
    del erp["streams"]["public.address"]["unique"], erp["streams"]["public.address"]["create"]
    ordered = copy.deepcopy(erp)
    ordered["streams"]["public.address"]["first_by"] = ["id"]
    told = [rule[3] for rule in compare(rulebook(erp=erp), rulebook(erp=ordered)).rules]
    assert told
    assert all("other first_by" in each for each in told)


def test_a_stream_does_not_pass_to_another_table() -> None:
    (obstacle,) = compare(rulebook(erp=named()), rulebook(erp=named(table="public.place"))).obstacles
    assert "erp home changes its table from public.address to public.place" in obstacle.words


@pytest.mark.parametrize("table", ["address", '"public"."address"', 'public."address"'])
def test_another_spelling_of_a_table_is_no_other_table(table: str) -> None:
    found = compare(rulebook(erp=named()), rulebook(erp=named(table=table)))
    assert (found.obstacles, found.reading) == ((), ())


def test_a_dot_within_a_name_is_no_schema() -> None:
    assert compare(rulebook(erp=named(table='"x.y"')), rulebook(erp=named(table='"public.x".y'))).obstacles


def test_what_a_row_may_not_be_besides_is_part_of_how_it_is_read() -> None:
    def both(where: str) -> dict[str, Any]:
        document = named(where="kind = 'home'")
        work = {key: value for key, value in document["streams"]["home"].items() if key not in ("create", "unique")}
        document["streams"]["work"] = work | {"where": where, "fields": {"segment": "segment"}}
        return document

    found = compare(rulebook(erp=both("kind = 'work'")), rulebook(erp=both("paid")))
    assert [each.stream for each in found.reading] == ["home", "work"]
