"""How one logs in: what stands in each request for it, and how that is renewed.

Fixed            a token, or a user and a password
Granted          OAuth 2.0, a token for the client itself, asked for when it is needed
Refreshed        OAuth 2.0, by a refresh token that is kept in a file (`token_file`)
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import httpx

from fieldwarden.connectors.rest.asking.token_file import TokenFile, Tokens
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.rest.rows import answer_of
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, TransientError
from fieldwarden.rules.secret import Secret

_SHARE = 0.9
"""Of a token's life, after which it is not used any more: requests are under way for a while."""
_LIFE = 3600.0

Headers = Mapping[str, str]
Seconds = Callable[[], float]
"""A clock."""


class Login(Protocol):
    async def headers(self) -> Headers:
        """What a request needs. Raises TransientError; EnvironmentUnfit where a person has to log in anew."""

    async def refused(self, used: Headers) -> bool:
        """A request with these was refused (401). True: there are others now, and it is worth another try."""


class Fixed:
    """Always the same."""

    def __init__(self, header: str, value: Secret) -> None:
        self._headers = {header: value}

    async def headers(self) -> Headers:
        return {name: value.reveal() for name, value in self._headers.items()}

    async def refused(self, used: Headers) -> bool:
        del used
        return False


class Client:
    """What a token is asked for with: the client's id and secret."""

    def __init__(self, wire: Wire, path: str, id: str, secret: Secret, *, in_body: bool) -> None:
        self._wire, self._path, self._id, self._secret, self._in_body = wire, path, id, secret, in_body

    async def ask(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """A token endpoint's answer. Raises TransientError; EnvironmentUnfit where it refuses."""
        system, headers = self._wire.system, {"Content-Type": "application/x-www-form-urlencoded"}
        if self._in_body:
            form = {**form, "client_id": self._id, "client_secret": self._secret.reveal()}
        else:
            headers["Authorization"] = basic(quote(self._id, safe=""), quote(self._secret.reveal(), safe=""))
        headers["Accept"] = "application/json"
        url = httpx.URL(self._path) if "://" in self._path else self._wire.address(self._path)
        body = urlencode(form).encode()
        answer = await self._wire.send(self._wire.request("POST", url, headers, body=body))
        if answer.status >= 500 or answer.status in (408, 429):
            raise TransientError(f"{system}: no token is given just now (status {answer.status})")
        if answer.status >= 300:
            raise EnvironmentUnfit(
                f"{system}: no token is given for this login (status {answer.status})",
                suggestion="see whether client_id and client_secret are right, or allow Fieldwarden anew there",
            )
        try:
            told = answer_of(answer.content)
        except DecodeError as error:
            raise TransientError(f"{system}: where a token is asked for, something else answers") from error
        if not isinstance(told, Mapping) or not isinstance(told.get("access_token"), str):
            raise EnvironmentUnfit(
                f"{system}: where a token is asked for, none is given",
                suggestion="correct token_path in the vendor's file",
            )
        Secret(told["access_token"])  # from here on it is blotted out wherever it may show
        return told


class Granted:
    """Client credentials. One token at a time, for whoever asks."""

    def __init__(self, client: Client, scope: str | None, now: Seconds) -> None:
        self._client, self._now = client, now
        self._form = {"grant_type": "client_credentials"} | ({} if scope is None else {"scope": scope})
        self._token: Secret | None = None
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def headers(self) -> Headers:
        async with self._turn:
            if self._token is None or self._now() >= self._until:
                begun = self._now()
                told = await self._client.ask(self._form)
                self._token, self._until = Secret(told["access_token"]), begun + life(told)
            return bearer(self._token)

    async def refused(self, used: Headers) -> bool:
        async with self._turn:
            if self._token is not None and bearer(self._token) == used:
                self._token = None
            return True


class Refreshed:
    """A refresh token, which may be good for one use: its successor is in the file before anything is asked with the
    access token that came along. Whoever else works with the file, in this process or another, waits for that, and then
    takes what it finds."""

    def __init__(self, system: str, client: Client, file: TokenFile, now: Seconds) -> None:
        """`now` is the time of day, in seconds since 1970: what it says stands in the file."""
        self._system, self._client, self._file, self._now = system, client, file, now
        self._tokens: Tokens | None = None
        self._worthless = ""

    async def headers(self) -> Headers:
        if self._tokens is None or not self._good(self._tokens):
            self._tokens = await self._renewed()
        return bearer(Secret(self._tokens.access))

    async def refused(self, used: Headers) -> bool:
        if self._tokens is not None and bearer(Secret(self._tokens.access)) == used:
            self._worthless, self._tokens = self._tokens.access, None
        return True

    def _good(self, tokens: Tokens) -> bool:
        return bool(tokens.access) and tokens.access != self._worthless and self._now() < tokens.until

    async def _renewed(self) -> Tokens:
        async with self._file.held():
            kept = self._file.read()
            if self._good(kept):
                return kept
            begun = self._now()
            told = await self._client.ask({"grant_type": "refresh_token", "refresh_token": kept.refresh})
            successor = told.get("refresh_token")
            refresh = successor if isinstance(successor, str) and successor else kept.refresh
            tokens = Tokens(refresh, told["access_token"], begun + life(told))
            self._file.write(tokens)
            return tokens


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: Secret) -> Headers:
    return {"Authorization": f"Bearer {token.reveal()}"}


def life(told: Mapping[str, Any]) -> float:
    """For how many seconds a token is used."""
    try:
        return max(0.0, float(told.get("expires_in", _LIFE))) * _SHARE
    except (TypeError, ValueError):
        return _LIFE * _SHARE
