"""Kafka Connect over REST: what it runs, how that fares, and changing it without guessing what happened.

Connect answers 409 while its workers rebalance and 500 when a worker does not answer in time; the second leaves open
whether the change was made. So every change here is one that may be made twice, and is looked up before it is made
again. Facts: Kafka's documentation, "Kafka Connect / REST API"; KIP-745 for restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import httpx

from fieldwarden.connectors.debezium.connect.states import KeyProblem, State, read_problems, read_state, read_texts
from fieldwarden.connectors.debezium.kafka.access import Endpoint
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.rules.scrubbing import scrub
from fieldwarden.rules.secret import Secretive, revealed

_TIMEOUT = httpx.Timeout(100.0, connect=5.0)
"""Seconds: Connect itself gives up forwarding a request after 90."""
_READ_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_PATIENCE = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0
_BUSY = (409, 500, 503, 504)
"""409: it rebalances; 500: a worker did not answer another in time; the others while it starts, or from a proxy."""


T = TypeVar("T")
_Question: TypeAlias = Callable[[], Awaitable[bool]]


class UnknownConnector(EngineError):
    """Kafka Connect has no connector of that name."""

    code = "unknown_connector"


class ConnectRefused(EngineError):
    """Kafka Connect does not do what it was asked; it says why."""

    code = "connect_refused"


@dataclass
class Connect:
    """One Connect cluster. `patience`: seconds for which a busy cluster is asked again."""

    endpoint: Endpoint
    client: httpx.AsyncClient
    patience: float = _PATIENCE

    @staticmethod
    @asynccontextmanager
    async def open(endpoint: Endpoint, *, patience: float = _PATIENCE) -> AsyncIterator[Connect]:
        """Connects when first asked. Raises EnvironmentUnfit for a `ca_file` that is none."""
        password = revealed(endpoint.password or "")
        login = (endpoint.username, password) if endpoint.username is not None else None
        async with httpx.AsyncClient(
            base_url=endpoint.url.rstrip("/"), auth=login, verify=endpoint.trust(), trust_env=False
        ) as client:
            yield Connect(endpoint, client, patience)

    # --- looking ---------------------------------------------------------------------------------------------

    async def plugins(self) -> set[str]:
        """The classes of connector that are installed."""
        return await self._read("/connector-plugins", lambda body: {plugin["class"] for plugin in body})

    async def names(self) -> list[str]:
        return await self._read("/connectors", lambda body: sorted(map(str, body)))

    async def states(self) -> dict[str, State]:
        """Every connector of the cluster, by name."""
        return await self._read(
            "/connectors?expand=status",
            lambda body: {name: read_state(each["status"]) for name, each in sorted(body.items())},
        )

    async def state(self, name: str) -> State:
        """Raises UnknownConnector."""
        return await self._read(f"/connectors/{_quoted(name)}/status", read_state, name)

    async def configuration(self, name: str) -> dict[str, Secretive]:
        """As it was registered, passwords and all. Raises UnknownConnector."""
        return await self._read(f"/connectors/{_quoted(name)}/config", read_texts, name)

    async def problems(self, name: str, configuration: Mapping[str, Secretive]) -> list[KeyProblem]:
        """What Connect finds wrong with a configuration, key by key; it also asks the database.

        Raises EnvironmentUnfit if the connector's plugin is not installed."""
        kind = revealed(configuration["connector.class"])
        if kind not in await self.plugins():
            raise EnvironmentUnfit(
                f"Kafka Connect at {self.endpoint.url} has no plugin {kind}",
                suggestion="unpack Debezium's plugin archive into a folder of plugin.path, and restart the workers",
            )
        path = f"/connector-plugins/{_quoted(kind)}/config/validate"
        answer = self._understood(
            await self._until(lambda: self._ask("PUT", path, json={**_plain(configuration), "name": name}))
        )
        return self._body(answer, read_problems)

    # --- changing --------------------------------------------------------------------------------------------

    async def register(self, name: str, configuration: Mapping[str, Secretive]) -> bool:
        """Create the connector or replace its configuration; True if it is new. Raises ConnectRefused."""
        wanted = {**configuration, "name": name}
        was_there = await self._known(name) is not None

        async def made() -> bool:
            return await self._known(name) == wanted

        answer = await self._change("PUT", f"/connectors/{_quoted(name)}/config", made, json=_plain(configuration))
        return answer.status_code == 201 or (answer.status_code == 204 and not was_there)

    async def started(self, name: str, patience: float) -> State | None:
        """Wait until it runs or has failed; how it fares by then. None: Connect has not heard of it yet."""
        end = asyncio.get_running_loop().time() + patience
        while True:
            try:
                state: State | None = await self.state(name)
            except UnknownConnector:
                state = None
            settled = state is not None and (state.running or state.failed)
            if settled or asyncio.get_running_loop().time() > end:
                return state
            await asyncio.sleep(_FIRST_PAUSE)

    async def restart(self, name: str, *, everything: bool = False) -> None:
        """Restart what has failed, or the connector and all its tasks. Raises UnknownConnector."""
        failed = "false" if everything else "true"
        path = f"/connectors/{_quoted(name)}/restart?includeTasks=true&onlyFailed={failed}"
        await self._change("POST", path, _cannot_tell, name)

    async def pause(self, name: str) -> None:
        await self._change("PUT", f"/connectors/{_quoted(name)}/pause", self._is(name, "PAUSED"), name)

    async def stop(self, name: str, patience: float) -> None:
        """End its tasks, as if it were gone, until it is resumed; returns when they have ended (KIP-875).

        Raises TransientError if they do not."""
        await self._change("PUT", f"/connectors/{_quoted(name)}/stop", self._is(name, "STOPPED"), name)
        end = asyncio.get_running_loop().time() + patience
        while (state := await self.state(name)).state != "STOPPED" or state.tasks:
            if asyncio.get_running_loop().time() > end:
                raise TransientError(f"connector {name} does not stop", suggestion="see the log of Kafka Connect")
            await asyncio.sleep(_FIRST_PAUSE)

    async def resume(self, name: str) -> None:
        await self._change("PUT", f"/connectors/{_quoted(name)}/resume", self._is(name, "RUNNING"), name)

    async def delete(self, name: str) -> None:
        """Its offsets stay, and so do the database's slot and publication. Raises UnknownConnector."""

        async def gone() -> bool:
            return await self._known(name) is None

        await self._change("DELETE", f"/connectors/{_quoted(name)}", gone, name)

    # --- parts -----------------------------------------------------------------------------------------------

    def _is(self, name: str, state: str) -> _Question:
        async def reached() -> bool:
            return (await self.state(name)).state == state

        return reached

    async def _known(self, name: str) -> dict[str, Secretive] | None:
        try:
            return await self.configuration(name)
        except UnknownConnector:
            return None

    async def _read(self, path: str, reader: Callable[[Any], T], name: str = "") -> T:
        answer = await self._until(lambda: self._ask("GET", path, within=_READ_TIMEOUT))
        return self._body(self._understood(answer, name), reader)

    def _body(self, answer: httpx.Response, reader: Callable[[Any], T]) -> T:
        try:
            return reader(answer.json())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConnectRefused(
                f"what answers at {self.endpoint.url} does not speak as Kafka Connect does",
                suggestion="is kafka: connect: url in fieldwarden.yaml right?",
            ) from None

    async def _change(self, method: str, path: str, made: _Question, name: str = "", **more: Any) -> httpx.Response:
        """Ask until it is answered; once an answer was lost, `made` tells first whether the change was made (204)."""
        lost = False

        async def asked() -> httpx.Response | None:
            nonlocal lost
            if lost and await made():
                return httpx.Response(204)
            try:
                answer = await self._ask(method, path, **more)
            except TransientError:
                lost = True
                return None
            lost = lost or answer.status_code >= 500
            return answer

        return self._understood(await self._until(asked), name)

    async def _until(self, asked: Callable[[], Awaitable[httpx.Response | None]]) -> httpx.Response:
        """Ask again while Connect is busy. Raises TransientError when it stays so."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self.patience, _FIRST_PAUSE
        while True:
            answer = await asked()
            if answer is not None and answer.status_code not in _BUSY:
                return answer
            if loop.time() + pause > end:
                said = _message(answer) if answer is not None else "it does not answer"
                raise TransientError(
                    f"Kafka Connect at {self.endpoint.url} stays busy: {said}",
                    suggestion="its workers rebalance, or one of them is down: look at their logs, then try again",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _ask(
        self, method: str, path: str, *, within: httpx.Timeout = _TIMEOUT, json: Any = None
    ) -> httpx.Response:
        """Raises EnvironmentUnfit if nobody is there, TransientError if the answer was lost on the way."""
        url = self.endpoint.url
        try:
            return await self.client.request(method, path, timeout=within, json=json)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise EnvironmentUnfit(
                f"Kafka Connect at {url} cannot be reached: {_reason(error)}",
                suggestion="is it up, and kafka: connect: url in fieldwarden.yaml right?",
            ) from error
        except httpx.HTTPError as error:
            raise TransientError(
                f"Kafka Connect at {url} does not answer: {type(error).__name__}",
                suggestion="look whether it is up, then try again",
            ) from error

    def _understood(self, answer: httpx.Response, name: str = "") -> httpx.Response:
        """Raises what an answer that is none means."""
        url, code = self.endpoint.url, answer.status_code
        if code == 404 and name:
            raise UnknownConnector(
                f"Kafka Connect at {url} has no connector {name}", suggestion="fieldwarden connector register"
            )
        if code in (401, 403):
            raise EnvironmentUnfit(
                f"Kafka Connect at {url} refuses the credentials",
                suggestion="check kafka: connect: username and password in fieldwarden.yaml",
            )
        if answer.is_success:
            return answer
        raise ConnectRefused(
            f"Kafka Connect at {url} refuses ({code}): {_message(answer)}",
            suggestion="is this address Kafka Connect's?" if code == 404 else "",
        )


async def _cannot_tell() -> bool:
    """A restart leaves no trace; made twice it does no harm."""
    return False


def _message(answer: httpx.Response) -> str:
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.text[:200]
    return scrub(" ".join(text.split())) or answer.reason_phrase


def _reason(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    return scrub(str(error)) or type(error).__name__


def _plain(configuration: Mapping[str, Secretive]) -> dict[str, str]:
    """As it goes to Connect."""
    return {name: revealed(value) for name, value in configuration.items()}


def _quoted(name: str) -> str:
    return quote(name, safe="")
