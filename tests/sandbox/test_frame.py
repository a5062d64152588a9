"""What every sandbox does, whoever is played: faults, clock, limits, webhooks, journal. Played by Stripe."""

from __future__ import annotations

import random

import httpx
import pytest

from fieldwarden.sandbox.frame.clock import Clock, iso, seconds_of
from fieldwarden.sandbox.frame.faults import Armed, SandboxRefused, read
from fieldwarden.sandbox.frame.journal import KEPT
from fieldwarden.sandbox.frame.limits import Bucket, Rate
from fieldwarden.sandbox.frame.records import Table
from fieldwarden.sandbox.frame.stage import Stage
from fieldwarden.sandbox.vendors import VENDORS
from tests.patience import eventually
from tests.sandbox.inbox import Inbox
from tests.sandbox.playing import Played

LIST = "/v1/customers"


def test_the_same_seed_makes_the_same_records_and_another_one_others() -> None:
    def keys(seed: int) -> list[list[str]]:
        stage = Stage(VENDORS["stripe"], seed, machine=lambda: 1e9)
        return [[row.key for row in table] for table in stage.vendor.tables.values()]

    assert keys(7) == keys(7)
    assert keys(7) != keys(8)


@pytest.mark.parametrize(
    ("text", "strikes"),
    [
        ("slow", [True, False, False, False, False]),
        ("slow:2", [True, True, False, False, False]),
        ("slow:1/2", [False, True, False, True, False]),
        ("slow:always", [True] * 5),
    ],
)
def test_a_fault_strikes_as_often_as_it_was_armed_for(text: str, strikes: list[bool]) -> None:
    _, armed = read(text)
    assert [armed.due("/") for _ in range(5)] == strikes


@pytest.mark.parametrize("text", ["slow:", "slow:0", "slow:-1", "slow:2/3", "slow:1/0", "slow:x"])
def test_how_often_a_fault_strikes_is_said_or_refused(text: str) -> None:
    if text == "slow:":
        assert read(text) == ("slow", Armed())
        return
    with pytest.raises(SandboxRefused):
        read(text)


def test_a_fault_can_be_armed_for_some_paths_only_and_is_counted(stripe_sandbox: Played) -> None:
    stripe_sandbox.arm("server_error", None, path="/v1/invoices")
    assert stripe_sandbox.http.get(LIST).status_code == 200
    assert stripe_sandbox.http.get("/v1/invoices").status_code == 500
    assert stripe_sandbox.http.get("/v1/invoices").status_code == 500
    assert stripe_sandbox.admin("GET", "")["faults"]["server_error"]["struck"] == 2
    stripe_sandbox.admin("DELETE", "faults")
    assert stripe_sandbox.http.get("/v1/invoices").status_code == 200


def test_a_page_of_html_comes_with_200(stripe_sandbox: Played) -> None:
    stripe_sandbox.arm("html")
    answer = stripe_sandbox.http.get(LIST)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_slow_answer_comes_after_the_work(stripe_sandbox: Played) -> None:
    stripe_sandbox.arm("slow", seconds=3600)
    with pytest.raises(httpx.ReadTimeout):
        stripe_sandbox.http.post(LIST, data={"name": "Slow"}, timeout=httpx.Timeout(60, read=0.2))
    eventually(lambda: stripe_sandbox.records("customers")[-1]["name"] == "Slow", "the work is done without an answer")


def test_a_rate_is_a_bucket_that_fills_evenly() -> None:
    time = [0.0]
    bucket = Bucket(Rate(4, 2.0), lambda: time[0])
    assert [bucket.take() for _ in range(5)] == [True] * 4 + [False]
    assert bucket.wait() == 0.5
    time[0] = 0.5
    assert [bucket.take(), bucket.take()] == [True, False]
    time[0] = 100.0
    assert bucket.left == 4


def test_more_requests_than_the_rate_are_refused_in_the_vendors_words(stripe_sandbox: Played) -> None:
    stripe_sandbox.admin("POST", "limits", {"requests": 2, "seconds": 3600})
    answers = [stripe_sandbox.http.get(LIST) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[-1].headers["stripe-rate-limited-reason"] == "global-rate"


def test_the_clock_follows_stands_and_is_moved() -> None:
    machine = [100.0]
    clock = Clock(lambda: machine[0])
    clock.move(5)
    machine[0] = 110.0
    assert clock.now() == 115.0
    clock.stand(7.0)
    machine[0] = 120.0
    clock.move(1)
    assert clock.now() == 8.0
    clock.follow()
    assert clock.now() == 120.0


def test_a_time_is_written_and_read_again() -> None:
    assert iso(0.25) == "1970-01-01T00:00:00.250Z"
    assert iso(61, 0) == "1970-01-01T00:01:01Z"
    assert seconds_of("1970-01-01T01:01:01+01:00") == seconds_of("1970-01-01T00:01:01") == 61.0


def test_the_date_of_an_answer_is_the_sandboxs(stripe_sandbox: Played) -> None:
    stripe_sandbox.at("2027-01-31T23:59:59Z")
    assert stripe_sandbox.http.get(LIST).headers["date"] == "Sun, 31 Jan 2027 23:59:59 GMT"


def test_late_readers_see_the_state_of_their_time() -> None:
    clock = Clock(lambda: 0.0)
    table = Table("t", clock)
    row = table.add("a", {"v": 1}, created=10.0)
    for at, value in ((20.0, 2), (30.0, 3)):
        clock.stand(at)
        table.put("a", {"v": value})
    clock.stand(40.0)
    table.remove("a")
    seen = [row.as_of(at) for at in (9, 10, 19, 20, 30, 39, 40)]
    assert seen == [None, {"v": 1}, {"v": 1}, {"v": 2}, {"v": 3}, {"v": 3}, None]


def test_what_stands_around_a_place_is_found_from_there() -> None:
    table = Table("t", Clock(lambda: 0.0))
    for key in "abcde":
        table.add(key, {})
    table.remove("c")
    assert [row.key for row in table.older("d")] == ["b", "a"]
    assert [row.key for row in table.newer("b")] == ["d", "e"]
    assert [row.key for row in table] == ["a", "b", "d", "e"]
    picked = table.pick(random.Random(1).choice([2]))
    assert picked is not None
    assert picked.key == "d"


@pytest.mark.long
def test_the_journal_keeps_the_last_requests_and_counts_all(stripe_sandbox: Played) -> None:
    for _ in range(KEPT + 3):
        stripe_sandbox.http.get("/v1/prices/price_none")
    requests = stripe_sandbox.admin("GET", "requests")["requests"]
    assert len(requests) == KEPT
    assert stripe_sandbox.admin("GET", "")["requests"] == {"GET /v1/prices/{id} 404": KEPT + 3}


def test_a_path_that_the_vendor_does_not_have_is_answered_in_its_words(stripe_sandbox: Played) -> None:
    answer = stripe_sandbox.http.get("/v1/nothing")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "faults", {"name": "thrttle"}, "there are lost_answer"),
        ("POST", "faults", [], "JSON object"),
        ("GET", "records/clients", None, "there are customers"),
        ("GET", "records/customers/none", None, "has no 'none'"),
        ("POST", "records/customers", {"colour": 1}, "unknown parameter: colour"),
        ("POST", "records/invoices/none/explode", {}, "has no 'none'"),
        ("POST", "make", {"table": "customers", "count": 0}, "1 to 100000"),
        ("POST", "clock", {"at": "noon"}, "noon"),
        ("POST", "limits", {"requests": 0}, "more than 0"),
    ],
)
def test_what_cannot_be_done_with_a_sandbox_is_said(
    stripe_sandbox: Played, method: str, path: str, body: object, said: str
) -> None:
    answer = stripe_sandbox.http.request(method, f"/_sandbox/{path}", json=body)
    assert answer.status_code == 400
    assert said in answer.text


def test_many_records_are_made_at_once_and_quietly_if_wanted(stripe_sandbox: Played) -> None:
    stripe_sandbox.admin("POST", "make", {"table": "invoices", "count": 40, "quiet": True})
    assert stripe_sandbox.admin("GET", "")["tables"]["invoices"] == 52
    assert stripe_sandbox.records("events") == []
    stripe_sandbox.admin("POST", "make", {"table": "customers", "count": 2})
    assert [each["type"] for each in stripe_sandbox.records("events")] == ["customer.created"] * 2


# --- webhooks ------------------------------------------------------------------------------------------------


def edit(played: Played, *names: str) -> None:
    key = played.records("customers")[0]["id"]
    for name in names:
        played.admin("PATCH", f"records/customers/{key}", {"name": name})


def names(inbox: Inbox) -> list[str]:
    return [each["data"]["object"]["name"] for each in inbox.bodies()]


def test_webhooks_come_in_order(stripe_sandbox: Played, inbox: Inbox) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    edit(stripe_sandbox, "A", "B", "C")
    stripe_sandbox.hooks_sent()
    assert names(inbox) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("fault", "come"),
    [("hook_duplicate", ["A", "A", "B"]), ("hook_drop", ["B"]), ("hook_reorder", ["B", "A"])],
)
def test_webhooks_come_twice_never_or_late_on_demand(
    stripe_sandbox: Played, inbox: Inbox, fault: str, come: list[str]
) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    stripe_sandbox.arm(fault)
    edit(stripe_sandbox, "A", "B")
    stripe_sandbox.hooks_sent()
    assert names(inbox) == come


def test_the_last_webhook_that_is_held_back_can_be_released(stripe_sandbox: Played, inbox: Inbox) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    stripe_sandbox.arm("hook_reorder")
    edit(stripe_sandbox, "A")
    assert stripe_sandbox.admin("GET", "hooks")["waiting"] == 1
    stripe_sandbox.admin("POST", "hooks", {"release": True})
    stripe_sandbox.hooks_sent()
    assert names(inbox) == ["A"]


def test_a_webhook_that_was_not_taken_is_sent_again_when_its_time_comes(stripe_sandbox: Played, inbox: Inbox) -> None:
    stripe_sandbox.admin("POST", "hooks", {"url": inbox.url})
    inbox.statuses = [500, 200]
    edit(stripe_sandbox, "A")
    inbox.wait(1)
    stripe_sandbox.pass_by(61)
    [sent] = stripe_sandbox.hooks_sent()
    assert (sent["attempts"], sent["status"]) == (2, 200)
    assert names(inbox) == ["A", "A"]
