"""What a desk tells by webhook: changed objects under ids of their own, or only which ones have changed.

[{"event": "e7", "object": {...}}, {"type": "people", "key": "p1"}]
"""

from __future__ import annotations

import json
from typing import Any

from fieldwarden.connectors.rest.receiving import parsed
from fieldwarden.engine.ports.inbound import HookRequest
from fieldwarden.engine.ports.inbox import Event, Hint, Item

SIGNATURE = "x-desk-signature"


def decode(request: HookRequest) -> list[Item]:
    """Raises ValueError for what is no list of these."""
    try:
        return [_item(each) for each in parsed(request.body)]
    except (TypeError, KeyError) as error:
        raise ValueError("no list of what has changed") from error


def _item(told: dict[str, Any]) -> Item:
    if "event" in told:
        return Event(told["event"], json.dumps(told["object"]).encode())
    return Hint(told["type"], told["key"])
