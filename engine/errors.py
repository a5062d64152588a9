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
    """The root of what the engine itself can say went wrong."""

    code = "engine"


class TransientError(EngineError):
    """Try the same work again after a pause. Nothing was lost."""

    code = "transient"


class TargetBusy(TransientError):
    """The target asked for a pause of `retry_after` seconds before anything else is sent.

    >>> TargetBusy("crm is busy", retry_after=2.5).retry_after
    2.5
    """

    code = "target_busy"

    def __init__(self, message: str, *, retry_after: float, suggestion: str = "", path: str = "") -> None:
        super().__init__(message, suggestion=suggestion, path=path)
        self.retry_after = retry_after


class PartitionLost(TransientError):
    """Another worker reads this partition by now. Begin again with the partitions that are ours."""

    code = "partition_lost"


class IdentityMoved(TransientError):
    """Another record is, or may be, one that this batch looked for. Decide the batch again, with the records `also` at
    hand as well."""

    code = "identity_moved"

    def __init__(
        self, message: str, *, suggestion: str = "", path: str = "", also: frozenset[str] = frozenset()
    ) -> None:
        """`also`: records to have at hand when it is decided again."""
        super().__init__(message, suggestion=suggestion, path=path)
        self.also = also


class EnvironmentUnfit(EngineError):
    """A server, privilege or setting is missing. A person mends it; the command ends with exit code 3."""

    code = "environment"
    exit_code = 3


class SlotTaken(EnvironmentUnfit):
    """The slot that we would read by belongs to somebody else. Halt, and take nothing over."""

    code = "slot_taken"


class SourceGap(EngineError):
    """Changes between our position and the source's are gone. Only reading the rows again mends it."""

    code = "source_gap"

    def __init__(self, message: str, *, suggestion: str = "", path: str = "", safe: bool = False) -> None:
        """`safe`: it is the same system as before, so that all its rows may be read again without asking a person."""
        super().__init__(message, suggestion=suggestion, path=path)
        self.safe = safe


class SchemaDrift(EngineError):
    """A mapped column vanished or changed. Its stream stops until the mapping is mended."""

    code = "schema_drift"


class DecodeError(EngineError):
    """What came is not what the protocol allows and cannot be passed over. The source halts."""

    code = "decode"


class Fenced(EngineError):
    """Another worker took over this lane. Stop at once and acknowledge nothing."""

    code = "fenced"


class RulesChanged(Fenced):
    """Other rules are live by now. Decide the batch again by them."""

    code = "rules_changed"


class LedgerBroken(EngineError):
    """The ledger does not verify."""

    code = "ledger_broken"
