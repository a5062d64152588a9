"""One batch on its way: each change identified, heard, resolved and recorded, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from fieldwarden.engine.change import Change, RowRef, Value, behind
from fieldwarden.engine.deciding import consequences as outcomes
from fieldwarden.engine.deciding.alike import Alike
from fieldwarden.engine.deciding.consequences import forget_older, moved, refused, stale, unreadable_key
from fieldwarden.engine.deciding.contribution import begin, bury, disown, hear, leave_blocks, unlike_ours
from fieldwarden.engine.deciding.echoes import made
from fieldwarden.engine.deciding.identity import Ambiguous, Found, identify
from fieldwarden.engine.deciding.known import Known, Mapped, Tally
from fieldwarden.engine.deciding.letters import Letters, is_ahead
from fieldwarden.engine.deciding.merging import Merging
from fieldwarden.engine.deciding.outcome import OutcomeBuilder
from fieldwarden.engine.deciding.plural import first, hung, ordered, without_husks
from fieldwarden.engine.deciding.rekeying import Rekeying
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.resolve import choose, decide, retired
from fieldwarden.engine.deciding.scope import Scope
from fieldwarden.engine.deciding.unreadable import decisions as unreadable
from fieldwarden.engine.ledger.entries import Event
from fieldwarden.engine.ports.durable import IngestOutcome
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.rules.rulebook import Entity

NewId = Callable[[], str]


class BatchInHand:
    """The state of one batch while it is decided. What one change links or creates, the next ones see."""

    def __init__(self, scope: Scope, known: Known, new_id: NewId, tally: Tally) -> None:
        self._scope, self._known = scope, known
        self._new_id, self._tally = new_id, tally
        self._builder = OutcomeBuilder(scope, known, tally)
        self._letters, self.alike = Letters(scope, known, self._builder), Alike(scope, known, self._builder)
        self._merging = Merging(scope, known, self._builder, self._letters, self.alike, new_id)
        self.alike.follow()
        self._rekeying = Rekeying(known, self._builder)
        self._under = {stream for _, stream in scope.above}

    def finish(self) -> IngestOutcome:
        """All that is to become durable together. Ask once, after the last `take`."""
        return self._builder.finish()

    def resolve_again(self, resolve: Reresolver) -> None:
        """Bring every record at hand under the live rules, before the first `take`: it may have been resolved under
        former ones."""
        for record in self._known.records.values():
            applied = resolve(record)
            if applied.stored:
                self._builder.applied(record, applied)

    def take(self, mapped: Mapped, latest: int) -> None:
        """Decide one change: it is applied, set aside with its reason, or has nothing to say. `latest`: the latest time
        (µs since 1970 UTC) that a source may state before it counts as being in the future.

        >>> in_hand = BatchInHand(SCOPE, Known(), lambda: "0190-7", Tally())
        >>> in_hand.take(mapped(said(ACCOUNT, 1, phone="555")), latest=10**9)
        >>> [record.golden for record in in_hand.finish().records]
        [{'phone': '555'}]
        """
        changes = self._tally.changes
        changes[mapped.entity] = changes.get(mapped.entity, 0) + 1
        change, letters = mapped.change, self._letters
        letters.place(mapped)
        if change is not None and (change.operation == "delete" or mapped.leaves) and letters.hold(mapped):
            return
        if letters.block(mapped) and not letters.are_pointless(mapped, latest):
            letters.wait_behind(mapped)
        elif change is None:
            letters.add(mapped, "data", mapped.refused)
        elif is_ahead(change, latest):
            letters.add(mapped, "data", "its source time lies in the future, beyond the tolerance")
        elif self._is_past(change):
            letters.outdated(mapped)
        else:
            if change.at is not None and change.at > latest:
                change.at = None  # an echo: that its system's clock is wrong says nothing of our write
            known = change.row in self._known.links
            if self._apply(mapped, change) and letters.concern(mapped, change):
                record = self._known.records.get(self._known.links.get(change.row, ""))
                row = record.row(change.row) if record is not None else None
                letters.decided(mapped, change, record, row, known=known)

    def _is_past(self, change: Change) -> bool:
        """Whether it speaks of a key at a time before the row gave that key up, which is known already."""
        departed = self._known.departed
        if not departed:
            return False
        if change.operation == "rekey":
            return change.old_row is not None and change.position <= departed.get(change.old_row, "")
        return change.row not in self._known.links and change.position <= departed.get(change.row, "")

    def _apply(self, mapped: Mapped, change: Change) -> bool:
        """False if the change had to be set aside (again)."""
        if change.operation == "rekey":
            self._rekeying.take_key(change)
            return True
        if change.follows_rekey:
            if change.row not in self._known.rekeyed and change.row not in self._known.links:
                reason = "the row had another key before, and what it said under that key has not all come yet"
                self._letters.add(mapped, "rekey", reason, awaits=change.row)
                return False
            self._builder.arrived(change.row)
        elif change.old_row is not None:
            self._rekeying.rekey(change, change.old_row)
        if change.operation == "delete":
            self._delete(change)
            return True
        stream = self._scope.streams[change.row.stream]
        if change.merged is not None:
            return self._merge(mapped, change, change.merged)
        if not self._translate(mapped, change):
            return False
        linked, how = self._known.links.get(change.row), ""
        if stream.merged_into:
            self._merging.is_itself(change)
        if stream.parent is not None:
            if change.parent is not None:
                parent = self._known.record_of(change.parent)
                if parent is None:
                    kind, reason = self._scope.orphans(stream)
                    self._letters.add(mapped, kind, reason, awaits=change.parent)
                    return False
                if linked is None:
                    how = "parent"
                elif linked != parent and not self._outdated(change, linked):
                    self._move(change, linked, parent)
                linked = parent if how else self._known.links[change.row]
            elif linked is None:
                return True
        elif linked is None:
            entity = self._scope.entities[change.entity]
            found = identify(
                entity,
                change.row,
                change.external_id,
                self._known.stated(entity, mapped, change),
                self._known.matches.get(entity.name, {}),
                self._known.records,
                self._known.becoming.get(change.row, ()),
                self._scope.roots[entity.name],
                change.echo,
            )
            if isinstance(found, Ambiguous):
                self._letters.doubt(mapped, change, found)
                return False
            if not isinstance(found, Found) and (hidden := unreadable_key(entity, change)):
                self._letters.add(mapped, "data", f"{change.row.stream}, {hidden}")
                return False
            linked, how = (found.record, found.how) if isinstance(found, Found) else (self._begin(change), "new")
            if how == "new":
                change.echo = False  # of a record that we do not know we have written nothing that we know of
        if how:
            self._builder.link(change.row, linked)
        record = self._known.records[linked]
        row = record.row(change.row)
        if row is not None and row.husk and change.position > row.said:
            record = self._merging.part(row, record)  # it was merged into another row, and is itself again
            row.merged = ""
        for name, named in change.references.items():
            if named == change.row:
                change.fields[name] = record.id
        self._say(change, record, row, how)
        return True

    def _merge(self, mapped: Mapped, change: Change, named: RowRef) -> bool:
        if mapped.leaves:
            self._delete(change)
            return True
        return self._merging.merge(mapped, change, named)

    def _outdated(self, change: Change, linked: str) -> bool:
        """Whether the row has said something newer: then an old parent does not take it back."""
        row = self._known.records[linked].row(change.row)
        return row is not None and change.position <= row.said

    def _begin(self, change: Change) -> str:
        id = self._new_id()
        self._known.records[id] = Record(id, change.entity, 0, {}, [])
        return id

    def _translate(self, mapped: Mapped, change: Change) -> bool:
        if change.references or mapped.identified_by is not None:
            awaited = self._known.awaited(mapped, change, self._scope.matching_references[change.entity])
            if awaited is not None:
                name, row = awaited
                reason = f"field {name} refers to a row of {row.stream} that is not known yet"
                self._letters.add(mapped, "reference", reason, awaits=row)
                return False
            change.fields = self._known.translated(change)
        return True

    def _say(self, change: Change, record: Record, row: Contribution | None, how: str) -> None:
        """`row`: what the change's row said so far."""
        entity = self._scope.entities[record.entity]
        fresh = row is None
        leader = self._leader(record, change.row) if change.order else None
        if row is None:
            row = begin(change)
            record.rows.append(row)
        was_deleted = row.deleted is not None
        rehung = hung(row, change) if change.row.stream in self._under else False
        refusable = self._scope.refusable[record.entity]
        before = {} if fresh or change.observation else outcomes.words(row, change, refusable)
        own = frozenset(row.fields) if change.echo else frozenset()
        unread = set(row.unreadable) if change.unreadable else ()
        if change.echo:
            if was_deleted or not row.said:
                made(row, record.rows, refusable.intersection(change.fields))
            given = self._scope.streams[change.row.stream].create_fields
            change.unlike = unlike_ours(row, change, refusable, record.golden, given)
        heard, changed = hear(row, change, self._scope.owned[record.entity], record.golden)
        if row.still and heard == "said" and not change.echo:
            leave_blocks(row, change, changed, entity.unit_of)
        spoiled: Sequence[str] = ()
        if change.unreadable:
            spoiled = [name for name in change.unreadable if name in row.unreadable and name not in unread]
        if change.order and row.said == change.position:
            ordered(row, change.order)
        if heard == "said" or fresh or (spoiled and heard != "carried") or was_deleted != (row.deleted is not None):
            if was_deleted:
                # Linked as before, but there again: whoever waits for its key is told.
                self._builder.link(change.row, record.id)
            event: Event = "observed" if change.observation else "carried" if change.echo else "said"
            self._record(entity, record, row, change, event, changed, how, before=before, spoiled=spoiled)
        elif heard == "carried":
            self._carried(entity, record, row, change, changed)
            if self._touches_match(entity, [name for name in changed if name in own]):
                self._builder.rematch(entity, record)  # its former word, which is gone, finds it no more
        elif not self._scope.ordered:
            self._unordered(record, change, heard)
        self._tally.echoes += heard in ("carried", "echo")
        if change.order:
            self._led(record, change, leader)
        if was_deleted and row.deleted is None:
            self._follow(record, change)
        if rehung and not fresh:
            self._again(record, change, row, row.names())

    def _follow(self, record: Record, change: Change) -> None:
        """Child rows count where their parents are there: what they say is decided again once a parent came or went."""
        children = self._scope.below.get(change.row.stream)
        if not children:
            return
        rows = [row for row in record.rows if row.system == change.row.system and row.stream in children]
        names = dict.fromkeys(name for row in rows if row.deleted is None for name in row.names())
        if names:
            self._again(record, change, rows[0], list(names))

    def _leader(self, record: Record, row: RowRef) -> Contribution | None:
        """The row that speaks for the record in this row's stream, where only the first of several does."""
        if not self._scope.streams[row.stream].first_by:
            return None
        above = self._scope.above
        return first(without_husks(record.rows, above) if above else record.rows, (row.system, row.stream))

    def _led(self, record: Record, change: Change, former: Contribution | None) -> None:
        """Another row of the stream may be the first now: what the former said counts no more, what it says does."""
        leader = self._leader(record, change.row)
        speaker = leader or former
        if leader is former or speaker is None:
            return
        names = dict.fromkeys(name for row in (former, leader) if row is not None for name in row.names())
        self._again(record, change, speaker, list(names))

    def _again(self, record: Record, change: Change, row: Contribution, names: Sequence[str]) -> None:
        """Decide these fields, on which others may speak now than did before."""
        entity = self._scope.entities[record.entity]
        decisions = moved(decide(entity, record, row, names))
        if decisions:
            self._builder.entry(record, change, "observed" if change.observation else "said", decisions, "")
        self._builder.after(record)
        if self._touches_match(entity, names):
            self.alike.found_anew(entity, record, change)

    def _carried(self, entity: Entity, record: Record, row: Contribution, change: Change, names: Sequence[str]) -> None:
        """Our own write came back. The word that it replaced is gone and an owner's row says what it holds, so another
        value may stand now: never where the row holds golden all the same."""
        others = outcomes.not_golden(entity, record, row, names)
        decisions = moved(decide(entity, record, row, others)) if others else []
        decisions += outcomes.unlike_ours(entity, record, row, change)
        if decisions:
            self._builder.entry(record, change, "carried", decisions, "")
            self._builder.after(record)
        else:
            self._builder.store(record)
            self._builder.make_dirty(record, suspect=True)

    def _unordered(self, record: Record, change: Change, heard: str) -> None:
        """Without an order of its own to rely on, a source's late words are recorded, and its newest position kept."""
        self._builder.store(record)
        if heard == "stale":
            self._builder.entry(record, change, "said", stale(record, change), "")

    def _delete(self, change: Change) -> None:
        record = self._known.records.get(self._known.links.get(change.row, ""))
        row = record.row(change.row) if record else None
        if record is None or row is None:
            return
        if change.observation and not change.position:  # not found again: after all it said, before what comes next
            change.position = behind(row.said)
        if row.merged and row.deleted is None and change.position > row.said:
            self._merging.is_itself(change)
        leader = self._leader(record, change.row)
        if not bury(row, change):
            if not self._scope.ordered:
                self._builder.store(record)
            return
        if change.row[:2] in self._scope.roots[record.entity]:
            self._builder.vacated(record)
        if change.echo:
            # We removed it, and nothing else is said by that, however late it comes: the record may be alive again.
            row.removed = True
            self._tally.echoes += 1
            self._builder.store(record)
            self._builder.make_dirty(record)
            self._led(record, change, leader)
            forget_older(record, row)
            return
        entity = self._scope.entities[record.entity]
        event: Event = "vanished" if change.observation else "deleted"
        self._record(entity, record, row, change, event, row.names(), "", deleted=True)
        self._led(record, change, leader)
        self._follow(record, change)
        forget_older(record, row)

    def _move(self, change: Change, old: str, new: str) -> None:
        """A child row's parent changed: its contribution leaves one record for the other."""
        left = self._known.records[old]
        row = left.row(change.row)
        if row is not None:
            # Nothing of the row stays, not even an owner's last word: it speaks of another record now.
            entity = self._scope.entities[left.entity]
            spoken = [name for name in row.names() if name in entity.unit_of]
            leaders = self._leader(left, change.row), self._leader(self._known.records[new], change.row)
            theirs = [name for name in spoken if choose(entity.unit_of[name], left.rows) is row]
            left.rows.remove(row)
            for other in left.rows:
                for name in theirs:  # what others carry of it was never this record's
                    disown(other, name)
            gone = decide(entity, left, row, spoken, deleted=True)
            self._builder.entry(left, change, "left", gone, "")
            self._builder.after(left)
            self._led(left, change, leaders[0])
            target = self._known.records[new]
            target.rows.append(row)
            there = decide(entity, target, row, spoken)
            self._builder.entry(target, change, "moved", there, "", was=old)
            self._builder.after(target)
            self._led(target, change, leaders[1])
            if self._touches_match(entity, spoken):
                self._builder.rematch(entity, left)
                self.alike.found_anew(entity, target, change)
        self._builder.link(change.row, new)

    def _record(
        self,
        entity: Entity,
        record: Record,
        row: Contribution,
        change: Change,
        event: Event,
        changed: list[str],
        how: str,
        *,
        deleted: bool = False,
        before: Mapping[str, Value | msgspec.UnsetType] | None = None,
        spoiled: Sequence[str] = (),
    ) -> None:
        now_retired = retired(entity, self._scope.roots[record.entity], record.rows)
        flipped = now_retired if now_retired != record.retired else None
        record.retired = now_retired
        plain = None
        if event in ("said", "observed") and flipped is None and not spoiled:
            plain = self._scope.unrivalled[record.entity].accept(record, row, changed)
        if plain is not None:
            self._builder.accepted(record, change, event, *plain, how)
        else:
            observed = change.observation and not deleted
            decisions = decide(entity, record, row, changed, deleted=deleted, observed=observed)
            if event == "carried":
                decisions = moved(decisions) + outcomes.unlike_ours(entity, record, row, change)
            elif not deleted:
                refused(record, row, decisions, before or {})
            decisions += unreadable(entity, record, row, spoiled, ours=change.echo, observed=observed)
            if decisions or how or flipped is not None or deleted:
                self._builder.entry(record, change, event, decisions, how, retired_=flipped)
        self._builder.after(record)
        if how or self._touches_match(entity, changed):
            self.alike.found_anew(entity, record, change)

    def _touches_match(self, entity: Entity, changed: Sequence[str]) -> bool:
        return not self._scope.matched[entity.name].isdisjoint(changed)
