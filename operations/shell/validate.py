"""`fieldwarden validate`: are all files of the project right? No system is asked; `doctor` does that."""

from __future__ import annotations

from pathlib import Path

from fieldwarden.operations.project import find, load
from fieldwarden.operations.shell.report import Failure, Report
from fieldwarden.operations.words import count
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.loading import Project


def validate(folder: Path | None) -> Report:
    """Every problem at once, or what was checked. Raises NoProject."""
    place = find(folder)
    try:
        project = load(place)
    except ConfigurationError as error:
        return _problems(place, error)
    return _right(project)


def _problems(folder: Path, error: ConfigurationError) -> Report:
    found = [
        {"file": p.file, "line": p.line, "column": p.column, "message": p.message, "suggestion": p.suggestion}
        for p in error.problems
    ]
    failure = Failure.of(error)
    headline = f"{count(len(found), 'problem')} in {folder}"
    shown = Failure(failure.code, f"{headline}\n{failure.message}", failure.suggestion, failure.path)
    return Report({"folder": str(folder), "problems": found}, failure=shown, exit_code=error.exit_code)


def _right(project: Project) -> Report:
    rulebook = project.rulebook
    fields = sum(len(entity.fields) for entity in rulebook.entities.values())
    policies = [unit.policy for entity in rulebook.entities.values() for unit in entity.units for _ in unit.fields]
    result = {
        "folder": str(project.folder),
        "rulebook": rulebook.hash,
        "entities": len(rulebook.entities),
        "fields": fields,
        "owned": sum(policy.owner is not None for policy in policies),
        "protected": sum(policy.protected for policy in policies),
        "systems": len(rulebook.systems),
        "streams": sum(len(system.streams) for system in rulebook.systems.values()),
        "owners": sorted({policy.owner for policy in policies if policy.owner is not None}),
        "warnings": [str(warning) for warning in project.warnings],
        "remarks": [str(remark) for remark in project.remarks],
    }
    text = (
        f"ok: {count(len(rulebook.entities), 'entity', 'entities')} with {count(fields, 'field')}"
        f" ({result['owned']} owned, {result['protected']} protected),"
        f" {count(len(rulebook.systems), 'system')} with {count(int(str(result['streams'])), 'stream')};"
        f" owners: {', '.join(result['owners']) or 'none'}\n"  # type: ignore[arg-type]
        f"rulebook {rulebook.hash[:12]}"
    )
    notes = [f"warning: {warning}" for warning in project.warnings] + list(map(str, project.remarks))
    return Report(result, text, notes=notes)
