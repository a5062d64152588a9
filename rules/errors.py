"""The root of the one error tree, and the part of it that speaks of configuration.

    FieldwardenError
    ├── ConfigurationError        rules.errors    the files a person wrote are wrong; nothing was started
    ├── ValueRefused              rules.errors    a value cannot be carried exactly as the field's type
    └── EngineError …             engine.errors   drawn there

Every error says what happened, where, and what to do. No message carries a row's value or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FieldwardenError(Exception):
    """Anything Fieldwarden reports on purpose.

    `code` is stable and machine-readable, `suggestion` says what to do next, `path` where it happened.
    `exit_code` is what the CLI ends with: 1 run-time failure, 2 configuration, 3 environment.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, suggestion: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.path = path


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one configuration file: where it stands, what it is, what would mend it."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.suggestion})" if self.suggestion else text


class ConfigurationError(FieldwardenError):
    """Every problem found in the project's files, all at once, in file order."""

    code = "configuration"
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            suggestion=f"mend the {count} problem{'s' if count != 1 else ''} above and run `fieldwarden validate`",
            path=self.problems[0].file if self.problems else "",
        )


class ValueRefused(FieldwardenError):
    """A value that its field's type cannot carry exactly (bad data). The message never holds the value."""

    code = "value_refused"
