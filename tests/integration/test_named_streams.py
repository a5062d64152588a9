"""Several streams over one table: a row speaks for the one whose `where` it fulfils, and is written as that alone."""

from __future__ import annotations

import pytest

from tests.integration.mechanisms import Parties

ACME = "insert into party (id, name, tax) values (1, 'Acme', 'T1')"
BOTH = "insert into mechanism (id, party_id, type, value) values (1, 1, 'email', 'a@x'), (2, 1, 'phone', '1')"


@pytest.fixture
def known(parties: Parties) -> Parties:
    """One party with an e-mail and a phone, which the CRM has too."""
    parties.erp(f"{ACME}; {BOTH}")
    parties.settle()
    assert parties.account() == ("a@x", "1")
    return parties


@pytest.mark.long
def test_rows_of_one_table_are_different_fields_of_one_record(known: Parties) -> None:
    known.erp("update mechanism set value = value || '!'")
    known.settle()
    assert known.account() == ("a@x!", "1!")
    known.crm("update account set email = 'b@x', phone = '2'")
    known.settle()
    assert known.mechanisms() == [("email", "b@x"), ("phone", "2")]
    known.is_sound()


@pytest.mark.long
def test_a_row_that_becomes_another_thing_leaves_one_stream_and_comes_into_the_other(known: Parties) -> None:
    known.erp("delete from mechanism where id = 2; update mechanism set type = 'phone', value = '3' where id = 1")
    known.settle()
    assert known.account("phone") == ("3",)
    assert known.mechanisms() == [("phone", "3")]
    known.erp("update mechanism set type = 'email', value = 'c@x' where id = 1")
    known.settle()
    assert known.account("email") == ("c@x",)
    assert known.mechanisms() == [("email", "c@x")]
    known.is_sound()


@pytest.mark.long
def test_a_row_is_never_written_as_what_it_was_before_it_changed_its_type(known: Parties) -> None:
    """An edit of the CRM meets rows that are something else by now."""
    known.erp("update mechanism set type = 'phone', value = '9' where id = 1")
    known.erp("update mechanism set type = 'fax' where id = 2")
    known.crm("update account set email = 'never@x'")
    known.settle()
    assert known.mechanisms() == [("phone", "9"), ("fax", "1")]
    known.is_sound()


@pytest.mark.long
def test_another_key_a_delete_and_a_truncate_are_told_to_each_stream(known: Parties) -> None:
    known.erp("update mechanism set id = id + 10; update mechanism set value = 'moved@x' where id = 11")
    known.settle()
    assert known.account() == ("moved@x", "1")
    known.crm("update account set phone = '5'")
    known.settle()
    assert known.mechanisms("id, value") == [(11, "moved@x"), (12, "5")]
    known.erp("truncate mechanism")
    known.settle()
    known.is_sound()
    assert known.hub("select count(*) from crosswalk where stream in ('email', 'phone')") == [(2,)]
    known.crm("update account set phone = '6'")
    known.settle()
    assert known.mechanisms() == []


@pytest.mark.long
def test_a_stream_that_comes_later_is_read_by_itself_and_one_that_leaves_is_forgotten(known: Parties) -> None:
    fax = (
        "  fax:\n    table: mechanism\n    entity: customer\n    parent: {public.party: party_id}\n    key: id\n"
        "    where: type = 'fax'\n    fields: {fax: value}\n"
    )
    known.erp("insert into mechanism (id, party_id, type, value) values (3, 1, 'fax', '7')")
    known.settle()
    known.edit("entities/customer.yaml", "  phone: {", "  fax: {type: text}\n  phone: {")
    path = known.folder / "systems/erp.yaml"
    path.write_text(path.read_text() + fax)
    known.crm("alter table account add column fax text")
    known.edit("systems/crm.yaml", "phone: phone", "phone: phone, fax: fax")
    code, plan = known.call_here("plan")
    assert code == 0, plan
    assert {each["stream"] for each in plan["result"]["reading"]} == {"fax", "public.account"}
    assert known.call_here("apply")[0] == 0
    known.settle()
    assert known.account("email, phone, fax") == ("a@x", "1", "7")
    known.is_sound()
    path.write_text(path.read_text().replace(fax, ""))
    assert known.call_here("apply")[0] == 0
    known.settle()
    assert known.account("email, phone, fax") == ("a@x", "1", "7")


@pytest.mark.long
def test_a_stream_cannot_pass_to_another_table(known: Parties) -> None:
    known.erp("create table other (like mechanism including all)")
    known.edit("systems/erp.yaml", "  phone:\n    table: public.mechanism", "  phone:\n    table: public.other")
    code, body = known.call_here("apply")
    assert code == 2
    assert "phone changes its table from public.mechanism to public.other" in body["error"]["message"]


@pytest.mark.long
def test_a_row_that_is_in_two_streams_is_set_aside_and_written_through_neither(known: Parties) -> None:
    """No check of files can tell; the row can."""
    known.edit("systems/erp.yaml", "where: type = 'phone'", "where: type = 'phone' or value like '+%'")
    assert known.call_here("apply")[0] == 0
    known.settle()
    known.erp("update mechanism set value = '+1@x' where id = 1")
    known.settle()
    letters = known.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    assert sorted(each["reason"] for each in letters) == [
        "the row is in both email and phone, two streams of public.mechanism",
        "the row is in both phone and email, two streams of public.mechanism",
    ]
    known.crm("update account set phone = '8'")
    known.settle()
    assert known.mechanisms() == [("email", "+1@x"), ("phone", "8")]
    known.erp("update mechanism set value = 'd@x' where id = 1")
    known.settle()
    assert known.account() == ("d@x", "8")
    assert known.call_here("deadletter", "list")[1]["result"]["dead_letters"] == []
    known.is_sound()


def test_one_table_may_speak_of_two_entities(parties: Parties) -> None:
    (parties.folder / "entities/site.yaml").write_text(
        "entity: site\nidentity: none\nfields: {street: {type: text}, label: {type: text}}\n"
    )
    path = parties.folder / "systems/erp.yaml"
    site = "  site:\n    table: party\n    entity: site\n    key: id\n    fields: {street: street}\n"
    path.write_text(path.read_text() + site)
    parties.erp("alter table party add column street text")
    parties.erp("insert into party (id, name, tax, street) values (1, 'Acme', 'T1', 'Main St')")
    parties.settle()
    assert parties.hub("select entity, count(*) from record group by 1 order by 1") == [("customer", 1), ("site", 1)]
    parties.is_sound()
