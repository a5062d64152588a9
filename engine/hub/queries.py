"""The hub's statements by name, out of the commented SQL files beside this one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_NAME = re.compile(rb"^-- name: (\w+)\n", re.MULTILINE)


def _load(path: Path) -> dict[str, bytes]:
    parts = _NAME.split(path.read_bytes())[1:]
    return {name.decode(): body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


_HERE = Path(__file__).parent

QUERIES: Final = (
    _load(_HERE / "queries.sql")
    | _load(_HERE / "workers.sql")
    | _load(_HERE / "agreement.sql")
    | _load(_HERE / "brake.sql")
)
