"""The one table of the kinds of connector: those that are built in, and those that installed packages bring.

A package brings a kind by an entry point in the group `fieldwarden.connectors`, whose name is the kind's and whose
object is an `engine.ports.kinds.Kind`, or a class of one that needs no arguments (docs/connectors.md). It is imported
only when a project names the kind: what is broken and not used breaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from fieldwarden.engine.ports.kinds import Kind
from fieldwarden.operations.kinds.debezium import DebeziumKind
from fieldwarden.operations.kinds.postgres import PostgresKind
from fieldwarden.operations.kinds.rest import RestKind
from fieldwarden.operations.kinds.salesforce import SalesforceKind
from fieldwarden.rules.kinds import KindUnusable
from fieldwarden.rules.settings import Settings

GROUP = "fieldwarden.connectors"
AnyKind: TypeAlias = Kind[Any]

_BUILT_IN: Mapping[str, AnyKind] = {
    "postgres": PostgresKind(),
    "debezium": DebeziumKind(),
    "salesforce": SalesforceKind(),
    "rest": RestKind(),
}


class Table(Mapping[str, AnyKind]):
    """The kinds by name. A name is looked for among the installed packages only where it is not built in; those of
    packages cannot take a built-in one's place."""

    def __getitem__(self, name: str) -> AnyKind:
        """Raises KeyError for a kind that is not there, KindUnusable for one that cannot be used."""
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        found = entry_points(group=GROUP, name=name)
        if not found:
            raise KeyError(name)
        return _loaded(name, *found)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*_BUILT_IN, *sorted(entry_points(group=GROUP).names)]))

    def __len__(self) -> int:
        return len(list(iter(self)))


KINDS = Table()


def _loaded(name: str, entry: EntryPoint, *others: EntryPoint) -> AnyKind:
    owner = _distribution(entry)
    if others:
        owners = ", ".join(sorted({owner, *map(_distribution, others)}))
        raise KindUnusable(
            f"the kind {name!r} is brought by several packages: {owners}", suggestion="uninstall all but one"
        )
    try:
        found = entry.load()
        kind: AnyKind = found() if isinstance(found, type) else found
        settings: Any = kind.settings
    except (Exception, SystemExit) as error:  # a package of somebody else's may raise anything while it is imported
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise KindUnusable(
            f"the kind {name!r} cannot be used: importing {entry.value} of the package {owner} fails with {what}",
            suggestion=f"mend or upgrade {owner}, or uninstall it and take its systems out of the project",
        ) from error
    if not (isinstance(settings, type) and issubclass(settings, Settings)):
        raise KindUnusable(
            f"the kind {name!r} cannot be used: the settings that {entry.value} of the package {owner} gives are no "
            "model made from fieldwarden.rules.settings.Settings",
            suggestion=f"upgrade {owner} to a version for this fieldwarden",
        )
    return kind


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "(unknown)"
