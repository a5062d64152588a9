"""One batch of changes decided: identify, resolve and plan's marks, as values in and values out.

`Decider` is told everything it may need to know (`Known`, loaded by the pipeline in one transaction; its records
are taken over and changed) and gives back everything that must become durable together (`IngestOutcome`). No I/O, no
clock, no randomness of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from engine import failpoints
from engine.change import RowRef
from engine.course import Course, NewId
from engine.identity import MatchPair, match_pairs, possible_pairs
from engine.known import Known, Mapped, Tally
from engine.narrowing import Blamed
from engine.plan import TargetPlan
from engine.ports import IngestOutcome
from engine.reresolve import Reresolver
from engine.scope import scope_of
from rules.rulebook import Rulebook


class Decider:
    """Decides the changes of one system under one rulebook."""

    def __init__(
        self, rulebook: Rulebook, system: str, plans: Mapping[str, TargetPlan], *, ordered: bool = True
    ) -> None:
        self._reresolver = Reresolver(rulebook)
        self._scope = scope_of(rulebook, system, plans, ordered=ordered)

    def unknown(self, batch: Iterable[Mapped], known: Known) -> list[Mapped]:
        """Changes of rows that the crosswalk does not know and that may begin a record."""
        return [
            mapped
            for mapped in batch
            if (change := mapped.change) is not None
            and change.operation == "upsert"
            and change.row not in known.links
            and self._scope.streams[change.row.stream].parent is None
        ]

    def stated(self, unknown: Iterable[Mapped]) -> tuple[dict[str, list[MatchPair]], list[Mapped]]:
        """Their match pairs by entity, and those changes whose pairs hang on references yet to be translated."""
        pairs: dict[str, list[MatchPair]] = {}
        hanging = []
        for mapped in unknown:
            said = mapped.identifying
            assert said is not None, "only what can be mapped begins a record"
            if self._scope.matching_references[said.entity].isdisjoint(said.references):
                mapped.pairs = match_pairs(self._scope.entities[said.entity], said.fields)
                pairs.setdefault(said.entity, []).extend(mapped.pairs)
            else:
                mapped.pairs = None
                hanging.append(mapped)
        return pairs, hanging

    def hanging_pairs(self, mapped: Mapped, possible: Callable[[RowRef], Collection[str]]) -> list[MatchPair]:
        """The pairs that such a change may come to state, with all records that the rows it refers to may stand for."""
        said = mapped.identifying
        assert said is not None, "only what can be mapped begins a record"
        names = self._scope.matching_references[said.entity] & said.references.keys()
        records = {name: possible(said.references[name]) for name in sorted(names)}
        return possible_pairs(self._scope.entities[said.entity], said.fields, records)

    def decide(
        self,
        batch: Sequence[Mapped],
        known: Known,
        new_id: NewId,
        tally: Tally,
        now: int,
        tolerance: int,
        *,
        applying: bool = False,
    ) -> IngestOutcome:
        """`now` and `tolerance` in µs: a stated time further ahead than that is set aside. `applying`: records may have
        been resolved under former rules last.

        Raises Blamed for what one change met."""
        course = Course(self._scope, known, new_id, tally)
        if applying:
            course.resolve_again(self._reresolver)
        for mapped in batch:
            try:
                if mapped.change is not None:
                    failpoints.hit("ingest.deciding", mapped.row.key)
                course.take(mapped, now + tolerance)
            except Exception as error:
                raise Blamed(mapped) from error
        return course.finish()
