"""The rules in words, as they were when something was decided.

Ledger entries do not repeat the rule of each field: their block names its rulebook by hash, and the hub keeps every
rulebook it ever ran under, so the words are found again from there.
"""

from __future__ import annotations

import hashlib

from fieldwarden.engine.hub.reading import Connection
from fieldwarden.engine.ledger.entries import Decision, EntryBody
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.loading import load_rulebook_source
from fieldwarden.rules.rulebook import Rulebook


class FormerRules:
    """`current` is the rulebook at hand; older ones are read from the hub when first asked for."""

    def __init__(self, connection: Connection, current: Rulebook) -> None:
        self._connection = connection
        self._known: dict[str, Rulebook | None] = {current.hash: current}

    async def explained(self, body: EntryBody, rulebook: str) -> EntryBody:
        """The body with the rule of every decision in words. `rulebook`: the hash that its block names."""
        if all(decision.rule for decision in body.decisions):
            return body
        if rulebook not in self._known:
            self._known[rulebook] = await self._load(rulebook)
        rules = self._known[rulebook]
        body.decisions = [
            each if each.rule else each._replace(rule=_words(rules, body.entity, each, rulebook))
            for each in body.decisions
        ]
        return body

    async def _load(self, rulebook: str) -> Rulebook | None:
        """None where the hub does not have it, or only one altered since, or one that can no longer be read."""
        cursor = await self._connection.execute("select body from rulebook where hash = %s", [rulebook])
        row = await cursor.fetchone()
        if row is None:
            return None
        try:
            loaded = load_rulebook_source(row[0])
        except (ConfigurationError, ValueError, LookupError):
            return None
        # Before, the hash was one of the whole text.
        whole = hashlib.sha256(row[0].encode()).hexdigest()
        return loaded if rulebook in (loaded.hash, whole) else None


def _words(rules: Rulebook | None, entity: str, decision: Decision, rulebook: str) -> str:
    known = rules.entities.get(entity) if rules is not None else None
    unit = known.unit_of.get(decision.field) if known is not None else None
    return unit.policy.sentence if unit is not None else f"rulebook {rulebook[:12]}"
