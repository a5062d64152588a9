"""How everything of ours connects to the hub's server: as the connectors do to theirs, so that a server that is gone
without a word is noticed in half a minute, and no default of the role or the database cuts us off."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fieldwarden.engine.dsn import read
from fieldwarden.engine.process import NEVER_CUT_OFF, NOTICED, session_name
from fieldwarden.rules.secret import Secretive, revealed


def lasting(dsn: Secretive, purpose: str = "", process: str | None = None) -> str:
    """`dsn` with these settings, where it does not say otherwise itself, under this process's name (or another's).

    To be called for a connection that is made at once. Raises EnvironmentUnfit if it is not a connection string."""
    given = read(dsn, conninfo_to_dict, " of the hub")
    named = session_name(purpose, process) if process else session_name(purpose)
    options = [given.get("options", ""), *(f"-c {name}={value}" for name, value in NEVER_CUT_OFF.items())]
    missing = {name: value for name, value in NOTICED.items() if name not in given}
    return make_conninfo(revealed(dsn), **missing, options=" ".join(options).strip(), application_name=named)


def without_password(dsn: Secretive) -> tuple[str, str]:
    """A connection string less its password, and the password ("": it has none), for a process that is begun at once.

    Raises EnvironmentUnfit if it is not a connection string."""
    given = read(dsn, conninfo_to_dict)
    password = given.pop("password", "")
    return (make_conninfo("", **given), password) if password else (revealed(dsn), "")
