"""One org in one process: its login, its pace, and every request that is made of its REST API.

What an answer means that holds one outcome for each record is for whoever asked; what it means for all of us (a login
that ended, requests that are used up) is dealt with here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from fieldwarden.connectors.rest.asking.transport import Answered, Wire
from fieldwarden.connectors.rest.rows import answer_of
from fieldwarden.connectors.rest.verdicts import pause_asked
from fieldwarden.connectors.salesforce.asking import soql
from fieldwarden.connectors.salesforce.asking.access import Access, Login
from fieldwarden.connectors.salesforce.asking.verdicts import Fault, faults, used
from fieldwarden.connectors.salesforce.decoding.described import ObjectOf, described
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, TargetBusy, TransientError

VERSION: Final = "v65.0"
MOST_RETRIEVED: Final = 2_000
"""Records that one request may name by their ids."""
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_BUSY_PAUSE, _EXHAUSTED_PAUSE = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API. `faults`: the request as a whole was refused."""

    status: int
    told: Any
    faults: tuple[Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


class SalesforceSession:
    """`micros` is the time of day (µs since 1970
    UTC), `concurrency` how many requests may be under way at once."""

    def __init__(self, wire: Wire, login: Login, *, micros: Callable[[], int], concurrency: int = 4) -> None:
        self.system = wire.system
        self.login = login
        self.client = "fieldwarden"
        """The name under which we write: change events show it."""
        self.used: tuple[int, int] | None = None
        """Requests of 24 hours, and those that there may be, as the last answer told."""
        self._wire = wire
        self._micros = micros
        self._turns = asyncio.Semaphore(concurrency)
        self._ahead = 0

    def works_for(self, project: str) -> None:
        """What is written from here on is marked as this project's."""
        self.client = f"fieldwarden-{project}"

    async def now(self) -> int:
        """Salesforce's own time (µs since 1970 UTC), as its answer tells it: never later than it is there."""
        await self.ask("GET", "/limits")
        return self._micros() + self._ahead

    def clock(self) -> int:
        """Salesforce's time in milliseconds, as far as its last answer has told."""
        return (self._micros() + self._ahead) // 1_000

    async def ask(self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: Any = None) -> Reply:
        """An answer below the version's address, whatever became of the records in it. `body` is sent as JSON, with
        decimals as exact numbers.

        Raises TransientError, TargetBusy (nothing is wanted for a while), EnvironmentUnfit (a person has to mend
        rights, settings or the login), DecodeError."""
        access = await self.login.access()
        reply = await self._made(access, method, path, query, body)
        if reply.status == 401:
            access = await self.login.renew(access)
            reply = await self._made(access, method, path, query, body)
            if reply.status == 401:
                raise EnvironmentUnfit(
                    f"{self.system}: Salesforce does not take our login",
                    suggestion="look at the connected app, its policies and the user that it runs as",
                )
        return reply

    async def described(self, name: str) -> ObjectOf:
        """An object as it is described now. Raises EnvironmentUnfit where there is none, or the user sees none."""
        reply = await self.ask("GET", f"/sobjects/{soql.name(name)}/describe")
        if reply.faults:
            raise EnvironmentUnfit(
                f"{self.system}: Salesforce has no object {name}, or the user that we log in as may not see it",
                suggestion=f"let the user read {name}, or mend the stream's `table`",
                path=name,
            )
        try:
            return described(reply.told)
        except Unreadable as error:
            raise DecodeError(f"{self.system}: {error}", path=name) from error

    async def query(self, text: str) -> list[dict[str, Any]]:
        """All rows of a query that has no more than fit in one answer. Raises as `ask` does, and EnvironmentUnfit for
        a query that Salesforce refuses."""
        found: list[dict[str, Any]] = []
        reply = await self.ask("GET", "/query", query=(("q", text),))
        while True:
            if reply.faults:
                raise self._refused(reply.faults)
            found += reply.told["records"]
            if reply.told.get("done", True):
                return found
            reply = await self.ask("GET", f"/query/{reply.told['nextRecordsUrl'].rpartition('/')[2]}")

    async def retrieved(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any] | None]:
        """Records by their ids, in that order; None: there is none now. No more than `MOST_RETRIEVED`."""
        asked = {"ids": list(ids), "fields": [soql.name(each) for each in fields]}
        reply = await self.ask("POST", f"/composite/sobjects/{soql.name(object)}", body=asked)
        if reply.faults:
            raise self._refused(reply.faults)
        found: list[dict[str, Any] | None] = reply.told
        return found

    async def close(self) -> None:
        await self._wire.close()

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _made(self, access: Access, method: str, path: str, query: Sequence[tuple[str, str]], body: Any) -> Reply:
        headers = {"Authorization": f"Bearer {access.token}", "Sforce-Call-Options": f"client={self.client}"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = _ENCODER.encode(body)
        url = self._wire.address(f"/services/data/{VERSION}{path}")
        async with self._turns:
            answered = await self._wire.send(self._wire.request(method, url, headers, query=query, body=content))
        if answered.date is not None:
            self._ahead = answered.date - self._micros()
        self.used = used(answered.headers.get("sforce-limit-info", "")) or self.used
        return self._reply(answered)

    def _reply(self, answered: Answered) -> Reply:
        status = answered.status
        try:
            told = answer_of(answered.content) if answered.content else None
        except DecodeError as error:
            raise TransientError(
                f"{self.system}: something else than Salesforce's API answers (status {status})",
                suggestion="see whether url: is the org's own address, and whether Salesforce tells of maintenance",
            ) from error
        found = faults(told) if status >= 400 else ()
        verdicts = {each.verdict for each in found}
        if "busy" in verdicts or status == 429:
            raise TargetBusy(
                f"{self.system}: Salesforce wants no more requests for now",
                retry_after=self._pause(answered),
                suggestion="the org's requests of 24 hours may be used up: `doctor` says how many are left",
            )
        if status == 503:
            raise TargetBusy(f"{self.system}: Salesforce is away for a moment", retry_after=self._pause(answered))
        if status >= 500 or status == 408 or ("again" in verdicts and status != 401):
            raise TransientError(f"{self.system}: Salesforce fails (status {status})")
        if "unfit" in verdicts:
            raise self._refused(found)
        return Reply(status, told, found, answered.headers)

    def _pause(self, answered: Answered) -> float:
        asked = pause_asked(answered.headers.get("retry-after", ""), self._micros())
        if asked is not None:
            return asked
        spent = self.used is not None and self.used[0] >= self.used[1]
        return _EXHAUSTED_PAUSE if spent else _BUSY_PAUSE

    def _refused(self, found: Sequence[Fault]) -> EnvironmentUnfit:
        codes = ", ".join(sorted({each.code for each in found}))
        fields = sorted({name for each in found for name in each.fields})
        about = f" ({', '.join(fields)})" if fields else ""
        return EnvironmentUnfit(
            f"{self.system}: Salesforce refuses: {codes}{about}",
            suggestion="look at the rights of the user that we log in as, and at the mapping: `doctor` names them",
        )
