"""A sandbox behind a real port in a thread of the test's process, and how a test speaks to it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx

from fieldwarden.sandbox.frame.stage import Stage
from fieldwarden.sandbox.serving import address, bound, server
from fieldwarden.sandbox.vendors import VENDORS
from tests.patience import eventually

NOON = "2026-11-28T12:00:00Z"


class Played:
    """`http` speaks as a program does, `admin` as a test; the vendor's key is not put in by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def anew(self, headers: dict[str, str] | None = None) -> Played:
        """As it was at first: records by the seed, no faults, webhooks to nobody; and it is noon of a day, until a test
        moves the clock."""
        self.at(NOON)
        self.admin("POST", "reset", {"seed": 1})
        self.admin("POST", "hooks", {"forget": True})
        self.admin("POST", "limits", {})
        self.http.headers.update(headers or {})
        return self

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def arm(self, name: str, times: int | None = 1, **more: Any) -> None:
        self.admin("POST", "faults", {"name": name, "times": times, **more})

    def at(self, time: str) -> None:
        self.admin("POST", "clock", {"at": time})

    def pass_by(self, seconds: float) -> None:
        self.admin("POST", "clock", {"move": seconds})

    def records(self, table: str) -> list[Any]:
        return [each["data"] for each in self.admin("GET", f"records/{table}")["records"]]

    def hooks_sent(self) -> list[Any]:
        """Once all are sent."""
        return (
            eventually(
                lambda: None if (told := self.admin("GET", "hooks"))["waiting"] else told["sent"],
                "all webhooks are sent",
            )
            or []
        )


@contextlib.contextmanager
def playing(vendor: str, seed: int = 1) -> Iterator[Played]:
    """The vendor's own rate limit is off: a test that is about it sets one."""
    stage = Stage(VENDORS[vendor], seed)
    stage.limit(None)
    listening = bound(0)
    served = server(stage)
    thread = threading.Thread(target=lambda: asyncio.run(served.serve(sockets=[listening])), name=f"sandbox-{vendor}")
    thread.start()
    played = Played(address(listening))
    try:
        yield played
    finally:
        played.http.close()
        served.should_exit = True
        thread.join()
