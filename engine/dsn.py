"""Connection strings are read in one way, and one that says something else than it was meant to is refused.

libpq takes the first raw `@` of a URI for the end of its password, and with a raw `/` in front of that it sees no login
at all; it prints what it takes for a host's name, a port or a database when it cannot connect, and what it cannot parse
it quotes. So a string whose password may be cut in two is refused here, in words of ours, before anybody connects by
it. A `?` or `#` in a password is read as it is meant. Facts: PostgreSQL's documentation, "Connection Strings";
fe-connect.c, `conninfo_uri_parse_options`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.scrubbing import learn
from fieldwarden.rules.secret import Secretive, revealed

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
SECRET_SETTINGS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_NUMBERS = re.compile(r"port|connect_timeout|tcp_user_timeout|keepalives\w*")
_HOST = re.compile(r"[/@].*|[\w.:%~-]*")
_ASKED = re.compile(rf"[?&](?:{'|'.join(sorted(SECRET_SETTINGS))})=", re.IGNORECASE)
_PORT = re.compile(r":[^\]]*$")


def read(dsn: Secretive, parse: Callable[[str], Mapping[str, Any]], whose: str = "") -> dict[str, str]:
    """The settings of a connection string, by `parse` (psycopg's `conninfo_to_dict`); its passwords are learned.

    Raises EnvironmentUnfit, which quotes nothing of it, if it is none or may be meant otherwise."""
    text = revealed(dsn)
    if unclear(text):
        raise _misread(whose)
    try:
        found = {name: str(value) for name, value in parse(text).items() if value is not None}
    except Exception:
        # Whatever the parser raises: its words quote what it cannot parse, and the cause must not be shown either.
        raise EnvironmentUnfit(
            f"the connection string{whose} is not one that libpq understands",
            suggestion="write postgresql://user@host/database or host=... dbname=...; "
            "in the first form percent-encode what is odd in a password, in the second quote it: password='...'",
        ) from None
    for name in SECRET_SETTINGS & found.keys():
        learn(found[name], [value for other, value in found.items() if other not in SECRET_SETTINGS])
    if not all(_sound(name, value) for name, value in found.items()):
        raise _misread(whose)
    return found


def unclear(text: str) -> bool:
    """Whether a URI's password may go on behind what is read as its end. False for other connection strings."""
    scheme = _URI.match(text)
    if scheme is None:
        return False
    rest = text[scheme.end() :]
    login, at, behind = rest.partition("@")
    if not at or "/" in login:  # libpq sees no login: then what looks like a port may be where a password begins
        host, _, path = rest.partition("?")[0].partition("/")
        return "@" in path and (_PORT.search(host) is not None or "/" in path)
    host, _, path = behind.partition("?")[0].partition("/")
    # A database may be called db@x; but with a / behind it, it is host and database, and the password was cut before.
    return "@" in host or "/" in path.partition("@")[2] or _ASKED.search(login) is not None


def _sound(name: str, value: str) -> bool:
    """Whether it can be what it is read as. Several hosts, and their ports, are divided by commas."""
    if name in ("host", "hostaddr"):
        return all(_HOST.fullmatch(each) for each in value.split(","))
    if name == "port":
        return all(not each or (each.isdecimal() and int(each) < 65_536) for each in value.split(","))
    return not _NUMBERS.fullmatch(name) or value.lstrip("-").isdecimal()


def _misread(whose: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"the connection string{whose} may be meant otherwise than it is read",
        suggestion="percent-encode @ (%40) and / (%2F) in its user, password and database, and : (%3A) in its user; "
        "its port is a number",
    )
