"""Secrets are references in the files and become values only here, at the moment of connecting.

    ${env:NAME}        an environment variable
    ${file:path}       a file's text without its last line break; a relative path starts at the project's folder
    ${embedded:NAME}   the connection string of a database in the project's embedded PostgreSQL

What comes out is never logged, shown, or put into a message: messages name the reference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from rules.errors import FieldwardenError

REFERENCE = re.compile(r"\$\{([^:{}]*):([^{}]*)\}")


class SecretMissing(FieldwardenError):
    """A reference that leads nowhere: the configuration cannot be used as it is."""

    code = "secret_missing"
    exit_code = 2


def embedded_names(text: str) -> list[str]:
    """The embedded databases that a setting refers to."""
    return [name for kind, name in REFERENCE.findall(text) if kind == "embedded"]


def resolve(text: str, folder: Path, embedded: Callable[[str], str], where: str) -> str:
    """The setting with its references replaced. `where` is the setting's place in the files, for messages.

    Raises SecretMissing."""

    def value(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "embedded":
            return embedded(name)
        if kind == "env":
            if found := os.environ.get(name):
                return found
            raise SecretMissing(
                f"the environment variable {name} is not set, and {where or 'a setting'} refers to it",
                suggestion=f"export {name}=...",
                path=where,
            )
        return _read(folder / name, where)

    return REFERENCE.sub(value, text)


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SecretMissing(
            f"the file {path} cannot be read ({reason}), and {where or 'a setting'} refers to it",
            suggestion="make the file, readable by whoever runs fieldwarden",
            path=where,
        ) from error
