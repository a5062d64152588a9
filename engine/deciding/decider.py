"""One batch of changes decided: identify, resolve and plan's marks, as values in and values out.

`Decider` is told everything it may need to know (`Known`, loaded by the pipeline in one transaction; its records
are taken over and changed) and gives back everything that must become durable together (`IngestOutcome`). No I/O, no
clock, no randomness of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fieldwarden.engine import failpoints
from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.deciding.batch import BatchInHand, NewId
from fieldwarden.engine.deciding.identity import MatchPair, match_pairs, possible_pairs, record_pairs
from fieldwarden.engine.deciding.known import Known, Mapped, Tally
from fieldwarden.engine.deciding.narrowing import Blamed
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.scope import scope_of
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.rules.rulebook import Rulebook


class Decider:
    """Decides the changes of one system under one rulebook."""

    def __init__(
        self, rulebook: Rulebook, system: str, plans: Mapping[str, TargetPlan], *, ordered: bool = True
    ) -> None:
        self._reresolver = Reresolver(rulebook)
        self.scope = scope_of(rulebook, system, plans, ordered=ordered)
        self._stating = {
            stream.name
            for stream in rulebook.systems[system].streams.values()
            if stream.parent is not None
            and any(name in stream.fields for key in rulebook.entities[stream.entity].match for name in key.fields)
        }
        """Streams of child rows that state something of a match key."""
        self.assembles = bool(self._stating)
        """Of half a transaction it is not known yet which records its root rows are: nothing may be delivered until it
        is."""

    def unknown(self, batch: Iterable[Mapped], known: Known) -> list[Mapped]:
        """Of a batch, the changes of root rows that the crosswalk does not know: they may begin a record."""
        return [
            mapped
            for mapped in batch
            if (change := mapped.change) is not None
            and change.operation == "upsert"
            and change.row not in known.links
            and self.scope.streams[change.row.stream].parent is None
        ]

    def assembled(self, batch: Iterable[Mapped]) -> dict[RowRef, dict[str, Value]]:
        """What child rows of a batch state of match keys, by the root row that they hang below."""
        found: dict[RowRef, dict[str, Value]] = {}
        for mapped in batch if self._stating else ():
            change = mapped.change
            if change is not None and change.parent is not None and change.row.stream in self._stating:
                found.setdefault(change.parent, {}).update(change.fields)
        return found

    def stated(self, unknown: Iterable[Mapped], known: Known) -> tuple[dict[str, list[MatchPair]], list[Mapped]]:
        """The match pairs that these changes state, by entity, with what child rows of theirs in the batch state; and
        those changes whose pairs hang on references that are yet to be translated. `mapped.pairs` is set for all."""
        pairs: dict[str, list[MatchPair]] = {}
        children = known.children
        hanging = []
        for mapped in unknown:
            said = mapped.identifying
            assert said is not None, "only what can be mapped begins a record"
            if self.scope.matching_references[said.entity].isdisjoint(said.references):
                fields = children[said.row] | said.fields if said.row in children else said.fields
                mapped.pairs = match_pairs(self.scope.entities[said.entity], fields)
                pairs.setdefault(said.entity, []).extend(mapped.pairs)
            else:
                mapped.pairs = None
                hanging.append(mapped)
        return pairs, hanging

    def pairs_of(self, known: Known, ids: Collection[str]) -> dict[str, list[MatchPair]]:
        """By entity, the match pairs by which these records can be found. Records that are not at hand are passed
        over."""
        pairs: dict[str, list[MatchPair]] = {}
        for id in sorted(ids):
            if (record := known.records.get(id)) is not None and (entity := self.scope.entities.get(record.entity)):
                pairs.setdefault(entity.name, []).extend(record_pairs(entity, record))
        return pairs

    def hanging_pairs(self, mapped: Mapped, possible: Callable[[RowRef], Collection[str]]) -> list[MatchPair]:
        """The pairs that a hanging change (`stated`) may come to state, with all records that the rows it refers to may
        stand for."""
        said = mapped.identifying
        assert said is not None, "only what can be mapped begins a record"
        names = self.scope.matching_references[said.entity] & said.references.keys()
        records = {name: possible(said.references[name]) for name in sorted(names)}
        return possible_pairs(self.scope.entities[said.entity], said.fields, records)

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
        alike: Sequence[Collection[str]] = (),
    ) -> IngestOutcome:
        """Decide the batch in its order. `known` and its records are taken over and changed; what comes back must
        become durable as a whole.

        `now` and `tolerance` in µs: a stated time further ahead than that is set aside. `new_id` makes the id of a new
        record. `applying`: records may have been resolved under former rules last. `alike`: groups of records that
        state the same match pair, to be joined where nothing contradicts it.

        Raises Blamed for what one change met.

        >>> from fieldwarden.engine.deciding.scope import plans_of
        >>> told = mapped(said(ACCOUNT, 1, tax_id="DE 1", phone="555"))
        >>> decider = Decider(RULES, "crm", plans_of(RULES))
        >>> outcome = decider.decide([told], Known(), lambda: "0190-7", Tally(), now=10**9, tolerance=0)
        >>> outcome.records[0].golden, sorted(outcome.dirty)
        ({'tax_id': 'DE 1', 'phone': '555'}, [('billing', '0190-7'), ('erp', '0190-7')])
        """
        in_hand = BatchInHand(self.scope, known, new_id, tally)
        if applying:
            in_hand.resolve_again(self._reresolver)
        for ids in alike:
            in_hand.alike.reunite(ids)
        for mapped in batch:
            try:
                if mapped.change is not None:
                    failpoints.hit("ingest.deciding", mapped.row.key)
                in_hand.take(mapped, now + tolerance)
            except Exception as error:
                raise Blamed(mapped) from error
        return in_hand.finish()
