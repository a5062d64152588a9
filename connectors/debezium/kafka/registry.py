"""The schema registry: Avro schemas by id over the REST interface that Confluent's registry has and others imitate.

An id's schema never changes, so what was fetched once is kept. That is seldom, and so no connection is: each question
opens its own, and there is nothing to close. Fact: Confluent, "Schema Registry API Reference",
`GET /schemas/ids/{id}`; an unknown id is 404 with error code 40403.
"""

from __future__ import annotations

import ssl

import httpx

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.rules.secret import Secretive, revealed

_SECONDS = 10.0
_LONGEST = 1 << 23
"""Bytes of an answer: twice what is taken for a table's schema (`avro_format`)."""

_NO_SUCH = (400, 404, 422)
"""An id that it does not have, or that cannot be one of its own: the record that names it is to blame."""


class Registry:
    """A client of one registry. `known` answers at once from what was fetched; `fetch` asks."""

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: Secretive | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._url = url.rstrip("/")
        self._auth = httpx.BasicAuth(username, revealed(password or "")) if username else None
        self._tls = tls
        self._schemas: dict[int, str] = {}

    def known(self, number: int) -> str | None:
        return self._schemas.get(number)

    async def fetch(self, number: int) -> str | None:
        """The schema's text (empty where it is too long to be a table's); None if the registry has no such id (now: it
        is asked again the next time).

        Raises TransientError when it cannot be reached or fails, EnvironmentUnfit when it refuses us."""
        if number in self._schemas:
            return self._schemas[number]
        try:
            answer = await self._get(f"{self._url}/schemas/ids/{number}")
        except httpx.HTTPError as error:
            raise TransientError(
                f"the schema registry at {self._url} does not answer: {type(error).__name__}",
                suggestion="check `kafka: registry: url:`; reading goes on when it answers",
            ) from error
        if answer.status_code in _NO_SUCH:
            return None
        if answer.status_code in (401, 403):
            raise EnvironmentUnfit(
                f"the schema registry at {self._url} refused the user ({answer.status_code})",
                suggestion="mend `kafka: registry: username:` and `password:`",
            )
        if answer.is_server_error or answer.status_code == 429:
            raise TransientError(
                f"the schema registry at {self._url} failed with {answer.status_code}",
                suggestion="reading goes on when it answers",
            )
        self._schemas[number] = self._schema(answer)
        return self._schemas[number]

    async def _get(self, url: str) -> httpx.Response:
        client = httpx.AsyncClient(auth=self._auth, verify=self._tls, timeout=_SECONDS, trust_env=False)
        async with client, client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            return httpx.Response(answer.status_code, content=await _content(answer), request=answer.request)

    def _schema(self, answer: httpx.Response) -> str:
        if len(answer.content) > _LONGEST:
            return ""
        try:
            return str(answer.raise_for_status().json()["schema"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentUnfit(
                f"what answers at {self._url} is no schema registry ({answer.status_code})",
                suggestion="`kafka: registry: url:` is the address below which /schemas/ids/1 exists",
            ) from error


async def _content(answer: httpx.Response) -> bytes:
    """The body, or a little more than the longest that is taken."""
    content = bytearray()
    async for some in answer.aiter_bytes(1 << 16):
        content += some
        if len(content) > _LONGEST:
            break
    return bytes(content)
