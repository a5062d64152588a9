"""Idempotency keys: the first answer under a key is kept for a day and given again, a stored 500 too."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fieldwarden.sandbox.frame.exchange import Answer
from fieldwarden.sandbox.stripe.errors import error

RETENTION = 86400.0
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Kept:
    at: float
    asked: tuple[str, str, bytes]
    answer: Answer
    request: str


class Keys:
    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def answer(self, key: str, asked: tuple[str, str, bytes], now: float) -> Answer | None:
        """What was answered under the key, if it is the same request; an error if it is another; None if the key is
        new, or was pruned."""
        if len(key) > LONGEST:
            return error(400, f"Idempotency keys are at most {LONGEST} characters long.", kind="idempotency_error")
        kept = self._kept.get(key)
        if kept is None or now - kept.at >= RETENTION:
            return None
        if kept.asked != asked:
            return error(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        again = {"idempotent-replayed": "true", "original-request": kept.request}
        return replace(kept.answer, headers={**kept.answer.headers, **again})

    def keep(self, key: str, asked: tuple[str, str, bytes], answer: Answer, request: str, now: float) -> None:
        while self._kept and now - self._kept[oldest := next(iter(self._kept))].at >= RETENTION:
            del self._kept[oldest]
        self._kept[key] = Kept(now, asked, answer, request)
