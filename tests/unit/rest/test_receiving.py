"""What a system's webhooks come to, and that no answer of ours makes it give up its subscription."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest

from fieldwarden.connectors.rest.receiving import SUBSCRIPTIONS, Receiver, challenge, parsed, validation_token
from fieldwarden.connectors.rest.signatures import BodySigned, Token, Unsigned
from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.engine.ports.inbox import Event, Hint, Item
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing.inbox import MemoryInbox
from fieldwarden.operations.run.health import Health, serving
from fieldwarden.operations.run.hooks import Hooks, Taking
from fieldwarden.rules.secret import Secret
from fieldwarden.rules.settings import Webhooks
from tests.unit.test_http import ask
from tests.unit.test_http_bodies import post, sent

NOW = 1_700_000_000_000_000
SHOP = BodySigned([Secret("shop")], "x-shop")


def told(request: HookRequest) -> Sequence[Item]:
    """An event each with an id, a hint each without."""
    return [
        Event(each["id"], request.body) if "id" in each else Hint("people", each["key"])
        for each in parsed(request.body)
    ]


def asked(body: bytes, method: str = "POST", query: str = "") -> HookRequest:
    return HookRequest(method, "https://hooks.test/hooks/shop", query, {}, body)


def test_what_is_signed_brings_what_is_in_it() -> None:
    receiver, body = Receiver(SHOP, told, taken=202), b'[{"id": "e1"}, {"key": "p1"}]'
    verdict = receiver.receive(SHOP.signed(asked(body), NOW), NOW)
    assert (verdict.status, verdict.items) == (202, [Event("e1", body), Hint("people", "p1")])
    assert not verdict.turned_away


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'[{"key": 1' + b"0" * 9999 + b"}]"])
def test_what_cannot_be_read_is_told_so_only_to_the_system_itself(body: bytes) -> None:
    def decode(request: HookRequest) -> Sequence[Item]:
        try:
            return told(request)
        except (TypeError, KeyError) as error:
            raise ValueError("no list of changes") from error

    receiver = Receiver(SHOP, decode)
    verdict = receiver.receive(SHOP.signed(asked(body), NOW), NOW)
    assert (verdict.status, verdict.turned_away) == (400, "unreadable")
    verdict = receiver.receive(asked(body), NOW)
    assert (verdict.status, verdict.turned_away) == (401, "refused")


@pytest.mark.parametrize("told_of", ['{"id": 1}', '{"id": null}', '{"id": ["e1"]}', '{"key": 1}', '{"key": {}}'])
def test_a_name_that_is_no_text_cannot_be_read(told_of: str) -> None:
    receiver, body = Receiver(SHOP, told), f'[{{"id": "e1"}}, {told_of}]'.encode()
    verdict = receiver.receive(SHOP.signed(asked(body), NOW), NOW)
    assert (verdict.status, verdict.turned_away) == (400, "unreadable")


def test_a_sample_holds_and_brings_nothing() -> None:
    receiver = Receiver(SHOP, told, nothing=b"[]")
    verdict = receiver.receive(receiver.sample("https://hooks.test/hooks/shop", NOW), NOW)
    assert (verdict.status, list(verdict.items), verdict.turned_away) == (200, [], "")


@pytest.mark.parametrize("token", ["abc", "a b+c/ä", "<script>"])
def test_a_token_is_given_back_as_it_is_before_anything_is_signed(token: str) -> None:
    receiver = Receiver(SHOP, told, [validation_token, challenge], methods=("GET", "POST"))
    verdict = receiver.receive(asked(b"", query=f"validationToken={quote(token)}"), NOW)
    assert (verdict.status, verdict.body, verdict.content_type) == (200, token.encode(), "text/plain; charset=utf-8")
    verdict = receiver.receive(asked(b"", "GET", f"challenge={quote(token)}"), NOW)
    assert (verdict.status, verdict.body) == (200, token.encode())
    assert not verdict.items


@pytest.mark.parametrize("query", ["", "validationToken=a&validationToken=b", "validationToken=" + "x" * 5000, "x=y"])
def test_what_is_no_handshake_is_none(query: str) -> None:
    assert validation_token(asked(b"", query=query)) is None
    assert challenge(asked(b"", "GET", query)) is None


def test_numbers_of_a_body_stay_what_they_are() -> None:
    assert parsed(b'{"amount": 0.10, "n": 7, "x": NaN}') == {"amount": "0.10", "n": 7, "x": "NaN"}


# --- the traps -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taking(receiver: Receiver, inbox: MemoryInbox) -> Iterator[str]:
    telemetry = Telemetry()
    hooks = Hooks(inbox, telemetry, lambda _: None)
    hooks.take({"shop": Taking(receiver, Webhooks(limit=2000, unread=3), "https://hooks.test/hooks/shop")})
    with serving(Health(telemetry), "127.0.0.1", 0, hooks=hooks) as url:
        yield url


def test_a_forged_event_of_a_system_that_signs_nothing_is_no_more_than_a_look() -> None:
    """Trap 12: without the server's check anybody could write what a row holds. Repeats are one hint; a lost one is
    found by the pull that goes on all the same."""
    inbox = MemoryInbox()
    with taking(Receiver(Unsigned(), told), inbox) as url:
        body = json.dumps([{"id": "e1", "credit": "1000000"}, {"key": "p1"}, {"key": "p1"}]).encode()
        for _ in range(2):
            assert sent(url, post(body, f"Content-Length: {len(body)}", path="/hooks/shop"))[0] == 200
    assert list(inbox.boxes["shop"].unread.values()) == [Hint("people", "p1")]


class BusinessCentral:
    """It gives up its subscription for an answer that is not 2xx, 408, 429 or 5xx."""

    def __init__(self) -> None:
        self.subscribed = True

    def heard(self, status: int) -> None:
        self.subscribed = self.subscribed and (200 <= status < 300 or status in (408, 429) or 500 <= status < 600)


def test_no_answer_makes_business_central_give_up_its_subscription() -> None:
    """Trap 13: what cannot be read, is too large, is not its own, or comes while the inbox is full."""
    vendor, inbox = BusinessCentral(), MemoryInbox()
    receiver = Receiver(Token([Secret("state")], "x-state", ""), told, [validation_token], statuses=SUBSCRIPTIONS)
    with taking(receiver, inbox) as url:

        def send(body: bytes, *lines: str, path: str = "/hooks/shop") -> int:
            status, _ = sent(url, post(body, f"Content-Length: {len(body)}", *lines, path=path))
            vendor.heard(status)
            return status

        assert send(b"", path="/hooks/shop?validationToken=abc") == 200
        assert send(b"{", "X-State: state") == 202
        assert send(b"[]", "X-State: another") == 202
        assert send(b"x" * 2001, "X-State: state") == 503
        vendor.heard(ask(url, path="/hooks/shop")[0])
        assert inbox.boxes == {}, "nothing of all this was taken"
        some = json.dumps([{"key": str(n)} for n in range(3)]).encode()
        assert [send(some, "X-State: state") for _ in range(2)] == [200, 503]
    assert vendor.subscribed
    assert len(inbox.boxes["shop"].unread) == 3


def test_the_same_answers_without_that_care_would_end_it() -> None:
    vendor = BusinessCentral()
    with taking(Receiver(Token([Secret("state")], "x-state", ""), told), MemoryInbox()) as url:
        vendor.heard(sent(url, post(b"{", "Content-Length: 1", "X-State: state", path="/hooks/shop"))[0])
    assert not vendor.subscribed
