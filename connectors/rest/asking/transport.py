"""One request over HTTP and its answer, bounded in bytes (as they unpack, too), in time, and to one server."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from fieldwarden.connectors.rest.moments import moment
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, TransientError

_CHUNK = 65_536
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it came, unpacked."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def date(self) -> int | None:
        """The server's time as the answer says it (µs since 1970 UTC); None where it does not."""
        try:
            return moment(self.headers["date"], "http_date")
        except (KeyError, ValueError):
            return None


class Wire:
    """What sends requests to one vendor. `system` stands in what errors say; no address, header or body does."""

    def __init__(self, system: str, url: str, *, seconds: float, answer_bytes: int) -> None:
        """Connects to nothing yet. Raises EnvironmentUnfit for an address by which a secret would go in the open."""
        self.system = system
        self.base = _address(system, url)
        self._seconds = seconds
        self._most = answer_bytes
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "gzip", "User-Agent": "fieldwarden"},
            timeout=httpx.Timeout(seconds, connect=min(seconds, 10.0)),
            follow_redirects=False,
            trust_env=False,
        )

    def address(self, path: str) -> httpx.URL:
        """Below the vendor's address."""
        return self.base.copy_with(raw_path=(self.base.raw_path.rstrip(b"/") + path.encode()))

    def linked(self, link: str) -> httpx.URL:
        """The address that an answer gives. Raises DecodeError where it leads to another server, or is none."""
        try:
            url = self.base.join(link)
        except (httpx.InvalidURL, ValueError) as error:
            raise DecodeError(f"{self.system}: the address of the next page is none") from error
        if (url.scheme, url.host, url.port) != (self.base.scheme, self.base.host, self.base.port):
            raise DecodeError(
                f"{self.system}: the next page is said to be at another server, which is not asked",
                suggestion="see whether url: is the vendor's own address, and not that of a proxy before it",
            )
        return url

    async def send(self, request: httpx.Request) -> Answered:
        """Raises TransientError where no answer came, DecodeError for one that is too large, or packed as nobody asked
        for."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._client.send(request, stream=True)
                try:
                    content = await self._content(answer)
                finally:
                    await answer.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TransientError(f"{self.system}: no answer within {self._seconds:g} seconds") from error
        except (httpx.TransportError, httpx.StreamError) as error:
            raise TransientError(
                f"{self.system}: it cannot be reached, or broke off ({type(error).__name__})"
            ) from error
        return Answered(answer.status_code, answer.headers, content)

    def request(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> httpx.Request:
        """Without a `query` the address keeps the one it has."""
        asked = url.copy_merge_params(list(query)) if query else url
        return self._client.build_request(method, asked, headers=dict(headers), content=body)

    async def close(self) -> None:
        await self._client.aclose()

    async def _content(self, answer: httpx.Response) -> bytes:
        packed = answer.headers.get("content-encoding", "identity").lower()
        if packed not in ("identity", "", "gzip"):
            raise DecodeError(f"{self.system}: it answers packed as nobody asked for")
        unpack = zlib.decompressobj(wbits=31) if packed == "gzip" else None
        parts: list[bytes] = []
        left = self._most
        async for chunk in answer.aiter_raw(_CHUNK):
            try:
                # A small answer may unpack without end: no more is unpacked than may be kept.
                part = chunk if unpack is None else unpack.decompress(chunk, left + 1)
            except zlib.error as error:
                raise TransientError(f"{self.system}: its answer cannot be unpacked") from error
            left -= len(part)
            if left < 0 or (unpack is not None and unpack.unconsumed_tail):
                raise DecodeError(
                    f"{self.system}: an answer is larger than {self._most:,} bytes",
                    suggestion="ask for smaller pages, or raise limits: answer_bytes in the vendor's file",
                )
            parts.append(part)
        if unpack is not None and not unpack.eof and parts:
            raise TransientError(f"{self.system}: its answer broke off")
        return b"".join(parts)


def _address(system: str, url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise EnvironmentUnfit(f"{system}: url: is no address", suggestion="write https://...") from error
    if base.scheme != "https" and not (base.scheme == "http" and base.host in _LOOPBACK):
        raise EnvironmentUnfit(
            f"{system}: url: does not begin with https, so that its token would go in the open",
            suggestion="write https://... (http is for this machine only)",
        )
    return base
