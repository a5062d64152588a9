"""Salesforce as a target: read, compare, write, read again, two hundred records in a request.

Salesforce compares nothing for us (but on one object, by one record): between our look and our write somebody may
change a field that we then write over. The change is told on the event bus, and so found by the next reading. A new
record carries the record's id in a field that is unique: so it is there once, however often it is made.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from fieldwarden.connectors.salesforce.asking import soql
from fieldwarden.connectors.salesforce.asking.session import Reply, SalesforceSession
from fieldwarden.connectors.salesforce.asking.verdicts import Fault
from fieldwarden.connectors.salesforce.decoding.rows import KEY
from fieldwarden.connectors.salesforce.writing import judging
from fieldwarden.connectors.salesforce.writing.shapes import WriteShape, blocked
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import Value
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Operation, Write, WriteResult
from fieldwarden.rules.rulebook import Entity, System

BATCH: Final = 200
"""Records that one request may write."""
_LANDS_WITHIN: Final = 600.0
"""Seconds: Salesforce ends a transaction that takes longer."""
_PATH: Final = "/composite/sobjects"


class SalesforceTarget:
    """`engine.ports.Target` for an org. `entities` are the rulebook's."""

    capabilities = Capabilities(
        batch=BATCH, concurrency=1, compares=False, creates_once=True, settles_within=_LANDS_WITHIN, at_once=True
    )

    def __init__(self, session: SalesforceSession, system: System, entities: Mapping[str, Entity]) -> None:
        self.system = system.name
        self._session = session
        self._streams = system.streams
        self._entities = entities
        self._shapes: dict[str, WriteShape] = {}

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        """See `engine.ports.Target.write`. Raises TransientError, TargetBusy, EnvironmentUnfit, SchemaDrift,
        GuardViolation (nothing was sent)."""
        groups: dict[tuple[str, Operation], list[Write]] = {}
        for write in writes:
            groups.setdefault((write.stream, write.operation), []).append(write)
        for (stream, operation), group in groups.items():
            shape = await self._shape(stream)
            for begin in range(0, len(group), BATCH):
                part = group[begin : begin + BATCH]
                try:
                    results = await self._written(shape, operation, part)
                except EnvironmentUnfit:
                    self._shapes.clear()  # a field or a right may have gone: it is described anew
                    raise
                for result in results:
                    yield result

    async def look_up(self, intents: Sequence[Intent], /) -> Sequence[Found]:
        """A new record by its external id, any other by its own. Raises TransientError, EnvironmentUnfit."""
        found: list[Found] = []
        for stream in dict.fromkeys(each.stream for each in intents):
            shape = await self._shape(stream)
            mine = [each for each in intents if each.stream == stream]
            made = await self._by_external_id(shape, [each.record for each in mine if each.operation == "create"])
            kept = await self._by_id(shape, [each.row for each in mine if each.row is not None])
            for each in mine:
                record = made.get(each.record) if each.operation == "create" else kept.get(each.row or "")
                held = {} if record is None else self._held(shape, record)
                values = {name: held[name] for name in each.values if name in held}
                found.append(Found(each.key, None if record is None else str(record[KEY]), values))
        return found

    async def close(self) -> None:
        """The session is not ours."""

    async def _written(self, shape: WriteShape, operation: Operation, writes: Sequence[Write]) -> list[WriteResult]:
        if operation == "delete":
            return await self._deleted(writes)
        if operation == "create":
            return await self._created(shape, writes)
        return await self._updated(shape, writes)

    # --- the three kinds of writes -------------------------------------------------------------------------------

    async def _created(self, shape: WriteShape, writes: Sequence[Write]) -> list[WriteResult]:
        """What is there by its external id already is left as it is, and told of."""
        there = await self._by_external_id(shape, [each.record for each in writes])
        results = [self._as_it_is(shape, each, there[each.record]) for each in writes if each.record in there]
        new = [each for each in writes if each.record not in there]
        fields = {each.token: [name for name in each.values if name not in shape.refusals(each)] for each in new}
        return results + await self._sent(shape, new, fields, "POST")

    async def _updated(self, shape: WriteShape, writes: Sequence[Write]) -> list[WriteResult]:
        there = await self._by_id(shape, [each.key for each in writes if each.key is not None])
        results: list[WriteResult] = []
        due: list[Write] = []
        fields: dict[int, list[str]] = {}
        for each in writes:
            record = there.get(each.key or "")
            if record is None:
                results.append(WriteResult(each.token, "missing", each.key))
                continue
            refused = shape.refusals(each)
            free = [name for name in judging.free(each, self._held(shape, record)) if name not in refused]
            if free:
                due.append(each)
                fields[each.token] = free
            else:
                results.append(judging.settled(self._as_it_is(shape, each, record)))
        return results + await self._sent(shape, due, fields, "PATCH")

    async def _deleted(self, writes: Sequence[Write]) -> list[WriteResult]:
        ids = ",".join(each.key or "" for each in writes)
        reply = await self._session.ask("DELETE", _PATH, query=(("ids", ids), ("allOrNone", "false")))
        return [
            WriteResult(each.token, "applied", each.key) if id is not None else judging.failed(each, found)
            for each, (id, found) in zip(writes, self._outcomes(reply, len(writes)), strict=True)
        ]

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _sent(
        self, shape: WriteShape, writes: Sequence[Write], fields: Mapping[int, Sequence[str]], method: str
    ) -> list[WriteResult]:
        """Send these fields of these writes, and those of a record that names some of them as bad once more without
        them; then see what the records hold."""
        refused: dict[int, dict[str, str]] = {each.token: shape.refusals(each) for each in writes}
        made: dict[int, str] = {}
        ended: dict[int, WriteResult] = {}
        left, asked = list(writes), {token: list(names) for token, names in fields.items()}
        for last in (False, True):
            if not left:
                break
            again: list[Write] = []
            for each, (id, found) in zip(left, await self._request(shape, left, asked, method), strict=True):
                bad = self._bad_fields(shape, each, asked[each.token], found)
                rest = [name for name in asked[each.token] if name not in bad]
                if id is not None:
                    made[each.token] = id
                elif bad and not last and (rest or each.operation == "create"):
                    refused[each.token] |= bad
                    asked[each.token] = rest
                    again.append(each)
                else:
                    ended[each.token] = judging.failed(each, found, bad)
            left = again
        now = await self._by_id(shape, [*made.values()])
        results = list(ended.values())
        for each in writes:
            if each.token in made:
                results.append(self._now(shape, each, made[each.token], now, refused[each.token]))
        return await self._made_by_others(shape, results, writes)

    async def _request(
        self, shape: WriteShape, writes: Sequence[Write], fields: Mapping[int, Sequence[str]], method: str
    ) -> list[tuple[str | None, tuple[Fault, ...]]]:
        records = [shape.body(each, fields[each.token]) for each in writes]
        reply = await self._session.ask(method, _PATH, body={"allOrNone": False, "records": records})
        return self._outcomes(reply, len(writes))

    def _outcomes(self, reply: Reply, count: int) -> list[tuple[str | None, tuple[Fault, ...]]]:
        if reply.faults:
            return [(None, reply.faults)] * count
        if not isinstance(reply.told, list) or len(reply.told) != count:
            raise DecodeError(f"{self.system}: Salesforce does not say what became of each record")
        return [judging.outcome(each) for each in reply.told]

    def _bad_fields(
        self, shape: WriteShape, write: Write, asked: Sequence[str], found: Sequence[Fault]
    ) -> dict[str, str]:
        """The fields that a record was refused for, with their blocks, where it was for nothing else."""
        if any(each.verdict not in ("rejected", "refused", "unfit") or not each.fields for each in found):
            return {}
        bad: dict[str, str] = {}
        for each in found:
            for column in each.fields:
                name = shape.field_of(column)
                if name is None or name not in asked:
                    return {}
                bad[name] = f"Salesforce refuses it: {each.code}"
        return blocked(write, bad)

    async def _made_by_others(
        self, shape: WriteShape, results: list[WriteResult], writes: Sequence[Write]
    ) -> list[WriteResult]:
        """A create that was refused as a second one of its external id is there: made meanwhile, by us or before."""
        doubled = {each.token for each in results if each.status == "rejected" and each.holder is not None}
        mine = {each.token: each for each in writes if each.token in doubled and each.operation == "create"}
        there = await self._by_external_id(shape, [each.record for each in mine.values()])
        return [
            self._as_it_is(shape, mine[each.token], there[mine[each.token].record])
            if each.token in mine and mine[each.token].record in there
            else each
            for each in results
        ]

    def _now(
        self,
        shape: WriteShape,
        write: Write,
        id: str,
        now: Mapping[str, Mapping[str, Any]],
        refused: dict[str, str],
    ) -> WriteResult:
        if id not in now:
            return WriteResult(write.token, "missing", id)
        result = self._as_it_is(shape, write, now[id])
        result.refused |= {name: why for name, why in refused.items() if name in result.differing}
        result.differing = {name: value for name, value in result.differing.items() if name not in result.refused}
        return result

    def _as_it_is(self, shape: WriteShape, write: Write, record: Mapping[str, Any]) -> WriteResult:
        differing = judging.differing(write, self._held(shape, record))
        refused = {name: why for name, why in shape.refusals(write).items() if name in differing}
        differing = {name: value for name, value in differing.items() if name not in refused}
        return WriteResult(write.token, "applied", str(record[KEY]), differing, refused=refused)

    def _held(self, shape: WriteShape, record: Mapping[str, Any]) -> dict[str, Value]:
        try:
            return shape.held(record)
        except Unreadable as error:
            raise DecodeError(f"{self.system}: {shape.object.name}: {error}", path=shape.stream.name) from error

    async def _by_id(self, shape: WriteShape, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not ids:
            return {}
        found = await self._session.retrieved(shape.object.name, ids, shape.columns)
        return {str(each[KEY]): each for each in found if each is not None}

    async def _by_external_id(self, shape: WriteShape, records: Sequence[str]) -> dict[str, dict[str, Any]]:
        column = shape.stream.external_id
        if not records or column is None:
            return {}
        found = await self._session.query(soql.among(shape.object.name, shape.columns, column, records))
        return {str(each[column]): each for each in found}

    async def _shape(self, stream: str) -> WriteShape:
        found = self._shapes.get(stream)
        if found is None:
            rules = self._streams[stream]
            object = await self._session.described(rules.table)
            found = self._shapes[stream] = WriteShape(rules, self._entities[rules.entity], object)
        return found
