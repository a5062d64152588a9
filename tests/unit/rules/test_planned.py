"""Systems that the rules name and that are not connected yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.rules.changes import compare
from fieldwarden.rules.loading import Project, load_rulebook_source
from tests.unit.rules.projects import FILES, MARK, load, said, write

TOP, BILLING, CUSTOMER = "fieldwarden.yaml", "systems/billing.yaml", "entities/customer.yaml"
SYSTEMS = "systems: [erp, billing, crm]"


def staged(folder: Path, **changed: str) -> Project:
    """The project without billing, which its rules name all over, as planned."""
    files = {name: text for name, text in FILES.items() if name != BILLING} | changed
    files[TOP] = FILES[TOP].replace(SYSTEMS, "systems: [erp, crm]\nplanned: [billing]")
    return load(write(folder, files))


def test_what_the_rules_say_of_a_planned_system_is_one_warning_and_no_error(tmp_path: Path) -> None:
    project = staged(tmp_path)
    assert set(project.rulebook.systems) == {"erp", "crm"}
    [warning] = project.warnings
    assert (warning.file, warning.line) == (TOP, 3)
    assert "not connected yet" in warning.message
    assert "billing" in warning.message


def test_a_planned_systems_file_may_be_there_and_unfinished(tmp_path: Path) -> None:
    project = staged(tmp_path, **{BILLING: "system: billing\nstreams: later\n"})
    assert set(project.rulebook.systems) == {"erp", "crm"}


def test_a_planned_system_takes_no_part(tmp_path: Path) -> None:
    units = staged(tmp_path).rulebook.entities["customer"].unit_of
    assert units["email"].policy.order == ("crm",)
    assert "billing" not in units["tax_id"].policy.order


def test_what_a_planned_system_owns_the_others_supply_and_nothing_is_refused(tmp_path: Path) -> None:
    owned = FILES[CUSTOMER].replace(
        "tax_id: {type: text}", "tax_id: {type: text, owner: billing, protected: true, seed_from: [crm]}"
    )
    policy = staged(tmp_path, **{CUSTOMER: owned}).rulebook.entities["customer"].unit_of["tax_id"].policy
    assert (policy.owner, policy.protected, policy.order) == ("billing", False, ("crm", "erp"))
    assert policy.sentence == "owner billing (planned; until then crm > erp)"


def test_a_system_that_is_planned_no_more_comes_like_any_other(tmp_path: Path) -> None:
    before, now = staged(tmp_path / "before").rulebook, load(write(tmp_path / "now")).rulebook
    found = compare(before, now)
    assert "system billing" in found.came
    assert {each.system for each in found.reading} == {"billing"}
    assert before.hash != now.hash


def test_a_staged_rulebook_comes_back_whole_from_its_source(tmp_path: Path) -> None:
    rulebook = staged(tmp_path).rulebook
    assert load_rulebook_source(rulebook.source) == rulebook


@pytest.mark.parametrize(
    ("names", "wrong"),
    [("▸crm", "system 'crm' is listed twice"), ("billing, ▸billing", "system 'billing' is listed twice")],
)
def test_a_system_is_connected_or_planned_once(tmp_path: Path, names: str, wrong: str) -> None:
    top = FILES[TOP].replace(SYSTEMS, f"systems: [erp, crm]\nplanned: [{names.replace(MARK, '')}]")
    files = {name: text for name, text in FILES.items() if name != BILLING}
    assert any(problem.message == wrong and problem.line == 3 for problem in said(tmp_path, {**files, TOP: top}))
