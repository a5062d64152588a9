"""The vendors that are described: a file each, the project's own in its `vendors/`, ours beside this room."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from fieldwarden.connectors.rest.checks import vendor_problems
from fieldwarden.connectors.rest.description import Vendor
from fieldwarden.rules.documents import Document, read_yaml
from fieldwarden.rules.errors import ConfigurationError, Problem
from fieldwarden.rules.wording import validate

SHIPPED = Path(__file__).parent.parent / "vendors"


def described(document: Document) -> tuple[Vendor | None, list[Problem]]:
    """What a vendor's file says, and everything that is wrong with it: a vendor only if that is nothing."""
    vendor, problems = validate(Vendor, document)
    if vendor is not None and not problems:
        problems = vendor_problems(vendor, document)
    return (vendor if not problems else None), problems


def shipped() -> list[str]:
    """The names of the vendors that come with Fieldwarden."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def shipped_vendor(name: str) -> Vendor | None:
    """One of them; None: there is none of that name. Files of ours are without problems."""
    return _read(SHIPPED / f"{name}.yaml") if name in shipped() else None


@lru_cache(maxsize=64)
def _read(path: Path) -> Vendor:
    return vendor_in(path.name, path.read_bytes())


def vendor_in(file: str, content: bytes) -> Vendor:
    """The vendor that a file describes. Raises ConfigurationError with everything that is wrong with it."""
    document, problems = read_yaml(file, content)
    vendor = None
    if document is not None and not problems:
        vendor, problems = described(document)
    if vendor is None:
        raise ConfigurationError(problems)
    return vendor


def vendor_of(name: str, own: Mapping[str, Document]) -> tuple[Vendor | None, list[Problem]]:
    """The vendor that a system names: the project's own before ours. None: there is none, or its file has problems."""
    if name in own:
        return described(own[name])
    return shipped_vendor(name), []
