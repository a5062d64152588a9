"""Stripe's events: a snapshot with what was there before (v1), the thin form that names the object (v2), and the
signature over the very bytes of a webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldwarden.sandbox.frame.clock import iso
from fieldwarden.sandbox.frame.records import Json

API_VERSION = "2026-10-28.endive"
RETENTION = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that did it. A person in the dashboard has none."""

    request: str | None = None
    key: str | None = None


def previous(before: Json, after: Json) -> Json:
    """What changed, as it was: of an object inside only the names that changed, None for one that was not there.

    `previous({"name": "A", "metadata": {}}, {"name": "B", "metadata": {"x": "1"}})` ->
    {"name": "A", "metadata": {"x": None}}"""
    found: Json = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        found[name] = previous(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return found


def event(key: str, kind: str, shown: Json, before: Json | None, cause: Cause, at: float) -> Json:
    data: Json = {"object": shown}
    if before is not None:
        data["previous_attributes"] = previous(before, shown)
    return {
        "id": key,
        "object": "event",
        "api_version": API_VERSION,
        "created": int(at),
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": cause.request, "idempotency_key": cause.key},
        "type": kind,
    }


def thin(full: Json, at: float, path: str) -> Json:
    """The v2 form of a v1 event; `path` is where its object is fetched."""
    request, inner = full["request"], full["data"]["object"]
    reason: Any = None
    if request["id"]:
        reason = {"type": "request", "request": {"id": request["id"], "idempotency_key": request["idempotency_key"]}}
    return {
        "id": "evt_test_" + full["id"].removeprefix("evt_"),
        "object": "v2.core.event",
        "context": None,
        "created": iso(at),
        "livemode": False,
        "reason": reason,
        "related_object": {"id": inner["id"], "type": inner["object"], "url": path},
        "type": "v1." + full["type"],
    }


def body(full: Json) -> bytes:
    """As Stripe sends it: indented, letters as they are."""
    return json.dumps(full, indent=2, ensure_ascii=False).encode()


def sign(url: str, sent: bytes, secrets: Sequence[str], at: float) -> Mapping[str, str]:
    """One v1 signature for each secret."""
    del url
    stamp = str(int(at))
    signed = stamp.encode() + b"." + sent
    codes = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return {"stripe-signature": ",".join([f"t={stamp}", *(f"v1={code}" for code in codes)])}
