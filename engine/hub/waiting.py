"""What is set aside and may go on, a page at a time: no question reads more the more there is that waits."""

from __future__ import annotations

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import Connection
from fieldwarden.engine.ports.aside import SetAside


async def releasable(
    connection: Connection, source: str, limit: int, after: int, at_once: int
) -> tuple[list[SetAside], int | None]:
    """As `engine.ports.Hub.releasable`; `at_once`: bytes of payloads. Within a transaction."""
    page = {"source": source, "after": after, "limit": limit}
    last, looked = (await (await connection.execute(QUERIES["releasable_page"], page)).fetchone()) or (None, 0)
    if last is None:
        return [], None
    bounds = {"source": source, "after": after, "last": last, "bytes": at_once}
    rows = await (await connection.execute(QUERIES["releasable"], bounds)).fetchall()
    found = [_set_aside(*row[:-1]) for row in rows]
    if rows and found[-1].id < rows[-1][-1]:
        return found, found[-1].id  # more may go than were to be had at once
    return found, last if looked == limit else None


def _set_aside(
    id: int,
    system: str,
    stream: str,
    key: str,
    entity: str,
    kind: str,
    reason: str,
    position: str,
    payload: str,
    candidates: list[str],
    released: bool,
    *awaits: str | None,
) -> SetAside:
    return SetAside(
        RowRef(system, stream, key),
        entity,
        kind,  # type: ignore[arg-type]
        reason,
        payload.encode(),
        position,
        awaits=RowRef(*awaits) if awaits[0] is not None else None,  # type: ignore[arg-type]
        candidates=tuple(candidates),
        id=id,
        released=released,
    )
