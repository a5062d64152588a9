"""What we ask of PostgreSQL systems, by name, out of the commented SQL file beside this one.

Statements that write a target's rows are not here: they are built for each stream (`writing/statements.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fieldwarden.engine.named_sql import statements

QUERIES: Final = statements(Path(__file__).with_name("queries.sql"))
