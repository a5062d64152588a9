"""The hub's statements by name, out of the commented SQL files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fieldwarden.engine.named_sql import statements

_HERE = Path(__file__).parent
_FILES = ("queries.sql", "workers.sql", "agreement.sql", "brake.sql", "inbox.sql")

QUERIES: Final = statements(*(_HERE / name for name in _FILES))
