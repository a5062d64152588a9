"""Claims and settlements of one target in PostgreSQL.

A claim locks nothing: it hands out records as they stand and remembers them. Settling first takes it that they still
stand so (one set-based update guarded by the record's revision); those that moved on meanwhile are then locked, in id
order, and merged by `engine.settle`. Each part is a transaction of its own, since settlements do not depend on each
other; one that is repeated finds its marks gone and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine import failpoints
from engine.change import RowRef
from engine.hub.queries import QUERIES
from engine.hub.rows import copied_contributions, copied_text, plain_array, record_of, text_array
from engine.hub.session import Connection, Session
from engine.ports import Pending, Settlement
from engine.record import Contribution, Record
from engine.settle import settle

_REMEMBERED = 20_000
_LINKED_MEANWHILE = 0.2  # seconds: not at once, lest a row that does not help is tried in a tight loop


class Deliveries:
    def __init__(self, target: str, session: Session) -> None:
        self._target = target
        self._session = session
        self._claimed: dict[str, Pending] = {}

    async def claim(self, limit: int) -> list[Pending]:
        async with self._session.transaction() as connection:
            rows = await _rows(connection, "claim", self._target, limit)
            await connection.commit()
        claims = [Pending(record_of(row), row[6], row[7], row[8], row[9]) for row in rows]
        if len(self._claimed) > _REMEMBERED:
            self._claimed.clear()  # claims that nobody settled; settling without them works, it only reads again
        self._claimed.update((claim.record.id, claim) for claim in claims)
        return claims

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        ordered = sorted(settlements, key=lambda each: each.record)
        plain = [each for each in ordered if each.status != "wait" and self._claim_of(each)]
        rest = [each for each in ordered if each.status == "wait" or not self._claim_of(each)]
        if plain:
            rest += await self._settle_unmoved(plain)
        if rest:
            await self._settle_locked(sorted(rest, key=lambda each: each.record))
        for each in settlements:
            self._claimed.pop(each.record, None)

    def _claim_of(self, settlement: Settlement) -> Pending | None:
        claim = self._claimed.get(settlement.record)
        return claim if claim is not None and claim.revision == settlement.revision else None

    async def _settle_unmoved(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Settle those whose record still is as it was claimed; the others are given back."""
        lines: list[bytes] = []
        merging = set()
        for each in settlements:
            claim = self._claimed[each.record]
            settled = settle(claim.record, claim.record, self._target, each.held, each.links)
            lines.append(_line(each, each.status, each.delay, each.revision, settled.rows))
            if settled.rows is not None:
                merging.add(each.record)
        async with self._session.transaction() as connection:
            await _copy(connection, "copy_settled", lines)
            ids = _ids(settlements)
            unmoved = {id for (id,) in await _rows(connection, "settle_records", ids)} if merging else set()
            if len(merging) < len(settlements):
                unmoved |= {id for (id,) in await _rows(connection, "unmoved_records", ids)}
            moved = [each for each in settlements if each.record not in unmoved]
            if moved:
                await _rows(connection, "drop_settled", _ids(moved))
            here = [each for each in settlements if each.record in unmoved]
            if await self._link(connection, here):
                return settlements  # a created row belongs to another record by now; nothing of this is committed
            await self._clear(connection, here)
        return moved

    async def _settle_locked(self, settlements: Sequence[Settlement]) -> None:
        """Settle what moved on, or waits for another record: with all of them locked, nothing moves any more."""
        ids = {each.record for each in settlements} | {each.awaits for each in settlements if each.awaits}
        async with self._session.transaction() as connection:
            rows = await _rows(connection, "lock_records", plain_array(sorted(ids)))
            current = {row[0]: (record_of(row), int(row[6])) for row in rows}
            here = [each for each in settlements if each.record in current]
            strange = await self._link(connection, here)
            lines = []
            for each in here:
                record, revision = current[each.record]
                claim = self._claim_of(each)
                held = [fact for fact in each.held if fact[0] not in strange]
                links = [link for link in each.links if link not in strange]
                settled = settle(record, claim.record if claim else record, self._target, held, links)
                again = self._again(each, settled.clean and claim is not None, current)
                status, delay = ("again", again) if again is not None else (each.status, each.delay)
                lines.append(_line(each, status, delay, revision, settled.rows))
            await _copy(connection, "copy_settled", lines)
            await _rows(connection, "settle_records", _ids(here))
            await self._clear(connection, here)

    def _again(self, each: Settlement, clean: bool, current: Mapping[str, tuple[Record, int]]) -> float | None:
        """Seconds after which to look at a record again instead of what the delivery concluded; None: it holds."""
        if each.status == "done" and not clean:
            return 0.0
        awaited = current.get(each.awaits or "")
        if each.status != "wait" or awaited is None:
            return None
        linked = any(row.system == self._target and row.deleted is None for row in awaited[0].rows)
        return _LINKED_MEANWHILE if linked else None

    async def _link(self, connection: Connection, settlements: Sequence[Settlement]) -> set[RowRef]:
        """Link created rows to their records; gives back those that belong to another record already."""
        wanted = {link: each.record for each in settlements for link in each.links}
        if not wanted:
            return set()
        ordered = sorted(wanted)
        systems, streams, keys = zip(*ordered, strict=True)
        columns = (text_array(systems), text_array(streams), text_array(keys))
        rows = await _rows(connection, "link_created", *columns, plain_array(wanted[row] for row in ordered))
        return {RowRef(*row[:3]) for row in rows if row[3] != wanted[RowRef(*row[:3])]}

    async def _clear(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        """Clear or move the marks that still are those of the claim, rouse who waited, and commit."""
        await _rows(connection, "settle_done", self._target, _ids(settlements))
        await _rows(connection, "settle_open", self._target, _ids(settlements))
        linked = sorted({each.record for each in settlements if each.links})
        if linked:
            await _rows(connection, "wake", self._target, plain_array(linked))
        failpoints.hit("delivery.before_settle_commit")
        await connection.commit()
        failpoints.hit("delivery.after_settle")


def _ids(settlements: Sequence[Settlement]) -> str:
    return plain_array(each.record for each in settlements)


def _line(each: Settlement, status: str, delay: float, revision: int, rows: Sequence[Contribution] | None) -> bytes:
    """A row for `copy_settled`. Only what still waits for a record names it."""
    awaits = each.awaits if status == "wait" and each.awaits else "\\N"
    head = f"{each.record}\t{revision}\t{each.mark}\t{status}\t{delay}\t{awaits}\t"
    text = f"{copied_text(each.reason)}\t{copied_text(each.result)}\t"
    return b"%b%b%b\n" % (head.encode(), text.encode(), b"\\N" if rows is None else copied_contributions(rows))


async def _rows(connection: Connection, name: str, *values: object) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(QUERIES[name], values, prepare=True)
    return await cursor.fetchall() if cursor.description else []


async def _copy(connection: Connection, name: str, lines: Sequence[bytes]) -> None:
    async with connection.cursor().copy(QUERIES[name]) as copy:
        await copy.write(b"".join(lines))
