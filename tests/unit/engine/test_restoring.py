"""What a split gives back: whose word it is, what becomes of it, and what stays as somebody said it meanwhile."""

from __future__ import annotations

import msgspec
import pytest

from fieldwarden.engine.change import Change, RowRef, Value
from fieldwarden.engine.deciding.contribution import bury, give_back, hear, leave_blocks, overtaken
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.resolve import choose
from fieldwarden.engine.deciding.restoring import BeforeJoin, Keys, give_all_back
from fieldwarden.engine.ledger.entries import Decision, EntryBody, Event, Outcome
from fieldwarden.engine.record import Contribution, Record, Stamp
from tests.builders import ACCOUNT, PARTY, SUBSCRIBER, deleted, rulebook, said

RULES = rulebook()
ENTITY = RULES.entities["customer"]
WRITABLE = {
    (system.name, stream.name): stream.update_fields
    for system in RULES.systems.values()
    for stream in system.streams.values()
}
ID = "01900000-0000-7000-8000-000000000001"


def row(ref: RowRef, *, carried: dict[str, Value] | None = None, **fields: Value) -> Contribution:
    return Contribution(*ref, "00000005", Stamp("00000001", 1), dict(fields), carried=carried or {})


def given_back() -> Contribution:
    """The account said "mine" at 3; we wrote "joined" into it, which is not meant any more."""
    account = row(ACCOUNT, carried={"name": "joined"}, phone="1")
    give_back(account, "name", "mine", Stamp("00000003", 3))
    return account


def heard(account: Contribution, change: Change, **golden: Value) -> None:
    hear(account, change, frozenset(), golden)


def echo(position: int, **fields: Value) -> Change:
    change = said(ACCOUNT, position, None, **fields)
    change.echo = True
    return change


def test_it_stands_for_its_word_and_still_holds_ours() -> None:
    account = given_back()
    assert (account.word("name"), account.holds("name"), account.told("name")) == ("mine", "joined", "joined")
    assert account.own("name")
    assert account.stamp("name") == Stamp("00000003", 3)
    record = Record(ID, "customer", 1, {"name": "mine", "phone": "1"}, [account])
    assert choose(ENTITY.unit_of["name"], record.rows) is account
    (write,) = TargetPlan(RULES, "crm").plan(record, {}).writes
    assert (write.values, write.expected) == ({"name": "mine"}, {"name": "joined"})


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "not noted"])
@pytest.mark.parametrize("marked", [True, False], ids=["marked", "unmarked"])
def test_once_written_it_is_the_rows_own_word_as_before(noted: bool, marked: bool) -> None:
    account = given_back()
    if noted:
        account.sent = {"name": "mine"}
        assert account.own("name"), "written, and on its way back"
        assert choose(ENTITY.unit_of["name"], [account, row(SUBSCRIBER, name="theirs")]) is account
    change = echo(6, name="mine", phone="1")
    change.echo = marked
    heard(account, change, name="mine", phone="1")
    assert (account.fields, account.carried, account.sent, account.still) == (
        {"name": "mine", "phone": "1"},
        {},
        {},
        {},
    )


def test_an_image_that_shows_ours_once_more_says_nothing() -> None:
    account = given_back()
    heard(account, said(ACCOUNT, 6, name="joined", phone="2"), name="mine")
    assert (account.word("name"), account.holds("name"), account.fields["phone"]) == ("mine", "joined", "2")
    heard(account, echo(7, name="joined", phone="2"), name="mine")
    assert account.own("name")
    assert account.word("name") == "mine"


def test_what_somebody_writes_there_is_said() -> None:
    account = given_back()
    heard(account, said(ACCOUNT, 6, name="other", phone="1"), name="mine")
    assert (account.fields["name"], account.still) == ("other", {})
    account = given_back()
    heard(account, said(ACCOUNT, 6, name="mine", phone="1"), name="mine")
    assert (account.fields["name"], account.still, account.stamp("name").at) == ("mine", {}, 6)


def test_another_value_written_over_it_ends_it() -> None:
    account = given_back()
    account.sent = {"name": "newer"}
    assert not account.own("name")
    heard(account, echo(6, name="newer", phone="1"), name="newer")
    assert (account.carried, account.still, "name" in account.fields) == ({"name": "newer"}, {}, False)


def test_its_own_echo_told_again_does_not_make_it_recent() -> None:
    """A source that names what changed tells our own write twice."""
    account = given_back()
    for _ in range(2):
        change = echo(6, name="mine", phone="1")
        change.changed = frozenset({"name"})
        heard(account, change, name="mine", phone="1")
    assert (account.fields["name"], account.stamp("name")) == ("mine", Stamp("00000003", 3))


def test_what_cannot_be_read_there_any_more_is_not_written_over() -> None:
    account = row(ACCOUNT, carried={"phone": "2"}, name="mine")
    give_back(account, "phone", "1", Stamp("00000003", 3))
    change = said(ACCOUNT, 6, name="mine")
    change.unreadable = {"phone": "it is longer than 20 characters"}
    heard(account, change, phone="1")
    record = Record(ID, "customer", 1, {"name": "mine", "phone": "1"}, [account])
    assert TargetPlan(RULES, "crm").differences(record) == [], "somebody has written it, who is heard"


def block_given_back(**sent: Value) -> Contribution:
    """The row holds Main 1 in Berlin, was given Oak 2 in Hamburg back."""
    account = row(ACCOUNT, carried={"street": "Main 1", "city": "Berlin"})
    for name, value in (("street", "Oak 2"), ("city", "Hamburg")):
        give_back(account, name, value, Stamp("00000003", 3))
    account.sent = dict(sent)
    return account


@pytest.mark.parametrize("named", [True, False], ids=["changes named", "by comparing"])
def test_an_edited_part_of_a_block_leaves_the_rest_as_it_stands_there(named: bool) -> None:
    account = block_given_back()
    change = said(ACCOUNT, 6, street="Main 3", city="Berlin")
    change.changed = frozenset({"street"}) if named else None
    _, changed = hear(account, change, frozenset(), {})
    leave_blocks(account, change, changed, ENTITY.unit_of)
    assert (account.fields, account.carried, account.still) == ({"street": "Main 3"}, {"city": "Berlin"}, {})
    assert choose(ENTITY.unit_of["city"], [account]) is account
    assert account.word("city") == "Berlin"


def test_what_the_edit_does_not_tell_of_has_been_written_meanwhile() -> None:
    account = block_given_back(street="Oak 2", city="Hamburg")
    change = said(ACCOUNT, 6, street="Oak 3")
    _, changed = hear(account, change, frozenset(), {})
    leave_blocks(account, change, changed, ENTITY.unit_of)
    assert (account.word("street"), account.word("city")) == ("Oak 3", "Hamburg")


def test_where_golden_becomes_what_the_row_holds_it_is_done_with() -> None:
    account = given_back()
    overtaken(account, {"name": "other"}, ENTITY.unit_of)
    assert account.own("name"), "it is yet to be written over, as if it were there"
    overtaken(account, {"name": "joined"}, ENTITY.unit_of)
    assert (account.fields, account.carried, account.still) == ({"phone": "1"}, {"name": "joined"}, {})
    account = block_given_back()
    overtaken(account, {"street": "Main 1", "city": "Bonn"}, ENTITY.unit_of)
    assert (account.carried, account.still) == ({"street": "Main 1", "city": "Berlin"}, {}), "the block as a whole"
    account = block_given_back(street="Oak 2", city="Hamburg")
    overtaken(account, {"street": "Main 1", "city": "Berlin"}, ENTITY.unit_of)
    assert account.word("street") == "Oak 2", "written, and to be written over"


def test_its_row_is_deleted() -> None:
    account = given_back()
    assert bury(account, deleted(ACCOUNT, 6))
    assert (account.still, account.fields["name"]) == ({"name": "joined"}, "mine")


def test_its_row_is_there_again_without_the_field() -> None:
    """An unchanged large value does not come along: the row holds what we wrote, as before, and is written to."""
    account = given_back()
    bury(account, deleted(ACCOUNT, 6))
    heard(account, said(ACCOUNT, 7, phone="1"))
    assert (account.word("name"), account.holds("name")) == ("mine", "joined")
    record = Record(ID, "customer", 1, {"name": "mine", "phone": "1"}, [account])
    (write,) = TargetPlan(RULES, "crm").plan(record, {}).writes
    assert (write.values, write.expected) == ({"name": "mine"}, {"name": "joined"})


def test_its_row_is_there_again_with_the_field() -> None:
    account = given_back()
    bury(account, deleted(ACCOUNT, 6))
    heard(account, said(ACCOUNT, 7, phone="1", name="other"))
    assert (account.word("name"), account.holds("name"), account.still) == ("other", "other", {})


def test_it_is_kept_with_the_row() -> None:
    account = given_back()
    assert msgspec.json.decode(msgspec.json.encode(account), type=Contribution) == account


# --- what is given back --------------------------------------------------------------------------------------------


def entry(event: Event, ref: RowRef | None, at: int, *decisions: Decision) -> EntryBody:
    return EntryBody("customer", ("", "", "") if ref is None else ref, event, f"{at:08}", at, list(decisions))


def accepted(name: str, before: Value, after: Value, system: str) -> Decision:
    return Decision(name, "accepted", after, before, after, system)


def account_of_before() -> BeforeJoin:
    former = BeforeJoin(frozenset({ACCOUNT, SUBSCRIBER}))
    former.before(entry("said", ACCOUNT, 1, accepted("name", None, "mine", "crm"), accepted("phone", None, "1", "crm")))
    return former


def test_the_row_that_had_said_it_says_it_and_the_others_carry_it() -> None:
    rows = [row(ACCOUNT, carried={"name": "joined"}), row(SUBSCRIBER, carried={"name": "joined"})]
    record = Record(ID, "customer", 1, {}, rows)
    (name, *_) = give_all_back(ENTITY, record, account_of_before(), WRITABLE, {"name": "joined"})
    assert (name.field, name.now, name.after, name.why, name.systems) == (
        "name",
        "joined",
        "mine",
        "",
        ("billing", "crm"),
    )
    account, subscriber = record.rows
    assert (account.fields["name"], account.stamp("name")) == ("mine", Stamp("00000001", 1))
    assert (subscriber.carried["name"], subscriber.still["name"]) == ("mine", "joined")


def test_what_it_did_not_have_is_empty_again() -> None:
    record = Record(ID, "customer", 1, {}, [row(ACCOUNT, name="mine", phone="1", carried={"tax_id": "7"})])
    (tax,) = give_all_back(ENTITY, record, account_of_before(), WRITABLE, {"tax_id": "7"})
    assert (tax.field, tax.former, tax.after, tax.why) == ("tax_id", None, None, "")
    assert choose(ENTITY.unit_of["tax_id"], record.rows) is record.rows[0]
    assert record.rows[0].word("tax_id") is None


def test_what_its_own_rows_said_since_is_meant() -> None:
    former = account_of_before()
    former.since(entry("said", PARTY, 2, accepted("name", "joined", "theirs", "erp")))
    former.since(entry("said", ACCOUNT, 3, accepted("phone", "1", "2", "crm")))
    rows = [row(ACCOUNT, phone="2", carried={"name": "theirs"})]
    record = Record(ID, "customer", 1, {}, rows)
    told = {each.field: each for each in give_all_back(ENTITY, record, former, WRITABLE, {"name": "theirs"})}
    assert (told["name"].after, told["name"].why) == ("mine", ""), "that was said of the other record"
    assert (told["phone"].former, told["phone"].after) == ("1", "2")
    assert told["phone"].why == "crm says so since the join"


def test_a_word_that_did_not_win_since_stays_too() -> None:
    former = account_of_before()
    former.since(entry("said", ACCOUNT, 3, Decision("name", "outranked", "new", "joined", "joined", "erp")))
    record = Record(ID, "customer", 1, {}, [row(ACCOUNT, name="new", phone="1")])
    (name,) = give_all_back(ENTITY, record, former, WRITABLE, {"name": "joined"})
    assert (name.after, name.why) == ("new", "crm says otherwise since the join")


def test_what_may_not_be_written_is_left() -> None:
    record = Record(ID, "customer", 1, {}, [row(ACCOUNT, phone="1", carried={"name": "joined"})])
    (name,) = give_all_back(ENTITY, record, account_of_before(), {}, {"name": "joined"})
    assert (name.after, name.why) == ("joined", "crm does not take it")
    assert record.rows[0].carried == {"name": "joined"}


def test_a_record_that_came_later_is_not_what_is_split() -> None:
    former = account_of_before()
    former.since(entry("joined", None, 4, Decision("name", "joined", None, "joined", "third", "erp")))
    record = Record(ID, "customer", 1, {}, [row(ACCOUNT, phone="1", carried={"name": "third"})])
    assert [each.why for each in give_all_back(ENTITY, record, former, WRITABLE, {"name": "third"})] == [
        "another record was joined to it since"
    ]


# --- several joins -------------------------------------------------------------------------------------------------

OTHER, THIRD = "01900000-0000-7000-8000-000000000002", "01900000-0000-7000-8000-000000000003"


def told(event: Event, was: str, *decisions: Decision) -> EntryBody:
    return EntryBody("customer", ("", "", ""), event, "", None, list(decisions), was=was)


def became(name: str, before: Value, after: Value, system: str, outcome: Outcome = "joined") -> Decision:
    return Decision(name, outcome, None, before, after, system)


def of_the_account(*, stays: bool = True) -> BeforeJoin:
    former = BeforeJoin(frozenset({ACCOUNT}), stays=stays)
    former.before(entry("said", ACCOUNT, 1, accepted("name", None, "mine", "crm")))
    return former


THIRDS = became("phone", None, "3", "erp"), became("name", "mine", "third", "erp")


def test_what_a_third_record_brought_left_with_it() -> None:
    """The other was joined, then the third, which was split first."""
    for given in (
        [became("phone", "3", None, "crm", "restored"), became("name", "third", "mine", "crm", "restored")],
        [],  # a plain split: the rows go on holding it
    ):
        former = of_the_account()
        former.since(told("joined", THIRD, *THIRDS))
        former.since(told("split", THIRD, *given))
        assert (former.meant.get("phone"), former.meant["name"]) == (None, "mine")


def test_what_a_third_record_brought_was_never_that_of_the_one_that_leaves() -> None:
    former = of_the_account(stays=False)
    former.since(told("joined", THIRD, *THIRDS))
    assert former.meant == {"name": "mine"}
    former.since(told("split", OTHER, became("phone", "3", "4", "crm", "split")))
    assert former.meant == {"name": "mine"}


def test_what_a_record_joined_before_brought_left_with_it() -> None:
    """The other was joined, then the third; the other was split first, and now the third is."""
    former = of_the_account()
    former.before(told("joined", OTHER, became("phone", None, "2", "erp"), became("name", "mine", "theirs", "erp")))
    former.before(entry("said", PARTY, 3, accepted("segment", None, "gold", "erp")))
    former.since(told("split", OTHER, became("city", None, "Bonn", "billing", "split")))
    assert {name: value for name, value in former.meant.items() if value} == {"name": "mine"}
    assert former.golden == former.meant, "so it was without that one"


def test_its_own_word_that_stands_again_since_a_split_is_meant() -> None:
    former = of_the_account()
    former.before(told("joined", OTHER, became("phone", None, "2", "erp")))
    former.since(told("split", OTHER, became("segment", "gold", "silver", "crm", "split")))
    assert former.meant["segment"] == "silver"


def test_its_own_word_said_while_another_was_with_it_stays() -> None:
    former = of_the_account()
    former.since(told("joined", THIRD, *THIRDS))
    former.since(entry("said", ACCOUNT, 4, accepted("phone", "3", "4", "crm")))
    former.since(told("split", THIRD))
    assert (former.meant["phone"], former.meant["name"]) == ("4", "mine")


def test_records_that_came_and_left_in_any_order() -> None:
    joins = {OTHER: became("name", "mine", "theirs", "erp"), THIRD: became("name", "theirs", "third", "billing")}
    for first, second in ((OTHER, THIRD), (THIRD, OTHER)):
        former = of_the_account()
        for other, decision in joins.items():
            former.before(told("joined", other, decision))
        former.since(told("split", first))
        assert former.meant["name"] == ("third" if first == OTHER else "theirs")
        former.since(told("split", second))
        assert former.meant["name"] == "mine"


def test_what_it_refers_to_is_another_record_again() -> None:
    former = of_the_account()
    former.before(entry("said", ACCOUNT, 2, accepted("segment", None, OTHER, "crm")))
    former.since(told("parted", THIRD, became("segment", OTHER, THIRD, "crm", "split")))
    assert former.meant["segment"] == THIRD
    (_, stamp) = former.speaker(ENTITY.unit_of["segment"], [row(ACCOUNT, segment=THIRD)]) or (None, None)
    assert stamp == Stamp("00000002", 2)


def test_rows_are_known_by_the_keys_that_they_have_now() -> None:
    keys, former = Keys(), ACCOUNT._replace(key="C-0")
    moved_on = entry("rekeyed", ACCOUNT, 3)
    moved_on.was = former.key
    keys.learn((0, 3), moved_on)
    assert keys.now((0, 2), former) == ACCOUNT
    assert keys.now((1, 1), former) == former, "another row has that key by then"
    assert keys.now((0, 2), PARTY) == PARTY


def test_what_has_not_come_back_yet_is_not_given_back() -> None:
    account = row(ACCOUNT, carried={"name": "before"}, phone="1")
    account.sent = {"name": "joined"}
    record = Record(ID, "customer", 1, {}, [account])
    (name,) = give_all_back(ENTITY, record, account_of_before(), WRITABLE, {"name": "joined"})
    assert (name.after, name.why) == ("joined", "what was written there has not come back yet")
    assert record.rows[0].sent == {"name": "joined"}
    unread = {(ACCOUNT.system, ACCOUNT.stream)}
    (name,) = give_all_back(ENTITY, record, account_of_before(), WRITABLE, {"name": "joined"}, unread)
    assert (name.after, name.why) == ("mine", "")
