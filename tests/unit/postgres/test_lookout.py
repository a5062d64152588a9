"""When a source has read up to a point, as seen from outside its stream."""

from __future__ import annotations

import pytest

from connectors.postgres.lookout import Lookout
from connectors.postgres.position import Position
from engine.hub.footing import HubFooting
from rules.rulebook import System


@pytest.mark.parametrize(
    ("position", "reached"),
    [
        (None, False),
        ("unreadable: a new baseline is about to replace it", False),
        (Position("snapshot", 0x200).encode(), False),
        (Position("stream", 0x1FF).encode(), False),
        (Position("stream", 0x200).encode(), True),
    ],
)
def test_a_source_has_reached_a_point_once_it_streams_past_it(position: str | None, reached: bool) -> None:
    assert (
        Lookout(System("crm", 0, "postgres", {}, {}), "", HubFooting("host=nowhere")).reached(position, 0x200)
        == reached
    )
