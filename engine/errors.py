"""The errors that all rooms of the engine know; the whole tree is drawn in `rules.errors`."""

from __future__ import annotations

from fieldwarden.rules.errors import ConfigurationError, FieldwardenError, Problem, ValueRefused

__all__ = [
    "ConfigurationError",
    "DecodeError",
    "EngineError",
    "EnvironmentUnfit",
    "Fenced",
    "FieldwardenError",
    "IdentityMoved",
    "LedgerBroken",
    "PartitionLost",
    "Problem",
    "RulesChanged",
    "SchemaDrift",
    "SlotTaken",
    "SourceGap",
    "TargetBusy",
    "TransientError",
    "ValueRefused",
]


class EngineError(FieldwardenError):
    code = "engine"


class TransientError(EngineError):
    code = "transient"


class TargetBusy(TransientError):
    code = "target_busy"

    def __init__(self, message: str, *, retry_after: float, suggestion: str = "", path: str = "") -> None:
        super().__init__(message, suggestion=suggestion, path=path)
        self.retry_after = retry_after


class PartitionLost(TransientError):
    code = "partition_lost"


class IdentityMoved(TransientError):
    code = "identity_moved"

    def __init__(
        self, message: str, *, suggestion: str = "", path: str = "", also: frozenset[str] = frozenset()
    ) -> None:
        """`also`: records to have at hand when it is decided again."""
        super().__init__(message, suggestion=suggestion, path=path)
        self.also = also


class EnvironmentUnfit(EngineError):
    code = "environment"
    exit_code = 3


class SlotTaken(EnvironmentUnfit):
    code = "slot_taken"


class SourceGap(EngineError):
    code = "source_gap"


class SchemaDrift(EngineError):
    code = "schema_drift"


class DecodeError(EngineError):
    code = "decode"


class Fenced(EngineError):
    code = "fenced"


class RulesChanged(Fenced):
    code = "rules_changed"


class LedgerBroken(EngineError):
    code = "ledger_broken"
