"""What a source's slot and publication are called, and which marks are its own project's."""

from __future__ import annotations

from fieldwarden.connectors.postgres.following import is_ours, names_of, prefixes_of, resolved
from fieldwarden.engine.ports.foothold import Followed
from fieldwarden.rules.rulebook import System
from tests.builders import postgres


def system(name: str = "crm", **settings: str) -> System:
    return System(name, 0, postgres(**settings), {})


def test_names_carry_the_projects_id_unless_the_files_give_others() -> None:
    assert names_of(system(), "ab12") == Followed("fieldwarden_ab12_crm", "fieldwarden_ab12_crm")
    assert names_of(system(slot="theirs"), "ab12") == Followed("theirs", "fieldwarden_ab12_crm")
    assert names_of(system(publication="theirs"), "ab12") == Followed("fieldwarden_ab12_crm", "theirs")


def test_long_names_stay_within_what_a_server_takes_and_apart() -> None:
    names = {names_of(system("s" * 47 + end), "abcdef12").slot for end in "xy"}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}
    assert all(is_ours(name, "abcdef12", None) for name in names)


def test_what_was_followed_before_there_were_ids_keeps_its_names() -> None:
    assert resolved(system(), Followed()) == Followed("fieldwarden_crm", "fieldwarden_crm")
    assert resolved(system(slot="s", publication="p"), Followed()) == Followed("s", "p")
    assert resolved(system(), Followed("s", "p")) == Followed("s", "p"), "noted names hold, whatever the files say now"


def test_only_a_slot_of_our_id_or_one_that_we_noted_is_ours() -> None:
    assert is_ours("fieldwarden_ab12_crm", "ab12", None)
    assert not is_ours("fieldwarden_cd34_crm", "ab12", None)
    assert not is_ours("fieldwarden_crm", "ab12", None)
    assert is_ours("named", "ab12", Followed("named", "p"))
    assert not is_ours("named", "ab12", Followed("other", "p"))


def test_marks_without_an_id_are_ours_only_by_a_slot_of_before() -> None:
    assert prefixes_of("ab12", Followed("s", "p")) == {"fieldwarden:ab12"}
    assert prefixes_of("ab12", Followed()) == {"fieldwarden:ab12", "fieldwarden"}
