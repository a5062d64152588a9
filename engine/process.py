"""What this process is called among the sessions of every server it uses, so that others can end them when it hangs."""

from __future__ import annotations

import secrets
from typing import Final

PROCESS: Final = secrets.token_hex(4)
_LONGEST_NAME = 63


def session_name(purpose: str = "", process: str = PROCESS) -> str:
    """An application_name: whose it is, what for, and at its end the process."""
    mark = session_mark(process)
    return f"fieldwarden {purpose}".rstrip()[: _LONGEST_NAME - len(mark)] + mark


def session_mark(process: str) -> str:
    """What the names of a process's sessions end with."""
    return f" [{process}]"
