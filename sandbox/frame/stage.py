"""One sandbox as a whole: a vendor in its world, and what happens to each request on its way there and back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fieldwarden.sandbox.frame.clock import Clock
from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible, Refused
from fieldwarden.sandbox.frame.faults import EVERY_VENDOR, HOOKS, Faults
from fieldwarden.sandbox.frame.hooks import Hooks
from fieldwarden.sandbox.frame.journal import Asked, Journal, shown
from fieldwarden.sandbox.frame.limits import Bucket, Rate
from fieldwarden.sandbox.frame.vendor import Vendor, World

AGE = 20 * 86400.0
"""How long ago, in seconds, a sandbox's first records were made: no search lags behind them."""
HTML = b"<!doctype html><html><head><title>Maintenance</title></head><body><h1>We'll be back soon</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, what fault made it what it is, how long it is kept back, and whether it gets lost on its way."""

    answer: Answer
    fault: str = ""
    after: float = 0.0
    lost: bool = False


class Stage:
    """`machine` and `timer` are the clocks of the machine, for dates and for rates."""

    def __init__(
        self,
        make: type[Vendor],
        seed: int = 1,
        machine: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seed = seed
        clock, faults = Clock(machine), Faults({**EVERY_VENDOR, **(HOOKS if make.retries else {}), **make.faults})
        self.world = World(clock, faults, Hooks(clock, faults, make.retries), random.Random(seed))
        self.vendor = make(self.world)
        self.journal = Journal()
        self._timer = timer
        self.limit(make.rate)
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Forget what happened; addresses of webhooks, the clock and the limits stay."""
        self.seed = seed
        self.world.random.seed(seed)
        self.world.faults.clear()
        self.world.quiet = True
        self.world.clock.move(-AGE)
        self.vendor.begin()
        self.world.clock.move(AGE)
        self.world.quiet = False
        self.world.hooks.clear()
        self.journal.clear()

    def limit(self, rate: Rate | None) -> None:
        self._bucket = Bucket(rate, self._timer)

    def load(self, data: Mapping[str, Any]) -> int:
        """Make these records, table by table; how many. Raises NotPossible."""
        made = 0
        for table, records in data.items():
            self.vendor.table(table)
            if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
                raise NotPossible(f"{table}: a list of JSON objects is wanted")
            for record in records:
                self.vendor.create(table, record)
                made += 1
        return made

    def answer(self, endpoint: Endpoint | None, call: Call) -> Outcome:
        """What comes of a request, noted in the journal."""
        outcome = self._outcome(endpoint, call)
        fault = outcome.fault or ("lost_answer" if outcome.lost else "slow" if outcome.after else "")
        at, body, status = self.world.clock.now(), shown(call.body), outcome.answer.status
        self.journal.note(
            Asked(at, call.method, call.path, call.query, body, status, fault), endpoint.path if endpoint else "(none)"
        )
        return outcome

    def _outcome(self, endpoint: Endpoint | None, call: Call) -> Outcome:
        faults, refusal = self.world.faults, self.vendor.refusal
        if faults.strikes("throttle", call.path):
            return Outcome(refusal("throttle", call, 1.0), "throttle")
        if not self._bucket.take():
            return Outcome(refusal("throttle", call, self._bucket.wait()))
        for fault in ("revoked_token", "server_error"):
            if faults.strikes(fault, call.path):
                return Outcome(refusal(fault, call), fault)
        if faults.strikes("html", call.path):
            return Outcome(Answer(200, HTML, content_type="text/html; charset=utf-8"), "html")
        if endpoint is None:
            return Outcome(refusal("no_such_path", call))
        try:
            answer = self.vendor.carried_out(endpoint, call)
        except Refused as refused:
            answer = refused.answer
        after = faults.seconds("slow") if faults.strikes("slow", call.path) else 0.0
        lost = call.method not in ("GET", "HEAD") and answer.status < 400 and faults.strikes("lost_answer", call.path)
        return Outcome(answer, after=after, lost=lost)
