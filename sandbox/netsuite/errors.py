"""What NetSuite says when it does not do something: an RFC 9457 problem with `o:errorDetails`."""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.sandbox.frame.exchange import Answer, Refused, told

_TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}


def error(status: int, code: str, detail: str, path: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    inner = {"detail": detail, "o:errorCode": code} | ({"o:errorPath": path} if path else {})
    body = {
        "type": f"https://www.rfc-editor.org/rfc/rfc9110.html#section-15.{status // 100 + 1}.{status % 100 + 1}",
        "title": _TITLES.get(status, "Internal Server Error"),
        "status": status,
        "o:errorDetails": [inner],
    }
    return told(body, status, headers, 'application/vnd.oracle.resource+json; type="error"')


def invalid(detail: str, path: str = "", code: str = "INVALID_CONTENT") -> Refused:
    return Refused(error(400, code, f"Error while accessing a resource. {detail}", path))


def missing(what: str) -> Refused:
    said = f"The record instance does not exist. Provide a valid record instance ID. ({what})"
    return Refused(error(404, "NONEXISTENT_ID", said))
