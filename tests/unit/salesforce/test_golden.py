"""Events that were recorded come to what they came to when they were recorded."""

from __future__ import annotations

import json

from tests.golden.record_salesforce import FILE, told

GOLDEN = json.loads(FILE.read_text("utf-8"))


def test_recorded_events_come_to_what_they_came_to() -> None:
    assert told(GOLDEN["schemas"], GOLDEN["events"]) == GOLDEN["told"]


def test_the_recording_has_each_kind_of_event() -> None:
    does = [change["does"] for each in GOLDEN["told"] for change in each["changes"]]
    assert {*does} == {"insert", "update", "delete", "hint"}
    assert len(GOLDEN["schemas"]) == 2
    assert [each["lost"] for each in GOLDEN["told"]].count(True) == 1
