"""What the checks collect."""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldwarden.rules.documents import Document
from fieldwarden.rules.errors import Problem


@dataclass
class CheckResults:
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    """What is as the files want it, and may surprise."""


@dataclass(frozen=True)
class Page:
    """One file's place in the findings: problems are said by path."""

    document: Document
    findings: CheckResults

    def error(self, path: tuple[str | int, ...], message: str, suggestion: str = "") -> None:
        self.findings.errors.append(self.document.at(*path).problem(message, suggestion))

    def error_at_key(self, path: tuple[str | int, ...], message: str, suggestion: str = "") -> None:
        self.findings.errors.append(self.document.key_at(*path).problem(message, suggestion))

    def warning(self, path: tuple[str | int, ...], message: str, suggestion: str = "") -> None:
        self.findings.warnings.append(self.document.key_at(*path).problem(message, suggestion))

    def remark(self, path: tuple[str | int, ...], message: str) -> None:
        self.findings.remarks.append(self.document.key_at(*path).problem(message, ""))
