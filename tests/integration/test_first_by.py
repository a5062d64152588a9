"""Several e-mails of one party: the first by `first_by` is the customer's, and is the one that is written."""

from __future__ import annotations

import pytest

from tests.integration.mechanisms import Parties

EMAILS = """
    insert into party (id, name, tax) values (1, 'Acme', 'T1');
    insert into mechanism (id, party_id, type, value, sequence) values
        (1, 1, 'email', 'second@x', 10), (2, 1, 'email', 'first@x', 9), (3, 1, 'email', 'last@x', null),
        (4, 1, 'phone', '1', 1)
"""


@pytest.fixture
def plural(parties: Parties) -> Parties:
    where = "    where: type = 'email'\n"
    parties.edit("systems/erp.yaml", where, f"{where}    first_by: [sequence, id]\n")
    parties.erp(EMAILS)
    parties.settle()
    return parties


def emails(parties: Parties) -> list[str]:
    return [value for _, value in parties.mechanisms() if "@" in value]


@pytest.mark.long
def test_the_first_row_states_the_field_and_is_the_one_that_is_written(plural: Parties) -> None:
    assert plural.account("email") == ("first@x",), "9 comes before 10, and null last"
    plural.crm("update account set email = 'crm@x'")
    plural.settle()
    assert emails(plural) == ["second@x", "crm@x", "last@x"]
    plural.is_sound()


def test_an_edit_of_a_row_that_is_not_the_first_changes_nothing(plural: Parties) -> None:
    plural.erp("update mechanism set value = 'other@x' where id = 1")
    plural.settle()
    assert plural.account("email") == ("first@x",)
    assert emails(plural) == ["other@x", "first@x", "last@x"]
    text = plural.call_here("explain", "customer.email", "T1")[1]["result"]["text"]
    assert "another row of its stream is the first" in text
    why = plural.call_here("check", "--list")[1]["result"]["listed"]
    assert any("is the first by sequence, id" in str(each) for each in why)
    plural.is_sound()


@pytest.mark.long
def test_a_row_becomes_the_first_by_its_order_by_a_newer_row_and_by_a_delete(plural: Parties) -> None:
    plural.erp("update mechanism set sequence = 1 where id = 3")
    plural.settle()
    assert plural.account("email") == ("last@x",)
    plural.erp("insert into mechanism (id, party_id, type, value, sequence) values (9, 1, 'email', 'new@x', 0)")
    plural.settle()
    assert plural.account("email") == ("new@x",)
    plural.erp("delete from mechanism where id = 9")
    plural.settle()
    assert plural.account("email") == ("last@x",)
    plural.erp("update mechanism set sequence = null where id = 3")
    plural.settle()
    assert plural.account("email") == ("first@x",)
    plural.erp("update mechanism set type = 'fax' where id = 2")
    plural.settle()
    assert plural.account("email") == ("second@x",)
    assert emails(plural) == ["second@x", "first@x", "last@x"]
    plural.is_sound()


@pytest.mark.long
def test_a_row_that_comes_first_takes_the_field_although_it_is_not_said_anew(plural: Parties) -> None:
    """Its own word is older than the CRM's: it holds another value, so it is written."""
    plural.crm("update account set email = 'crm@x'")
    plural.settle()
    plural.erp("delete from mechanism where id = 2")
    plural.settle()
    assert plural.account("email") == ("crm@x",)
    assert emails(plural) == ["crm@x", "last@x"]
    plural.is_sound()


@pytest.mark.long
def test_a_row_moves_to_another_party(plural: Parties) -> None:
    plural.erp("insert into party (id, name, tax) values (2, 'Bolt', 'T2')")
    plural.erp("insert into mechanism (id, party_id, type, value, sequence) values (5, 2, 'email', 'bolt@x', 5)")
    plural.settle()
    plural.erp("update mechanism set party_id = 2, sequence = 1 where id = 2")
    plural.settle()
    assert plural.crm("select name, email from account order by 1") == [("Acme", "second@x"), ("Bolt", "first@x")]
    plural.is_sound()


@pytest.mark.long
def test_first_by_that_comes_later_is_read_and_one_that_goes_is_forgotten(parties: Parties) -> None:
    parties.erp(EMAILS)
    parties.settle()
    where = "    where: type = 'email'\n"
    parties.edit("systems/erp.yaml", where, f"{where}    first_by: [sequence, id]\n")
    code, plan = parties.call_here("plan")
    assert (code, [each["stream"] for each in plan["result"]["reading"]]) == (0, ["email"])
    assert parties.call_here("apply")[0] == 0
    parties.settle()
    assert parties.account("email") == ("first@x",)
    parties.is_sound()
    parties.edit("systems/erp.yaml", "first_by: [sequence, id]", "first_by: [id]")
    assert parties.call_here("apply")[0] == 0
    parties.settle()
    assert parties.account("email") == ("second@x",)
    parties.is_sound()


@pytest.mark.long
def test_doctor_names_parents_with_several_rows(parties: Parties) -> None:
    parties.erp(EMAILS)
    assert "1 row of public.party has several rows in email" in parties.invoke("doctor").output
    where = "    where: type = 'email'\n"
    parties.edit("systems/erp.yaml", where, f"{where}    first_by: [sequence, id]\n")
    assert "several rows in" not in parties.invoke("doctor").output
