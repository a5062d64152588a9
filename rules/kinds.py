"""What the rules ask of a kind of connector: which model its settings have, and what `validate` says of its systems.

How systems of a kind are read and written is none of the rules' concern (`engine.ports.kinds`). Whoever loads files
hands over the kinds that there are, as a mapping by name; looking one up may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fieldwarden.rules.connections import DebeziumConnector, PostgresConnector
from fieldwarden.rules.debezium_checks import check_debezium
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.files import Files
from fieldwarden.rules.findings import CheckResults
from fieldwarden.rules.salesforce import SalesforceConnector, check_salesforce
from fieldwarden.rules.settings import Settings


class KindUnusable(FieldwardenError):
    """A kind of connector is installed, and cannot be used."""

    code = "kind_unusable"
    exit_code = 2


class RulesOfKind(Protocol):
    """The part of a kind that files can be checked with."""

    @property
    def settings(self) -> type[Settings]:
        """The model of what stands under `connector:`, in which `kind` is the literal that files write."""

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        """Add what is wrong with these systems, all of this kind, beyond the shape of each one's settings.

        Every file has its shape by now; names that mean nothing have been said. `rules.findings.Page` gives places."""


Kinds: TypeAlias = Mapping[str, RulesOfKind]
"""The kinds that there are. Looking one up raises KeyError for one that is not there, KindUnusable for one that is
installed and cannot be imported."""


@dataclass(frozen=True, slots=True)
class _PostgresRules:
    settings: type[Settings] = PostgresConnector

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        """Nothing: what else may be wrong only the server knows."""


@dataclass(frozen=True, slots=True)
class _DebeziumRules:
    settings: type[Settings] = DebeziumConnector

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        check_debezium(files, systems, findings)


@dataclass(frozen=True, slots=True)
class _SalesforceRules:
    settings: type[Settings] = SalesforceConnector

    def check(self, files: Files, systems: Sequence[str], findings: CheckResults) -> None:
        check_salesforce(files, systems, findings)


POSTGRES: RulesOfKind = _PostgresRules()
DEBEZIUM: RulesOfKind = _DebeziumRules()
SALESFORCE: RulesOfKind = _SalesforceRules()
BUILT_IN: Kinds = {"postgres": POSTGRES, "debezium": DEBEZIUM, "salesforce": SALESFORCE}
