"""What a source row is heard to say, in any order, and what is only our own echo."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fieldwarden.engine.change import Change
from fieldwarden.engine.deciding.contribution import NEVER, begin, bury, hear, refuse, tell, unlike_ours
from fieldwarden.engine.delivering.settling import overlaid
from fieldwarden.engine.record import REMEMBERED, UNDERWAY, Contribution, Stamp
from tests.builders import ACCOUNT, deleted, said

NOTHING_OWNED: frozenset[str] = frozenset()


def heard(*changes: Change, owned: frozenset[str] = NOTHING_OWNED, golden: tuple[str, ...] = ()) -> Contribution:
    row = begin(changes[0])
    for change in changes:
        if change.operation == "delete":
            bury(row, change)
        else:
            hear(row, change, owned, dict.fromkeys(golden, "golden"))
    return row


def test_an_edit_of_one_field_does_not_make_another_look_recent() -> None:
    row = heard(said(ACCOUNT, 1, name="Acme", phone="1"), said(ACCOUNT, 2, name="Acme", phone="2"))
    assert row.stamp("name").at == 1
    assert row.stamp("phone").at == 2


def test_a_field_that_a_change_leaves_out_stays_what_it_was() -> None:
    row = heard(said(ACCOUNT, 1, name="Acme", phone="1"), said(ACCOUNT, 2, phone="2"))
    assert row.fields == {"name": "Acme", "phone": "2"}


def test_a_value_told_late_fills_what_newer_images_left_unknown() -> None:
    row = heard(
        said(ACCOUNT, 1, name="old", phone="1"), said(ACCOUNT, 3, phone="3"), said(ACCOUNT, 2, name="new", phone="2")
    )
    assert row.fields == {"name": "new", "phone": "3"}


def test_a_repeated_change_says_nothing() -> None:
    change = said(ACCOUNT, 1, name="Acme")
    row = begin(change)
    assert hear(row, change, NOTHING_OWNED, {}) == ("said", ["name"])
    assert hear(row, change, NOTHING_OWNED, {}) == ("stale", [])


def test_what_was_heard_of_a_row_that_we_made_says_nothing_when_it_is_told_again() -> None:
    """Its fields are known by our own writes only, and never were its own word."""
    made = replace(said(ACCOUNT, 1, name="Acme", phone="1"), echo=True)
    written = replace(said(ACCOUNT, 2, name="Acme", phone="2"), echo=True)
    golden = {"name": "Acme", "phone": "2"}
    row = begin(made)
    row.base = Stamp("", None)
    for change in (made, written):
        assert hear(row, change, NOTHING_OWNED, golden)[0] == "carried"
    for change in (made, written, replace(made, echo=False), replace(written, echo=False)):
        assert hear(row, change, NOTHING_OWNED, golden) == ("stale", [])
    assert (row.fields, row.carried) == ({}, {"name": "Acme", "phone": "2"})


def test_what_we_wrote_and_a_newer_image_left_out_may_still_be_told_late() -> None:
    row = heard(replace(said(ACCOUNT, 1, note="ours"), echo=True), said(ACCOUNT, 3, phone="3"), golden=("note",))
    assert hear(row, said(ACCOUNT, 2, note="theirs"), NOTHING_OWNED, {}) == ("said", ["note"])


def test_our_own_write_coming_back_ends_the_rows_former_word() -> None:
    echo = replace(said(ACCOUNT, 2, phone="9"), echo=True)
    row = heard(said(ACCOUNT, 1, phone="1"), echo, golden=("phone",))
    assert (row.fields, row.carried) == ({}, {"phone": "9"})
    assert not row.own("phone")


def test_an_image_from_before_our_write_says_nothing_new() -> None:
    row = heard(said(ACCOUNT, 1, name="Acme", phone="1"))
    row.sent["phone"] = "9"
    late = said(ACCOUNT, 2, name="Acme Ltd", phone="1")
    assert hear(row, late, NOTHING_OWNED, {"phone": "9"}) == ("said", ["name"])
    assert (row.holds("phone"), row.stamp("phone").at) == ("9", 1)
    echo = replace(said(ACCOUNT, 3, name="Acme Ltd", phone="9"), echo=True)
    assert hear(row, echo, NOTHING_OWNED, {"name": "Acme Ltd", "phone": "9"}) == ("carried", ["phone"])
    assert (row.sent, row.carried) == ({}, {"phone": "9"})
    assert hear(row, said(ACCOUNT, 4, name="Acme Ltd", phone="1"), NOTHING_OWNED, {}) == ("said", ["phone"])


def test_an_edit_behind_our_write_is_heard_at_once() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"))
    row.sent["phone"] = "9"
    assert hear(row, said(ACCOUNT, 2, phone="2"), NOTHING_OWNED, {"phone": "9"}) == ("said", ["phone"])
    assert (row.sent, row.holds("phone")) == ({}, "2")


def test_an_older_write_of_ours_comes_back_before_the_newest() -> None:
    row = heard(said(ACCOUNT, 1, phone="1", name="a"))
    row.sent.update(phone="9", name="b")
    older = replace(said(ACCOUNT, 2, phone="1", name="b"), echo=True)
    assert hear(row, older, NOTHING_OWNED, {"phone": "9", "name": "b"}) == ("carried", ["name"])
    assert (row.sent, row.carried) == ({"phone": "9"}, {"name": "b"})


def test_our_write_back_to_the_rows_own_word_waits_for_its_echo_too() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"), replace(said(ACCOUNT, 2, phone="9"), echo=True), golden=("phone",))
    row.sent["phone"] = "1"
    assert hear(row, said(ACCOUNT, 3, phone="9"), NOTHING_OWNED, {"phone": "1"}) == ("nothing", [])
    hear(row, replace(said(ACCOUNT, 4, phone="1"), echo=True), NOTHING_OWNED, {"phone": "1"})
    assert (row.fields, row.sent, row.carried) == ({}, {}, {"phone": "1"}), "it was its own word, and is ours now"


def test_the_echo_of_an_older_write_leaves_a_newer_one_noted() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"))
    row.sent["phone"] = "9"
    hear(row, replace(said(ACCOUNT, 2, phone="5"), echo=True), NOTHING_OWNED, {"phone": "9"})
    assert (row.told("phone"), row.holds("phone")) == ("5", "9")


def test_an_edit_after_our_write_is_the_systems_own_word_again() -> None:
    echo = replace(said(ACCOUNT, 2, phone="9"), echo=True)
    row = heard(said(ACCOUNT, 1, phone="1"), echo, said(ACCOUNT, 3, phone="1"), golden=("phone",))
    assert row.fields["phone"] == "1"
    assert row.carried == {}
    assert row.stamp("phone") == Stamp("00000003", 3)


def test_an_unmarked_echo_is_recognised_by_its_value() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"), replace(said(ACCOUNT, 2, phone="9"), echo=True), golden=("phone",))
    assert hear(row, said(ACCOUNT, 3, phone="9"), NOTHING_OWNED, {"phone": "9"}) == ("nothing", [])
    assert not row.own("phone")


def test_an_unmarked_echo_of_what_was_sent_is_remembered() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"))
    row.sent["phone"] = "9"
    assert hear(row, said(ACCOUNT, 2, phone="9"), NOTHING_OWNED, {"phone": "9"}) == ("carried", [])
    assert (row.fields, row.carried, row.sent) == ({}, {"phone": "9"}, {})


def test_what_an_owner_was_given_it_carries() -> None:
    row = heard(replace(said(ACCOUNT, 1, terms="NET30"), echo=True), owned=frozenset({"terms"}), golden=("terms",))
    assert (row.fields, row.carried) == ({}, {"terms": "NET30"})


def test_a_default_that_the_system_filled_in_is_nobodys_word() -> None:
    row = heard(replace(said(ACCOUNT, 1, segment="new"), echo=True), golden=("name",))
    assert (row.fields, row.carried, row.void) == ({}, {}, {"segment": "new"})


def test_a_number_that_an_owner_gave_a_row_of_ours_is_its_word() -> None:
    row = heard(replace(said(ACCOUNT, 1, segment="new"), echo=True), owned=frozenset({"segment"}))
    assert row.carried == {"segment": "new"}


def test_what_was_refused_is_nobodys_word_until_it_is_said_anew() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"), said(ACCOUNT, 2, phone="2"))
    refuse(row, "phone", "1")
    assert (row.fields, row.void, row.restore) == ({}, {"phone": "2"}, {"phone": "1"})
    assert hear(row, said(ACCOUNT, 3, phone="2"), NOTHING_OWNED, {}) == ("nothing", [])
    assert hear(row, said(ACCOUNT, 4, phone="3"), NOTHING_OWNED, {}) == ("said", ["phone"])
    refuse(row, "phone", "2")
    assert row.restore == {"phone": "1"}, "what it held before the first refusal"


LIMIT = frozenset({"limit"})
GOLDEN = {"limit": "7", "phone": "1"}


def ours(position: int, limit: str) -> Change:
    return replace(said(ACCOUNT, position, limit=limit, phone="2"), echo=True)


def unlike(row: Contribution, change: Change, golden: dict[str, str]) -> list[str]:
    return unlike_ours(row, change, LIMIT, golden, ["limit"])


def account() -> Contribution:
    """The row holds a limit of 1; we have written 5, and 7 since."""
    row = heard(said(ACCOUNT, 3, limit="1", phone="1"))
    for value in ("5", "7"):
        (row,) = overlaid([row], {ACCOUNT: {"limit": value}}, ())
    return row


@pytest.mark.parametrize(
    ("limit", "is_unlike", "why"),
    [
        ("9", True, "neither we nor anybody before has written that"),
        ("7", False, "what we wrote last"),
        ("5", False, "what we wrote before that: it comes back late"),
        ("1", False, "what it held: nothing was changed"),
    ],
)
def test_under_our_mark_only_what_we_have_written_passes(limit: str, is_unlike: bool, why: str) -> None:
    assert (unlike(account(), ours(4, limit), {"phone": "1"}) == ["limit"]) is is_unlike, why


def test_what_is_golden_passes_whoever_wrote_it_and_so_does_what_is_put_back() -> None:
    assert unlike(account(), ours(4, "9"), {"limit": "9"}) == []
    row = account()
    refuse(row, "limit", "8")
    assert unlike(row, ours(4, "8"), {}) == []


def test_what_the_row_has_heard_before_is_no_news() -> None:
    assert unlike(account(), ours(3, "9"), GOLDEN) == []


def test_a_row_of_ours_is_made_with_what_we_gave_it_and_the_rest_its_system_fills_in() -> None:
    change = ours(1, "9")
    assert unlike(begin(change), change, GOLDEN) == ["limit"]
    assert unlike(begin(change), change, {}) == []
    assert unlike_ours(begin(change), change, LIMIT, GOLDEN, ["phone"]) == [], "it is not made with that"
    noted = begin(change)
    noted.sent["limit"] = "7"
    assert unlike(noted, change, {}) == ["limit"]


def test_a_field_that_changes_with_each_write_is_not_told_for_ever() -> None:
    row, told = account(), []
    for position in range(10, 100):
        golden = {**GOLDEN, "limit": "a" if position < 50 else "b"}
        for name in unlike(row, ours(position, str(position)), golden):
            told.append(position)
            tell(row, name, golden["limit"])
        hear(row, ours(position, str(position)), NOTHING_OWNED, golden)
    assert told == [*range(10, 10 + REMEMBERED), *range(50, 50 + REMEMBERED)], "for each golden value anew"
    assert unlike(row, ours(101, "5"), GOLDEN) == [], "what we wrote is known for ours still"
    assert (len(row.known["limit"]), row.unlike["limit"].times) == (1, REMEMBERED)
    hear(row, said(ACCOUNT, 102, limit="2"), NOTHING_OWNED, GOLDEN)
    assert (row.known, row.unlike) == ({}, {}), "somebody's own word ends all that"


def test_of_what_we_wrote_little_is_remembered_that_never_comes_back() -> None:
    row = account()
    for number in range(1000):
        (row,) = overlaid([row], {ACCOUNT: {"limit": str(number)}}, ())
    assert len(row.known["limit"]) == UNDERWAY
    assert unlike(row, ours(4, "990"), GOLDEN) == []
    assert unlike(row, ours(4, "666"), GOLDEN) == ["limit"], "of too many the oldest is forgotten, not the check"
    hear(row, ours(5, "999"), NOTHING_OWNED, GOLDEN)
    assert unlike(row, ours(6, "500"), GOLDEN) == ["limit"], "they have all come back"


def test_what_was_put_back_after_a_refusal_is_nobodys_word_either() -> None:
    row = heard(said(ACCOUNT, 1, phone="1"), said(ACCOUNT, 2, phone="2"))
    refuse(row, "phone", "1")
    hear(row, replace(said(ACCOUNT, 3, phone="1"), echo=True), NOTHING_OWNED, {})
    assert (row.fields, row.carried, row.void, row.restore) == ({}, {}, {"phone": "1"}, {})


def test_a_reinserted_row_says_everything_anew() -> None:
    row = heard(said(ACCOUNT, 1, name="Acme", phone="1"), deleted(ACCOUNT, 2), said(ACCOUNT, 3, name="Acme", phone="2"))
    assert row.live
    assert row.fields == {"name": "Acme", "phone": "2"}
    assert row.stamp("name") == Stamp("00000003", 3)


def test_a_change_older_than_the_deletion_does_not_bring_the_row_back() -> None:
    row = heard(said(ACCOUNT, 1, name="Acme"), deleted(ACCOUNT, 3), said(ACCOUNT, 2, name="Late"))
    assert row.deleted == "00000003"
    assert row.fields == {"name": "Acme"}


def test_a_value_that_was_seen_but_not_seen_to_change_has_no_time() -> None:
    row = heard(replace(said(ACCOUNT, 5, name="Acme", phone="1"), changed=frozenset({"name"})))
    assert row.stamp("phone") == NEVER
    assert row.stamp("name") == Stamp("00000005", 5)


def test_a_row_brought_back_into_view_by_an_update_still_holds_what_did_not_come_along() -> None:
    row = heard(said(ACCOUNT, 1, name="a long text", phone="1"), deleted(ACCOUNT, 2), said(ACCOUNT, 3, phone="1"))
    assert row.fields == {"name": "a long text", "phone": "1"}
    assert row.stamp("name").at == 1
