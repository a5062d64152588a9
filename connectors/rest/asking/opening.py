"""A system's session, as its file and its vendor's say: secrets followed, the address known, the login chosen."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from fieldwarden.connectors.rest.asking.logins import Client, Fixed, Granted, Login, Refreshed, basic
from fieldwarden.connectors.rest.asking.session import Clocks, RestSession
from fieldwarden.connectors.rest.asking.token_file import TokenFile
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.rest.description import (
    BasicLogin,
    ClientCredentials,
    RefreshToken,
    TokenLogin,
    Vendor,
)
from fieldwarden.connectors.rest.settings import RestSettings
from fieldwarden.connectors.rest.systems import extended
from fieldwarden.connectors.rest.vendors import shipped_vendor, vendor_in
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.kinds import Reach
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secret

CLOCKS = Clocks(time.monotonic, lambda: time.time_ns() // 1000, asyncio.sleep)


def open_session(system: System, reach: Reach) -> RestSession:
    """Connects to nothing yet. Raises ReferenceUnresolved, ConfigurationError, EnvironmentUnfit."""
    settings = system.settings
    assert isinstance(settings, RestSettings)
    vendor = _vendor(settings, reach)
    where = reach.where(system.name)
    url = reach.shown(settings.url or vendor.url or "", where)
    limits = vendor.limits
    wire = Wire(system.name, url, seconds=limits.seconds, answer_bytes=limits.answer_bytes)
    return RestSession(wire, vendor, settings.values, _login(system.name, settings, vendor, reach, wire), CLOCKS)


def _vendor(settings: RestSettings, reach: Reach) -> Vendor:
    file = reach.folder / "vendors" / f"{settings.vendor}.yaml"
    try:
        vendor: Vendor | None = vendor_in(f"vendors/{file.name}", file.read_bytes())
    except FileNotFoundError:
        vendor = shipped_vendor(settings.vendor)
    if vendor is None:
        raise EnvironmentUnfit(
            f"no file describes the vendor {settings.vendor!r}", suggestion=f"write vendors/{file.name}", path=str(file)
        )
    return extended(vendor, settings.columns)


def _login(system: str, settings: RestSettings, vendor: Vendor, reach: Reach, wire: Wire) -> Login:
    secret = partial(_secret, reach, reach.where(system))
    auth = vendor.auth
    match auth:
        case TokenLogin():
            prefix = "" if auth.prefix == "none" else f"{auth.prefix} "
            return Fixed(auth.header, Secret(prefix + secret(settings.token).reveal()))
        case BasicLogin():
            user = reach.shown(settings.user or "", reach.where(system))
            return Fixed("Authorization", Secret(basic(user, secret(settings.password).reveal())))
        case ClientCredentials() | RefreshToken():
            id = reach.shown(settings.client_id or "", reach.where(system))
            in_body = auth.client == "body"
            client = Client(wire, auth.token_path, id, secret(settings.client_secret), in_body=in_body)
            if isinstance(auth, ClientCredentials):
                return Granted(client, auth.scope, CLOCKS.seconds)
            file = reach.folder / (settings.token_file or "")
            return Refreshed(system, client, TokenFile(system, file), time.time)


def _secret(reach: Reach, where: str, text: str | None) -> Secret:
    return reach.secret(text or "", where)
