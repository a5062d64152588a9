"""One system of a vendor in one process: its login, its pace, and every request that is made of it.

Whoever reads, looks or writes there asks by the same session, so that its limits hold for all of them together, and for
nobody else: each system has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import structlog

from fieldwarden.connectors.rest.asking.logins import Login
from fieldwarden.connectors.rest.asking.transport import Answered, Wire
from fieldwarden.connectors.rest.description import Request, Vendor
from fieldwarden.connectors.rest.pace import Pace
from fieldwarden.connectors.rest.rows import answer_of
from fieldwarden.connectors.rest.templates import Filled, in_body, in_header, in_path, in_text
from fieldwarden.connectors.rest.verdicts import Judged, judge, pause_asked
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, SourceGap, TargetBusy, TransientError
from fieldwarden.engine.ports.duties import Half

log = structlog.get_logger("fieldwarden.rest")
_TRIES = 5
_PAUSE = 1.0
_LONGEST_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """`seconds` only goes forward, `micros` is the time of day (µs since 1970 UTC); `sleep` waits."""

    seconds: Callable[[], float]
    micros: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked for. `gone`: there is no such thing; then `told` is None."""

    told: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    gone: bool = False


class RestSession:
    def __init__(self, wire: Wire, vendor: Vendor, values: Mapping[str, str], login: Login, clocks: Clocks) -> None:
        """`values` are what the vendor's file asks of each system's."""
        self.system = wire.system
        self.vendor = vendor
        self._wire = wire
        self._values = dict(values)
        self._login = login
        self._clocks = clocks
        self._pace = Pace(vendor.limits.rates)
        self._turns = asyncio.Semaphore(vendor.limits.concurrency)
        self._ahead: int | None = None

    async def now(self) -> int:
        """The vendor's time (µs since 1970 UTC), as its last answer told it: never later than it is there."""
        if self._ahead is None:
            await self._sent(await self._knock())
        if self._ahead is None:  # it does not tell; ours has to do
            self._ahead = 0
        return self._clocks.micros() + self._ahead

    @property
    def clock_ahead(self) -> int | None:
        """By how much the vendor's clock is ahead of ours (µs); None: no answer has told."""
        return self._ahead

    async def ask(self, request: Request, values: Mapping[str, Filled], link: str = "") -> Answer:
        """An answer that is what was asked for. `link`: the address that another answer gave, in place of the
        request's path and query.

        What is only busy or failing is asked again a few times. Raises TransientError, EnvironmentUnfit, SourceGap
        (what was asked for is kept no longer), DecodeError."""
        all_values = {**self._values, **values}
        url = self._wire.linked(link) if link else self._wire.address(in_path(request.path, all_values))
        headers = self._headers(request, all_values)
        query = [] if link else _query(request, all_values)
        body = None
        if request.body is not None and not link:
            body = msgspec.json.encode(in_body(request.body, all_values, request.quoting))
            headers["Content-Type"] = "application/json"
        method = "GET" if link else request.method
        renewed = False
        for attempt in range(1, _TRIES + 1):
            login = await self._login.headers()
            made = self._wire.request(method, url, {**headers, **login}, query=query, body=body)
            answered = await self._sent(made)
            told = _told(answered)
            judged = judge(answered.status, told, self.vendor.errors)
            if judged.meaning == "fine":
                self._pace.answered()
                return self._fine(answered, told)
            if judged.meaning == "gone":
                return Answer(None, answered.headers, gone=True)
            if judged.meaning == "login" and not renewed and await self._login.refused(login):
                renewed = True
                continue
            await self._wait_or_raise(judged, answered, attempt)
        raise TransientError(f"{self.system}: it does not answer, asked {_TRIES} times")

    async def cut_off(self, process: str, half: Half) -> None:
        """A vendor holds nothing for anybody."""

    async def close(self) -> None:
        await self._wire.close()

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _knock(self) -> httpx.Request:
        """A request whose answer is of no concern but for its date. It goes where rows are asked for: in front of other
        paths may stand somebody else's clock."""
        asked = next(iter(self.vendor.objects.values())).all.request
        try:
            path = in_path(asked.path, self._values)
        except KeyError:
            path = "/"
        headers = {**self._headers(asked, self._values), **await self._login.headers()}
        return self._wire.request("GET", self._wire.address(path), headers)

    async def _sent(self, request: httpx.Request) -> Answered:
        async with self._turns:
            while (pause := self._pace.wait(self._clocks.seconds())) > 0:
                if pause > _LONGEST_WAIT:
                    raise TargetBusy(f"{self.system}: it is to be left alone for a while", retry_after=pause)
                await self._clocks.sleep(pause)
            self._pace.made(self._clocks.seconds())
            answered = await self._wire.send(request)
        if answered.date is not None:
            self._ahead = answered.date - self._clocks.micros()
        return answered

    async def _wait_or_raise(self, judged: Judged, answered: Answered, attempt: int) -> None:
        """Returns when it is to be asked again."""
        status = answered.status
        match judged.meaning:
            case "rebaseline":
                raise SourceGap(f"{self.system}: what was read up to is not known there any more", safe=True)
            case "halt" | "login":
                raise EnvironmentUnfit(f"{self.system}: it refuses (status {status})", suggestion=judged.because)
            case "busy":
                asked = pause_asked(answered.headers.get("retry-after", ""), self._clocks.micros() + (self._ahead or 0))
                pause = _PAUSE * attempt if asked is None else asked
                self._pace.refused(self._clocks.seconds(), pause)
                log.info("rest.busy", system=self.system, seconds=round(pause, 3))
            case _:
                await self._clocks.sleep(_PAUSE * attempt)
        if attempt == _TRIES:
            raise TransientError(f"{self.system}: it fails (status {status}), asked {_TRIES} times")

    def _fine(self, answered: Answered, told: Any) -> Answer:
        if told is None and answered.content:
            raise TransientError(
                f"{self.system}: something else than the API answers (not JSON)",
                suggestion="see whether url: is the API's, and whether the vendor tells of maintenance",
            )
        return Answer(told, answered.headers)

    def _headers(self, request: Request, values: Mapping[str, Filled]) -> dict[str, str]:
        given = {**self.vendor.headers, **request.headers}
        return {name: in_header(text, values) for name, text in given.items()}


def _query(request: Request, values: Mapping[str, Filled]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, template in request.query.items():
        texts = (template,) if isinstance(template, str) else template
        found += [(name, in_text(text, values, request.quoting)) for text in texts]
    return found


def _told(answered: Answered) -> Any:
    """None: it is no JSON."""
    try:
        return answer_of(answered.content)
    except DecodeError:
        return None
