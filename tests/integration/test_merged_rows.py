"""Rows that the ERP merges into others (`merged_into`): their records become one, and what is left says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from tests.integration.mechanisms import Parties
from tests.parts import first

LIVE = "select count(*) from record where not retired"


@pytest.fixture
def merging(parties: Parties) -> Parties:
    """The ERP says of a party which one it is by now; nobody creates anything."""
    parties.erp("alter table party add replaced_by integer")
    parties.edit("systems/erp.yaml", "    create: true\n", "    merged_into: replaced_by\n")
    parties.edit("systems/crm.yaml", "    create: true\n", "")
    return parties


def known(parties: Parties, *rows: str) -> None:
    """Parties 1 to 3 (Acme, Bolt, Cole) and an account of the first, all read."""
    parties.erp("insert into party (id, name, tax) values (1, 'Acme', 'T1'), (2, 'Bolt', 'T2'), (3, 'Cole', 'T3')")
    parties.crm("insert into account (name, tax) values ('Acme', 'T1')")
    for row in rows:
        parties.erp(row)
    parties.settle()


def merge(parties: Parties, *pairs: tuple[int, int | None]) -> None:
    for row, into in pairs:
        parties.erp(f"update party set replaced_by = {into or 'null'} where id = {row}")
    parties.settle()


def groups(parties: Parties) -> list[str]:
    """The parties of each live record, by their keys."""
    asked = """select string_agg(c.key, ' ' order by c.key) from crosswalk c join record r on r.id = c.record
        where c.system = 'erp' and c.stream = 'public.party' and not r.retired group by r.id order by 1"""
    return [keys for (keys,) in parties.hub(asked)]


def letters(parties: Parties) -> list[tuple[str, str]]:
    found = parties.call_here("deadletter", "list")[1]["result"]["dead_letters"]
    return [(each["key"], each["reason"]) for each in found if each["kind"] != "behind"]


def parties_of(parties: Parties) -> list[tuple[object, ...]]:
    return parties.erp("select id, name, tax, replaced_by from party order by id")


@pytest.mark.long
def test_its_record_is_that_of_the_row_named_and_it_stays_as_it_is(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 2))
    assert groups(merging) == ["1 2", "3"]
    assert parties_of(merging)[:2] == [(1, "Acme", "T1", 2), (2, "Acme", "T1", None)], (
        "the crm has the say, in the row named"
    )
    merging.crm("update account set name = 'Acme & Bolt'")
    merging.settle()
    assert [name for _, name, *_ in parties_of(merging)] == ["Acme", "Acme & Bolt", "Cole"]
    ((record,),) = merging.hub("select distinct record::text from crosswalk where key in ('1', '2') and system = 'erp'")
    told = merging.invoke("trail", "customer", record).stdout
    assert "erp public.party 1 was merged into the row 2" in told
    assert "its row was merged into another" in merging.invoke("explain", "customer.name", record).stdout
    merging.is_sound()


INVOICE = """entity: invoice
identity: {match: [number]}
fields:
  number: {type: text}
  customer: {type: ref(customer)}
"""


@pytest.mark.long
def test_what_refers_to_it_means_the_record_that_goes_on(merging: Parties) -> None:
    (merging.folder / "entities/invoice.yaml").write_text(INVOICE)
    for system, table in (("erp", "invoice"), ("crm", "bill")):
        with (merging.folder / f"systems/{system}.yaml").open("a") as file:
            create = "true" if system == "crm" else "false"
            file.write(f"""  public.{table}:
    entity: invoice
    key: id
    external_id: fieldwarden_id
    create: {create}
    fields: {{number: number, customer: owner}}
""")
        columns = "id integer generated always as identity primary key, number text, owner integer, fieldwarden_id text"
        (merging.erp if system == "erp" else merging.crm)(f"create table {table} ({columns} unique)")
    known(merging, "insert into invoice (number, owner) values ('R1', 1), ('R2', 2)")
    assert merging.crm("select number, owner from bill order by 1") == [("R1", 1)], "no account is the second's"
    merge(merging, (1, 2))
    merging.erp("insert into invoice (number, owner) values ('R3', 1)")
    merging.settle()
    assert merging.crm("select number, owner from bill order by 1") == [("R1", 1), ("R2", 1), ("R3", 1)]
    assert merging.erp("select number, owner from invoice order by 1") == [("R1", 1), ("R2", 2), ("R3", 1)]
    merging.is_sound()


ENTERED = {
    "1": "insert into party (id, name, tax, replaced_by) values (1, 'Acme', 'T1', 2)",
    "2": "insert into party (id, name, tax, replaced_by) values (2, 'Bolt', 'T2', 3)",
    "3": "insert into party (id, name, tax) values (3, 'Cole', 'T3')",
    "c": "insert into account (name, tax) values ('Acme', 'T1')",
}


ORDERS = ["".join(order) for order in permutations("123")]


@pytest.mark.long
@pytest.mark.parametrize("order", first(1, [*ORDERS[::2], *(f"c{order}" for order in ORDERS[1::2])]))
def test_a_chain_ends_in_its_last_row_whatever_comes_first(order: str, merging: Parties) -> None:
    for each in order:
        (merging.crm if each == "c" else merging.erp)(ENTERED[each])
        merging.settle()
    if "c" not in order:
        merging.crm(ENTERED["c"])
        merging.settle()
    assert groups(merging) == ["1 2 3"]
    assert merging.hub(LIVE) == [(1,)]
    assert merging.crm("select name, tax from account") == [("Acme", "T1")]
    assert [row[1] for row in parties_of(merging)] == ["Acme", "Bolt", "Acme"]
    assert letters(merging) == []
    merging.is_sound()


@pytest.mark.parametrize("order", first(1, ORDERS))
def test_a_chain_is_followed_in_a_first_read(order: str, merging: Parties) -> None:
    for each in order:
        merging.erp(ENTERED[each])
    merging.crm(ENTERED["c"])
    merging.settle()
    assert groups(merging) == ["1 2 3"]
    assert merging.hub(LIVE) == [(1,)]
    merging.is_sound()


@pytest.mark.long
def test_a_row_merged_into_one_that_is_not_known_waits_for_it(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 9))
    assert groups(merging) == ["1", "2", "3"]
    assert letters(merging) == [("1", "it is merged into a row of public.party that is not known yet")]
    merging.erp("insert into party (id, name, tax) values (9, 'Nine', 'T9')")
    merging.settle()
    assert groups(merging) == ["1 9", "2", "3"]
    assert letters(merging) == []
    merging.is_sound()


def test_a_row_that_names_itself_is_itself(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 1))
    assert (groups(merging), letters(merging)) == (["1", "2", "3"], [])


@pytest.mark.long
def test_one_that_was_merged_stands_for_itself_again_with_its_child_rows(merging: Parties) -> None:
    known(merging, "insert into mechanism (party_id, type, value) values (1, 'email', 'acme@x'), (2, 'phone', '22')")
    assert merging.account() == ("acme@x", None)
    merge(merging, (1, 2))
    assert merging.account() == ("acme@x", "22"), "nobody else says an e-mail, so the account keeps what it has"
    merging.erp("update mechanism set value = 'new@x' where type = 'email'")
    merging.settle()
    assert merging.account() == ("acme@x", "22"), "a child row of what was merged says nothing"
    merging.is_sound()
    merge(merging, (1, None))
    assert groups(merging) == ["1", "2", "3"]
    ((golden,),) = merging.hub("select golden from record r join crosswalk c on c.record = r.id"
                               " where c.stream = 'public.party' and c.key = '1'")  # fmt: skip
    assert (golden["name"], golden["email"]) == ("Acme", "new@x")
    merging.is_sound()


@pytest.mark.long
def test_a_child_row_that_moves_to_the_row_named_speaks_again(merging: Parties) -> None:
    known(merging, "insert into mechanism (party_id, type, value) values (1, 'email', 'acme@x')")
    merge(merging, (1, 2))
    merging.erp("update mechanism set value = 'new@x', party_id = 2")
    merging.settle()
    assert merging.account() == ("new@x", None)
    merging.crm("update account set email = 'crm@x'")
    merging.settle()
    assert merging.mechanisms("value") == [("crm@x",)]
    merging.is_sound()


@pytest.mark.long
def test_what_is_deleted_of_it_later_changes_nothing(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 2))
    merging.erp("delete from party where id = 1")
    merging.settle()
    assert merging.hub(LIVE) == [(2,)]
    assert merging.crm("select name from account") == [("Acme",)]
    merging.is_sound()


@pytest.mark.long
def test_where_another_system_has_a_row_in_each_a_steward_decides(merging: Parties) -> None:
    known(merging)
    merging.crm("insert into account (name, tax) values ('Bolt', 'T2')")
    merging.settle()
    merge(merging, (1, 2))
    assert groups(merging) == ["1", "2", "3"]
    ((key, reason),) = letters(merging)
    assert key == "1"
    assert reason.startswith("erp merges this row of public.party into another, but crm has a row of its own in each")
    merging.crm("delete from account where name = 'Bolt'")
    merging.settle()
    assert (groups(merging), letters(merging)) == (["1 2", "3"], [])
    merging.is_sound()


def test_a_steward_does_not_part_what_the_system_itself_merged(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 2))
    ((record,),) = merging.hub("select distinct record::text from crosswalk where key = '1' and system = 'erp'")
    code, body = merging.call_here("record", "split", record, "--reason", "two of them")
    assert code != 0
    assert "erp itself merged public.party 1 into 2" in body["error"]["message"]


CIRCLES = [[(1, 2), (2, 1)], [(1, 2), (2, 3), (3, 1)]]


@pytest.mark.long
@pytest.mark.parametrize("broken", first(1, [1, 2]))
@pytest.mark.parametrize("circle", CIRCLES, ids=["of two", "of three"])
def test_in_a_circle_nobody_is_merged_until_it_is_broken(
    circle: Sequence[tuple[int, int]], broken: int, merging: Parties
) -> None:
    known(merging)
    merge(merging, *circle)
    assert groups(merging) == ["1", "2", "3"]
    ((_, reason),) = letters(merging)
    assert f"{len(circle)} rows of public.party are merged into one another in a circle" in reason
    assert "clear replaced_by in one of them in erp" in reason
    merge(merging, (broken, None))
    assert letters(merging) == []
    assert len(groups(merging)) == (2 if len(circle) == 2 else 1)
    merging.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("broken", [1, 2])
def test_a_circle_that_is_read_first_is_named_and_broken_too(broken: int, merging: Parties) -> None:
    merging.erp("insert into party (id, name, tax, replaced_by) values (1, 'Acme', 'T1', 2), (2, 'Bolt', 'T2', 1)")
    merging.settle()
    assert groups(merging) == []
    assert [("circle" in reason) for _, reason in letters(merging)] == [False, True]
    merge(merging, (broken, None))
    assert (groups(merging), letters(merging)) == (["1 2"], [])
    merging.is_sound()


@pytest.mark.long
def test_a_row_that_its_where_leaves_out_once_it_is_merged_is_followed_all_the_same(merging: Parties) -> None:
    merging.edit(
        "systems/erp.yaml", "    merged_into: replaced_by\n", "    merged_into: replaced_by\n    where: active\n"
    )
    known(merging)
    merging.erp("update party set active = false, replaced_by = 2 where id = 1")
    merging.erp("update party set active = false, replaced_by = 9 where id = 3")
    merging.settle()
    assert groups(merging) == ["1 2"]
    assert letters(merging) == []
    merging.is_sound()


@pytest.mark.long
def test_rules_that_begin_or_cease_to_say_so(merging: Parties) -> None:
    merging.edit("systems/erp.yaml", "    merged_into: replaced_by\n", "")
    known(merging)
    merge(merging, (1, 2))
    assert groups(merging) == ["1", "2", "3"]
    merging.edit("systems/erp.yaml", "    external_id", "    merged_into: replaced_by\n    external_id")
    assert "public.party" in merging.invoke("plan").stdout
    assert merging.call_here("apply")[0] == 0
    merging.settle()
    assert groups(merging) == ["1 2", "3"]
    merging.is_sound()
    merging.edit("systems/erp.yaml", "    merged_into: replaced_by\n", "")
    assert merging.call_here("apply")[0] == 0
    merging.settle()
    assert groups(merging) == ["1", "2", "3"]
    merging.is_sound()


@pytest.mark.long
def test_a_circle_ends_when_one_of_its_rows_is_deleted(merging: Parties) -> None:
    known(merging)
    merge(merging, (1, 2), (2, 1))
    assert len(letters(merging)) == 1
    merging.erp("delete from party where id = 1")
    merging.settle()
    assert letters(merging) == []
    merging.is_sound()


@pytest.mark.long
def test_rows_that_are_left_out_and_name_what_nobody_knows_are_deletions_to_the_brake(merging: Parties) -> None:
    merging.edit("systems/erp.yaml", "replaced_by\n", "replaced_by\n    where: active\n")
    merging.edit("entities/customer.yaml", "identity:", "delete: {authority: [erp]}\nidentity:")
    settings = merging.folder / "fieldwarden.yaml"
    settings.write_text(settings.read_text() + "limits: {deletes: {share: 0.5, number: 5, window: 1h}}\n")
    known(merging, "insert into party (id, name, tax) select n, 'P' || n, 'T' || n from generate_series(10, 29) n")
    merging.erp("update party set active = false, replaced_by = 999 where id >= 10")
    merging.settle()
    assert merging.hub(LIVE) == [(23,)]
    assert len(merging.call_here("deletes", "list")[1]["result"]["deletions"]) == 20
    assert merging.call_here("deletes", "approve", "--system", "erp", "--reason", "they are gone")[0] == 0
    merging.settle()
    assert merging.hub(LIVE) == [(3,)]
    merging.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("at_once", [True, False], ids=["in one transaction", "one after the other"])
def test_an_old_row_that_is_merged_into_its_duplicate_makes_room_for_it(at_once: bool, merging: Parties) -> None:
    known(merging)
    entered = "insert into party (id, name, tax) values (9, 'Acme again', 'T1')"
    if at_once:
        merging.erp(f"{entered}; update party set replaced_by = 9 where id = 1")
        merging.settle()
    else:
        merging.erp(entered)
        merging.settle()
        assert [key for key, _ in letters(merging)] == ["9"], "nobody can tell it from the first"
        merge(merging, (1, 9))
    assert (groups(merging), letters(merging)) == (["1 9", "2", "3"], [])
    assert merging.crm("select name, tax from account") == [("Acme", "T1")]
    assert [name for _, name, *_ in parties_of(merging)] == ["Acme", "Bolt", "Cole", "Acme"]
    merging.is_sound()


@pytest.mark.long
def test_what_a_row_refers_to_is_not_what_it_is_merged_into(merging: Parties) -> None:
    merging.erp("alter table party add above integer")
    merging.edit("systems/erp.yaml", "fields: {name: name, tax: tax}", "fields: {name: name, tax: tax, above: above}")
    merging.edit("entities/customer.yaml", "  tax: {type: text}", "  tax: {type: text}\n  above: {type: ref(customer)}")
    known(merging)
    merging.erp("update party set above = 7 where id = 2")
    merging.settle()
    assert [key for key, _ in letters(merging)] == ["2"]
    merging.erp("insert into party (id, name, tax, replaced_by) values (7, 'Seven', 'T7', 2)")
    merging.settle()
    assert (groups(merging), letters(merging)) == (["1", "2 7", "3"], [])
    merging.is_sound()


@pytest.mark.long
def test_a_row_that_refers_to_itself_still_does_when_it_is_itself_again(merging: Parties) -> None:
    merging.erp("alter table party add above integer")
    merging.edit("systems/erp.yaml", "fields: {name: name, tax: tax}", "fields: {name: name, tax: tax, above: above}")
    merging.edit("entities/customer.yaml", "  tax: {type: text}", "  tax: {type: text}\n  above: {type: ref(customer)}")
    known(merging, "update party set above = 1 where id = 1")
    merge(merging, (1, 2))
    merge(merging, (1, None))
    asked = (
        "select r.id::text, r.golden ->> 'above' from record r join crosswalk c on c.record = r.id where c.key = '1'"
    )
    ((record, above),) = merging.hub(f"{asked} and c.system = 'erp'")
    assert above == record
    merging.is_sound()
