"""Who sits at the command line: asked here and nowhere else, and handed on."""

from __future__ import annotations

import getpass
import os
import socket

from fieldwarden.engine.principal import OS_USER, Principal


def me() -> Principal:
    """The user of the operating system, at this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = f"uid-{os.getuid()}"
    return Principal(f"{user}@{socket.gethostname()}", OS_USER)
