"""Signatures hold over a request's very bytes, by any of the secrets, within their time, and by nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fieldwarden.connectors.rest.signatures import (
    WINDOW,
    Basic,
    BodySigned,
    RequestSigned,
    Scheme,
    Stamped,
    Token,
    Unsigned,
    secrets_of,
)
from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.rules.references import ReferenceUnresolved
from fieldwarden.rules.secret import Secret
from fieldwarden.rules.settings import Webhooks

NOW = 1_700_000_000_000_000
NEW, OLD = Secret("whsec_new"), Secret("whsec_old")
ODD = '{ "name" :\t"Zoë \\u00e9 € 1.50" ,\r\n"amount": 1.50}\n'.encode()
"""Whitespace, escapes and a number that nobody would write again in the same way."""
REQUEST = HookRequest("POST", "https://hooks.test/hooks/shop", "a=1%2F2", {}, ODD)
SCHEMES: dict[str, Callable[[Sequence[Secret]], Scheme]] = {
    "stripe": Stamped,
    "body": lambda secrets: BodySigned(secrets, "x-xero-signature"),
    "hubspot": RequestSigned,
    "basic": Basic,
    "bearer": Token,
    "bare token": lambda secrets: Token(secrets, "x-token", ""),
}
OF_BYTES = ("stripe", "body", "hubspot")
STAMPED = ("stripe", "hubspot")


def digest(secret: str, text: bytes) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()


def sent(name: str, secret: Secret = NEW, request: HookRequest = REQUEST, now: int = NOW) -> HookRequest:
    return SCHEMES[name]([secret]).signed(request, now)


def holds(name: str, request: HookRequest, *secrets: Secret, now: int = NOW) -> bool:
    return SCHEMES[name](secrets or (NEW,)).holds(request, now)


# --- as the vendors describe them ---------------------------------------------------------------------------------


def test_stripes_is_of_the_seconds_and_the_body() -> None:
    expected = digest("whsec_new", b"1700000000." + ODD).hex()
    request = replace(REQUEST, headers={"stripe-signature": f"t=1700000000,v1={expected},v0=abc"})
    assert holds("stripe", request)
    assert sent("stripe").headers == {"stripe-signature": f"t=1700000000,v1={expected}"}


def test_intuits_xeros_and_shopifys_is_of_the_body() -> None:
    expected = base64.b64encode(digest("whsec_new", ODD)).decode()
    assert holds("body", replace(REQUEST, headers={"x-xero-signature": expected}))


def test_hubspots_is_of_method_address_body_and_milliseconds() -> None:
    text = b"POST" + b"https://hooks.test/hooks/shop?a=1/2" + ODD + b"1700000000000"
    expected = base64.b64encode(digest("whsec_new", text)).decode()
    headers = {"x-hubspot-signature-v3": expected, "x-hubspot-request-timestamp": "1700000000000"}
    assert holds("hubspot", replace(REQUEST, headers=headers))


def test_chargebees_is_a_user_and_a_password() -> None:
    request = replace(REQUEST, headers={"authorization": "Basic " + base64.b64encode(b"hook:pass:word").decode()})
    assert Basic([Secret("hook:pass:word")]).holds(request, NOW)
    assert not Basic([Secret("hook:pass")]).holds(request, NOW)


# --- what holds of each -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMES)
def test_what_the_system_sends_holds_and_what_others_send_does_not(name: str) -> None:
    assert holds(name, sent(name))
    assert not holds(name, REQUEST)
    assert not holds(name, sent(name, Secret("another")))


@pytest.mark.parametrize("name", SCHEMES)
def test_while_a_secret_is_changed_the_new_and_the_old_one_hold(name: str) -> None:
    assert holds(name, sent(name, OLD), NEW, OLD)
    assert holds(name, sent(name, NEW), NEW, OLD)
    assert not holds(name, sent(name, OLD), NEW), "and then the old one does not any more"


@pytest.mark.parametrize("name", OF_BYTES)
def test_a_body_that_was_parsed_and_written_again_is_another(name: str) -> None:
    again = json.dumps(json.loads(ODD)).encode()
    assert not holds(name, replace(sent(name), body=again))
    assert not holds(name, replace(sent(name), body=ODD + b" "))


def test_two_signatures_of_stripes_are_one_for_each_secret_while_it_changes_them() -> None:
    stamp = "t=1700000000"
    old, new = (digest(each.reveal(), b"1700000000." + ODD).hex() for each in (OLD, NEW))
    for given in (f"{stamp},v1={old},v1={new}", f"{stamp},v1={new},v1={old}", f"{stamp},v1=,v1={new}"):
        assert holds("stripe", replace(REQUEST, headers={"stripe-signature": given}))
    twice = replace(REQUEST, headers={"stripe-signature": f"t=1,{stamp},v1={new}"})
    assert not holds("stripe", twice), "whose time is whose nobody knows"


@pytest.mark.parametrize("name", STAMPED)
@pytest.mark.parametrize("way", [1, -1], ids=["an old one", "one of the future"])
def test_a_time_outside_the_window_is_a_repeat_or_could_be_one_for_longer(way: int, name: str) -> None:
    request = sent(name)
    assert holds(name, request, now=NOW + way * WINDOW)
    assert not holds(name, request, now=NOW + way * (WINDOW + 1_000_000))


@pytest.mark.parametrize("name", STAMPED)
def test_a_time_that_is_changed_is_not_what_was_signed(name: str) -> None:
    request = sent(name)
    later = {key: value.replace("1700000000", "1700000100") for key, value in request.headers.items()}
    assert not holds(name, replace(request, headers=later))


def test_the_method_and_the_address_are_part_of_hubspots() -> None:
    request = sent("hubspot")
    assert not holds("hubspot", replace(request, method="PUT"))
    assert not holds("hubspot", replace(request, address="https://hooks.test/hooks/desk"))
    assert not holds("hubspot", replace(request, query="a=1%2F3"))


HOSTILE = [
    "",
    "=",
    ",,,",
    "t",
    "t=",
    "t=-1,v1=x",
    "t=1e9,v1=x",
    "t=٣,v1=x",
    "t=" + "9" * 5000,
    "v1=",
    "é\xff",
    "x" * 9999,
]


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("header", HOSTILE)
def test_what_is_no_signature_is_none_and_no_bug(header: str, name: str) -> None:
    names = ("stripe-signature", "x-xero-signature", "x-hubspot-signature-v3", "x-hubspot-request-timestamp")
    for word in ("", "Basic ", "Bearer "):
        headers = dict.fromkeys((*names, "authorization", "x-token"), word + header)
        assert not holds(name, replace(REQUEST, headers=headers))


def test_without_a_secret_nothing_holds() -> None:
    for name, scheme in SCHEMES.items():
        assert not scheme([]).holds(sent(name), NOW)


def test_what_is_signed_with_nothing_everybody_can_sign() -> None:
    values = {"${env:A}": Secret("a"), "${env:EMPTY}": Secret(" ")}
    reach: Any = SimpleNamespace(secret=lambda text, where: values[text])
    assert secrets_of(Webhooks(secrets=("${env:A}",)), reach, "systems/shop.yaml") == (Secret("a"),)
    with pytest.raises(ReferenceUnresolved, match="empty"):
        secrets_of(Webhooks(secrets=("${env:A}", "${env:EMPTY}")), reach, "systems/shop.yaml")


def test_what_is_unsigned_says_so() -> None:
    assert Unsigned().holds(REQUEST, NOW)
    assert not Unsigned().signs
    assert all(scheme([NEW]).signs for scheme in SCHEMES.values())
    assert "whsec" not in repr([scheme([NEW]) for scheme in SCHEMES.values()])
