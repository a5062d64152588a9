"""What a webhook is answered, and when: only what is durable is answered with 2xx."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.ports.inbound import HookRequest, Verdict
from fieldwarden.engine.ports.inbox import Event, Hint, Item, Received
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing.inbox import MemoryInbox
from fieldwarden.operations.run.health import Health, serving
from fieldwarden.operations.run.hooks import Hooks, Taking
from fieldwarden.rules.settings import Webhooks
from tests.patience import eventually
from tests.unit.test_http import ask
from tests.unit.test_http_bodies import post, sent

SECRET = b"ada@example.org"


@dataclass
class Shop:
    """A vendor whose bodies are ids, one a line; it sends `no` for what is not its own, `bad` for what nobody reads."""

    scheme: str = "trust"
    methods: Sequence[str] = ("GET", "POST")
    trusted: bool = True
    statuses: dict[int, int] = field(default_factory=dict)
    hints: int = 0
    seen: list[HookRequest] = field(default_factory=list)

    def receive(self, request: HookRequest, now: int) -> Verdict:
        self.seen.append(request)
        if request.method == "GET":
            return Verdict(200, body=request.query.encode())
        hush = Verdict(202, [Event("e1", b"")], because="refused")
        verdicts = {b"no": Verdict(401), b"bad": Verdict(400), b"handshake": Verdict(204), b"hush": hush}
        if request.body == SECRET:
            raise ValueError(SECRET.decode())
        return verdicts.get(request.body) or Verdict(
            202, [Event(each, b"") for each in request.body.decode().split()] + [Hint("row")] * self.hints, b"thanks"
        )

    def told(self, status: int) -> int:
        return self.statuses.get(status, status)

    def sample(self, address: str, now: int) -> HookRequest:
        return HookRequest("POST", address, "", {}, b"")


class FailingInbox(MemoryInbox):
    """`fails`: by an error, or (None) it says nothing for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: list[Exception | None] = []
        self.closed = False
        self.answers = asyncio.Event()

    async def receive(self, system: str, items: Sequence[Item], room: int, now: int) -> Received | None:
        if self.fails:
            error = self.fails.pop(0)
            if error is not None:
                raise error
            with contextlib.suppress(asyncio.CancelledError):
                await self.answers.wait()
            await self.answers.wait()  # as a statement does whose server says nothing, not even that it is cancelled
        return await super().receive(system, items, room, now)

    async def close(self) -> None:
        self.closed = True


@dataclass
class Served:
    url: str
    shop: Shop
    inbox: FailingInbox
    telemetry: Telemetry
    hooks: Hooks
    roused: list[str]

    def post(self, body: bytes, path: str = "/hooks/shop") -> tuple[int, bytes]:
        return sent(self.url, post(body, f"Content-Length: {len(body)}", path=path))

    def told(self) -> list[str]:
        unread = self.inbox.boxes["shop"].unread if "shop" in self.inbox.boxes else {}
        return [item.id for item in unread.values() if isinstance(item, Event)]

    def counted(self, outcome: str) -> float | None:
        labels = {"system": "shop", "outcome": outcome}
        return self.telemetry.registry.get_sample_value("fieldwarden_webhooks_total", labels)


@contextlib.contextmanager
def serving_hooks(shop: Shop, *, starting: bool = False, store_seconds: float = 60.0) -> Iterator[Served]:
    inbox, telemetry, roused = FailingInbox(), Telemetry(), list[str]()
    hooks = Hooks(inbox, telemetry, roused.append, store_seconds=store_seconds)
    if not starting:
        hooks.take({"shop": Taking(shop, Webhooks(limit=2000, unread=3), "https://hooks.test/hooks/shop")})
    with serving(Health(telemetry), "127.0.0.1", 0, hooks=hooks) as url:
        yield Served(url, shop, inbox, telemetry, hooks, roused)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving_hooks(Shop()) as served:
        yield served


def test_what_is_taken_is_in_the_inbox_before_it_is_answered_and_its_reader_is_roused(served: Served) -> None:
    assert served.post(b"e1 e2") == (202, b"thanks")
    assert (served.told(), served.roused) == (["e1", "e2"], ["shop"])
    (request,) = served.shop.seen
    assert (request.address, request.body) == ("https://hooks.test/hooks/shop", b"e1 e2")


def test_a_repeat_is_answered_as_the_first_time(served: Served) -> None:
    for _ in range(2):
        assert served.post(b"e1") == (202, b"thanks")
    assert (served.told(), served.counted("taken"), served.counted("known")) == (["e1"], 1, 1)


def test_a_handshake_is_answered_and_nothing_is_kept(served: Served) -> None:
    assert ask(served.url, path="/hooks/shop?validationToken=a%20b")[::2] == (200, b"validationToken=a%20b")
    assert served.post(b"handshake")[0] == 204
    assert (served.told(), served.counted("nothing")) == ([], 2)


@pytest.mark.parametrize(("body", "status", "outcome"), [(b"no", 401, "refused"), (b"bad", 400, "unreadable")])
def test_what_is_not_the_systems_or_cannot_be_read_is_told_so(
    body: bytes, status: int, outcome: str, served: Served
) -> None:
    assert served.post(body)[0] == status
    assert (served.told(), served.counted(outcome)) == ([], 1)


def test_another_system_has_no_webhooks_and_another_method_is_not_answered(served: Served) -> None:
    for path in ("/hooks/erp", "/hooks/", "/hooks/shop/x", "/hooks/../shop"):
        assert served.post(b"e1", path)[0] == 404, path
    status, head, _ = ask(served.url, path="/hooks/shop", method="DELETE")
    assert (status, b"Allow: GET, POST" in head) == (405, True)
    assert served.post(b"e1", "/metrics")[0] == 413, "all else takes no bodies"


def test_a_full_inbox_asks_to_come_again_later(served: Served) -> None:
    assert served.post(b"e1 e2 e3")[0] == 202
    status, head, _ = ask(served.url, path="/hooks/shop", method="POST")
    assert (status, b"Retry-After" in head) == (202, False), "what brings nothing needs no room"
    assert served.post(b"e4")[0] == 503
    assert (served.told(), served.counted("full")) == (["e1", "e2", "e3"], 1)


UNREACHABLE = {"an error": TransientError("gone"), "a missing right": EnvironmentUnfit("gone"), "silence": None}


@pytest.mark.parametrize("error", UNREACHABLE.values(), ids=UNREACHABLE)
def test_what_cannot_be_kept_is_not_answered_as_if_it_were(error: Exception | None) -> None:
    with serving_hooks(Shop(), store_seconds=0.2) as served, capture_logs() as logs:
        served.inbox.fails = [error, error]
        assert [served.post(b"e1")[0] for _ in range(3)] == [503, 503, 202]
        assert (served.told(), served.counted("unavailable")) == (["e1"], 2)
        served.inbox.answers.set()
    assert [each["event"] for each in logs] == ["hooks.unavailable"], "it is said once"


def test_before_the_rules_are_known_everybody_is_asked_to_come_again() -> None:
    with serving_hooks(Shop(), starting=True) as served:
        assert served.post(b"e1")[0] == 503
        assert served.post(b"e1", "/hooks/nobody")[0] == 503


def test_a_system_that_gives_up_its_subscription_for_it_is_told_another_status() -> None:
    with serving_hooks(Shop(statuses={405: 503, 413: 202})) as served:
        assert ask(served.url, path="/hooks/shop", method="DELETE")[0] == 503
        assert served.post(b"x" * 2001)[0] == 202
        assert served.counted("too_large") == 1


def test_a_system_that_must_not_be_told_of_our_bugs_is_told_another_status() -> None:
    with serving_hooks(Shop(statuses={500: 503})) as served:
        assert served.post(SECRET)[0] == 503


def test_that_it_cannot_be_kept_just_now_is_told_as_the_system_can_bear_it() -> None:
    with serving_hooks(Shop(statuses={503: 429})) as served:
        served.inbox.fails = [TransientError("gone")]
        assert served.post(b"e1")[0] == 429
        assert served.post(b"e1 e2 e3")[0] == 202
        assert served.post(b"e4")[0] == 429, "it is full"


def test_what_anybody_can_send_is_only_ever_a_hint() -> None:
    """Not even a kind that reads events out of it can have them taken."""
    with serving_hooks(Shop(trusted=False, hints=1)) as served:
        assert served.post(b"e1")[0] == 202
        assert served.inbox.boxes["shop"].unread == {1: Hint("row")}


def test_a_system_that_must_not_be_told_is_turned_away_all_the_same() -> None:
    with serving_hooks(Shop()) as served:
        assert served.post(b"hush")[0] == 202
        assert (served.told(), served.counted("refused")) == ([], 1)


def test_nothing_of_a_body_is_said_where_it_meets_a_bug_of_ours(served: Served) -> None:
    with capture_logs() as logs:
        assert served.post(SECRET)[0] == 500
    assert "ada" not in str(logs)
    assert served.counted("bug") == 1
    assert served.post(b"e1")[0] == 202


def test_what_is_turned_away_is_counted_in_the_hub_and_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldwarden.operations.run.hooks._COUNT_SECONDS", 0.05)
    with capture_logs() as logs, serving_hooks(Shop()) as served:
        for body in (b"no", b"bad", b"x" * 2001):
            served.post(body)
        served.post(b"e1 e2")
        eventually(lambda: "shop" in served.inbox.boxes and served.inbox.boxes["shop"].refused == 3, "counted")

        def unread() -> float | None:
            return served.telemetry.registry.get_sample_value("fieldwarden_inbox_unread", {"system": "shop"})

        eventually(lambda: unread() == 2, "the gauge follows")
    told = [each for each in logs if each["event"] == "hooks.turned_away"]
    assert sum(each["count"] for each in told) == 3
    assert served.inbox.closed


def test_many_at_once_are_each_answered_once_kept(served: Served) -> None:
    served.hooks.take({"shop": Taking(served.shop, Webhooks(), "https://hooks.test/hooks/shop")})
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: statuses.extend(served.post(b"e%d" % (n * 10 + i))[0] for i in range(10)))
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert statuses == [202] * 80
    assert sorted(served.told()) == sorted(f"e{n}" for n in range(80))
