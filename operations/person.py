"""Who acts: the name under which the ledger notes what a person does."""

from __future__ import annotations

import getpass
import os
import socket
import time

from fieldwarden.engine.ledger.entries import Act


def me() -> str:
    """The user of the operating system, at this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def act(what: str, why: str = "", **details: str) -> Act:
    """What the person at the keyboard does now; see `engine.ledger.entries.Act`."""
    return Act(what, me(), why, time.time_ns() // 1000, details)
