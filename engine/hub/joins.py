"""Which record became which, in the hub: written with the commit that joined them."""

from __future__ import annotations

import msgspec

from engine.hub.queries import QUERIES
from engine.hub.rows import plain_array
from engine.hub.session import Connection
from engine.ports import Join

_encode = msgspec.json.Encoder().encode


async def write_join(connection: Connection, join: Join) -> None:
    """Note that a record goes on as another; whatever was joined to it, kept apart from it or waits for it follows."""
    rows = _encode(join.rows).decode()
    await connection.execute(QUERIES["join_on"], [join.survivor, join.absorbed])
    await connection.execute(QUERIES["join"], [join.absorbed, join.entity, join.survivor, rows])
    asked = {"survivor": join.survivor, "absorbed": join.absorbed}
    await connection.execute(QUERIES["apart_on"], asked)
    for entity, key, text, first in join.named_in:
        named = {"entity": entity, "key": key, "text": text}
        await connection.execute(QUERIES["follow_first" if first else "follow_later"], named)
    await connection.execute(QUERIES["wake_joined"], [plain_array([join.absorbed])])
