"""One batch of changes decided: identify, resolve and plan's marks, as values in and values out.

`Decider` is told everything it may need to know (`Known`, loaded by the pipeline in one transaction; its records
are taken over and changed) and gives back everything that must become durable together (`IngestOutcome`). No I/O, no
clock, no randomness of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine import failpoints
from engine.course import Course, NewId
from engine.identity import MatchPair, match_pairs
from engine.known import Known, Mapped, Tally
from engine.narrowing import Blamed
from engine.plan import TargetPlan
from engine.ports import IngestOutcome
from engine.scope import scope_of
from rules.rulebook import Rulebook


class Decider:
    """Decides the changes of one system under one rulebook."""

    def __init__(
        self, rulebook: Rulebook, system: str, plans: Mapping[str, TargetPlan], *, ordered: bool = True
    ) -> None:
        self._scope = scope_of(rulebook, system, plans, ordered=ordered)

    def unknown(self, batch: Iterable[Mapped], known: Known) -> dict[str, list[MatchPair]]:
        """Rows that the crosswalk does not know and that may begin a record: their match pairs by entity."""
        pairs: dict[str, list[MatchPair]] = {}
        for mapped in batch:
            change = mapped.change
            if change is None or change.operation != "upsert" or change.row in known.links:
                continue
            if self._scope.streams[change.row.stream].parent is None:
                entity = self._scope.entities[change.entity]
                stated = match_pairs(entity, mapped.identified_by or change.fields)
                mapped.pairs = None if change.references else stated
                pairs.setdefault(change.entity, []).extend(stated)
        return pairs

    def decide(
        self, batch: Sequence[Mapped], known: Known, new_id: NewId, tally: Tally, now: int, tolerance: int
    ) -> IngestOutcome:
        """`now` and `tolerance` in µs: a stated time further ahead than that is set aside.

        Raises Blamed for what one change met."""
        course = Course(self._scope, known, new_id, tally)
        for mapped in batch:
            try:
                if mapped.change is not None:
                    failpoints.hit("ingest.deciding", mapped.row.key)
                course.take(mapped, now + tolerance)
            except Exception as error:
                raise Blamed(mapped) from error
        return course.finish()
