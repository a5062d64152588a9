"""SQL stands in files of its own, where it can be read and tried: each statement under a name and a comment.

    -- name: expired_overrides
    -- Overrides that ended before this moment.
    select id from override where until < %s

A file may hold any number of them.
"""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(rb"^-- name: (\w+)\n", re.MULTILINE)


def statements(*files: Path) -> dict[str, bytes]:
    """The statements of these files by name, their comments with them. Raises ValueError for a name that is twice."""
    found: dict[str, bytes] = {}
    for file in files:
        parts = _NAME.split(file.read_bytes())[1:]
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            if name.decode() in found:
                raise ValueError(f"{file.name}: there are two statements named {name.decode()}")
            found[name.decode()] = body.strip()
    return found
