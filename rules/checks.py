"""What must hold between the files of a project: every name means something, and every rule can be kept.

Errors stop everything; warnings name what is allowed but idle (a field that nobody maps, a system listed for a
field that it does not have). What only the live system knows, such as whether a column exists, its connector checks.
"""

from __future__ import annotations

from fieldwarden.rules.documents import FilePosition
from fieldwarden.rules.entity_checks import EntityCheck
from fieldwarden.rules.files import Files, place
from fieldwarden.rules.findings import CheckResults
from fieldwarden.rules.kinds import Kinds
from fieldwarden.rules.protecting import Conflict, Named, Use, conflicts
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.settings import UnknownSettings
from fieldwarden.rules.stream_checks import SystemCheck

__all__ = ["CheckResults", "check", "check_protecting", "told", "where"]


def check(files: Files, kinds: Kinds) -> CheckResults:
    """Every problem between the files, with its place. `kinds` has every kind that a file names."""
    findings = CheckResults()
    for name in files.entities:
        EntityCheck(files, name, findings).run()
    for name in files.systems:
        SystemCheck(files, name, findings).run()
    of_kind: dict[str, list[str]] = {}
    for name in files.ranked():
        connector = files.systems[name].model.connector
        if not isinstance(connector, UnknownSettings):
            of_kind.setdefault(connector.kind, []).append(name)
    for kind, names in of_kind.items():
        kinds[kind].check(files, names, findings)
    return findings


def check_protecting(files: Files, rulebook: Rulebook) -> CheckResults:
    """That no stream writes a column which a protected field of its owner is read from, by their names; what is one
    column only if the case of names is nothing, as where they are not quoted, is a warning."""
    findings = CheckResults()
    exact, folded = Named(rulebook), Named(rulebook, fold=True)
    found = list(conflicts(rulebook, exact, exact))
    for conflict in found:
        problem = where(files, conflict.write).problem(told(files, conflict), conflict.suggestion)
        (findings.errors if conflict.protected else findings.warnings).append(problem)
    for conflict in conflicts(rulebook, folded, folded):
        if conflict not in found:
            message = f"{told(files, conflict)}, if the two differ in nothing but the case of their names"
            hint = "names are taken exactly as they are written: spell both as the database does"
            findings.warnings.append(where(files, conflict.write).problem(message, hint))
    return findings


def where(files: Files, use: Use) -> FilePosition:
    """Where a file says that a column is written or read."""
    field, part = (None, use.what) if use.part else (use.what, None)
    return place(files, use.system, use.stream, field, part)


def told(files: Files, conflict: Conflict) -> str:
    """A conflict in words, with the place of its other side."""
    return f"{conflict.message} ({where(files, conflict.read)})"
