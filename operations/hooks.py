"""The webhooks that a project's systems send: where to, how they are known, what came of them, and a try."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.inbox import PostgresInbox
from fieldwarden.engine.ports.inbox import InboxState
from fieldwarden.operations.project import Opened, UnknownSystem
from fieldwarden.operations.run.hooks import PREFIX, Taking
from fieldwarden.operations.systems import receiving

_PATIENCE = 15.0
_MEANINGS = {
    202: "the signature holds, and there was nothing to take in it",
    401: "turned away: the process knows other secrets than the files here",
    404: "the process takes no webhooks of that system: its rules are others, or it is of another version",
    503: "it cannot be kept just now: the hub is away, or too much waits to be read; see fieldwarden hooks list",
}


@dataclass(frozen=True, slots=True)
class Hook:
    """One system's webhooks. `unread` items wait, the first of them for `oldest_seconds`; something came last
    `arrived_seconds` ago. The counts are of all time: items taken in, items known already, requests turned away."""

    system: str
    address: str
    scheme: str
    unread: int
    oldest_seconds: float | None
    arrived_seconds: float | None
    received: int
    repeated: int
    refused: int


@dataclass(frozen=True, slots=True)
class Unread:
    """An inbox in which something waits to be read, and for how long the first of it has."""

    system: str
    number: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Tried:
    """What a running process has answered to a request like the system's own. `meaning` is it in words."""

    system: str
    url: str
    status: int
    meaning: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


def taken(project: Opened, base: str) -> dict[str, Taking]:
    """By system, those that are taken by a server whose address is `base`. Raises ReferenceUnresolved."""
    found = {}
    for name, system in project.rulebook.systems.items():
        if (settings := system.settings.hooks) is not None and (made := receiving(project, name)) is not None:
            found[name] = Taking(made, settings, (project.file.run.address or base).rstrip("/") + PREFIX + name)
    return found


async def hooks(project: Opened) -> list[Hook]:
    """Those of every system that sends any, by rank. Raises EnvironmentUnfit, ReferenceUnresolved."""
    async with project.live_hub.part(PostgresInbox) as inbox:
        states = {each.system: each for each in await inbox.states()}
    return [
        _hook(name, each, states.get(name, InboxState(name))) for name, each in taken(project, _server(project)).items()
    ]


async def inboxes(project: Opened) -> list[Unread]:
    """The inboxes in which something waits. Raises EnvironmentUnfit."""
    async with project.live_hub.part(PostgresInbox) as inbox:
        states = await inbox.states()
    return [Unread(each.system, each.unread, _age(each.oldest) or 0.0) for each in states if each.unread]


async def tried(project: Opened, system: str, url: str | None = None) -> Tried:
    """Send a request like the system's own to a running process (at `url`, by default where the files say). Raises
    UnknownSystem, EnvironmentUnfit, ReferenceUnresolved."""
    found = taken(project, url or _server(project))
    if system not in found:
        raise UnknownSystem(f"{system!r} sends no webhooks", suggestion=_those(list(found)))
    sample = found[system].receiving.sample(found[system].address, time.time_ns() // 1000)
    to = (url or _server(project)).rstrip("/") + PREFIX + system
    if not to.startswith(("http://", "https://")):
        raise EnvironmentUnfit(f"{to} is no address of a server", suggestion="as http://127.0.0.1:9187", path=to)
    asked = urllib.request.Request(  # noqa: S310 (what it is was looked at)
        to, data=sample.body, headers=dict(sample.headers), method=sample.method
    )
    status = await asyncio.to_thread(_sent, asked)
    good = 200 <= status < 300
    return Tried(system, to, status, _MEANINGS.get(202 if good else status, f"it answers {status}"))


def _those(names: Sequence[str]) -> str:
    return f"those that do: {', '.join(names)}" if names else "no system's file has `webhooks` under `connector:`"


def _sent(asked: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError) as error:
        raise EnvironmentUnfit(
            f"nothing answers at {asked.full_url}: {type(error).__name__}",
            suggestion="is `fieldwarden run` at work? where it listens elsewhere, say so with --url http://HOST:PORT",
            path=asked.full_url,
        ) from error


def _server(project: Opened) -> str:
    """Where a process of this machine listens, by the files."""
    run = project.file.run
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(run.host, run.host)  # noqa: S104 (not listened on)
    return f"http://[{host}]:{run.port}" if ":" in host else f"http://{host}:{run.port}"


def _hook(name: str, taking: Taking, state: InboxState) -> Hook:
    return Hook(
        name,
        taking.address,
        taking.receiving.scheme,
        state.unread,
        _age(state.oldest),
        _age(state.arrived),
        state.received,
        state.repeated,
        state.refused,
    )


def _age(at: int | None) -> float | None:
    """How long ago a time (µs) was, in seconds."""
    return None if at is None else round(max(0.0, time.time() - at / 1e6), 1)
