"""One session's guarded writing: its temporary tables, its compiled statements, and one transaction at a time.

A transaction is first tried as a whole. Only if the target refuses something is it tried again carefully, with
savepoints: rows that COPY cannot parse are found by its own word for the line, rows that a constraint or trigger
refuses by ever smaller pieces, and then the fields of such a row (`refusing`). Either way everything that can be
written is written, in one transaction.

Where a trigger of the target lacks something (a privilege, a table), it may lack it for one row or for all: `doubts`
tells which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int4

from fieldwarden.connectors.postgres.writing import faults
from fieldwarden.connectors.postgres.writing.doubts import Doubts
from fieldwarden.connectors.postgres.writing.groups import Group, alike, copy_pieces, copy_text, rows
from fieldwarden.connectors.postgres.writing.holders import columns_of, still_taken
from fieldwarden.connectors.postgres.writing.loads import Load, Staging, encoded, found, rejection, written
from fieldwarden.connectors.postgres.writing.own import Own
from fieldwarden.connectors.postgres.writing.passing import Contested, Taken, passed
from fieldwarden.connectors.postgres.writing.refusing import Answer, Apart, Rejection
from fieldwarden.connectors.postgres.writing.shapes import ColumnType, TargetTable, description, touched
from fieldwarden.connectors.postgres.writing.statements import Statement, input_table, statement
from fieldwarden.engine import failpoints
from fieldwarden.engine.guard import Operation
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.rules.rulebook import Stream

_SETTINGS = """
set lock_timeout = '5s'; set statement_timeout = '60s'; set idle_in_transaction_session_timeout = '60s';
set default_transaction_isolation = 'read committed'; set jit = off; set client_min_messages = warning
"""
_TYPE_NAMES = b"""
select format_type(o, -1), format_type(o, m) from unnest($1::oid[], $2::int[]) with ordinality as given(o, m, n)
order by n
"""
_FIRES_FIRST = b"select exists (select from pg_trigger where tgrelid = $1::oid and tgtype & 7 = 7 and not tgisinternal)"


class ShapeChanged(Exception):
    """The target's table is not what statements were compiled for: start again with a new session."""


class Writing:
    """What `PostgresTarget` keeps per connection. psycopg's errors pass through. `own` makes its transactions known."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow], own: Own) -> None:
        self.connection = connection
        self._own = own
        self._cursor = psycopg.AsyncRawCursor(connection)
        self._stagings: dict[tuple[str, Operation, int], Staging] = {}
        self._shapes: dict[str, TargetTable] = {}
        self._doubts = Doubts()
        """Those of this transaction."""
        self.stream = ""
        """The stream last worked on, to say where an error happened."""

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
            if isinstance(error, psycopg.Error) and not faults.of_one_row(error):
                raise
        return await self._transaction(groups, careful=True)

    async def _transaction(self, groups: Sequence[Group], *, careful: bool) -> list[WriteResult]:
        ready = [(group, await self._staging(group)) for group in groups]
        await self._own.begin(self._cursor)
        if careful and self._own.due:
            await self._own.mark(self._cursor)  # before the savepoints
        results: list[WriteResult] = []
        taken: list[Taken] = []
        self._doubts.clear()
        for group, staging in ready:
            self.stream = group.stream.name
            load = self._load(group, staging)
            answers = await (self._carefully(load) if careful else self._at_once(load))
            results += [answer for answer in answers if isinstance(answer, WriteResult)]
            if rejections := [answer for answer in answers if isinstance(answer, Rejection)]:
                taken += [Taken(group.stream, each) for each in rejections if each.constraint is not None]
                results += await self._apart(load, [each for each in rejections if each.constraint is None])
        if taken:
            results += await self._passed(taken)
        if (doubt := self._doubts.of_all()) is not None:
            self.stream, error = doubt
            raise error
        self.stream = ""
        await self._own.before_commit()
        failpoints.hit("delivery.before_target_commit")
        await self._cursor.execute(b"commit", prepare=False)
        failpoints.hit("delivery.after_target_commit")
        return results

    # --- what statements need -------------------------------------------------------------------------------

    async def _staging(self, group: Group) -> Staging:
        self.stream = group.stream.name
        place = (group.stream.name, group.operation, group.part)
        staging = self._stagings.get(place)
        if staging is None:
            shape = self._shapes.get(group.stream.name)
            if shape is None:
                shape = self._shapes[group.stream.name] = await self._describe(group.stream)
            name = f"fw_{len(self._stagings) + 1}"
            columns = sql.SQL(", ").join(
                sql.SQL("{} ").format(sql.Identifier(column)) + sql.SQL(kind)
                for column, kind in input_table(group.stream, group.operation, shape, group.part)
            )
            create = sql.SQL("create temp table {} ({}) on commit delete rows").format(sql.Identifier(name), columns)
            await self._cursor.execute(create, prepare=False)
            staging = self._stagings[place] = Staging(name, shape)
        staging.filled = 0
        return staging

    async def _describe(self, stream: Stream) -> TargetTable:
        """Types as the server resolves them: domains are their base types, expressions what they give."""
        await self._cursor.execute(description(stream).encode(), prepare=False)
        result = self._cursor.pgresult
        assert result is not None
        types = [(result.ftype(n), result.fmod(n)) for n in range(result.nfields)]
        await self._cursor.execute(
            _TYPE_NAMES,
            [[oid for oid, _ in types], [modifier for _, modifier in types]],
        )
        kinds = [ColumnType(plain, full) for plain, full in await self._cursor.fetchall()]
        await self._cursor.execute(_FIRES_FIRST, [result.ftable(0)])
        (fires_first,) = await self._cursor.fetchall()
        columns, reads = touched(stream)
        types_of_reads = dict(zip(reads, kinds[len(columns) :], strict=True))
        return TargetTable(dict(zip(columns, kinds, strict=False)), types_of_reads, fires_first[0])

    async def _recheck(self, streams: dict[str, Stream]) -> None:
        for name, stream in streams.items():
            try:
                current = await self._describe(stream)
            except psycopg.Error as error:
                if faults.verdict(error) == "unfit":
                    continue
                self.stream = name
                raise
            if current != self._shapes[name]:
                raise ShapeChanged(name)

    def _compiled(self, group: Group, staging: Staging) -> Statement:
        asked = (group.fields, group.unguarded, group.blocks)
        compiled = staging.statements.get(asked)
        if compiled is None:
            compiled = statement(group.stream, group.operation, staging.shape, staging.name, *asked)
            staging.statements[asked] = compiled
        return compiled

    def _load(self, group: Group, staging: Staging) -> Load:
        load = Load(group, staging, self._compiled(group, staging), staging.filled)
        staging.filled += len(group.writes)
        return load

    # --- applying -------------------------------------------------------------------------------------------

    async def _at_once(self, load: Load) -> Sequence[Answer]:
        lines = rows(load.group, load.first)
        if any(write.large for write in load.group.writes):
            await self._copy(load, (piece for row in lines for piece in copy_pieces(row)))
        else:
            await self._copy(load, [copy_text(lines).encode()])
        return await self._range(load, load.first, load.first + len(load.group.writes))

    async def _copy(self, load: Load, pieces: Iterable[bytes]) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, ("ord", *load.statement.input_columns)))
        query = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier("pg_temp", load.staging.name), columns)
        async with self._cursor.copy(query) as copy:
            for piece in pieces:
                await copy.write(piece)

    async def _range(self, load: Load, start: int, end: int) -> list[Answer]:
        """Apply the copied rows numbered from `start` up to `end`; one answer for each."""
        if load.statement.before:
            await self._rows(load.statement.before, start, end)
        answers = await self._rows(load.statement.write, start, end) if load.statement.write else []
        results: list[Answer] = [*written(load, answers)]
        if results:
            self._doubts.got_through(load.group)
        if len(results) < end - start:
            left = set(range(start, end)).difference([ordinal for ordinal, key, _ in answers if key is not None])
            for ordinal, key, differing, misfit in await self._rows(load.statement.look, min(left), max(left) + 1):
                if ordinal in left:
                    results.append(found(load, ordinal, key, differing, misfit))
        return results

    async def _rows(self, query: str, start: int, end: int) -> list[TupleRow]:
        if self._own.due:
            async with self.connection.pipeline():
                await self._own.mark(psycopg.AsyncRawCursor(self.connection))
                await self._cursor.execute(query.encode(), [Int4(start), Int4(end)])
        else:
            await self._cursor.execute(query.encode(), [Int4(start), Int4(end)])
        return await self._cursor.fetchall()

    async def _apart(self, load: Load, rejections: Sequence[Rejection]) -> list[WriteResult]:
        """Find the fields for which rows are refused, and write the others."""
        apart = Apart(load.group.stream, rejections)
        while trials := apart.trials():
            for group in alike(load.group.stream, trials):
                apart.heard(await self._carefully(self._load(group, load.staging)))
        return apart.results()

    # --- values that pass from row to row (`passing.Attempts`) ----------------------------------------------

    async def _passed(self, taken: Sequence[Taken]) -> list[WriteResult]:
        """What refuses a row may be gone once all others are written: what came of them after all."""
        results, left = await passed(self, taken)
        return results + await still_taken(self._cursor, left, self._shapes)

    async def once(self, stream: Stream, write: Write) -> Answer:
        self.stream = stream.name
        (group,) = alike(stream, [write])
        (answer,) = await self._carefully(self._load(group, self._stagings[stream.name, write.operation, group.part]))
        return answer

    async def columns(self, stream: Stream, rejection: Rejection) -> list[Contested]:
        return await columns_of(self._cursor, stream, rejection)

    async def mark(self) -> None:
        await self._cursor.execute(b"savepoint fw_circle", prepare=False)

    async def undo(self) -> None:
        await self._cursor.execute(b"rollback to fw_circle; release fw_circle", prepare=False)

    async def keep(self) -> None:
        await self._cursor.execute(b"release fw_circle", prepare=False)

    def unlike_any(self, number: int) -> str:
        return f"~{self.connection.info.backend_pid}.{number}"

    async def _carefully(self, load: Load) -> list[Answer]:
        texts, rejected = encoded(load)
        results: list[Answer] = []

        async def copy(ordinals: Sequence[int]) -> None:
            await self._copy(load, [b"".join([texts[ordinal] for ordinal in ordinals])])

        async def apply(ordinals: Sequence[int]) -> None:
            results.extend(await self._range(load, ordinals[0], ordinals[-1] + 1))

        await self._cursor.execute(b"savepoint fw", prepare=False)
        for step in (copy, apply):
            fine = [ordinal for ordinal in texts if ordinal not in rejected]
            for ordinal, error in await self._isolate(fine, step):
                rejected[ordinal] = rejection(load, ordinal, error)
                if faults.in_doubt(error):
                    self._doubts.met(load.group, error)
        await self._cursor.execute(b"release fw", prepare=False)
        return [*results, *rejected.values()]

    async def _isolate(
        self, ordinals: Sequence[int], step: Callable[[Sequence[int]], Awaitable[None]]
    ) -> list[tuple[int, psycopg.Error]]:
        """Take a step with all of these; give those with which it fails alone.

        Pieces shrink after a failure (to the rows before the one that COPY names) and double after a success, so
        that few bad rows cost a few tries each, and nothing but bad rows costs one try per row."""
        failed: list[tuple[int, psycopg.Error]] = []
        start, size = 0, len(ordinals)
        while start < len(ordinals):
            piece = ordinals[start : start + size]
            error = await self._attempt(step(piece))
            if error is None:
                start, size = start + len(piece), size * 2
            elif len(piece) == 1:
                failed.append((piece[0], error))
                start += 1
            else:
                line, _ = faults.copy_place(error)
                size = len(piece) // 2 if line is None else max(1, min(line, len(piece)) - 1)
        return failed

    async def _attempt(self, step: Awaitable[None]) -> psycopg.Error | None:
        try:
            await step
        except psycopg.Error as error:
            if not faults.of_one_row(error):
                raise
            await self._cursor.execute(b"rollback to fw", prepare=False)
            return error
        await self._cursor.execute(b"release fw; savepoint fw", prepare=False)
        return None
