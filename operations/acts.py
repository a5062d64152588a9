"""What people do, as the ledger is told of it."""

from __future__ import annotations

from fieldwarden.engine.ledger.entries import Act
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.ingest.session import microseconds


def act(who: Principal, what: str, why: str = "", **details: str) -> Act:
    """What somebody does now; see `engine.ledger.entries.Act`."""
    return Act(what, who.name, why, microseconds(), details, who.known_by)
