"""A value that must be unique is handed over: whoever stands in the way gets what is due to it in the same breath.

A write can be refused because another row holds the value that it brings. Where that row's own delivery gives the value
up, both are made in one call to the target, however the records were claimed: in another batch, by another process, or
not yet at all. Deliveries may be repeated, so the other one's own finds nothing left to do. Otherwise the write is
parked behind the record in its way, and is due again as soon as a delivery to that record, or its system, frees it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from fieldwarden.engine.bugs import of_one_record
from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.ports.hub import Hub
from fieldwarden.engine.ports.target import Target, Write, WriteResult
from fieldwarden.engine.ports.target import answers as answers_of
from fieldwarden.engine.record import Record

_LINKS = 12
"""Rows in each other's way, one behind the other, that are followed."""


async def keys_in(hub: Hub, system: str, records: Collection[str]) -> dict[str, dict[str, str]]:
    """Record id -> stream -> its key there, as `TargetPlan.plan` takes them."""
    if not records:
        return {}
    rows = await hub.keys(sorted(records), system)
    return {id: {row.stream: row.key for row in refs} for id, refs in rows.items()}


class Handover:
    """Of one target. `behind`, after `tried`: for writes that are still refused (by token) the record in their way, and
    its revision when they were last tried."""

    def __init__(self, target: Target, plan: TargetPlan, hub: Hub) -> None:
        self._target = target
        self._plan = plan
        self._hub = hub
        self.behind: dict[int, tuple[str, int]] = {}

    async def tried(
        self, writes: Sequence[Write], results: Sequence[WriteResult], met: Callable[[Exception], None]
    ) -> list[WriteResult]:
        """The answers to writes whose token is their place, after those with a `holder` were tried again. What goes
        wrong with another record on the way is no trouble of these: `met` is told, and the answers stay as they are."""
        self.behind = {}
        try:
            return await self._tried(writes, results)
        except Exception as error:
            if not of_one_record(error):
                raise
            met(error)
            return list(results)

    async def _tried(self, writes: Sequence[Write], results: Sequence[WriteResult]) -> list[WriteResult]:
        answers = {each.token: each for each in results}
        known: dict[RowRef, tuple[Record, int]] = {}
        theirs: dict[RowRef, Write] = {}
        asked: set[RowRef] = set()
        in_the_way = self._in_the_way(writes, answers)
        for _ in range(_LINKS):
            fresh = set(in_the_way.values()) - asked
            if not fresh:
                break
            asked |= fresh
            found = await self._hub.standing_for(sorted(fresh))
            known |= found
            due = await self._due(found, {(each.stream, each.key) for each in writes})
            if not due:
                break
            theirs |= due
            mine = [writes[token] for token in in_the_way if token < len(writes)]
            sent = [*mine, *theirs.values()]
            told = await answers_of(self._target, [replace(write, token=place) for place, write in enumerate(sent)])
            for each in told:
                if each.token < len(mine):
                    token = mine[each.token].token
                    answers[token] = replace(each, token=token)
            in_the_way = self._in_the_way(sent, {each.token: each for each in told})
            in_the_way = {
                (mine[place].token if place < len(mine) else len(writes) + place): row
                for place, row in in_the_way.items()
            }
        for token, row in self._in_the_way(writes, answers).items():
            if row in known and known[row][0].id != writes[token].record:
                record, revision = known[row]
                self.behind[token] = record.id, revision
        return list(answers.values())

    def _in_the_way(self, writes: Sequence[Write], answers: Mapping[int, WriteResult]) -> dict[int, RowRef]:
        return {
            token: RowRef(self._plan.system, writes[token].stream, each.holder)
            for token, each in answers.items()
            if each.status == "rejected" and each.holder is not None
        }

    async def _due(
        self, found: Mapping[RowRef, tuple[Record, int]], written: Collection[tuple[str, str | None]]
    ) -> dict[RowRef, Write]:
        """What is due to these rows, but for those that are written anyway."""
        due = {}
        needed = {id for record, _ in found.values() for id in self._plan.references(record)}
        keys = await keys_in(self._hub, self._plan.system, needed)
        for row, (record, _) in found.items():
            for write in self._plan.plan(record, keys).writes:
                if (write.stream, write.key) == (row.stream, row.key) and (row.stream, row.key) not in written:
                    due[row] = write
        return due
