"""What `doctor` says of a vendor's system: whether it answers, its clock, and whether its rows hold what is mapped."""

from __future__ import annotations

from collections.abc import Sequence

from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.moments import SECOND
from fieldwarden.connectors.rest.progress import begun
from fieldwarden.connectors.rest.reading.source import Rows
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.ports.finding import Finding, bad, good, note, warning
from fieldwarden.engine.wanted import Wanted
from fieldwarden.rules.errors import FieldwardenError

_FAR = 60 * SECOND


async def probe(session: RestSession, objects: dict[str, Wanted]) -> Sequence[Finding]:
    """Everything that was looked at. One page of each object is read."""
    try:
        now = await session.now()
    except FieldwardenError as error:
        return [bad("connection", error.message, error.suggestion)]
    found = [good("connection", f"{session.system} answers"), _clock(session)]
    for name, wanted in objects.items():
        found += await _object(session, name, wanted, now)
    return found


def _clock(session: RestSession) -> Finding:
    ahead = session.clock_ahead
    if ahead is None or abs(ahead) < _FAR:
        return good("clock", "the vendor's clock and ours agree")
    which = "ahead of" if ahead > 0 else "behind"
    message = f"the vendor's clock is {abs(ahead) // SECOND} seconds {which} ours"
    return warning("clock", message, "set this machine's clock; what is read goes by the vendor's")


async def _object(session: RestSession, name: str, wanted: Wanted, now: int) -> list[Finding]:
    rows = Rows.of(session, name, wanted)
    try:
        told = await anext(rows.feed.all(begun(1, rows.feed.spec, now)))
    except FieldwardenError as error:
        return [bad("object", f"{name}: {error.message}", error.suggestion)]
    if not told.rows:
        message = f"{name} can be read, and there are none: whether its columns are there cannot be seen"
        return [note("object", message, "make one there, and look again", wanted.stream)]
    found = [good("object", f"{name} can be read", wanted.stream)]
    if any(row.trouble for row in told.rows):
        trouble = next(row.trouble for row in told.rows if row.trouble)
        found.append(
            warning("object", f"{name}: there are rows that cannot be read: {trouble}", "see the vendor's file")
        )
    shape = rows.feed.shape
    for place, column in enumerate(shape.columns):
        if all(row.values[place] is UNKNOWN for row in told.rows):
            message = f"no {name} of the first page has what {column} is read from"
            suggestion = "see whether the login may read it, and where it stands now (the vendor's file says where)"
            found.append(warning("column", message, suggestion, wanted.stream, column))
    if shape.spec.modified is not None and all(row.modified is None for row in told.rows):
        message = f"no {name} of the first page says when it was modified, as the vendor's file says that they do"
        found.append(bad("column", message, "correct modified: in the vendor's file", wanted.stream))
    return found
