"""What a batch's decisions add up to: the one value that must become durable, gathered as they are made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from fieldwarden.engine.change import Change, RowRef, Value
from fieldwarden.engine.deciding.contribution import overtaken
from fieldwarden.engine.deciding.echoes import moved
from fieldwarden.engine.deciding.identity import Claim, MatchPair, record_pairs
from fieldwarden.engine.deciding.joining import Joined
from fieldwarden.engine.deciding.kept_changes import pack
from fieldwarden.engine.deciding.known import Known, Mapped, Tally
from fieldwarden.engine.deciding.reresolve import Applied
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.ledger.entries import Decision, EntryBody, Event, encode, encode_accepted, encode_large
from fieldwarden.engine.ports.aside import Letter, SetAside, SetAsideKind
from fieldwarden.engine.ports.durable import Entry, IngestOutcome, Join, Rekey
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Entity


class OutcomeBuilder:
    """Gathers an IngestOutcome, and keeps `Known` true to it for the changes that come after."""

    def __init__(self, scope: Scope, known: Known, tally: Tally) -> None:
        self._scope = scope
        self._known = known
        self._tally = tally
        self._outcome = IngestOutcome()
        self._stored: dict[str, Record] = {}
        self._links: dict[RowRef, str | None] = {}
        self._rematch: dict[str, list[MatchPair] | None] = {}
        self._dirty: dict[tuple[str, str], None] = {}
        self._suspect: dict[tuple[str, str], None] = {}
        self._agreed: dict[tuple[str, str], None] = {}
        self._moved: set[tuple[str, str]] = set()

    def finish(self) -> IngestOutcome:
        """All that was gathered, as one value that must become durable as a whole. Ask once."""
        outcome = self._outcome
        outcome.records = list(self._stored.values())
        for row, record in self._links.items():
            if record is None:
                outcome.unlinks.append(row)
            else:
                outcome.links.append((row, record))
        for id, pairs in self._rematch.items():
            record_ = self._stored[id]
            if pairs is None:
                # It was decided on after they were noted: a later change of the batch may have changed what it states.
                pairs = record_pairs(self._scope.entities[record_.entity], record_)
            outcome.match_keys[id] = (record_.entity, pairs)
        outcome.dirty = list(self._dirty)
        outcome.suspect = [pair for pair in self._suspect if pair not in self._dirty]
        outcome.agreed = [pair for pair in self._agreed if pair not in self._dirty and pair not in self._suspect]
        return outcome

    def set_aside(
        self,
        mapped: Mapped,
        kind: SetAsideKind,
        reason: str,
        *,
        awaits: RowRef | None = None,
        candidates: tuple[str, ...] = (),
        moves: bool = False,
    ) -> None:
        """Keep a change back with its reason (`engine.ports.aside.SetAside`). One that was set aside before takes its
        own letter's place."""
        kept = SetAside(
            mapped.row,
            mapped.entity,
            kind,
            reason,
            pack(mapped.raw),
            mapped.raw.position,
            awaits=awaits,
            candidates=candidates,
            id=mapped.release,
            moves=moves,
        )
        self._outcome.set_aside.append(kept)

    def released(self, id: int) -> None:
        """This letter's change has been decided: the letter goes."""
        self._outcome.released.append(id)

    def retry(self, id: int) -> None:
        """This letter's change is to be tried again."""
        self._outcome.retried.append(id)

    def vacated(self, *records: Record) -> None:
        """A row is gone that may have stood in another's way to these records: what waits for a steward because of it
        is tried again."""
        self._outcome.vacated += [record.id for record in records]

    def withdraw(self, rows: Collection[RowRef], letter: Letter) -> None:
        """A letter is pointless now, whether the hub has it or this batch was about to add it. `rows`: its row, and the
        same row under its former key."""
        outcome = self._outcome
        outcome.set_aside = [
            kept
            for kept in outcome.set_aside
            if kept.row not in rows or (kept.id, kept.position) != (letter.id, letter.position)
        ]
        if letter.id:
            outcome.released.append(letter.id)
            self._tally.mended += 1

    def make_dirty_in(self, record: Record, target: str) -> None:
        """What was parked in this target because of a row's letter is to be looked at once more, whether or not
        anything differs there."""
        self.store(record)
        if any(name == target for name, _ in self._scope.plans[record.entity]):
            self._dirty[target, record.id] = None

    def gone(self, change: Change) -> None:
        """A row that no record knows is deleted. What it said before is past, as where a row gives up its key."""
        self._outcome.rekeyed.append(Rekey(change.row, change.row, change.position, False))

    def rekeyed(self, old: RowRef, change: Change) -> None:
        """The row `old` goes on under the key of `change.row`: what waits for that goes on."""
        self._outcome.rekeyed.append(Rekey(old, change.row, change.position, change.follows_rekey))

    def arrived(self, row: RowRef) -> None:
        """A row that took a new key has told its first news under it, so that nothing has to wait for them any more."""
        self._outcome.arrived.append(row)

    def link(self, row: RowRef, record: str | None) -> None:
        """The row stands for this record from now on; None: for no record.

        >>> known = Known()
        >>> builder = OutcomeBuilder(SCOPE, known, Tally())
        >>> builder.link(ACCOUNT, "0190-7")
        >>> known.links == {ACCOUNT: "0190-7"}, builder.finish().links == [(ACCOUNT, "0190-7")]
        (True, True)
        """
        self._links[row] = record
        if record is None:
            self._known.links.pop(row, None)
        else:
            self._known.links[row] = record

    def store(self, record: Record) -> None:
        """The record was changed and has to be stored."""
        self._stored[record.id] = record

    def after(self, record: Record) -> None:
        """The record was decided on: store it and mark it dirty where anything is to be written."""
        self.store(record)
        if record.id in self._rematch:
            self._rematch[record.id] = None
        self.make_dirty(record)

    def make_dirty(self, record: Record, *, suspect: bool = False) -> None:
        """Note in which targets something is to be written for the record, and in which nothing is. `suspect`: our own
        write came back other than golden, so the record is marked only where it is not marked yet."""
        for row in record.rows:
            if row.still:
                overtaken(row, record.golden, self._scope.entities[record.entity].unit_of)
        dirty = self._suspect if suspect else self._dirty
        for name, plan in self._scope.plans[record.entity]:
            pending = plan.pending(record)
            (dirty if pending else self._agreed)[(name, record.id)] = None

    def rematch(self, entity: Entity, record: Record) -> bool:
        """The record may be found by other match pairs now. They are noted, and later rows of this batch see them. True
        if another record states one of them too."""
        pairs = self._rematch[record.id] = record_pairs(entity, record)
        matches = self._known.matches.setdefault(entity.name, {})
        shared = False
        for pair in pairs:
            ids = matches.setdefault(pair, [])
            if record.id not in ids:
                ids.append(record.id)
            shared = shared or len(ids) > 1
        return shared

    def pairs(self, record: Record) -> list[MatchPair]:
        """The match pairs by which a record of this batch can be found."""
        return self._rematch.get(record.id) or record_pairs(self._scope.entities[record.entity], record)

    def joined(
        self,
        survivor: Record,
        absorbed: Record,
        former: tuple[Sequence[RowRef], Sequence[MatchPair]],
        joined: Joined,
        cause: Change | None,
    ) -> None:
        """Two records were made one (`joined` says how). `former` are the rows and the match pairs that the absorbed
        one had, `cause` the change that told, if any. Both are stored, told in the ledger and marked dirty."""
        rows, pairs = former
        for row in rows:
            self.link(row, survivor.id)
        for record, other, event, decisions, flipped in (
            (survivor, absorbed, "joined", joined.decisions, joined.retired),
            (absorbed, survivor, "merged", joined.given_up, joined.other_retired),
        ):
            self._told(record, event, decisions, other.id, flipped, cause)  # type: ignore[arg-type]
        named_in = tuple(
            (entity, key.name, key.parts[place][1](absorbed.id), place == 0)
            for entity, key, place in self._scope.keyed.get(absorbed.entity, ())
        )
        self._outcome.joined.append(Join(absorbed.entity, absorbed.id, survivor.id, tuple(rows), named_in))
        matches = self._known.matches.get(absorbed.entity, {})
        for pair in pairs:
            if absorbed.id in (ids := matches.get(pair, [])):
                ids.remove(absorbed.id)
        # Nobody is to find it any more.
        self._rematch[absorbed.id] = []
        self._took_over(survivor, joined.given_up)
        self.make_dirty(absorbed)
        self.after(survivor)
        self.rematch(self._scope.entities[survivor.entity], survivor)

    def split(self, record: Record, other: Record, done: Joined) -> None:
        """Some rows of `record` were given to `other` (`done` says how). Both are stored, told in the ledger and marked
        dirty."""
        for each, whose, decisions, flipped in (
            (record, other, done.decisions, done.retired),
            (other, record, done.given_up, done.other_retired),
        ):
            for row in each.rows:
                self.link(row.ref, each.id)
            self._told(each, "split", decisions, whose.id, flipped, None)
            self._took_over(whose, decisions)
            self.after(each)
            self.rematch(self._scope.entities[each.entity], each)

    def followed(self, record: Record, decisions: list[Decision], to: str = "") -> None:
        """What the record refers to was joined to another, and it says so now. With `to`: a row that it refers to went
        back to that record, which it means now."""
        if decisions:
            self._told(record, "parted" if to else "followed", decisions, to, None, None)
        self.after(record)
        self.rematch(self._scope.entities[record.entity], record)

    def _told(
        self,
        record: Record,
        event: Event,
        decisions: list[Decision],
        was: str,
        flipped: bool | None,
        cause: Change | None,
    ) -> None:
        """An entry of no change of the record's own."""
        record.version += 1
        self.store(record)
        row = ("", "", "") if cause is None else cause.row
        body = EntryBody(record.entity, row, event, "", None, decisions, was=was, retired=flipped)
        self._append(record, body)

    def entry(
        self,
        record: Record,
        change: Change,
        event: Event,
        decisions: list[Decision],
        how: str,
        *,
        was: str = "",
        retired_: bool | None = None,
    ) -> None:
        """Store the record and append an entry about it to the ledger: what happened to the row of `change`, and what
        was decided. The record's version goes up by one. `how`: how a new row found its record; `retired_`: set if the
        record was retired or revived."""
        record.version += 1
        self.store(record)
        self._append(record, _body(record, change, event, decisions, how, was, retired_))
        self._count(self._scope.entities[record.entity], decisions)

    def claimed(self, record: Record, change: Change, claim: Claim) -> None:
        """A row claimed to stand for this record and was not believed. The record's ledger says so, and it is
        counted."""
        self.entry(record, change, "claimed", [], "", was=claim)
        key = (change.row.system, claim)
        self._tally.suspicious[key] = self._tally.suspicious.get(key, 0) + 1

    def accepted(
        self,
        record: Record,
        change: Change,
        event: Event,
        accepted: Mapping[str, Value],
        before: Mapping[str, Value],
        how: str,
    ) -> None:
        """As `entry`, where all decisions accepted the row's own word (`Unrivalled.accept`)."""
        record.version += 1
        if record.large or self._known.large:
            system = change.row.system
            decisions = [Decision(n, "accepted", value, before.get(n), value, system) for n, value in accepted.items()]
            self._append(record, _body(record, change, event, decisions, how))
        else:
            body = encode_accepted(
                record.entity, change.row, event, change.position, change.at, accepted, before, change.transaction, how
            )
            self._outcome.entries.append(Entry(record.id, record.version, body))
        if not self._scope.moving[record.entity].isdisjoint(accepted):
            for name in accepted:
                self._moves(record, name, before.get(name))
        key = (record.entity, "accepted")
        self._tally.decisions[key] = self._tally.decisions.get(key, 0) + len(accepted)

    def applied(self, record: Record, applied: Applied, *, rematch: bool = True) -> None:
        """A record was resolved under new rules. It is stored and told in the ledger if it was not as they want it.
        `rematch`: its match pairs have to be noted in any case."""
        if applied.news:
            record.version += 1
            body = EntryBody(
                record.entity, ("", "", ""), "applied", "", None, applied.decisions, retired=applied.retired
            )
            self._append(record, body)
        for row in applied.dropped:
            self.link(row, None)
        entity = self._scope.entities.get(record.entity)
        if applied.stored:
            self.store(record)
        if entity is None:
            self._rematch[record.id] = []
            return
        self.make_dirty(record)  # first: a word that ends here finds the record no more
        if applied.stored or rematch:
            self.store(record)
            self.rematch(entity, record)

    def _append(self, record: Record, body: EntryBody) -> None:
        large = record.large or self._known.large
        encoded = encode_large(body) if large else encode(body)
        self._outcome.entries.append(Entry(record.id, record.version, encoded))
        for decision in body.decisions:
            if decision.before != decision.after:
                self._moves(record, decision.field, decision.before)

    def _took_over(self, record: Record, decisions: Sequence[Decision]) -> None:
        """It has rows of another record now, to which the golden values of that one may be on their way."""
        for each in decisions:
            if each.before != each.after and each.field in self._scope.moving[record.entity]:
                moved(record, each.field, each.before, self._scope.guarded[record.entity])

    def _moves(self, record: Record, name: str, before: Value) -> None:
        """A golden value moves. What it was before this batch a delivery may have claimed, and nothing that it was
        within this batch."""
        if record.version == 1 or name not in self._scope.moving.get(record.entity, ()):
            return
        if (record.id, name) not in self._moved:
            self._moved.add((record.id, name))
            moved(record, name, before, self._scope.guarded[record.entity])

    def _count(self, entity: Entity, decisions: Sequence[Decision]) -> None:
        tally = self._tally.decisions
        outcomes = [decision.outcome for decision in decisions]
        for outcome in set(outcomes):
            key = (entity.name, outcome)
            tally[key] = tally.get(key, 0) + outcomes.count(outcome)
        if "refused" in outcomes or "held" in outcomes:
            for decision in decisions:
                if decision.outcome in ("refused", "held"):
                    refused = (entity.name, entity.unit_of[decision.field].policy.owner or "")
                    self._tally.refusals[refused] = self._tally.refusals.get(refused, 0) + 1


def _body(
    record: Record,
    change: Change,
    event: Event,
    decisions: list[Decision],
    how: str,
    was: str = "",
    retired: bool | None = None,
) -> EntryBody:
    at, transaction = change.at, change.transaction
    return EntryBody(record.entity, change.row, event, change.position, at, decisions, transaction, how, was, retired)
