"""The engine's part of the error tree.

    FieldwardenError                      rules.errors
    ├── ConfigurationError                rules.errors   exit 2
    ├── ValueRefused                      rules.errors   bad data: dead letter
    └── EngineError
        ├── TransientError                try again with backoff; nothing was lost
        │   ├── TargetBusy                the target asked for a pause (`retry_after`, seconds)
        │   ├── PartitionLost             another worker reads this partition now: begin anew with those that are ours
        │   └── IdentityMoved             another record is or may be one that this batch looked for: decide it again
        ├── EnvironmentUnfit              a server, privilege or setting is missing; exit 3
        │   └── SlotTaken                 the slot that we would read by is another's: halt, and take nothing over
        ├── SourceGap                     changes between our position and the source's are gone: re-baseline
        ├── SchemaDrift                   a mapped column vanished or changed: that stream stops
        ├── DecodeError                   what came is not the protocol's, and cannot be passed over: it halts
        ├── Fenced                        another worker took over this lane: stop at once, acknowledge nothing
        │   └── RulesChanged              other rules are live by now: decide anew, by them
        └── LedgerBroken                  the ledger does not verify

Which of them is retried is decided in one table, `engine.running.retry`, not here. Anything else that escapes is a bug:
the process stops and nothing is acknowledged.
"""

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
