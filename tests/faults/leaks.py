"""The search for what was planted: in any spelling in which a program may write a value, and in every process."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote


def spellings(values: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each value with each way to write it, in small letters."""
    for value in values:
        spelled = {value, quote(value, safe=""), quote(value), repr(value)[1:-1], json.dumps(value)[1:-1]}
        for each in {*spelled, *in_base64(value)}:
            yield value, each.lower()


def in_base64(value: str) -> set[str]:
    """What base64 of any text has in it that holds the value: the characters that nothing beside it has a part in, for
    each of the three places where it can begin. A short one only at the beginning: others would be met by chance."""
    found = set()
    for before in range(3) if len(value) > 8 else (0,):
        data = bytes(before) + value.encode()
        found.add(base64.b64encode(data).decode()[-(-before * 8 // 6) : len(data) * 8 // 6])
    return found


def leaks(written: dict[str, str], values: Iterable[str]) -> list[str]:
    """Where which of these values stands, in any spelling or case, with its surroundings."""
    found = []
    texts = {where: text.lower() for where, text in written.items()}
    for value, spelled in spellings(values):
        for where, text in texts.items():
            if (place := text.find(spelled)) >= 0:
                found.append(f"{value} in {where}: ...{written[where][max(0, place - 120) : place + 80]}...")
    return found


def processes(parent: int, proc: Path = Path("/proc")) -> dict[str, str]:
    """The command line of a process of ours, and command line and environment of all that it has started. Raises
    OSError where it has ended itself."""
    found = {f"arguments of {parent}": _read(proc / f"{parent}/cmdline")}
    for child in (proc / f"{parent}/task/{parent}/children").read_text().split():
        # One that has ended since it was listed has neither: a server's own come and go.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[f"environment of {child}"] = _read(proc / f"{child}/environ")
            found |= processes(int(child), proc)
    return found


def _read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
