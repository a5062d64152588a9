"""What a process answers about itself: `/livez` (also `/healthz`), `/readyz` and `/metrics`.

Live means that the event loop turns. Ready means more than "running": every source that this process reads streams,
every target that it writes to can be written, and work that waits is being done. A process whose positions stand still
while changes wait is not ready, and neither is one that has nothing to do.

Where a token is set, `/readyz` (which names systems and what troubles them) and `/metrics` are told only to who has it.
Whether the process lives, everybody may ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client.exposition import choose_encoder

from fieldwarden.operations.run import server as http
from fieldwarden.operations.run.hooks import PREFIX
from fieldwarden.operations.run.server import Answer, Request, Wanted
from fieldwarden.operations.unread import held_up
from fieldwarden.rules.secret import Secret, Secretive

if TYPE_CHECKING:
    from fieldwarden.engine.running.telemetry import Connector, Partition, Telemetry, Unread
    from fieldwarden.operations.run.hooks import Hooks

log = structlog.get_logger("fieldwarden.run")

OPEN: Final = (
    "/readyz and /metrics are told to everybody who can reach this address: "
    "set `run: {token: ...}`, or listen on 127.0.0.1"
)
_GUARDED = ("/readyz", "/metrics")
_FRESH_SECONDS = 0.2
_OPENMETRICS = "application/openmetrics-text"
_PLAIN, _OPEN = choose_encoder(""), choose_encoder(f"{_OPENMETRICS}; version=1.0.0")
_NOT_ASKED = "whether anything may be delivered is not known yet: the hub has not answered"
ABLE = {"source": frozenset({"snapshot", "streaming"}), "target": frozenset({"delivering", "busy"})}


def obstacles(
    connectors: Sequence[Connector],
    partitions: Sequence[Partition] = (),
    unread: Sequence[Unread] = (),
    *,
    now: float,
    patience: float,
) -> list[str]:
    """Why the process is not ready, in words; empty when it is. Times in seconds since 1970.

    Deliveries that wait for a system to be read do so rightly, as long as that is being read."""
    if not connectors:
        return ["starting: no connector has reported yet"]
    reasons = []
    held = False
    for c in connectors:
        if c.state not in ABLE[c.half]:
            reasons.append(f"{c.half} {c.name} is {c.state}" + (f": {c.message}" if c.message else ""))
        elif c.half == "source" and c.message:
            reasons.append(f"source {c.name}: {c.message}")
        elif c.half == "target" and unread:
            held = held or c.waiting > 0
        elif c.waiting > 0 and now - c.idle_since > patience:
            what = "bytes of its log" if c.half == "source" else "deliveries"
            reasons.append(
                f"{c.half} {c.name} has not moved for {int(now - c.idle_since)} s while {c.waiting} {what} wait"
            )
    for p in partitions:
        if p.message:
            reasons.append(f"source {p.system}: the partition {p.name} stands still: {p.message}")
        elif p.waiting > 0 and now - p.idle_since > patience:
            reasons.append(
                f"source {p.system}: the partition {p.name} has not moved for {int(now - p.idle_since)} s "
                f"while {p.waiting} records wait"
            )
    still = [each for each in unread if now - each.idle_since > patience] if held else []
    return reasons + [held_up(each.system, each.reason) for each in still]


@dataclass
class Health:
    """What the two checks answer. `beat` is set by the event loop, monotonic seconds; `standby` says why this process
    does nothing, if so; `remark`, `onboarding` (that deliveries wait for it; None: the hub has not been asked yet) and
    `questions` (to be answered by a person) are said beside, ready or not."""

    telemetry: Telemetry
    patience: float = 30.0
    pulse: float = 10.0
    clock: Callable[[], float] = time.time
    standby: str = ""
    remark: str = ""
    onboarding: str | None = None
    questions: Sequence[str] = ()
    beat: float = field(default_factory=time.monotonic)

    def ask(self, questions: Sequence[str]) -> None:
        """All that a person is asked now."""
        self.questions = questions

    async def keep_beating(self) -> None:
        while True:
            self.beat = time.monotonic()
            await asyncio.sleep(min(1.0, self.pulse / 4))

    def live(self) -> tuple[bool, dict[str, Any]]:
        silent = time.monotonic() - self.beat
        if silent <= self.pulse:
            return True, {"live": True}
        return False, {"live": False, "reasons": [f"the event loop has not turned for {int(silent)} s"]}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        connectors = self.telemetry.connectors()
        partitions = self.telemetry.seen_partitions()
        unread = self.telemetry.unread_systems()
        reasons = obstacles(connectors, partitions, unread, now=self.clock(), patience=self.patience)
        if self.standby:
            reasons = [self.standby]
        states = [
            {"connector": c.label, "state": c.state, "message": c.message, "waiting": c.waiting} for c in connectors
        ]
        onboarding = _NOT_ASKED if self.onboarding is None else self.onboarding
        remarks = [*filter(None, [self.remark, onboarding]), *self.questions]
        return not reasons, {"ready": not reasons, "reasons": reasons, "remarks": remarks, "connectors": states}


class Asked:
    """The answers, by path; those below `/hooks/` are the hooks'. `/metrics` is made anew after `_FRESH_SECONDS` and
    not more often: making it takes a moment of the process, whoever asks."""

    def __init__(self, health: Health, token: Secretive | None = None, hooks: Hooks | None = None) -> None:
        self._health = health
        self._hooks = hooks
        self._token = None if token is None else Secret.of(token)
        self._made: dict[str, tuple[float, bytes]] = {}

    def __call__(self, request: Request) -> Answer | Wanted:
        if self._hooks is not None and request.path.startswith(PREFIX):
            return self._hooks(request)
        paths = {"/livez": self._live, "/healthz": self._live, "/readyz": self._ready, "/metrics": self._metrics}
        found = paths.get(request.path)
        if found is None:
            return _json(404, {"paths": list(paths)})
        if request.method not in ("GET", "HEAD"):
            return _json(405, {"methods": ["GET", "HEAD"]}, ("Allow", "GET, HEAD"))
        if request.path in _GUARDED and not self._let_in(request):
            return _json(401, {"needs": "Authorization: Bearer TOKEN"}, ("WWW-Authenticate", "Bearer"))
        return found(request)

    def _let_in(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._token is None:
            return True
        return scheme.lower() == "bearer" and compare_digest(
            given.strip().encode("latin-1"), self._token.reveal().encode()
        )

    def _live(self, _request: Request) -> Answer:
        ok, body = self._health.live()
        return _json(200 if ok else 503, body)

    def _ready(self, _request: Request) -> Answer:
        ok, body = self._health.ready()
        return _json(200 if ok else 503, body)

    def _metrics(self, request: Request) -> Answer:
        # One of two, and nothing of the asker's own words: what is kept would grow with them.
        encode, content_type = _OPEN if _OPENMETRICS in request.headers.get("accept", "") else _PLAIN
        made, body = self._made.get(content_type, (0.0, b""))
        now = time.monotonic()
        if not body or now - made > _FRESH_SECONDS:
            body = encode(self._health.telemetry.registry)
            self._made[content_type] = now, body
        return Answer(200, body, content_type)


def _json(status: int, body: dict[str, Any], *headers: tuple[str, str]) -> Answer:
    return Answer(status, json.dumps(body).encode() + b"\n", "application/json", headers)


@contextlib.contextmanager
def serving(
    health: Health, host: str, port: int, token: Secretive | None = None, hooks: Hooks | None = None
) -> Iterator[str]:
    """Answer while the context lasts; yields the base URL. `token`: what `/readyz` and `/metrics` ask for.

    Raises EnvironmentUnfit where the port cannot be had."""
    if token is None and not is_loopback(host):
        log.warning("run.open", host=host, message=OPEN)
    beside = http.nothing if hooks is None else hooks.beside
    with http.serving(Asked(health, token, hooks), host, port, beside=beside) as url:
        yield url


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. A name is taken for others', but for localhost."""
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
