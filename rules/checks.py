"""What must hold between the files of a project."""

from __future__ import annotations

from dataclasses import dataclass, field

from rules.errors import Problem
from rules.files import Files


@dataclass
class Findings:
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def check(files: Files) -> Findings:
    return Findings()
