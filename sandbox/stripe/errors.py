"""What Stripe says when it does not do something: `{"error": {"type": ..., "code": ..., "message": ...}}`."""

from __future__ import annotations

from collections.abc import Mapping

from fieldwarden.sandbox.frame.exchange import Answer, Refused, told


def error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str = "",
    param: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    inner = {"code": code, "message": message, "param": param, "type": kind}
    if code:
        inner["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    return told({"error": {name: value for name, value in inner.items() if value}}, status, headers)


def invalid(message: str, param: str = "", code: str = "") -> Refused:
    return Refused(error(400, message, param=param, code=code))


def missing(what: str, key: str, param: str = "id", status: int = 404) -> Refused:
    """`what` as Stripe calls the object: customer, invoice."""
    return Refused(error(status, f"No such {what}: '{key}'", code="resource_missing", param=param))


def masked(key: str) -> str:
    """`sk_test_abcdef1234` -> "sk_test_******1234"."""
    head, tail = key[:8], key[-4:] if len(key) > 12 else ""
    return f"{head}{'*' * max(0, len(key) - len(head) - len(tail))}{tail}"
