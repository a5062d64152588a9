"""QuickBooks' webhooks: which entity of which company changed, and never what it holds. CloudEvents, and on demand the
form that was sent before them; signed over the body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from fieldwarden.sandbox.frame.clock import iso
from fieldwarden.sandbox.frame.exchange import written

_DONE = {"Create": "created", "Update": "updated", "Delete": "deleted", "Void": "voided"}


def body(realm: str, number: int, entity: str, key: str, what: str, at: float) -> bytes:
    event = {
        "specversion": "1.0",
        "id": f"00000000-0000-4000-8000-{number:012}",
        "source": "intuit.sandbox",
        "type": f"qbo.{entity.lower()}.{_DONE[what]}.v1",
        "datacontenttype": "application/json",
        "time": iso(at),
        "intuitentityid": key,
        "intuitaccountid": realm,
        "data": {},
    }
    return written([event])


def legacy_body(realm: str, entity: str, key: str, what: str, at: float) -> bytes:
    changed = {"name": entity, "id": key, "operation": what, "lastUpdated": iso(at)}
    return written({"eventNotifications": [{"realmId": realm, "dataChangeEvent": {"entities": [changed]}}]})


def sign(url: str, sent: bytes, secrets: Sequence[str], at: float) -> Mapping[str, str]:
    del url, at
    code = hmac.new(secrets[0].encode(), sent, hashlib.sha256).digest()
    return {"intuit-signature": base64.b64encode(code).decode()}
