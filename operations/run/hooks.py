"""Webhooks: what systems send to `/hooks/<system>`, answered once it is durable in the hub's inbox.

    request -> is it wanted -> its body -> the kind's verdict -> the inbox -> the verdict's status

All of this is on the server's own thread and loop, with a connection to the hub of its own: what the engine does for
seconds keeps no vendor waiting, and a process that stands by takes webhooks as well.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import structlog

from fieldwarden.engine import failpoints
from fieldwarden.engine.errors import FieldwardenError
from fieldwarden.engine.ports.inbound import HookRequest, Receiving
from fieldwarden.engine.ports.inbox import Hint, Item, Received
from fieldwarden.operations.run.server import Answer, Request, Wanted
from fieldwarden.rules.settings import Webhooks

if TYPE_CHECKING:
    from fieldwarden.engine.ports.inbox import Inbox
    from fieldwarden.engine.running.telemetry import Telemetry

log = structlog.get_logger("fieldwarden.hooks")

PREFIX: Final = "/hooks/"
Outcome = Literal[
    "taken", "known", "nothing", "refused", "unreadable", "too_large", "slow", "full", "unavailable", "bug"
]
TURNED_AWAY: Final = frozenset({"refused", "unreadable", "too_large"})
"""Outcomes that more tries of the same request do not change."""
_STORE_SECONDS = 4.0
"""Vendors give up an answer after five seconds and more."""
_AGAIN_LATER = "30"
_AGAIN_SOON = "5"
_COUNT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Taking:
    """How one system's webhooks are taken: `address` is where they are sent to, as the system was told."""

    receiving: Receiving
    settings: Webhooks
    address: str


class Hooks:
    """What the server asks about paths below `/hooks/`. `arrived` is told of each system that sent something new; it is
    called on the server's thread."""

    def __init__(
        self,
        inbox: Inbox,
        telemetry: Telemetry,
        arrived: Callable[[str], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        store_seconds: float = _STORE_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._telemetry = telemetry
        self._arrived = arrived
        self._clock = clock
        self._store_seconds = store_seconds
        self._taking: Mapping[str, Taking] | None = None
        self._turned_away: Counter[str] = Counter()
        self._uncounted: Counter[str] = Counter()
        """Those of them of which the hub does not know yet."""
        self._given_up: set[asyncio.Task[Received | None]] = set()
        self._trouble = False

    def take(self, taking: Mapping[str, Taking]) -> None:
        """From now on these systems' are taken, and no others. Until it is called all are told to come again."""
        self._taking = taking

    def __call__(self, request: Request) -> Answer | Wanted:
        taking, system = self._taking, request.path.removeprefix(PREFIX)
        if taking is None:
            return _said(503, "starting", ("Retry-After", _AGAIN_SOON))
        known = taking.get(system)
        if known is None:
            return _said(404, "no webhooks are taken here")
        if request.method not in known.receiving.methods:
            methods = ", ".join(sorted(known.receiving.methods))
            return _said(known.receiving.told(405), f"it is {methods}", ("Allow", methods))
        return Wanted(
            known.settings.limit, partial(self._take, system, known, request), partial(self._not_read, system, known)
        )

    async def beside(self) -> None:
        """Keep count of what is turned away and of what waits, until cancelled; then give up the connection."""
        try:
            while True:
                await asyncio.sleep(_COUNT_SECONDS)
                if self._taking:
                    await self._count()
        finally:
            await self._inbox.close()

    async def _count(self) -> None:
        for system, number in self._turned_away.items():
            log.warning("hooks.turned_away", system=system, count=number)
            self._uncounted[system] += number
        self._turned_away.clear()
        try:
            for system, number in list(self._uncounted.items()):
                await self._inbox.refused(system, number)
                del self._uncounted[system]
            states, now = await self._inbox.states(), self._clock()
        except FieldwardenError:  # whoever sends something is told so
            return
        ages = {each.system: 0.0 if each.oldest is None else (now - each.oldest) / 1e6 for each in states}
        self._telemetry.inboxes({each.system: (each.unread, ages[each.system]) for each in states})

    async def _take(self, system: str, known: Taking, request: Request, body: bytes) -> Answer:
        now, receiving = self._clock(), known.receiving
        asked = HookRequest(request.method, known.address, request.query, request.headers, body)
        verdict = receiving.receive(asked, now)
        items = [each for each in verdict.items if receiving.trusted or isinstance(each, Hint)]
        outcome: Outcome = verdict.turned_away or "nothing"
        if items and not verdict.turned_away:
            outcome = await self._store(system, known.settings.unread, items, now)
        self._tell(system, outcome)
        if outcome == "full":
            return _said(receiving.told(503), "too much waits to be read", ("Retry-After", _AGAIN_LATER))
        if outcome == "unavailable":
            return _said(receiving.told(503), "it cannot be kept just now", ("Retry-After", _AGAIN_SOON))
        return Answer(verdict.status, verdict.body, verdict.content_type, verdict.headers, bodiless=False)

    async def _store(self, system: str, room: int, items: Sequence[Item], now: int) -> Outcome:
        storing = asyncio.create_task(self._inbox.receive(system, items, room, now))
        # Not a timeout around it: a statement that is cancelled is waited for until its server says so, or ten seconds
        # if that says nothing. What is stored all the same is known by its id when it is sent again.
        if not (await asyncio.wait({storing}, timeout=self._store_seconds))[0]:
            self._given_up.add(storing)
            storing.add_done_callback(self._over)
            storing.cancel()
            return self._unavailable(system, "the hub does not answer")
        try:
            received = storing.result()
        except FieldwardenError as error:
            return self._unavailable(system, error.message)
        self._trouble = False
        if received is None:
            return "full"
        failpoints.hit("inbox.durable")
        self._arrived(system)
        return "taken" if received.new else "known"

    def _unavailable(self, system: str, why: str) -> Outcome:
        if not self._trouble:
            log.warning("hooks.unavailable", system=system, message=why)
        self._trouble = True
        return "unavailable"

    def _over(self, storing: asyncio.Task[Received | None]) -> None:
        """Whatever came of it, nobody waits for it any more."""
        self._given_up.discard(storing)
        if not storing.cancelled():
            storing.exception()

    def _not_read(self, system: str, known: Taking, status: int) -> Answer:
        outcomes: dict[int, tuple[Outcome, str]] = {
            408: ("slow", "it does not come to its end"),
            413: ("too_large", f"at most {known.settings.limit} bytes are read"),
            500: ("bug", "a bug in Fieldwarden; its log names the place"),
        }
        outcome, words = outcomes[status]
        self._tell(system, outcome)
        return _said(known.receiving.told(status), words)

    def _tell(self, system: str, outcome: Outcome) -> None:
        self._telemetry.webhook(system, outcome)
        if outcome in TURNED_AWAY:
            self._turned_away[system] += 1


def _said(status: int, words: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"error": words} if status >= 300 else {}).encode() + b"\n"
    return Answer(status, body, "application/json", headers, bodiless=False)
