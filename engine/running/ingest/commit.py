"""A batch made durable: one hub transaction that loads what is known, decides, and commits.

What meets an unexpected error is narrowed down and put aside; what another lane forestalled is decided again.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fieldwarden.engine.deciding.decider import Decider
from fieldwarden.engine.deciding.identity import uuid7
from fieldwarden.engine.deciding.known import Mapped, Tally
from fieldwarden.engine.deciding.narrowing import narrowed
from fieldwarden.engine.deciding.scope import plans_of
from fieldwarden.engine.errors import IdentityMoved
from fieldwarden.engine.ports.hub import NO_PARTS, Hub, IngestTransaction, Lease
from fieldwarden.engine.ports.parts import Part
from fieldwarden.engine.running.ingest.brake import Bounds, Brake
from fieldwarden.engine.running.ingest.loading import further, load
from fieldwarden.engine.running.ingest.recognising import recognise
from fieldwarden.engine.running.ingest.reuniting import Reunion
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.running.wake import Wake
from fieldwarden.rules.rulebook import Rulebook

_AS_BEFORE = (None, "")
"""A commit that says nothing of how the source fares."""
_FORESTALLED = 10
"""Times in a row that a batch may find its new records created by another lane before the session begins anew."""


def fence(parts: Mapping[str, Part]) -> dict[str, Part]:
    """These parts, where they are: for commits within a batch."""
    return {name: Part(part.epoch, None) for name, part in parts.items()}


class Commits:
    """Commits what one source tells, one batch at a time."""

    def __init__(
        self,
        rulebook: Rulebook,
        system: str,
        hub: Hub,
        telemetry: Telemetry,
        *,
        clock: Callable[[], int],
        bits: Callable[[int], int] | None,
        wake: Wake,
        tolerance: int,
        deletes: Bounds | None,
    ) -> None:
        """The arguments are those of `Pipeline`."""
        self._rulebook = rulebook
        self._system = system
        self._hub = hub
        self._telemetry = telemetry
        self._clock = clock
        self._bits = bits or random.Random(secrets.token_bytes(32)).getrandbits  # noqa: S311
        self._wake = wake
        self._tolerance = tolerance
        self.plans = plans_of(rulebook)
        self.decider = Decider(rulebook, system, self.plans)
        self._brake = Brake(rulebook, system, deletes, clock)
        self.linked = True
        """Rows have been linked, or pairs found, since this was last set to False: what waited for them may go on."""

    def found(self, error: Exception) -> None:
        """A bug that one change met."""
        self._telemetry.bug(self._system, error)

    async def commit(
        self,
        lease: Lease,
        mapped: Sequence[Mapped],
        *,
        seen: bool = False,
        faring: tuple[str | None, str] = _AS_BEFORE,
        parts: Mapping[str, Part] = NO_PARTS,
    ) -> None:
        """Whatever of it has to be put aside. `parts` are as far as they are once all of it is durable; so `faring`:
        the source's state then, and the words that stand beside it."""
        unmoved = fence(parts)

        async def commit(some: Sequence[Mapped], last: bool) -> None:
            state, message = faring if last else _AS_BEFORE
            kept = parts if last else unmoved
            await self.until_settled(lease, some, seen=seen, state=state, message=message, parts=kept)

        await narrowed(commit, mapped, self.found)

    async def until_settled(
        self, lease: Lease, mapped: Sequence[Mapped], also: Collection[str] = (), **how: Any
    ) -> None:
        """Lanes create records side by side. One that was forestalled decides its batch again, knowing what the other
        has created: each time somebody has got further. So does one whose records may be one with others."""
        for _ in range(_FORESTALLED):
            try:
                await self._transact(lease, mapped, also=also, **how)
                return
            except IdentityMoved as error:
                also = error.also.union(also)
        await self._transact(lease, mapped, also=also, **how)

    async def _transact(
        self,
        lease: Lease,
        mapped: Sequence[Mapped],
        *,
        seen: bool = False,
        state: str | None = None,
        message: str = "",
        parts: Mapping[str, Part] = NO_PARTS,
        also: Collection[str] = (),
        reunion: Reunion = Reunion(),  # noqa: B008 (it is frozen)
    ) -> None:
        tally = Tally()
        async with self._hub.ingest(lease) as tx:
            mapped = await self._still_to_do(tx, mapped)
            await recognise(tx, self._rulebook.systems[self._system], mapped)
            known = await load(tx, self.decider, mapped, also)
            if seen:
                fresh = await tx.saw([item.row for item in mapped])
                # One that was missing may have been told of by another lane since it was looked for.
                mapped = [item for item in mapped if not item.unseen or item.row in fresh]
            await self._brake.look(tx, mapped, known)
            now = self._clock()
            outcome = self.decider.decide(
                mapped, known, self._new_id, tally, now, self._tolerance, applying=tx.applying, alike=reunion.groups
            )
            if outcome.match_keys and (unknown := await further(tx, known, outcome)):
                raise IdentityMoved("some records of this batch may be one with others", also=frozenset(unknown))
            outcome.asked = known.asked
            outcome.considered, outcome.followed = list(reunion.alike), list(reunion.following)
            found = await tx.commit(
                outcome,
                rulebook=self._rulebook.hash,
                changes=len(mapped),
                echoes=tally.echoes,
                state=state,
                message=message,
                parts=parts,
            )
        self._brake.decided()
        self.linked = self.linked or bool(outcome.links or outcome.released or found)
        self._wake.rouse({target for target, _ in outcome.dirty} | {target for target, _ in outcome.suspect})
        self._telemetry.decided(self._system, tally)
        self._telemetry.alike(found)

    async def _still_to_do(self, tx: IngestTransaction, mapped: Sequence[Mapped]) -> Sequence[Mapped]:
        """Without what was set aside and another worker has dealt with meanwhile."""
        ids = [item.release for item in mapped if item.release]
        if not ids:
            return mapped
        aside = await tx.still_aside(ids)
        return [item for item in mapped if not item.release or item.release in aside]

    def _new_id(self) -> str:
        return uuid7(self._clock(), self._bits(74))
