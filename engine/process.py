"""What all sessions of this process with PostgreSQL servers have in common: their name, by which others can end them
when it hangs, and that a peer which is gone without a word is noticed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

PROCESS: Final = secrets.token_hex(4)
_LONGEST_NAME = 63

NOTICED: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Settings of libpq by which a dead peer is noticed in half a minute. What the connection string itself says wins."""

NEVER_CUT_OFF: Final = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""Settings of a session, whatever the role's or the database's defaults are."""


def session_name(purpose: str = "", process: str = PROCESS) -> str:
    """An application_name: whose it is, what for, and at its end the process."""
    mark = session_mark(process)
    return f"fieldwarden {purpose}".rstrip()[: _LONGEST_NAME - len(mark)] + mark


def session_mark(process: str) -> str:
    """What the names of a process's sessions end with."""
    return f" [{process}]"


_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "JAVA_HOME")
_INHERITED_KINDS = ("LC_", "LD_", "DYLD_")


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What of our environment a server that we start is given: nothing that may be a secret. The environment of a
    process can be read, by whoever may end it, as long as it lives, and a server outlives us."""
    return {
        name: value for name, value in environment.items() if name in _INHERITED or name.startswith(_INHERITED_KINDS)
    }
