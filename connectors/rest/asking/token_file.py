"""The file in which a refresh token is kept, since each use may replace it.

It is written whole and durable before it takes the old one's place, for its owner's eyes only, and one at a time works
with it, over all processes of a machine.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.secret import Secret

_AGAIN = 0.05


class _Kept(msgspec.Struct, omit_defaults=True):
    refresh_token: str
    access_token: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """`until`: when the access token is not used any more (seconds since 1970)."""

    refresh: str = field(repr=False)
    access: str = field(default="", repr=False)
    until: float = 0.0


class TokenFile:
    def __init__(self, system: str, path: Path) -> None:
        self._system = system
        self._path = path

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Inside, nobody else reads or writes it."""
        try:
            lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise self._unfit("cannot be worked with", error) from error
        try:
            await _locked(lock)
            yield
        finally:
            os.close(lock)

    def read(self) -> Tokens:
        """Raises EnvironmentUnfit where nothing can be read there."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except OSError as error:
            raise self._unfit("cannot be read", error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unfit("is not what it should be") from error
        for each in (kept.refresh_token, kept.access_token):
            Secret(each)  # from here on it is blotted out wherever it may show
        return Tokens(kept.refresh_token, kept.access_token, kept.until)

    def write(self, tokens: Tokens) -> None:
        """Durable when it returns."""
        new = self._path.with_name(self._path.name + ".new")
        content = msgspec.json.encode(_Kept(tokens.refresh, tokens.access, tokens.until))
        try:
            descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unfit("cannot be written", error) from error

    def _unfit(self, what: str, error: OSError | None = None) -> EnvironmentUnfit:
        why = f": {error.strerror}" if error is not None else ""
        return EnvironmentUnfit(
            f"{self._system}: the file of its refresh token {what}{why}",
            suggestion='write {"refresh_token": "..."} into the file that token_file: names, in a folder of ours',
            path=str(self._path),
        )


async def _locked(lock: int) -> None:
    """Whoever has it asks the vendor meanwhile, which has a bound of its own; the system tells nobody of its end."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_AGAIN)
        else:
            return
