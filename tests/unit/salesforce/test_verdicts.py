"""What each error of the Pub/Sub API comes to: what cannot help is not tried again, what can is not given up."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.salesforce.reading.verdicts import PREFIX, Verdict, error, judge, pause
from fieldwarden.engine.errors import EnvironmentUnfit, SourceGap, TransientError


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted", "gap"),
        ("INVALID_ARGUMENT", "subscription.fetch.replayid.validation.failed", "gap"),
        ("UNAUTHENTICATED", "service.auth.error", "login"),
        ("UNAUTHENTICATED", "", "login"),
        ("UNAUTHENTICATED", "service.auth.headers.invalid", "unfit"),
        ("NOT_FOUND", "topic.not.found", "unfit"),
        ("PERMISSION_DENIED", "subscription.topic.cannot.subscribe", "unfit"),
        ("INVALID_ARGUMENT", "", "unfit"),
        ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded", "rest"),
        ("RESOURCE_EXHAUSTED", "", "rest"),
        ("UNAVAILABLE", "service.unavailable", "again"),
        ("UNAVAILABLE", "", "again"),
        ("INTERNAL", "subscription.internal.error", "again"),
        ("INVALID_ARGUMENT", "subscription.fetch.replay.repeated", "unfit"),
        ("UNKNOWN", "something.new", "again"),
    ],
)
def test_the_code_counts_and_the_status_where_there_is_none(status: str, code: str, verdict: Verdict) -> None:
    assert judge(status, f"{PREFIX}{code}" if code else "") == verdict


def test_a_lost_replay_id_is_a_gap_of_the_same_org() -> None:
    found = error(
        "crm", "/data/AccountChangeEvent", "INVALID_ARGUMENT", f"{PREFIX}subscription.fetch.replayid.corrupted", "r-7"
    )
    assert isinstance(found, SourceGap)
    assert found.safe
    assert "rpcId r-7" in found.message
    assert "rebaseline" in found.suggestion


def test_an_object_without_change_data_capture_says_what_to_switch_on() -> None:
    found = error("crm", "/data/AccountChangeEvent", "NOT_FOUND", f"{PREFIX}topic.not.found", "")
    assert isinstance(found, EnvironmentUnfit)
    assert "enable Change Data Capture" in found.suggestion


def test_all_else_is_tried_again_later() -> None:
    found = error("crm", "/data/AccountChangeEvent", "UNAVAILABLE", "", "")
    assert isinstance(found, TransientError)
    assert found.message == "crm: /data/AccountChangeEvent does not answer: UNAVAILABLE"


def test_pauses_grow_and_have_an_end() -> None:
    pauses = [pause(attempt, 0.5) for attempt in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[-1] < 30
