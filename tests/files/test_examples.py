"""The example projects: each is valid as a user gets it, and what is built on another holds only what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.operations import examples
from fieldwarden.operations.demo.project import steps, system_of
from fieldwarden.operations.demo.proof import read_shared
from fieldwarden.operations.shell.validate import validate
from fieldwarden.rules.loading import load_project

ROOT = Path(__file__).resolve().parents[2] / "examples"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", examples.names())
def test_it_is_valid_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    examples.lay_out(name, tmp_path)
    assert validate(tmp_path).exit_code == 0
    assert (tmp_path / "README.md").exists()
    assert not (tmp_path / "based-on").exists()


def test_on_kafka_only_the_way_in_is_another(tmp_path: Path) -> None:
    direct, kafka = tmp_path / "direct", tmp_path / "kafka"
    examples.lay_out("quote-to-cash", direct)
    examples.lay_out("quote-to-cash-kafka", kafka)
    before, after = files(direct), files(kafka)
    assert {name for name in before | after if before.get(name) != after.get(name)} == {
        "README.md",
        "fieldwarden.yaml",
        "systems/billing.yaml",
        "systems/crm.yaml",
        "systems/erp.yaml",
    }
    ours, theirs = load_project(kafka).rulebook, load_project(direct).rulebook
    assert ours.entities == theirs.entities
    assert {name: system.kind for name, system in ours.systems.items()} == {
        "erp": "postgres",
        "billing": "debezium",
        "crm": "debezium",
    }
    for name, system in ours.systems.items():
        assert system.streams == theirs.systems[name].streams


def test_what_is_the_same_is_in_the_repository_once() -> None:
    base = (ROOT / "quote-to-cash-kafka" / "based-on").read_text("utf-8").strip()
    same = set(files(ROOT / base).values()) & set(files(ROOT / "quote-to-cash-kafka").values())
    assert same == set()


@pytest.mark.parametrize("name", ["quote-to-cash", "normalised-erp"])
def test_its_edits_and_its_proof_are_about_its_systems(name: str) -> None:
    folder = ROOT / name
    project = load_project(folder)
    systems, entities = set(project.rulebook.systems), project.rulebook.entities
    assert project.warnings == ()
    assert {system_of(path) for step in steps(folder) for path in step} <= systems
    assert {path.stem for path in (folder / "proof").glob("*.sql")} == systems
    assert {system for held in read_shared(folder / "proof/shared.csv").values() for system in held} == systems
    fields = {name for entity in entities.values() for name in entity.fields}
    assert {field for _, field in read_shared(folder / "proof/shared.csv")} <= fields
