"""The few facts about the hub that a running process looks at again and again: cheap, and never in a loop's way."""

from __future__ import annotations

from dataclasses import dataclass

from engine.hub.session import Session

_SOURCES = "select name, state, message, position from source"
_PENDING = "select target, count(*) filter (where status = 'due') from dirty group by target"
_ASIDE = """
select system, kind, count(*), extract(epoch from clock_timestamp() - min(since))::float8
from set_aside group by system, kind
union all
select target, 'delivery', count(*), extract(epoch from clock_timestamp() - min(since))::float8
from dirty where status = 'parked' group by target
"""
_BUSY = """
select exists (select from dirty where status = 'due') or exists (select from set_aside where released)
"""


@dataclass(frozen=True, slots=True)
class SourcePulse:
    state: str
    message: str
    position: str | None


@dataclass(frozen=True, slots=True)
class Pulse:
    """Sources by name; deliveries due per target; what is set aside as (system, kind, count, oldest age in s)."""

    sources: dict[str, SourcePulse]
    due: dict[str, int]
    aside: list[tuple[str, str, int, float]]


class PulseTaker:
    """Looks on a connection of its own. Every method raises TransientError."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._session = Session(dsn, schema, "watch")

    async def take(self) -> Pulse:
        async with self._session.transaction() as connection:
            sources = await (await connection.execute(_SOURCES)).fetchall()
            due = await (await connection.execute(_PENDING)).fetchall()
            aside = await (await connection.execute(_ASIDE)).fetchall()
        return Pulse({name: SourcePulse(*rest) for name, *rest in sources}, dict(due), [tuple(row) for row in aside])

    async def positions(self) -> dict[str, str | None]:
        async with self._session.transaction() as connection:
            rows = await (await connection.execute("select name, position from source")).fetchall()
        return dict(rows)

    async def busy(self) -> bool:
        """Whether something is due now or soon: a delivery, or a change that a person released."""
        async with self._session.transaction() as connection:
            row = await (await connection.execute(_BUSY)).fetchone()
        return bool(row and row[0])

    async def close(self) -> None:
        await self._session.close()
