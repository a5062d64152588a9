"""What HubSpot says when it does not do something: `{"status": "error", "category": ..., "message": ...}`."""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.sandbox.frame.exchange import Answer, Refused, told

CORRELATION = "00000000-0000-4000-8000-000000000000"


def error(status: int, category: str, message: str, headers: Mapping[str, str] | None = None, **more: str) -> Answer:
    body = {"status": "error", "message": message, "correlationId": CORRELATION, "category": category, **more}
    return told(body, status, headers)


def invalid(message: str) -> Refused:
    return Refused(error(400, "VALIDATION_ERROR", message))


def missing(key: str) -> Refused:
    return Refused(error(404, "OBJECT_NOT_FOUND", f"Object not found.  objectId are usually numeric. ({key})"))
