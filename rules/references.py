"""Secrets are references (`${env:NAME}`, `${file:path}`, `${embedded:NAME}`), followed when a connection is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.secret import Secret, Secretive, revealed
from fieldwarden.rules.wording import closest

_REFERENCE = re.compile(r"\$\{(?:(?P<kind>[a-z]+):)?(?P<name>[^{}]*)\}")
_SHOWN = re.compile(r"\$\{[a-z]+:[\w./-]*\}")
_PASSWORD = re.compile(
    r"(?:^|[\s?&])(?:password|sslpassword|oauth_client_secret|scram_(?:client|server)_key)\s*=\s*(?!'')[^\s&]"
    r"|://[^/@\s:]*:(?!\d*[/?])[^@]+@",
    re.IGNORECASE,
)
"""A password in a connection string from which the references were taken out."""


class ReferenceUnresolved(FieldwardenError):
    """A secret's reference points at nothing. The message names the reference, never a value."""

    code = "reference_unresolved"
    exit_code = 3


def resolve_reference(
    text: str,
    environment: Mapping[str, str],
    embedded: Callable[[str], Secretive] | None,
    *,
    folder: Path | None = None,
) -> Secret:
    """`text` with `${env:NAME}`, `${file:path}` (relative to `folder`) and `${embedded:NAME}` replaced.

    Whatever a reference points at may be a secret, so all of it is one. Raises ReferenceUnresolved."""
    return Secret(resolved_text(text, environment, embedded, folder=folder))


def resolved_text(
    text: str,
    environment: Mapping[str, str],
    embedded: Callable[[str], Secretive] | None = None,
    *,
    folder: Path | None = None,
) -> str:
    """The same of what is shown in messages (an address, a user, a file's name), and so must be no secret."""

    def value(match: re.Match[str]) -> str:
        kind, name = match["kind"], match["name"]
        if kind == "env":
            if name not in environment:
                raise ReferenceUnresolved(f"environment variable {name} is not set", suggestion=f"set {name}")
            return environment[name]
        if kind == "file":
            return _secret_file(folder / name if folder else Path(name))
        if kind == "embedded":
            if embedded is None:
                raise ReferenceUnresolved(f"embedded database {name} cannot be reached from here")
            return revealed(embedded(name))
        raise ReferenceUnresolved("a reference is ${env:NAME}, ${file:path} or ${embedded:NAME}")

    return _REFERENCE.sub(value, text)


def _secret_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ReferenceUnresolved(f"file {path} cannot be read: {reason}", path=str(path)) from None


def without_references(text: str) -> str:
    """`text` with every `${...}` taken out: the same, where all of it stands there in the open."""
    return _REFERENCE.sub("", text)


def embedded_in(text: str) -> list[str]:
    """The databases of the embedded server that a text refers to."""
    return [match["name"] for match in _REFERENCE.finditer(text) if match["kind"] == "embedded"]


def holds_login(url: str) -> bool:
    """Whether an address names a user in front of its host, with or without a password, spelled out or referred to.

    Any `@` counts: a password may hold what would end it."""
    return "@" in without_references(url)


def secret_problems(text: str) -> list[tuple[str, str]]:
    """(message, suggestion) of what is wrong with a text that is a secret as a whole."""
    found = reference_problems(text, {})
    if not found and without_references(text) == text:
        found = [("a secret stands here in the open", "write ${env:NAME} or ${file:path} instead")]
    return found


def holds_password(text: str) -> bool:
    """Whether a connection string has its password in the open."""
    return _PASSWORD.search(without_references(text)) is not None


def reference_problems(text: str, databases: Mapping[str, object]) -> list[tuple[str, str]]:
    """(message, suggestion) of everything wrong with the references of one text, and of a password in the open."""
    found: list[tuple[str, str]] = []
    if holds_password(text):
        found.append(("a password stands here in the open", "write ${env:NAME} or ${file:path} instead"))
    for match in _REFERENCE.finditer(text):
        kind, name = match["kind"], match["name"]
        if kind not in ("env", "file", "embedded") or not name:
            suggestion = "a reference is ${env:NAME}, ${file:path} or ${embedded:NAME}"
            shown = f"{match[0]!r}" if _SHOWN.fullmatch(match[0]) else "what stands here in ${...}"  # a password may
            found.append((f"{shown} is not a reference", suggestion))
        elif kind == "embedded" and name not in databases:
            suggestion = closest(name, databases, "list it under embedded: databases: in fieldwarden.yaml")
            found.append((f"{name!r} is not an embedded database of this project", suggestion))
    if "${" in _REFERENCE.sub("", text):
        found.append(("a reference is not closed", "write ${env:NAME}"))
    return found
