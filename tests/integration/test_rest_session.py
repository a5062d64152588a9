"""One system of a vendor: its login, its pace, and answers that are not what was asked for, over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.connectors.rest.asking.logins import Client, Fixed, Granted, Login, Refreshed
from fieldwarden.connectors.rest.asking.session import Answer, Clocks, RestSession
from fieldwarden.connectors.rest.asking.token_file import TokenFile
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.rest.description import Request, Vendor
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, FieldwardenError, SourceGap, TransientError
from fieldwarden.rules.secret import Secret
from tests.integration.rest_server import Asked, Reply, Served, serving

TOKEN = "shop-token-of-the-tests"
CUSTOMERS = Request.model_validate({"path": "/{tenant}/customers"})


class Time:
    """Goes on only when somebody waits."""

    def __init__(self) -> None:
        self.at = 1_000.0
        self.waited: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.at, lambda: int(self.at * 1e6), self.sleep)


def vendor(**more: Any) -> Vendor:
    reading = {"request": {"path": "/customers/{key}"}, "records": {"path": "$"}}
    customer = {"key": "id", "columns": {"id": "id"}, "all": reading, "one": reading}
    customer["changes"] = {"cursor": {"kind": "delta_link", "next": "$.d"}}
    given = {"vendor": "shop", "title": "A shop", "auth": {"kind": "token"}, "objects": {"customer": customer}}
    return Vendor.model_validate({**given, "values": {"tenant": {"description": "It."}}, **more})


@asynccontextmanager
async def session(
    served: Served,
    of: Vendor | None = None,
    login: Callable[[Wire], Login] = lambda wire: Fixed("Authorization", Secret(f"Bearer {TOKEN}")),
    time: Time | None = None,
    tenant: str = "t1",
) -> AsyncIterator[RestSession]:
    of = of or vendor()
    wire = Wire("shop", served.url, seconds=of.limits.seconds, answer_bytes=of.limits.answer_bytes)
    made = RestSession(wire, of, {"tenant": tenant}, login(wire), (time or Time()).clocks)
    try:
        yield made
    finally:
        await made.close()


async def asked_once(reply: Reply, of: Vendor | None = None, time: Time | None = None) -> Answer:
    with serving(lambda asked: reply) as served:
        async with session(served, of, time=time) as made:
            return await made.ask(CUSTOMERS, {})


# --- what is asked -------------------------------------------------------------------------------------------


async def test_a_request_is_filled_in_and_carries_the_login() -> None:
    request = Request.model_validate(
        {
            "method": "POST",
            "path": "/{tenant}/search/{key}",
            "query": {"types[]": ["a", "b"], "q": "id = '{key}'"},
            "headers": {"Prefer": "{key}"},
            "body": {"limit": "{size}"},
            "quoting": "doubled",
        }
    )
    with serving(lambda asked: Reply({"ok": 1})) as served:
        async with session(served) as made:
            assert (await made.ask(request, {"key": "o'x", "size": 5})).told == {"ok": 1}
    (asked,) = served.asked
    assert (asked.method, asked.path, asked.query) == (
        "POST", "/t1/search/o%27x", {"types[]": ["a", "b"], "q": ["id = 'o''x'"]}
    )  # fmt: skip
    assert (asked.headers["authorization"], asked.headers["prefer"]) == (f"Bearer {TOKEN}", "o'x")
    assert json.loads(asked.body) == {"limit": 5}


async def test_a_link_is_followed_as_it_stands_and_to_no_other_server() -> None:
    with serving(lambda asked: Reply({})) as served:
        async with session(served) as made:
            await made.ask(CUSTOMERS, {}, served.url + "/next?$deltatoken=a%20b")
            await made.ask(CUSTOMERS, {}, "/relative?x=1")
            for elsewhere in ("https://127.0.0.1/x", "http://evil.example/x", "//evil.example/x", "http://[bad"):
                with pytest.raises(DecodeError):
                    await made.ask(CUSTOMERS, {}, elsewhere)
    assert [(each.path, dict(each.query)) for each in served.asked] == [
        ("/next", {"$deltatoken": ["a b"]}),
        ("/relative", {"x": ["1"]}),
    ]


@pytest.mark.parametrize("url", ["http://shop.example", "ftp://shop", "shop.example", "http://127.0.0.1.evil.example"])
def test_a_secret_does_not_go_in_the_open(url: str) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"https|no address"):
        Wire("shop", url, seconds=1, answer_bytes=1)


# --- answers that are not what was asked for -----------------------------------------------------------------


async def test_what_is_not_there_is_gone() -> None:
    assert (await asked_once(Reply({"error": "none"}, 404))).gone


async def test_a_redirect_is_not_followed() -> None:
    with pytest.raises(EnvironmentUnfit) as error:
        await asked_once(Reply({}, 302, {"Location": "https://evil.example/"}))
    assert "redirect" in error.value.suggestion


async def test_a_vendor_that_answers_html_is_asked_again_later_and_says_what_to_look_at() -> None:
    with pytest.raises(TransientError, match="not JSON") as error:
        await asked_once(Reply(b"<html>maintenance</html>"))
    assert "url:" in error.value.suggestion


async def test_an_error_inside_a_good_answer_is_an_error() -> None:
    of = vendor(errors=[{"http": 200, "when": "@.Fault", "do": "halt", "because": "mend it"}])
    with pytest.raises(EnvironmentUnfit) as error:
        await asked_once(Reply({"Fault": {"secret": TOKEN}}), of)
    assert (error.value.suggestion, TOKEN in str(error.value)) == ("mend it", False)


async def test_a_cursor_that_has_expired_is_a_gap_that_asks_nobody() -> None:
    with pytest.raises(SourceGap) as error:
        await asked_once(Reply({}, 410))
    assert error.value.safe


async def test_what_fails_is_asked_again_and_then_given_up_for_now() -> None:
    time = Time()
    with pytest.raises(TransientError, match="status 500"):
        await asked_once(Reply({}, 500), time=time)
    assert time.waited == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_pause_that_is_asked_for_is_kept_by_all_who_ask() -> None:
    time, replies = Time(), [Reply({}, 429, {"Retry-After": "7"})]
    with serving(lambda asked: replies.pop() if replies else Reply({"ok": 1})) as served:
        async with session(served, time=time) as made:
            assert (await made.ask(CUSTOMERS, {})).told == {"ok": 1}
    assert time.waited == [7.0]
    assert len(served.asked) == 2


async def test_one_tenant_that_is_throttled_does_not_hold_up_another() -> None:
    def answering(asked: Asked) -> Reply:
        return Reply({}, 429, {"Retry-After": "3600"}) if asked.path.startswith("/busy/") else Reply({"ok": 1})

    time = Time()
    with serving(answering) as served:
        async with session(served, tenant="busy") as busy, session(served, time=time, tenant="calm") as calm:
            with pytest.raises(TransientError, match="left alone"):
                await busy.ask(CUSTOMERS, {})
            for _ in range(5):
                assert (await calm.ask(CUSTOMERS, {})).told == {"ok": 1}
    assert time.waited == []


async def test_no_more_is_under_way_at_once_than_the_vendor_takes_whoever_asks() -> None:
    of = vendor(limits={"concurrency": 2})
    with serving(lambda asked: Reply({}), beside=3) as served:
        async with session(served, of) as made:
            await asyncio.gather(*(made.ask(CUSTOMERS, {}) for _ in range(6)))
    assert served.most == 2


async def test_an_answer_that_unpacks_without_end_is_not_unpacked() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < 60_000
    with pytest.raises(DecodeError, match="larger than 100,000 bytes"):
        await asked_once(Reply(bomb, headers={"Content-Encoding": "gzip"}), vendor(limits={"answer_bytes": 100_000}))


async def test_an_answer_that_is_too_large_is_not_read_on() -> None:
    with pytest.raises(DecodeError, match="larger than"):
        await asked_once(Reply({"x": "y" * 200_000}), vendor(limits={"answer_bytes": 100_000}))


async def test_a_packed_answer_is_unpacked() -> None:
    packed = gzip.compress(b'{"amount": 1.10}')
    assert str((await asked_once(Reply(packed, headers={"Content-Encoding": "gzip"}))).told["amount"]) == "1.10"


@pytest.mark.parametrize("packed", [{}, {"Content-Encoding": "gzip"}])
async def test_an_answer_that_breaks_off_is_none(packed: dict[str, str]) -> None:
    content = gzip.compress(b'{"data": [1, 2, 3, 4]}') if packed else b'{"data": [1, 2, 3, 4]}'
    with pytest.raises(TransientError):
        await asked_once(Reply(content, headers=packed, cut=9))


async def test_the_vendors_clock_is_known_by_its_answers() -> None:
    time = Time()
    with serving(lambda asked: Reply({}, 404, {"Date": "Thu, 01 Jan 1970 01:00:00 GMT"})) as served:
        async with session(served, time=time) as made:
            assert await made.now() == 3_600_000_000
            time.at += 5
            assert await made.now() == 3_605_000_000
            assert made.clock_ahead == 2_600_000_000
    assert len(served.asked) == 1


# --- logging in ----------------------------------------------------------------------------------------------


class Gate:
    """A vendor that gives tokens: by client credentials, or by refresh tokens that are good for one use each."""

    def __init__(self) -> None:
        self.refresh = "refresh-0"
        self.good: set[str] = set()
        self.given = 0

    def __call__(self, asked: Asked) -> Reply:
        if asked.path != "/token":
            good = asked.headers.get("authorization", "").removeprefix("Bearer ") in self.good
            return Reply({"ok": 1}) if good else Reply({}, 401)
        form = dict(pair.split("=") for pair in asked.body.decode().split("&"))
        if asked.headers.get("authorization") != "Basic bWU6aHVzaC1odXNo":
            return Reply({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
            return Reply({"error": "invalid_grant"}, 400)
        self.given += 1
        token = f"access-{self.given}"
        self.good, self.refresh = {token}, f"refresh-{self.given}"
        return Reply({"access_token": token, "expires_in": 100, "refresh_token": self.refresh})


def client(wire: Wire, secret: str = "hush-hush") -> Client:
    return Client(wire, "/token", "me", Secret(secret), in_body=False)


async def test_a_token_is_asked_for_once_and_anew_before_it_ends() -> None:
    gate, time = Gate(), Time()
    with serving(gate) as served:
        async with session(served, login=lambda wire: Granted(client(wire), None, lambda: time.at), time=time) as made:
            await asyncio.gather(*(made.ask(CUSTOMERS, {}) for _ in range(4)))
            assert gate.given == 1
            time.at += 91
            await made.ask(CUSTOMERS, {})
            assert gate.given == 2


async def test_a_token_that_was_revoked_is_replaced_once() -> None:
    gate, time = Gate(), Time()
    with serving(gate) as served:
        async with session(served, login=lambda wire: Granted(client(wire), None, lambda: time.at), time=time) as made:
            await made.ask(CUSTOMERS, {})
            gate.good.clear()
            assert (await made.ask(CUSTOMERS, {})).told == {"ok": 1}
    assert gate.given == 2


async def test_a_login_that_does_not_help_halts_and_says_so() -> None:
    with serving(lambda asked: Reply({}, 401)) as served:
        async with session(served) as made:
            with pytest.raises(EnvironmentUnfit, match="status 401"):
                await made.ask(CUSTOMERS, {})
    assert len(served.asked) == 1


async def test_a_wrong_secret_is_said_without_it() -> None:
    gate, time = Gate(), Time()
    with serving(gate) as served:
        async with session(served, login=lambda w: Granted(client(w, "wr0ng-one"), None, lambda: time.at)) as made:
            with pytest.raises(EnvironmentUnfit) as error:
                await made.ask(CUSTOMERS, {})
    assert "client_secret" in error.value.suggestion
    assert "wr0ng-one" not in repr(error.value) + error.value.suggestion


def kept(path: Path, time: Time) -> Callable[[Wire], Login]:
    return lambda wire: Refreshed("shop", client(wire), TokenFile("shop", path), lambda: time.at)


async def test_a_refresh_token_is_durable_before_its_access_token_is_used(tmp_path: Path) -> None:
    gate, time, file = Gate(), Time(), tmp_path / "token.json"
    file.write_text('{"refresh_token": "refresh-0"}')
    seen: list[str] = []

    def answering(asked: Asked) -> Reply:
        if asked.path != "/token":
            seen.append(json.loads(file.read_text())["refresh_token"])
        return gate(asked)

    with serving(answering) as served:
        async with session(served, login=kept(file, time), time=time) as made:
            await made.ask(CUSTOMERS, {})
    assert seen == [gate.refresh]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_two_workers_with_one_refresh_token_do_not_use_it_twice(tmp_path: Path) -> None:
    gate, time, file = Gate(), Time(), tmp_path / "token.json"
    file.write_text('{"refresh_token": "refresh-0"}')
    with serving(gate) as served:
        async with (
            session(served, login=kept(file, time), time=time) as one,
            session(served, login=kept(file, time), time=time) as other,
        ):
            answers = await asyncio.gather(*(each.ask(CUSTOMERS, {}) for each in (one, other, one, other)))
            assert [each.told for each in answers] == [{"ok": 1}] * 4
            assert gate.given == 1
            gate.good.clear()  # revoked: whoever comes first renews it, and the other takes what it finds
            await asyncio.gather(*(each.ask(CUSTOMERS, {}) for each in (one, other)))
    assert gate.given == 2


async def test_a_refresh_token_that_was_revoked_asks_a_person(tmp_path: Path) -> None:
    gate, time, file = Gate(), Time(), tmp_path / "token.json"
    file.write_text('{"refresh_token": "refresh-of-long-ago"}')
    with serving(gate) as served:
        async with session(served, login=kept(file, time), time=time) as made:
            with pytest.raises(EnvironmentUnfit) as error:
                await made.ask(CUSTOMERS, {})
    assert "allow Fieldwarden anew" in error.value.suggestion
    assert "refresh-of-long-ago" not in str(error.value)
    assert json.loads(file.read_text()) == {"refresh_token": "refresh-of-long-ago"}


@pytest.mark.parametrize("content", [None, "{}", "not json", '{"refresh_token": 7}'])
async def test_a_file_without_a_refresh_token_says_what_to_write(tmp_path: Path, content: str | None) -> None:
    gate, time, file = Gate(), Time(), tmp_path / "token.json"
    if content is not None:
        file.write_text(content)
    with serving(gate) as served:
        async with session(served, login=kept(file, time), time=time) as made:
            with pytest.raises(EnvironmentUnfit) as error:
                await made.ask(CUSTOMERS, {})
    assert "refresh_token" in error.value.suggestion


async def test_where_the_token_endpoint_fails_it_is_asked_again_later() -> None:
    time = Time()
    with serving(lambda asked: Reply({}, 503)) as served:
        async with session(served, login=lambda w: Granted(client(w), None, lambda: time.at), time=time) as made:
            with pytest.raises(TransientError):
                await made.ask(CUSTOMERS, {})


async def test_nobody_there_is_a_failure_of_the_moment() -> None:
    with serving(lambda asked: Reply({})) as served:
        pass
    async with session(served) as made:
        with pytest.raises(FieldwardenError) as error:
            await made.ask(CUSTOMERS, {})
    assert isinstance(error.value, TransientError)
    assert served.url not in str(error.value)
