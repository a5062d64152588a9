"""In a few sentences, why a field holds its value and who lost."""

from __future__ import annotations

from fieldwarden.engine.hub.asking import UnknownName
from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.story import explain_field
from fieldwarden.engine.words.explaining import Explanation
from fieldwarden.operations.hub import LiveHub
from fieldwarden.rules.rulebook import Rulebook


def split(name: str) -> tuple[str, str]:
    """`customer.credit_limit` -> entity and field. Raises UnknownName."""
    entity, dot, field = name.partition(".")
    if not (entity and dot and field):
        raise UnknownName(f"{name!r} is not ENTITY.FIELD", suggestion="as in: explain customer.credit_limit C-1042")
    return entity, field


async def explain(
    hub: LiveHub, entity: str, field: str, key: str, *, unmask: bool = False, files: Rulebook | None = None
) -> Explanation:
    """By the live rules, and what `files` that differ would make of it.

    Raises UnknownName (exit 2), NotFound and AmbiguousName (exit 1), EnvironmentUnfit."""
    async with snapshot(hub.dsn, hub.schema) as connection:
        mask = await mask_of(connection, hub.rulebook, unmask=unmask)
        return await explain_field(connection, hub.rulebook, entity, field, key, mask, files)
