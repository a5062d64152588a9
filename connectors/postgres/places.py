"""Which database a connection leads to, whatever its connection string calls it.

The server is known by the moment it was started: its system identifier is that of its clones too, and asking for it can
be forbidden. Where a server does not answer, only its connection string is left; that can rule out a database, and
never tell for certain that it is one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.queries import QUERIES
from fieldwarden.connectors.postgres.session import connect, rows, translated
from fieldwarden.engine.dsn import read
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit
from fieldwarden.rules.secret import Secretive

_PATIENCE = 15.0
"""Seconds for an answer, whatever its connection string allows: somebody waits with a write."""
_THIS_MACHINE = "this machine"


@dataclass(frozen=True, slots=True)
class Database:
    """Which database of which running server."""

    started: int
    oid: int


async def here(connection: psycopg.AsyncConnection[TupleRow]) -> Database:
    """The database that is connected: the same for as long as the session lasts. Raises psycopg.Error."""
    ((row),) = await rows(connection, QUERIES["here"])
    return Database(row["started"], row["database"])


async def place_of(name: str, dsn: Secretive) -> Database | None:
    """The database that a system's connection string leads to, None if nobody answers there."""
    try:
        async with asyncio.timeout(_PATIENCE), await connect(name, dsn) as connection:
            with translated(name):
                return await here(connection)
    except (EngineError, TimeoutError):
        return None


async def may_be_here(connection: psycopg.AsyncConnection[TupleRow], dsn: Secretive) -> bool:
    """Whether a connection string, at which nobody answers, may lead to the database that is connected.

    It does not if it names another database, or a host that is neither ours by name nor by any address. What it does
    not say, a service file or the environment may: then it may lead here. A port says nothing, for a pooler has its
    own. Raises psycopg.Error."""
    try:
        given = read(dsn, conninfo_to_dict)
    except EnvironmentUnfit:
        return True
    hosts, name = given.get("hostaddr") or given.get("host"), given.get("dbname")
    if not hosts or not name:
        return True
    # A pooler may have its own name for a database: ours is known by both.
    ((said),) = await rows(connection, QUERIES["database_name"])
    info = connection.info
    if name not in (info.dbname, said["name"]):
        return False
    return not (await _addresses(hosts)).isdisjoint(await _addresses(f"{info.host},{info.hostaddr}"))


async def _addresses(hosts: str) -> set[str]:
    """Hosts, divided by commas, by their names and addresses. Whatever is on this machine is one."""
    found = set[str]()
    for host in filter(None, hosts.split(",")):
        if host.startswith(("/", "@")):  # a socket
            found.add(_THIS_MACHINE)
            continue
        found.add(host.lower())
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            continue  # a name that leads nowhere does not lead here
        addresses = (str(address[0]).partition("%")[0] for *_, address in answers)
        found |= {_THIS_MACHINE if ipaddress.ip_address(each).is_loopback else each for each in addresses}
    return found
