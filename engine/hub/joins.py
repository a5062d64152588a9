"""Which record became which, in the hub: written with the commit that joined them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.rows import json_array, plain_array, text_array
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.ports.durable import Join

_encode = msgspec.json.Encoder().encode


async def write_joins(connection: Connection, joins: Sequence[Join], *, parted: bool) -> None:
    """Note that records go on as others; whatever was joined to them, kept apart from them (where any are: `parted`) or
    waits for them follows. The joins of one commit, in their order."""
    survivors: dict[str, str] = {}
    for join in reversed(joins):
        survivors[join.absorbed] = survivors.get(join.survivor, join.survivor)
    absorbed, now = plain_array(survivors), plain_array(survivors.values())
    await connection.execute(QUERIES["join_on"], {"ids": absorbed, "records": now})
    kept = [json_array([_encode(join.rows) for join in joins]), text_array([join.entity for join in joins])]
    ids = plain_array(join.absorbed for join in joins)
    goes_on = plain_array(survivors[join.absorbed] for join in joins)
    await connection.execute(QUERIES["join"], [ids, kept[1], goes_on, kept[0]])
    for absorbed_id, survivor in survivors.items() if parted else ():
        await connection.execute(QUERIES["apart_on"], {"survivor": survivor, "absorbed": absorbed_id})
    named = sorted(place for join in joins for place in join.named_in)
    for (entity, key, first), places in groupby(named, lambda place: (place[0], place[1], place[3])):
        asked = {"entity": entity, "key": key, "texts": text_array([place[2] for place in places])}
        await connection.execute(QUERIES["follow_first" if first else "follow_later"], asked)
    await connection.execute(QUERIES["wake_joined"], [ids])
