"""The requests of late, for people and tests: the last few in full but for their headers, all of them as numbers."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

KEPT = 500
_BODY = 2000


@dataclass(frozen=True, slots=True)
class Asked:
    at: float
    method: str
    path: str
    query: str
    body: str
    status: int
    fault: str


class Journal:
    """Its size does not depend on how much is asked: endpoints are counted, not paths."""

    def __init__(self) -> None:
        self.last: deque[Asked] = deque(maxlen=KEPT)
        self.counted: Counter[str] = Counter()

    def note(self, asked: Asked, endpoint: str) -> None:
        """`endpoint` is the path with names for its pieces: `/v1/customers/{id}`."""
        self.last.append(asked)
        self.counted[f"{asked.method} {endpoint} {asked.status}"] += 1

    def clear(self) -> None:
        self.last.clear()
        self.counted.clear()


def shown(body: bytes) -> str:
    """As much of it as the journal keeps."""
    return body[:_BODY].decode("utf-8", "replace")
