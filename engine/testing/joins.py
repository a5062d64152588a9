"""Which records became which, and which may be one, in the hub in memory."""

from __future__ import annotations

from fieldwarden.engine.ports.durable import AlikePair, IngestOutcome
from fieldwarden.engine.ports.hub import MANY_ALIKE
from fieldwarden.engine.testing.tables import Dirty


class MemoryJoins:
    found: dict[tuple[str, str, str], set[str]]
    match_keys: dict[str, tuple[str, list[tuple[str, str]]]]
    dirty: dict[tuple[str, str], Dirty]

    def __init__(self) -> None:
        super().__init__()
        self.joined: dict[str, str] = {}
        self.apart: set[frozenset[str]] = set()
        self.considered: set[tuple[str, str, str, str]] = set()
        self.to_follow: set[str] = set()

    async def alike(self, limit: int) -> list[AlikePair]:
        pairs = [
            (pair, tuple(sorted(ids)))
            for pair, ids in sorted(self.found.items())
            if len(ids) > 1 and any((*pair, id) not in self.considered for id in ids)
        ]
        return [AlikePair(*pair, ids[: MANY_ALIKE + 1]) for pair, ids in pairs[:limit]]

    async def following(self, limit: int) -> list[str]:
        return sorted(self.to_follow)[:limit]

    def now(self, id: str) -> str:
        """The record that this one is by now."""
        return self.joined.get(id, id)

    def _join(self, outcome: IngestOutcome) -> None:
        self.to_follow.difference_update(outcome.followed)
        for each in outcome.joined:
            for entity, key, text, first in each.named_in:
                for (owner, name, value), ids in self.found.items():
                    if (owner, name) == (entity, key) and (value.startswith(text) if first else text in value):
                        self.to_follow |= ids
            self.joined = {old: each.survivor if new == each.absorbed else new for old, new in self.joined.items()}
            self.joined[each.absorbed] = each.survivor
            for pair in [pair for pair in self.apart if each.absorbed in pair]:
                (other,) = pair - {each.absorbed}
                if other != each.survivor:
                    self.apart.add(frozenset({other, each.survivor}))
            for dirty in self.dirty.values():
                if dirty.awaits == each.absorbed:
                    dirty.status, dirty.awaits, dirty.due = "due", None, 0
        self.considered = {known for known in self.considered if known[3] not in outcome.match_keys}
        for seen in outcome.considered:
            self.considered.update((seen.entity, seen.key, seen.value, id) for id in seen.records)
