"""Children of a parent that its stream's `where` leaves out: they are left out with it, and come in when it does."""

from __future__ import annotations

import pytest

from tests.integration.mechanisms import Parties

CHILDREN = """
    insert into mechanism (id, party_id, type, value) values (1, 1, 'email', 'in@x'), (2, 2, 'email', 'out@x')
"""


@pytest.fixture
def two(parties: Parties) -> Parties:
    """Acme is in, Bolt is out, and each has an e-mail."""
    parties.edit("systems/erp.yaml", "    create: true\n", "    where: active\n    create: true\n")
    parties.erp("insert into party (id, name, tax, active) values (1, 'Acme', 'T1', true), (2, 'Bolt', 'T2', false)")
    parties.erp(CHILDREN)
    parties.settle()
    return parties


def accounts(parties: Parties) -> list[tuple[object, ...]]:
    return parties.crm("select name, email from account order by name")


def letters(parties: Parties) -> list[str]:
    return [each["reason"] for each in parties.call_here("deadletter", "list")[1]["result"]["dead_letters"]]


def test_they_are_no_dead_letters_and_nobody_counts_them(two: Parties) -> None:
    assert accounts(two) == [("Acme", "in@x")]
    assert letters(two) == []
    assert two.call_here("status")[1]["result"]["set_aside"] == []
    assert two.call_here("status", "--check")[0] == 0
    assert two.call_here("run", "--until-idle", "--port", "0")[0] == 0
    (excluded,) = two.call_here("deadletter", "list", "--kind", "excluded")[1]["result"]["dead_letters"]
    assert two.call_here("deadletter", "show", excluded["id"])[1]["result"]["awaits"]["key"] == "2"
    two.is_sound()


@pytest.mark.long
def test_they_come_in_with_their_parent_as_they_are_by_then(two: Parties) -> None:
    for number in range(3):
        two.erp(f"update mechanism set value = 'out{number}@x' where id = 2")
        two.settle()
    assert two.hub("select count(*), min(kind) from set_aside") == [(1, "excluded")], "the newest image alone waits"
    two.erp("update party set active = true where id = 2")
    two.settle()
    assert accounts(two) == [("Acme", "in@x"), ("Bolt", "out2@x")]
    assert two.hub("select count(*) from set_aside") == [(0,)]
    two.is_sound()


@pytest.mark.long
def test_one_that_is_deleted_meanwhile_stays_gone(two: Parties) -> None:
    two.erp("delete from mechanism where id = 2")
    two.settle()
    two.erp("update party set active = true where id = 2")
    two.settle()
    assert accounts(two) == [("Acme", "in@x"), ("Bolt", None)]
    two.is_sound()


@pytest.mark.long
def test_a_parent_that_nothing_leaves_out_and_that_is_missing_is_trouble(parties: Parties) -> None:
    parties.erp("alter table mechanism drop constraint mechanism_party_id_fkey")
    parties.erp(CHILDREN)
    parties.settle()
    assert letters(parties) == ["its parent row in public.party is not known yet"] * 2


@pytest.mark.long
def test_children_are_left_out_and_come_back_with_a_parent_that_was_in(two: Parties) -> None:
    two.crm("update account set email = 'crm@x'")
    two.settle()
    assert two.mechanisms() == [("email", "crm@x"), ("email", "out@x")]
    two.erp("update mechanism set value = 'erp@x' where id = 1")
    two.settle()
    assert accounts(two) == [("Acme", "erp@x")]
    two.erp("update party set active = false where id = 1")
    two.settle()
    two.erp("update mechanism set value = 'unheard@x' where id = 1")
    two.settle()
    assert accounts(two) == [("Acme", "erp@x")], "what the excluded row says counts no more"
    two.is_sound()
    two.crm("update account set phone = '7'")
    two.erp("update party set active = true where id = 1")
    two.settle()
    assert accounts(two) == [("Acme", "unheard@x")]
    two.is_sound()
