"""What waited and may go on now: changes that were set aside, records that may be joined, rows that nobody told of.

Between the batches of its source, a page at a time, so that new changes have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from fieldwarden.engine.deciding.meaning import Meanings
from fieldwarden.engine.ports.hub import Hub, Lease
from fieldwarden.engine.ports.parts import FIRST_BASELINE
from fieldwarden.engine.ports.source import Source
from fieldwarden.engine.running.ingest.commit import Commits
from fieldwarden.engine.running.ingest.looking import Looker
from fieldwarden.engine.running.ingest.reuniting import next_reunion
from fieldwarden.engine.running.ingest.second_tries import SecondTries
from fieldwarden.engine.running.ingest.vanished import unseen
from fieldwarden.engine.running.wake import either
from fieldwarden.rules.rulebook import Stream

_RELEASE_EVERY, _PAGE_EVERY, _LOOK_EVERY = 0.5, 0.05, 3.0
"""Seconds: after new links, what waited for them goes on at once; what a person released, a little later. Between the
pages of a round new changes have their turn, and the hub a rest."""


class Release:
    """Of one source. `turn` is held while anything of it is committed."""

    def __init__(
        self,
        source: Source,
        streams: Mapping[str, Stream],
        hub: Hub,
        commits: Commits,
        meanings: Meanings,
        looker: Looker,
        turn: asyncio.Lock,
    ) -> None:
        self._system = source.system
        self._streams = streams
        self._hub = hub
        self._commits = commits
        self._aside = SecondTries(hub, source, streams, meanings, commits.found)
        self._looker = looker
        self._turn = turn
        self.telling_again = False
        """All rows are being told again by the parts: what comes is noted as seen, until the others are swept."""
        self.baseline = FIRST_BASELINE
        """The one that this session reads."""

    async def open(self, lease: Lease) -> None:
        """A session begins. Whoever begins a new baseline fences all lanes, so each session knows of it from its
        start."""
        self.telling_again = not (await self._hub.baseline(self._system)).swept
        self.baseline = lease.baseline

    async def run(self, lease: Lease, stop: asyncio.Event) -> None:
        """Try again what was set aside and may go on now: its row is known, or a person said so."""
        looked = asyncio.get_running_loop().time()
        self._aside.begin()
        while not stop.is_set():
            async with self._turn:
                now = asyncio.get_running_loop().time()
                if self._aside.over and (self._commits.linked or now - looked >= _LOOK_EVERY):
                    self._commits.linked, looked = False, now
                    self._aside.begin()
                    await self._reunite(lease)
                if not self._aside.over:
                    await self._look_again(lease)
                    await self._sweep_unheard(lease)
            await either(asyncio.sleep(_RELEASE_EVERY if self._aside.over else _PAGE_EVERY), stop)

    async def sweep(self, lease: Lease, streams: Sequence[str]) -> None:
        """Rows of these streams that were not told of again are looked for, and gone if not found. Then what they stood
        in the way of has its chance before anything is delivered: a row that is there under another key now must not
        look deleted."""
        async for looked in unseen(self._hub, lease, {name: self._streams[name] for name in streams}, self._looker):
            await self._commits.commit(lease, looked, seen=True)
        await self._hub.reconsider(self._system)
        tried: set[int] = set()
        while not tried.issuperset(found := await self._round(lease)):
            tried |= found

    async def _sweep_unheard(self, lease: Lease) -> None:
        """Once everything has been told again, rows that were not are looked for."""
        if not self.telling_again:
            return
        baseline = await self._hub.baseline(self._system)
        self.telling_again = not baseline.swept
        if baseline.heard and not baseline.swept:
            await self.sweep(lease, tuple(self._streams))
            await self._hub.swept(self._system, baseline.number)
            self.telling_again = False

    async def _round(self, lease: Lease) -> set[int]:
        """One round; what was tried again."""
        found: set[int] = set()
        self._aside.begin()
        while not self._aside.over:
            found |= await self._look_again(lease)
        return found

    async def _look_again(self, lease: Lease) -> set[int]:
        """Try some of what is set aside; which."""
        mapped = await self._looker.instead(await self._aside.next())
        if mapped:
            await self._commits.commit(lease, mapped)
        return {item.release for item in mapped}

    async def _reunite(self, lease: Lease) -> None:
        if (reunion := await next_reunion(self._hub)).records or reunion.alike:
            await self._commits.until_settled(lease, [], also=reunion.records, reunion=reunion)
