"""HubSpot's webhooks: a list of small events, each of which names an object and at most one property, signed (v3) over
method, address, body and time."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from fieldwarden.sandbox.frame.records import Json

PORTAL = 62515
APP = 54321
MOST = 100
"""How many events one request brings."""


def happened(number: int, one: str, what: str, key: str, at: float, by_person: bool) -> Json:
    """`what` is creation, deletion or propertyChange."""
    return {
        "eventId": number,
        "subscriptionId": 1,
        "portalId": PORTAL,
        "appId": APP,
        "occurredAt": int(at * 1000),
        "subscriptionType": f"{one}.{what}",
        "attemptNumber": 0,
        "objectId": int(key),
        "changeSource": "CRM_UI" if by_person else "INTEGRATION",
        "sourceId": "userId:1" if by_person else str(APP),
    }


def sign(url: str, sent: bytes, secrets: Sequence[str], at: float) -> Mapping[str, str]:
    stamp = str(int(at * 1000))
    code = hmac.new(secrets[0].encode(), b"POST" + url.encode() + sent + stamp.encode(), hashlib.sha256).digest()
    return {
        "x-hubspot-signature-v3": base64.b64encode(code).decode(),
        "x-hubspot-request-timestamp": stamp,
        "x-hubspot-signature-version": "v3",
    }
