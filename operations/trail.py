"""One record's whole story across the systems, under one correlation id."""

from __future__ import annotations

from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.story import tell
from fieldwarden.engine.words.story import Trail
from fieldwarden.operations.hub import LiveHub


async def trail(hub: LiveHub, entity: str, key: str, *, unmask: bool = False) -> Trail:
    """`key` is any system's key, a match key, or the record's id. Raises UnknownName (exit 2), NotFound and
    AmbiguousName (exit 1), EnvironmentUnfit."""
    async with snapshot(hub.dsn, hub.schema) as connection:
        mask = await mask_of(connection, hub.rulebook, unmask=unmask)
        return await tell(connection, hub.rulebook, entity, key, mask)
