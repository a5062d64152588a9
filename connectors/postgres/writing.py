"""One session's guarded writing: its temporary tables, its compiled statements, and one transaction at a time.

A transaction is first tried as a whole. Only if the target refuses something is it tried again carefully, with
savepoints: rows that COPY cannot parse are found by its own word for the line, rows that a constraint or trigger
refuses by halving. Either way everything that can be written is written, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int4

from connectors.postgres import faults
from connectors.postgres.groups import Group, copy_text, rows
from connectors.postgres.shapes import ColumnType, Shape, description, touched
from connectors.postgres.statements import Statement, input_table, statement
from engine import failpoints
from engine.change import key_text
from engine.guard import Operation
from engine.ports import Write, WriteResult
from rules.rulebook import Stream

MARK = "fieldwarden"
"""The prefix of the logical message by which a source recognises our own transactions."""

_SETTINGS = """
set lock_timeout = '5s'; set statement_timeout = '60s'; set idle_in_transaction_session_timeout = '60s';
set default_transaction_isolation = 'read committed'; set jit = off; set client_min_messages = warning
"""
_BEGIN = "begin; set constraints all immediate; select pg_logical_emit_message(true, '{}', '{}')"


class ShapeChanged(Exception):
    """The target's table is not what statements were compiled for: start again with a new session."""


@dataclass(slots=True)
class _Staging:
    """A stream's temporary table for one operation, and how far this transaction has filled it."""

    name: str
    shape: Shape
    statements: dict[tuple[str, ...], Statement] = field(default_factory=dict)
    filled: int = 0


@dataclass(slots=True)
class _Load:
    """A group being applied: its writes are numbered from `first` in the staging table."""

    group: Group
    staging: _Staging
    statement: Statement
    first: int

    def write(self, ordinal: int) -> Write:
        return self.group.writes[ordinal - self.first]


class Writing:
    """What `PostgresTarget` keeps per connection. psycopg's errors pass through."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self.connection = connection
        self._cursor = psycopg.AsyncRawCursor(connection)
        self._stagings: dict[tuple[str, Operation], _Staging] = {}
        self._shapes: dict[str, Shape] = {}

    async def start(self) -> None:
        await self._cursor.execute(_SETTINGS.encode(), prepare=False)

    async def apply(self, groups: Sequence[Group]) -> list[WriteResult]:
        """All groups in one transaction. Raises ShapeChanged, and psycopg.Error for what no row is to blame for."""
        known = set(self._shapes)
        try:
            return await self._transaction(groups, careful=False)
        except (psycopg.Error, UnicodeEncodeError) as error:
            if isinstance(error, psycopg.Error) and faults.verdict(error) == "transient":
                raise
            await self._cursor.execute(b"rollback", prepare=False)
            await self._recheck({group.stream.name: group.stream for group in groups if group.stream.name in known})
            if isinstance(error, psycopg.Error) and faults.verdict(error) == "unfit":
                raise
        return await self._transaction(groups, careful=True)

    async def _transaction(self, groups: Sequence[Group], *, careful: bool) -> list[WriteResult]:
        ready = [(group, await self._staging(group)) for group in groups]
        note = f"{len(groups)} groups, first record {groups[0].writes[0].record}" if groups else ""
        await self._cursor.execute(_BEGIN.format(MARK, note.replace("'", "")).encode(), prepare=False)
        results: list[WriteResult] = []
        for group, staging in ready:
            load = _Load(group, staging, self._compiled(group, staging), staging.filled)
            staging.filled += len(group.writes)
            results += await (self._carefully(load) if careful else self._at_once(load))
        failpoints.hit("delivery.before_target_commit")
        await self._cursor.execute(b"commit", prepare=False)
        failpoints.hit("delivery.after_target_commit")
        return results

    # --- what statements need -------------------------------------------------------------------------------

    async def _staging(self, group: Group) -> _Staging:
        place = (group.stream.name, group.operation)
        staging = self._stagings.get(place)
        if staging is None:
            shape = self._shapes.get(group.stream.name)
            if shape is None:
                shape = self._shapes[group.stream.name] = await self._describe(group.stream)
            name = f"fw_{len(self._stagings) + 1}"
            columns = sql.SQL(", ").join(
                sql.SQL("{} ").format(sql.Identifier(column)) + sql.SQL(kind)
                for column, kind in input_table(group.stream, group.operation, shape)
            )
            create = sql.SQL("create temp table {} ({}) on commit delete rows").format(sql.Identifier(name), columns)
            await self._cursor.execute(create, prepare=False)
            staging = self._stagings[place] = _Staging(name, shape)
        staging.filled = 0
        return staging

    async def _describe(self, stream: Stream) -> Shape:
        """Types as the server resolves them: domains are their base types, expressions what they give."""
        await self._cursor.execute(description(stream).encode(), prepare=False)
        result = self._cursor.pgresult
        assert result is not None
        types = [(result.ftype(n), result.fmod(n)) for n in range(result.nfields)]
        await self._cursor.execute(
            b"select format_type(o, -1), format_type(o, m) from unnest($1::oid[], $2::int[])"
            b" with ordinality as given(o, m, n) order by n",
            [[oid for oid, _ in types], [modifier for _, modifier in types]],
        )
        kinds = [ColumnType(plain, full) for plain, full in await self._cursor.fetchall()]
        columns, reads = touched(stream)
        return Shape(dict(zip(columns, kinds, strict=False)), dict(zip(reads, kinds[len(columns) :], strict=True)))

    async def _recheck(self, streams: dict[str, Stream]) -> None:
        for name, stream in streams.items():
            try:
                current = await self._describe(stream)
            except psycopg.Error as error:
                if faults.verdict(error) == "unfit":
                    continue
                raise
            if current != self._shapes[name]:
                raise ShapeChanged(name)

    def _compiled(self, group: Group, staging: _Staging) -> Statement:
        compiled = staging.statements.get(group.fields)
        if compiled is None:
            compiled = statement(group.stream, group.operation, staging.shape, staging.name, group.fields)
            staging.statements[group.fields] = compiled
        return compiled

    # --- applying -------------------------------------------------------------------------------------------

    async def _at_once(self, load: _Load) -> list[WriteResult]:
        await self._copy(load, copy_text(rows(load.group, load.first)).encode())
        return await self._range(load, load.first, load.first + len(load.group.writes))

    async def _copy(self, load: _Load, text: bytes) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, ("ord", *load.statement.input_columns)))
        query = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier("pg_temp", load.staging.name), columns)
        async with self._cursor.copy(query) as copy:
            await copy.write(text)

    async def _range(self, load: _Load, start: int, end: int) -> list[WriteResult]:
        """Apply the copied rows numbered from `start` up to `end`; one answer for each."""
        answers = await self._rows(load.statement.write, start, end) if load.statement.write else []
        results = _written(load, answers)
        if len(results) < end - start:
            left = set(range(start, end)).difference([ordinal for ordinal, key, _ in answers if key is not None])
            for ordinal, key, differing, misfit in await self._rows(load.statement.look, min(left), max(left) + 1):
                if ordinal in left:
                    results.append(_found(load, ordinal, key, differing, misfit))
        return results

    async def _rows(self, query: str, start: int, end: int) -> list[TupleRow]:
        await self._cursor.execute(query.encode(), [Int4(start), Int4(end)])
        return await self._cursor.fetchall()

    async def _carefully(self, load: _Load) -> list[WriteResult]:
        rejected = await self._copy_carefully(load)
        results = [WriteResult(load.write(n).token, "rejected", reason=why) for n, why in rejected.items()]
        spans = _spans(load.first, load.first + len(load.group.writes), rejected)
        while spans:
            start, end = spans.pop()
            error = await self._attempt(load, start, end, results)
            if error is None:
                continue
            if end - start == 1:
                write = load.write(start)
                results.append(WriteResult(write.token, "rejected", write.key, reason=faults.reason(error)))
            else:
                middle = (start + end) // 2
                spans += [(middle, end), (start, middle)]
        return results

    async def _attempt(self, load: _Load, start: int, end: int, results: list[WriteResult]) -> psycopg.Error | None:
        await self._cursor.execute(b"savepoint fw", prepare=False)
        try:
            results += await self._range(load, start, end)
        except psycopg.Error as error:
            return await self._back(error)
        await self._cursor.execute(b"release fw", prepare=False)
        return None

    async def _back(self, error: psycopg.Error) -> psycopg.Error:
        if faults.verdict(error) != "data":
            raise error
        await self._cursor.execute(b"rollback to fw; release fw", prepare=False)
        return error

    async def _copy_carefully(self, load: _Load) -> dict[int, str]:
        """Copy all rows that can be copied; give the others' numbers with the reason.

        After a failure the rows before the bad one go again, then ever larger pieces: linear in rows."""
        rejected: dict[int, str] = {}
        encoded: list[tuple[int, bytes]] = []
        for ordinal, row in enumerate(rows(load.group, load.first), load.first):
            try:
                encoded.append((ordinal, copy_text([row]).encode()))
            except UnicodeEncodeError:
                rejected[ordinal] = "a value holds a character that is not valid Unicode"
        start, size = 0, len(encoded)
        while start < len(encoded):
            piece = encoded[start : start + size]
            error = await self._attempt_copy(load, b"".join([text for _, text in piece]))
            if error is None:
                start, size = start + len(piece), size * 2
            elif len(piece) == 1:
                rejected[piece[0][0]] = faults.reason(error, _field_of(load, faults.copy_place(error)[1]))
                start += 1
            else:
                line, _ = faults.copy_place(error)
                size = max(1, min(line - 1, len(piece) - 1) if line is not None else len(piece) // 2)
        return rejected

    async def _attempt_copy(self, load: _Load, text: bytes) -> psycopg.Error | None:
        await self._cursor.execute(b"savepoint fw", prepare=False)
        try:
            await self._copy(load, text)
        except psycopg.Error as error:
            return await self._back(error)
        await self._cursor.execute(b"release fw", prepare=False)
        return None


def _spans(start: int, end: int, holes: dict[int, str]) -> list[tuple[int, int]]:
    """The gaps between the holes, last first. Rejected rows in between were never copied, so no span has any."""
    spans, begin = [], start
    for hole in [*sorted(holes), end]:
        if hole > begin:
            spans.append((begin, hole))
        begin = hole + 1
    return spans[::-1]


def _written(load: _Load, answers: Sequence[TupleRow]) -> list[WriteResult]:
    """Answers for the rows that a statement wrote (those with a key)."""
    writes, first, composite = load.group.writes, load.first, len(load.group.stream.key) > 1
    results = []
    for ordinal, key, differing in answers:
        if key is not None:
            result = WriteResult(writes[ordinal - first].token, "done", _key(key) if composite else key)
            if differing is not None:
                result.differing = _differing(load, differing)
            results.append(result)
    return results


def _found(load: _Load, ordinal: int, key: str | None, differing: str | None, misfit: str | None) -> WriteResult:
    write = load.write(ordinal)
    operation = load.group.operation
    if misfit is not None and (key is not None or operation == "create"):
        return WriteResult(write.token, "rejected", write.key, reason=misfit)
    if key is not None:
        return _written(load, [(ordinal, key, differing)])[0]
    if operation == "create":
        reason = "the target accepted the row but did not keep it: a trigger or rule drops or rewrites it"
        return WriteResult(write.token, "rejected", reason=reason)
    return WriteResult(write.token, "done" if operation == "delete" else "missing", write.key)


def _key(answer: str) -> str:
    return key_text(tuple(json.loads(answer)))


def _differing(load: _Load, text: str) -> dict[str, str | None]:
    answers = json.loads(text)
    return {name: answer[0] for name, answer in zip(load.group.fields, answers, strict=True) if answer is not None}


def _field_of(load: _Load, column: str) -> str:
    """The field behind a column of the temporary table (n3, o3)."""
    if column[:1] not in ("n", "o") or not column[1:].isdecimal():
        return ""
    stream = load.group.stream
    names = stream.create_fields if load.group.operation == "create" else stream.update_fields
    return names[int(column[1:])]
