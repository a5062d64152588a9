"""The port behind which the engine's own memory stands: the hub, and one ingest transaction of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from fieldwarden.engine.change import RowRef, Value
from fieldwarden.engine.ports.aside import Letter, SetAside
from fieldwarden.engine.ports.durable import AlikePair, Duplicate, IngestOutcome
from fieldwarden.engine.ports.duties import SHARDS, Lane
from fieldwarden.engine.ports.foothold import Footholds
from fieldwarden.engine.ports.forged import Forged, Noted
from fieldwarden.engine.ports.parts import FIRST_BASELINE, Baseline, Begun, Part
from fieldwarden.engine.ports.target import Intent
from fieldwarden.engine.record import Record

# --- the hub -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit for one source; a newer epoch fences an older worker out.

    `baseline` is the number of the present one. `begun`: some of its source's rows have been read, in this baseline or
    one before, so that what its system does not show any more may be known here."""

    lane: Lane
    epoch: int
    baseline: int = FIRST_BASELINE
    begun: bool = False

    @property
    def source(self) -> str:
        return self.lane.source


NO_PARTS: Mapping[str, Part] = MappingProxyType({})
"""Of a commit between the batches of its source."""


class IngestTransaction(Protocol):
    """One hub transaction. Entering it locks the lane's row and checks the fence (Fenced)."""

    applying: bool  # not all records have been resolved again under the live rulebook
    joins: bool  # some records were joined to others
    parted: bool  # a steward keeps some records apart

    async def announced(self, system: str, transactions: Sequence[str]) -> dict[str, int]:
        """Those of a system's transactions that are our own writes (`Hub.announce`), with the time announced."""

    async def still_aside(self, ids: Sequence[int]) -> set[int]:
        """Those of these set-aside changes that are still there, locked: a second worker finds nothing left to do."""

    async def rekeyed(self, rows: Sequence[RowRef]) -> set[RowRef]:
        """Those rows that have taken their key by a rekey that nothing has followed yet."""

    async def departed(self, rows: Sequence[RowRef]) -> dict[RowRef, str]:
        """Keys that a row gave up by a rekey, with its position: up to there, nothing of them is news."""

    async def next_keys(self, rows: Sequence[RowRef]) -> dict[RowRef, RowRef]:
        """Keys that a row gave up by a rekey, with the row under the key that it took."""

    async def links(self, rows: Sequence[RowRef]) -> dict[RowRef, str]: ...
    async def letters(self, rows: Sequence[RowRef]) -> dict[RowRef, list[Letter]]:
        """The set-aside changes of those of these rows that have any, oldest first and locked: a later change of the
        row either waits behind them or makes them pointless."""

    async def matches(self, entity: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
        """(match key name, normalised value) -> ids of the records that carry it."""

    async def records(self, ids: Sequence[str], at_hand: Iterable[str] = ()) -> dict[str, Record]:
        """Load and lock, in id order (so that lanes cannot deadlock). Large texts that are `at_hand` need not be made a
        second time; it is asked for them only where that may help."""

    async def joined(self, ids: Sequence[str]) -> dict[str, str]:
        """Those of these records that were joined to others, with the one that each of them is now."""

    async def apart(self, ids: Sequence[str]) -> set[frozenset[str]]:
        """Pairs of these records that a steward keeps apart."""

    async def rows_of(self, system: str, stream: str, after: str | None, limit: int) -> list[RowRef]:
        """Known rows (linked, or set aside) of one stream in key order, after a key (None: the first ones): for
        truncates and sweeps. What it costs depends on `limit` alone."""

    async def live(self, system: str, stream: str) -> int:
        """How many known rows of a stream stand for live records. Counts them all."""

    async def saw(self, rows: Sequence[RowRef]) -> set[RowRef]:
        """Note rows that a re-read has seen, for `unseen`; those that nobody had seen before."""

    async def unseen(self, rows: Sequence[RowRef]) -> set[RowRef]:
        """Those of these known rows of this source that the finished re-read did not see, and that were known before it
        began. Of a stream that is not read (only written to, or no longer mapped) not having been seen says nothing."""

    async def commit(
        self,
        outcome: IngestOutcome,
        *,
        rulebook: str,
        changes: int = 0,
        echoes: int = 0,
        state: str | None = None,
        message: str = "",
        parts: Mapping[str, Part] = NO_PARTS,
    ) -> Sequence[Duplicate]:
        """Write everything, append one ledger block, move the positions of `parts`, commit. Gives records that carry
        the same match pair since.

        With nothing stored, raises RulesChanged if `rulebook` (a hash; empty: nothing was decided) is not the live one,
        PartitionLost if another worker has taken a part, IdentityMoved if another lane has committed records that carry
        what was asked for.

        A part with the position None stays where it is. `changes` and `echoes` add to the source's counts;
        `state` is how it fares from now on (None: as before): in `snapshot` the source is `unread`, from `streaming`
        on it is read. `message` goes with it: what people should know of it while it fares so.
        """


@dataclass(slots=True)
class Pending:
    """One dirty (target, record), claimed: the record as it stood, and the marks to settle against."""

    record: Record
    revision: int
    mark: int
    attempts: int
    last_result: str = ""


_NO_VERSIONS: Mapping[RowRef, str] = MappingProxyType({})


@dataclass(slots=True)
class Settlement:
    """What became of one claimed delivery.

    done: agree, forget the mark. retry: again after `delay` seconds. again: so too, and it was no attempt. wait: until
    `awaits` (a record id) has a key in this target. park: set aside for a person, with `reason`.
    `learnt`: what rows are now known to hold, by field; `links`: rows that were created. A parked one may stand behind
    the record that it `awaits`, whose revision was `awaits_at` when that was tried: it is due again once that has
    moved, or a settlement of it `frees` what it held.
    `row_versions`: what the target calls the versions of rows now. `answered`: the idempotency keys of intents whose
    result is known; they are forgotten with this settlement.
    """

    record: str
    mark: int
    revision: int
    status: Literal["done", "retry", "wait", "park", "again"]
    reason: str = ""
    delay: float = 0.0
    awaits: str | None = None
    learnt: Mapping[RowRef, Mapping[str, Value]] = field(default_factory=dict)
    links: Sequence[RowRef] = ()
    result: str = ""
    awaits_at: int = 0
    frees: bool = False
    row_versions: Mapping[RowRef, str] = field(default_factory=lambda: _NO_VERSIONS)
    answered: Sequence[str] = ()


ANNOUNCED_FOR = 30 * 86_400 * 1_000_000
"""How long (µs) our own transactions are remembered: longer than any stream may lag behind."""

AT_ONCE = 8_000_000
"""Bytes of set-aside changes that are tried again at once."""

MANY_ALIKE = 20
"""Records that carry one match pair and may be joined at once: a value that more have (`n/a`) tells nothing apart."""

PAGE = 2000
"""Set-aside changes that are looked at at once: whoever takes in new changes waits meanwhile."""


class Hub(Footholds, Protocol):
    """The engine's memory."""

    rulebook: str  # the hash of the rules that its user works by: what is delivered by others is looked at anew

    async def lease(self, lane: Lane) -> Lease:
        """Take over a source, or one lane of it: raises its epoch, so that whoever held it before can no longer
        commit. What was seen of a reading that this one begins anew is forgotten."""

    async def take(self, source: str, parts: Sequence[str]) -> dict[str, Part]:
        """Take over these parts of a source: raises their epochs, and tells how far each is durable."""

    async def baseline(self, source: str) -> Baseline:
        """How a source stands to its first rows."""

    async def begin_again(self, source: str, number: int, positions: Mapping[str, str] | None, begun: Begun) -> bool:
        """A new baseline of a source, which is an act in the ledger: it is `unread`, until a commit says `streaming`
        or all its parts are heard, and whoever works in one of its lanes is fenced.

        Each part goes on from its position here, and is nobody's; others have been read by nobody. None: the source
        reads its rows by itself, and its parts stay where the baseline before left them (`Start.is_new_to`).

        False, and nothing is changed, if another baseline of this `number` or a greater one has begun meanwhile."""

    async def read_until(
        self,
        source: str,
        ends: Mapping[str, str],
        number: int = FIRST_BASELINE,
        streams: Collection[str] = (),
    ) -> None:
        """The rows that these streams of a source had to begin with (in the baseline of this number) stand before these
        positions of its parts: once they are that far (and a new baseline is `swept`), it is read.

        Says nothing of another baseline's, and nothing new of a source of which that is known, but for its streams if
        nobody has noted them."""

    async def swept(self, source: str, number: int) -> None:
        """The rows that were not told of again in this baseline have been looked for: nothing is `unseen` any more."""

    async def reconsider(self, source: str) -> None:
        """What was set aside as ambiguous in this source may be tried again: rows that stood in its way are gone."""

    async def announce(self, system: str, transaction: str, at: int) -> None:
        """Our own write to a system is about to be committed there under this transaction's name, at this time of its
        server (µs since 1970 UTC). Durable when it returns, so that it is known before its changes come back."""

    async def note(self, lane: Lane, state: str, message: str) -> None:
        """How a source fares, or one lane of it, for people: retrying or halted, and why."""

    async def forged(self, source: str, forged: Forged, now: int) -> Noted:
        """Count transactions with a forged mark, up to `forged.position` each once. The first of a source is an act in
        the ledger, and so are those that have come since, AGAIN_AFTER the last (`now` in µs since 1970 UTC). Durable
        when it returns."""

    def ingest(self, lease: Lease) -> AbstractAsyncContextManager[IngestTransaction]: ...
    async def releasable(self, source: str, limit: int, after: int = 0) -> tuple[list[SetAside], int | None]:
        """Looks at the next `limit` set-aside changes of this source that wait for no person, in the order of their
        ids, from `after` on. Gives those that may go on now, no further than payloads of AT_ONCE bytes go, and the id
        `after` which to look on: None when there are no more. May go on: what it `awaits` is linked, a person released
        it, or it only stands behind others; and nothing before it holds up its row, as whatever stands at `after` or
        before does. A parent or a row referred to is linked too if it is so under a later key."""

    async def alike(self, limit: int) -> list[AlikePair]:
        """Pairs of the queue of duplicates that nobody has looked into since they came there, or since the match keys
        of one of their records were written anew; at most `limit` of them. Of their records, no more than MANY_ALIKE
        and one; one alone where the others have left."""

    async def following(self, limit: int) -> list[str]:
        """Records that are found by the id of a record that was joined to another, and are to follow."""

    async def unread(self, sources: Sequence[str], mapped: Mapping[str, Collection[str]] | None = None) -> list[str]:
        """Those of these sources whose rows have not all been read: never yet, or since they are read again, or
        those of a `mapped` stream (by source) that was not there when the others' were told."""

    async def claim(
        self, target: str, limit: int, shards: Collection[int] = SHARDS, but: Collection[str] = ()
    ) -> list[Pending]:
        """Dirty records of these shards due now, oldest first, without those in `but`, which are claimed already.
        Claims do not lock: settling compares marks. So whoever claims must be the only one to do so for these shards of
        the target. Nothing where other rules are live than the `rulebook` that this hub's deliveries are planned by."""

    async def keys(self, records: Sequence[str], system: str) -> dict[str, list[RowRef]]:
        """Record id -> its live rows in a system (to translate references on the way out)."""

    async def held_up(self, rows: Sequence[RowRef]) -> dict[RowRef, int]:
        """Those of these rows of which a change is set aside that later ones wait for: the first such letter's id."""

    async def standing_for(self, rows: Sequence[RowRef]) -> dict[RowRef, tuple[Record, int]]:
        """The records that those of these rows stand for that are linked, as they are now, with their revisions."""

    async def settle(self, target: str, settlements: Sequence[Settlement]) -> None: ...
    async def intend(self, target: str, intents: Sequence[Intent]) -> None:
        """These writes are about to be made. Durable when it returns; one of the same key stands in place of the
        former. A settlement that names them as `answered` forgets them, and nothing else does."""

    async def intents(self, target: str, records: Sequence[str]) -> dict[str, list[Intent]]:
        """The intents that stand for these records, also those of records that were joined to them since."""

    async def close(self) -> None: ...
