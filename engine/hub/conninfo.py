"""How everything of ours connects to the hub's server: as the connectors do to theirs, so that a server that is gone
without a word is noticed in half a minute, and no default of the role or the database cuts us off."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from engine.process import NEVER_CUT_OFF, NOTICED, session_name


def lasting(dsn: str, purpose: str = "", process: str | None = None) -> str:
    """`dsn` with these settings, where it does not say otherwise itself, under this process's name (or another's).

    Raises psycopg.ProgrammingError if it is not a connection string."""
    given = conninfo_to_dict(dsn)
    named = session_name(purpose, process) if process else session_name(purpose)
    options = [str(given.get("options") or ""), *(f"-c {name}={value}" for name, value in NEVER_CUT_OFF.items())]
    missing = {name: value for name, value in NOTICED.items() if name not in given}
    return make_conninfo(dsn, **missing, options=" ".join(options).strip(), application_name=named)


def without_password(dsn: str) -> tuple[str, str]:
    """A connection string less its password, and the password ("": it has none).

    Raises psycopg.ProgrammingError if it is not a connection string."""
    given = conninfo_to_dict(dsn)
    password = str(given.pop("password", None) or "")
    others = {name: str(value) for name, value in given.items() if value is not None}
    return (make_conninfo("", **others), password) if password else (dsn, "")
