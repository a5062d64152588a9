"""The webhooks of a desk: each change is sent until somebody answers 2xx, in whatever order, and sometimes twice."""

from __future__ import annotations

import json
import queue
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from fieldwarden.connectors.rest.signatures import BodySigned
from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.rules.secret import Secret

SECRET = "desk-secret-of-the-tests"
_PAUSE = 0.05
_PATIENCE = 20.0


def post(url: str, body: bytes, secret: str | None = SECRET) -> int:
    """One request, signed if there is a secret; 0: there was no answer."""
    request = HookRequest("POST", url, "", {"content-type": "application/json"}, body)
    if secret is not None:
        request = BodySigned([Secret(secret)], "x-desk-signature").signed(request, 0)
    try:
        asked = urllib.request.Request(url, data=body, headers=dict(request.headers), method="POST")
        with urllib.request.urlopen(asked, timeout=_PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@dataclass
class Telling:
    """What a desk tells to these `urls`, in turn. `twice`: how often (0 to 1) it tells of what it was answered for once
    more, and `mixed`: whether it tells of what it has in any order."""

    sort: Literal["data", "hint"]
    urls: Callable[[], Sequence[str]]
    twice: float = 0.0
    mixed: bool = False
    answers: list[int] = field(default_factory=list)
    _told: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, changed: dict[str, Any]) -> None:
        with self._lock:
            self._open += 1
        self._told.put(changed)

    @property
    def done(self) -> bool:
        """Whether all was answered with 2xx."""
        return self._open == 0

    @contextmanager
    def sending(self) -> Iterator[Telling]:
        ended = threading.Event()
        thread = threading.Thread(target=self._send, args=[ended])
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            self._told.put(None)
            thread.join()

    def _send(self, ended: threading.Event) -> None:
        chance, waiting, number = random.Random(7), list[dict[str, Any]](), 0
        while not ended.is_set():
            if not waiting and (first := self._told.get()) is not None:
                waiting.append(first)
            while not self._told.empty():
                if (more := self._told.get()) is not None:
                    waiting.append(more)
            if not waiting:
                continue
            each = waiting.pop(chance.randrange(len(waiting)) if self.mixed else 0)
            number += 1
            urls = self.urls()
            self.answers.append(post(urls[number % len(urls)], self._body(each)))
            if not 200 <= self.answers[-1] < 300:
                waiting.insert(0, each)
                ended.wait(_PAUSE)
            elif chance.random() < self.twice:
                waiting.append(each)
            else:
                with self._lock:
                    self._open -= 1

    def _body(self, changed: dict[str, Any]) -> bytes:
        if self.sort == "data":
            return json.dumps([{"event": f"e{changed['number']}", "object": changed}]).encode()
        return json.dumps([{"type": changed["type"], "key": changed["id"]}]).encode()
