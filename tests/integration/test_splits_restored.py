"""A join that was wrong is undone whole: `record split --restore` gives the values back, too, that it replaced."""

from __future__ import annotations

import os
from unittest import mock

import pytest

from fieldwarden.engine.hub.parting import CannotDecide
from fieldwarden.operations.shell import stewards
from tests.integration.cli_project import Shop
from tests.integration.splitting import WHY, explained, records, rows, shown, split


@pytest.fixture
def two(shop: Shop) -> Shop:
    """Two firms, one in each system, and nothing is created: the starter project of which no tax id tells them one."""
    for system in ("crm", "erp"):
        shop.edit(f"systems/{system}.yaml", "    create: true", "    create: false")
    shop.sql("crm", "insert into account (name, email, terms) values ('Elm', 'info@elm.example', 'Net 60')")
    shop.sql("erp", "insert into party (name, email, term_code, credit_limit)"
                    " values ('Elm Ltd', 'office@elm.example', 'N30', 100)")  # fmt: skip
    shop.settle()
    return shop


def join_by_a_late_tax_id(shop: Shop) -> str:
    """Somebody gives both the same tax id; the record that goes on."""
    shop.sql("crm", "update account set vat_number = 'DE1' where name = 'Elm'")
    shop.sql("erp", "update party set tax_number = 'DE 1' where name = 'Elm Ltd'")
    shop.settle()
    crm, erp = records(shop)
    assert crm == erp
    return crm


@pytest.mark.long
def test_each_system_holds_again_what_it_held_before_the_join(two: Shop) -> None:
    before = rows(two)
    record = join_by_a_late_tax_id(two)
    assert rows(two) != before
    other = split(two, record, "--yes")["other"]
    two.settle()
    (account, party), (account_before, party_before) = rows(two), before
    assert account[0] == account_before[0] == "Elm"
    assert account[2:] == account_before[2:]
    assert party[0] == party_before[0] == "Elm Ltd"
    assert party[2:] == party_before[2:]
    assert (account[1], party[1]) == ("DE1", "DE 1"), "as each had said it when they were joined"
    assert sorted(records(two)) == sorted([record, other])
    two.is_sound()


@pytest.mark.long
def test_what_came_back_is_the_word_of_who_had_said_it(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    split(two, record, "--yes")
    _, erp = records(two)
    told = explained(two, erp)
    assert "erp is the first to have said one" in told
    assert "erp holds what a join had written there; erp is yet to be corrected" in told
    two.settle()
    told = explained(two, erp)
    assert "as it was before the join" in told
    assert "was written" not in told
    assert "as it was before the join" in two.invoke("trail", "customer", erp).stdout
    two.sql("erp", "update party set name = 'Elm Limited' where name = 'Elm Ltd'")
    two.settle()
    assert [name for name, *_ in rows(two)] == ["Elm", "Elm Limited"]
    two.is_sound()


def test_the_preview_shows_all_and_changes_nothing(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    crm_before, erp_before = rows(two)
    result = two.invoke("record", "split", record, "--restore")
    assert result.exit_code == 0
    assert "office@elm" not in result.stdout, "a personal value is masked"
    assert "info@elm" not in result.stdout
    assert "•••" in result.stdout
    assert "nothing is changed" in result.stderr
    told = shown(two, record)
    by_field = {(each["field"], each["before_the_join"]): each for each in told["fields"]}
    name = by_field["name", "Elm Ltd"]
    assert (name["now"], name["after"], name["written_in"], name["why_not"]) == ("Elm", "Elm Ltd", ["erp"], "")
    two.settle()
    assert rows(two) == [crm_before, erp_before]
    assert len(set(records(two))) == 1


@pytest.mark.long
def test_what_somebody_said_since_stays(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    two.sql("erp", "update party set email = 'new@elm.example' where name = 'Elm'")
    two.settle()
    told = shown(two, record)
    (mail,) = [each for each in told["fields"] if each["before_the_join"] == "office@elm.example"]
    assert (mail["after"], mail["why_not"]) == ("new@elm.example", "erp says so since the join")
    split(two, record, "--yes")
    two.settle()
    assert [email for _, _, email, *_ in rows(two)] == ["info@elm.example", "new@elm.example"]
    two.is_sound()


def test_what_is_not_as_it_was_shown_is_not_done(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    seen = shown(two, record)["seen"]
    again = shown(two, record)["seen"]
    assert again == seen
    two.sql("erp", "update party set email = 'new@elm.example' where name = 'Elm'")
    two.settle()
    with mock.patch.dict(os.environ, two.environment):
        with pytest.raises(CannotDecide, match="not as it was shown"):
            stewards.split(two.folder, record, None, reason="r", restore=True, seen=seen)
        assert len(set(records(two))) == 1
        seen = stewards.parting(two.folder, record, None, unmask=False).result["seen"]
        stewards.split(two.folder, record, None, reason="r", restore=True, seen=seen)
    assert len(set(records(two))) == 2


@pytest.mark.long
def test_an_edit_between_the_split_and_the_write_wins(two: Shop) -> None:
    """The row that is to get its former word back is written by somebody before we come to it."""
    record = join_by_a_late_tax_id(two)
    split(two, record, "--yes")
    two.sql("erp", "update party set name = 'Elm & Daughters', email = 'x@elm.example' where name = 'Elm'")
    two.settle()
    assert [(name, email) for name, _, email, *_ in rows(two)] == [
        ("Elm", "info@elm.example"),
        ("Elm & Daughters", "x@elm.example"),
    ]
    two.is_sound()


@pytest.mark.long
def test_another_field_edited_before_the_write_leaves_what_comes_back(two: Shop) -> None:
    """The row's image shows the joined values once more: nobody has said them."""
    record = join_by_a_late_tax_id(two)
    split(two, record, "--yes")
    two.sql("erp", "update party set credit_limit = 7 where name = 'Elm'")
    two.settle()
    assert [(name, limit) for name, *_, limit in rows(two)] == [("Elm", None), ("Elm Ltd", 7)]
    two.is_sound()


@pytest.mark.long
def test_a_join_of_which_nothing_was_delivered(two: Shop) -> None:
    """The systems hold what they held, and go on to."""
    crm, erp = records(two)
    before = rows(two)
    assert two.call_here("match", "join", crm, erp, *WHY)[0] == 0
    split(two, min(crm, erp), "--yes")
    two.settle()
    assert rows(two) == before
    two.is_sound()


@pytest.mark.long
def test_what_another_system_owns_by_now_is_left_to_it(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    two.edit("entities/customer.yaml", "name:          {type: text}", "name: {type: text, owner: erp, protected: true}")
    assert two.call_here("apply")[0] == 0
    two.settle()
    told = shown(two, record)
    (name,) = [each for each in told["fields"] if each["before_the_join"] == "Elm Ltd"]
    assert (name["after"], name["why_not"]) == ("Elm", "erp owns it")
    split(two, record, "--yes")
    two.settle()
    assert [name for name, *_ in rows(two)] == ["Elm", "Elm"], "what its owner holds is never written"
    two.is_sound()


@pytest.mark.long
def test_a_field_that_left_the_rules_is_named(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    path = two.folder / "entities/customer.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "email:" not in line))
    for system, line in (
        ("crm", "      email: {column: email, read: lower(email)}\n"),
        ("erp", "      email: email\n"),
    ):
        two.edit(f"systems/{system}.yaml", line, "")
    assert two.call_here("apply")[0] == 0
    told = shown(two, record)
    assert {each["why_not"] for each in told["fields"] if each["field"] == "email"} == {"it has left the rules"}
    split(two, record, "--yes")
    two.settle()
    assert [name for name, *_ in rows(two)] == ["Elm", "Elm Ltd"]
    two.is_sound()


def group_contact(shop: Shop) -> None:
    """Name and e-mail come from one system together, the CRM's first."""
    shop.edit("entities/customer.yaml", ", strategy: recency, among: [crm, erp]}    # the newest edit wins", "}")
    with (shop.folder / "entities/customer.yaml").open("a") as file:
        file.write("groups:\n  contact: {fields: [name, email], strategy: source_priority, order: [crm, erp]}\n")
    assert shop.call_here("apply")[0] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("edit", "party"),
    [
        ("", ("Elm Ltd", "office@elm.example")),
        ("update party set name = 'Elm & Daughters' where name = 'Elm'", ("Elm & Daughters", "info@elm.example")),
    ],
    ids=["nobody edits it", "a part is edited before the write"],
)
def test_a_group_comes_back_whole_or_stays_whole(two: Shop, edit: str, party: tuple[str, str]) -> None:
    """People change a part of what the join wrote: that block is theirs now, and half of another never comes."""
    group_contact(two)
    record = join_by_a_late_tax_id(two)
    assert rows(two)[1][0::2][:2] == ("Elm", "info@elm.example")
    split(two, record, "--yes")
    if edit:
        two.sql("erp", edit)
    two.settle()
    assert [(name, email) for name, _, email, *_ in rows(two)] == [("Elm", "info@elm.example"), party]
    two.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("since", [False, True], ids=["before the join", "since"])
def test_a_row_that_has_another_key_by_now(two: Shop, since: bool) -> None:
    """It goes back all the same, and what it had said under the former key is its word."""
    record = join_by_a_late_tax_id(two) if since else ""
    two.sql("erp", "update party set id = id + 1000 where name like 'Elm%'")
    two.settle()
    record = record or join_by_a_late_tax_id(two)
    assert [name for name, *_ in rows(two)] == ["Elm", "Elm"]
    split(two, record, "--yes")
    two.settle()
    assert [name for name, *_ in rows(two)] == ["Elm", "Elm Ltd"]
    _, erp = records(two)
    assert "as it was before the join" in two.invoke("trail", "customer", erp).stdout
    told = explained(two, erp)
    assert "erp is the first to have said one" in told
    two.is_sound()


@pytest.mark.long
def test_what_golden_has_become_meanwhile_is_not_given_back_any_more(two: Shop) -> None:
    """Before the write the two are joined again, so that golden is what the row still holds: that is done with."""
    record = join_by_a_late_tax_id(two)
    joined = rows(two)
    split(two, record, "--yes")
    kept = "select count(*) > 0 from fieldwarden.record where contributions like '%\"still\"%'"
    assert two.sql("hub", kept) == [(True,)]
    crm, erp = records(two)
    assert two.call_here("match", "join", crm, erp, *WHY)[0] == 0
    two.settle()
    assert two.sql("hub", kept) == [(False,)]
    assert rows(two) == joined
    two.is_sound()


@pytest.mark.long
def test_what_refers_to_itself_means_its_own_record_again(two: Shop) -> None:
    two.edit(
        "entities/customer.yaml",
        "  name:          {type: text}",
        "  parent: {type: ref(customer)}\n  name: {type: text}",
    )
    for system, table, mail in (
        ("crm", "account", "      email: {column: email, read: lower(email)}\n"),
        ("erp", "party", "      email: email\n"),
    ):
        two.edit(f"systems/{system}.yaml", mail, f"{mail}      parent: parent\n")
        two.sql(system, f"alter table {table} add column parent bigint")
    two.sql("erp", "update party set parent = id where name like 'Elm%'")
    assert two.call_here("apply")[0] == 0
    two.settle()
    _, erp = records(two)
    parent = f"select golden ->> 'parent' from fieldwarden.record where id = '{erp}'"
    assert two.sql("hub", parent) == [(erp,)]
    record = join_by_a_late_tax_id(two)
    split(two, record, "--yes")
    assert two.sql("hub", parent) == [(erp,)]
    two.settle()
    assert two.sql("erp", "select parent = id from party where name like 'Elm%'") == [(True,)]
    two.is_sound()


BILL = """entity: bill
identity: {match: [number]}
defaults: {strategy: source_priority, order: [crm, erp]}
fields:
  number: {type: text}
  payer: {type: ref(customer)}
"""


@pytest.mark.long
@pytest.mark.parametrize("restore", [(), ("--restore", "--yes")], ids=["plain", "restored"])
def test_what_refers_to_a_row_that_goes_back_refers_to_its_record(two: Shop, restore: tuple[str, ...]) -> None:
    (two.folder / "entities/bill.yaml").write_text(BILL)
    for system in ("crm", "erp"):
        stream = "  public.bill: {entity: bill, key: id, fields: {number: number, payer: payer}}\n"
        with (two.folder / f"systems/{system}.yaml").open("a") as file:
            file.write(stream)
        two.sql(system, "create table bill (id bigint primary key, number text, payer bigint)")
    assert two.call_here("apply")[0] == 0
    for system, table in (("crm", "account"), ("erp", "party")):
        two.sql(system, f"insert into bill select 1, '{system} 1', id from {table} where name like 'Elm%'")
    two.settle()
    crm, erp = records(two)
    join_by_a_late_tax_id(two)
    bills = "fieldwarden.record where entity = 'bill'"
    payers = f"select golden ->> 'number', golden ->> 'payer' from {bills}"
    for system, table in (("crm", "account"), ("erp", "party")):
        two.sql(system, f"insert into bill select 2, '{system} 2', id from {table} where name like 'Elm%'")
        two.sql(system, f"update bill set number = '{system} one' where id = 1")
    two.settle()
    assert {payer for _, payer in two.sql("hub", payers)} == {min(crm, erp)}
    told = two.invoke("record", "split", min(crm, erp), "--restore")
    assert "2 records will refer to" in told.stdout, told.stderr
    with mock.patch("fieldwarden.engine.hub.parting.MOST", 1):
        code, body = two.call_here("record", "split", min(crm, erp), *restore, *WHY)
    assert (code, body["error"]["code"]) == (1, "cannot_decide")
    assert "more than 1 records refer to the rows of" in body["error"]["message"]
    assert two.call_here("record", "split", min(crm, erp), *restore, *WHY)[0] == 0
    assert dict(two.sql("hub", payers)) == {"crm 2": crm, "crm one": crm, "erp 2": erp, "erp one": erp}
    bill, _ = two.sql("hub", f"select id::text from {bills} and golden ->> 'payer' = '{max(crm, erp)}'")
    assert "what it refers to is record" in two.invoke("trail", "bill", *bill).stdout
    two.settle()
    two.is_sound()


@pytest.mark.long
def test_a_split_that_was_done_without_is_said_to_be_done(two: Shop) -> None:
    record = join_by_a_late_tax_id(two)
    code, body = two.call_here("record", "split", record, *WHY)
    assert code == 0
    code, body = two.call_here("record", "split", record, body["result"]["other"], "--restore", *WHY, "--yes")
    assert (code, body["error"]["code"]) == (1, "cannot_decide")
    assert "was split from" in body["error"]["message"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("not-an-id", "--restore"), 2, "not the id of a record"),
        (("01900000-0000-7000-8000-000000000001", "--restore"), 1, "there is no record"),
        (("RECORD", "--restore"), 1, "nothing was joined"),
        (("RECORD", "01900000-0000-7000-8000-000000000001", "--restore"), 1, "was not joined"),
        (("RECORD", "--restore", "--yes"), 2, "say why"),
    ],
)
def test_what_cannot_be_is_said(two: Shop, words: tuple[str, ...], code: int, said: str) -> None:
    words = tuple(records(two)[0] if word == "RECORD" else word for word in words)
    found, body = two.call_here("record", "split", *words)
    assert found == code
    assert said in body["error"]["message"]
