"""When a source has read up to a point, as seen from outside its stream."""

from __future__ import annotations

import pytest

from fieldwarden.connectors.postgres.looking.lag import SourceLag
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.engine.hub.views.footing import HubFooting
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.rules.rulebook import System
from tests.builders import postgres


@pytest.mark.parametrize(
    ("position", "reached"),
    [
        (None, False),
        ("unreadable: a new baseline is about to replace it", False),
        (WalPosition("snapshot", 0x200).encode(), False),
        (WalPosition("stream", 0x1FF).encode(), False),
        (WalPosition("stream", 0x200).encode(), True),
    ],
)
def test_a_source_has_reached_a_point_once_it_streams_past_it(position: str | None, reached: bool) -> None:
    lag = SourceLag(System("crm", 0, postgres(), {}), "", HubFooting("host=nowhere"))
    assert lag.reached({LOG: position}, 0x200) == reached
