"""`/livez`, `/readyz` and `/metrics` on one port, answered from a thread of their own.

Live means that the event loop turns. Ready means more than "running": every source that this process reads streams,
every target that it writes to can be written, and work that waits is being done. A process whose positions stand still
while changes wait is not ready, and neither is one that has nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from engine.errors import EnvironmentUnfit
from operations.unread import held_up

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from engine.telemetry import Connector, Partition, Telemetry, Unread

_NOT_ASKED = "whether anything may be delivered is not known yet: the hub has not answered"
ABLE = {"source": frozenset({"snapshot", "streaming"}), "target": frozenset({"delivering"})}


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


def application(health: Health) -> WSGIApplication:
    metrics = make_wsgi_app(health.telemetry.registry)
    checks = {"/livez": health.live, "/readyz": health.ready}

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start)
        check = checks.get(path)
        if check is None:
            ok, status, body = False, "404 Not Found", {"paths": [*checks, "/metrics"]}
        else:
            ok, body = check()
            status = "200 OK" if ok else "503 Service Unavailable"
        payload = json.dumps(body).encode() + b"\n"
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))])
        return [payload]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """As WSGIServer does, but without asking a name server for the name of the host."""
        super(WSGIServer, self).server_bind()
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(health: Health, host: str, port: int) -> Iterator[str]:
    """Serve while the context lasts; yields the base URL (with `port` 0, of the port that was free).

    Raises EnvironmentUnfit where the port cannot be had."""
    try:
        server = make_server(host, port, application(health), server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise EnvironmentUnfit(
            f"the port {port} on {host} is taken" if taken else f"cannot listen on {host}:{port}",
            suggestion="another `fieldwarden run` may hold it; choose one with --port or `run: {port: ...}`",
            path=f"{host}:{port}",
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ops", daemon=True)
    thread.start()
    try:
        bound_host, bound_port = server.server_address[:2]
        yield f"http://{bound_host!s}:{bound_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
