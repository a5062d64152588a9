"""`fieldwarden check`: do the systems hold, as they are now, what the golden records say? Read from the systems.

Nothing the hub believes of a row is taken for granted: the mapped columns are read, and compared. What was not looked
at is said, and "agrees" only of what was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldwarden.engine.checking.agreement import REASONS, Disagreement, Why, missing
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.hub.asking import MASK, Mask
from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import Connection, snapshot
from fieldwarden.engine.hub.views.finding import label
from fieldwarden.engine.hub.views.linked import Linked
from fieldwarden.engine.record import Record
from fieldwarden.operations.comparing import Comparing, Tally
from fieldwarden.operations.onboarding import waits
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.report import Failure, Report, count, table
from fieldwarden.operations.rules import live_of, prepare_hub
from fieldwarden.operations.systems import looking as looking_of
from fieldwarden.operations.trail import hidden
from fieldwarden.operations.unheard import unheard
from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.rulebook import Stream

if TYPE_CHECKING:
    from fieldwarden.connectors.postgres.looking.rows import Looking

_SORTS = 500
"""Kinds of differences that are told apart: reasons may name rows, and memory is bounded."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A stream, or (empty) all of a system's, that was not looked at; `trouble` if it should have been."""

    system: str
    stream: str
    reason: str
    trouble: bool


@dataclass
class Agreement:
    """What was found. `differs` counts by (system, stream, field, why, words); `listed` are the first of all,
    masked, as `--list` shows them."""

    tallies: list[Tally] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    differs: Counter[tuple[str, str, str, Why, str]] = field(default_factory=Counter)
    listed: list[dict[str, Any]] = field(default_factory=list)
    waits: str = ""
    """In words, that nothing is delivered yet, if so: then all that is due is in flight for as long."""

    @property
    def unknown(self) -> int:
        """How much differs without a reason."""
        return self._number("unknown")

    @property
    def values(self) -> int:
        return sum(tally.values for tally in self.tallies)

    @property
    def rows(self) -> int:
        return sum(tally.rows for tally in self.tallies)

    @property
    def unreached(self) -> list[Skipped]:
        return [each for each in self.skipped if each.trouble]

    @property
    def ok(self) -> bool:
        """All was looked at that should be, and nothing differs without a reason."""
        return not self.unknown and not self.unreached

    def why(self) -> dict[str, int]:
        return {why: number for why in REASONS if (number := self._number(why))}

    def _number(self, why: str) -> int:
        return sum(number for key, number in self.differs.items() if key[3] == why)


def check(
    folder: Path | None, *, entity: str | None, system: str | None, listed: bool, limit: int, unmask: bool
) -> Report:
    """Raises UnknownName, and EnvironmentUnfit without a hub. Exit code 1 if something differs without a reason, else
    3 if something could not be looked at."""
    with opened(folder) as project:
        project.check_filters(entity, system)
        prepare_hub(project)
        work = checked(project, entity=entity, system=system, limit=limit if listed else 0, unmask=unmask)
        found = asyncio.run(work)
    return report(found, listed=listed)


async def checked(
    project: Opened, *, entity: str | None = None, system: str | None = None, limit: int = 20, unmask: bool = False
) -> Agreement:
    """Compare all systems (or one), in all entities (or one); list `limit` differences. Raises EnvironmentUnfit
    without a hub, TransientError if it fails."""
    async with snapshot(project.hub_dsn, project.hub_schema) as connection:
        mask = await mask_of(connection, project.rulebook, unmask=unmask)
        checking = _Checking(project, connection, limit, mask)
        checking.found.waits = waits(await live_of(project))
        names = [system] if system else list(project.rulebook.systems)
        looked_at = [name for name in names if await checking.system(name, entity)]
        await checking.rows_missing(looked_at, entity)
    return checking.found


class _Checking:
    def __init__(self, project: Opened, connection: Connection, limit: int, mask: Mask) -> None:
        self.found = Agreement()
        self._project = project
        self._connection = connection
        self._linked = Linked(connection, project.hub_schema)
        self._limit = limit
        self._mask = mask

    async def system(self, name: str, entity: str | None) -> bool:
        """Whether it could be looked at."""
        streams = [
            each for each in self._project.rulebook.systems[name].streams.values() if entity in (None, each.entity)
        ]
        read = [stream for stream in streams if stream.reads]
        for stream in streams:
            if not stream.reads:
                self._skip(name, stream.name, "its mapping only writes it, and reads no rows of it")
        if not read:
            return False
        looks = [looking_of(self._project, name) for _ in range(2)]
        if looks[0] is None or looks[1] is None:
            database = database_settings(self._project.rulebook.systems[name]).product
            self._skip(name, "", f"it is {database}, which only Debezium asks")
            return False
        try:
            async with looks[0] as looking, looks[1] as again:
                for stream in read:
                    await self._stream(stream, looking, again)
        except FieldwardenError as error:
            self._skip(name, "", error.message, trouble=True)
            return False
        return True

    async def _stream(self, stream: Stream, looking: Looking, again: Looking) -> None:
        async def ask() -> str:
            return await unheard(self._project, stream.system, again)

        comparing = Comparing(self._project.rulebook, stream, looking, again, self._linked, ask, self._told)
        self.found.tallies.append(comparing.tally)
        await comparing.run()

    async def rows_missing(self, systems: list[str], entity: str | None) -> None:
        """Records that should have a row in one of these systems, and have none."""
        rulebook = self._project.rulebook
        plans = {name: TargetPlan(rulebook, name) for name in systems}
        entities = [name for name in rulebook.entities if entity in (None, name)]
        await self._linked.anew()
        async for page in self._linked.walk(entities):
            for name, plan in plans.items():
                lacking = [record for record in page if next(missing(plan, record, None), None)]
                marks = await self._linked.marks(name, [record.id for record in lacking])
                for record in lacking:
                    for finding in missing(plan, record, marks.get(record.id)):
                        self._told(finding, record)

    def _skip(self, system: str, stream: str, reason: str, *, trouble: bool = False) -> None:
        self.found.skipped.append(Skipped(system, stream, reason, trouble))

    def _told(self, finding: Disagreement, record: Record | None) -> None:
        f, words = finding, finding.words
        if len(self.found.differs) >= _SORTS and (f.system, f.stream, f.field, f.why, words) not in self.found.differs:
            words = "other reasons"
        self.found.differs[f.system, f.stream, f.field, f.why, words] += 1
        if len(self.found.listed) < self._limit:
            self.found.listed.append(self._shown(finding, record))

    def _shown(self, finding: Disagreement, record: Record | None) -> dict[str, Any]:
        f, mask = finding, self._mask
        called = "" if record is None else label(self._project.rulebook, f.entity, record.id, record.golden, mask)
        return {
            "system": f.system,
            "stream": f.stream,
            "entity": f.entity,
            "key": mask.key(f.system, f.stream, f.key),
            "record": f.record,
            "label": called,
            "field": f.field,
            "holds": mask.value(f.entity, f.field, f.holds) if f.field else None,
            "golden": mask.value(f.entity, f.field, f.golden) if f.field else None,
            "why": f.why,
            "reason": f.words,
        }


# --- for people ----------------------------------------------------------------------------------------------


def report(found: Agreement, *, listed: bool = True) -> Report:
    """The differences with their counts; one by one only if `listed`."""
    result = {
        "rows": found.rows,
        "values": found.values,
        "differ": sum(found.differs.values()),
        "why": found.why(),
        "unknown": found.unknown,
        "waits": found.waits,
        "compared": [_compared(tally, found) for tally in found.tallies],
        "differences": [
            {"system": system, "stream": stream, "field": name, "why": why, "reason": words, "number": number}
            for (system, stream, name, why, words), number in sorted(found.differs.items())
        ],
        "not_compared": [
            {"system": each.system, "stream": each.stream, "reason": each.reason, "trouble": each.trouble}
            for each in found.skipped
        ],
    }
    if listed:
        result["listed"] = found.listed
    text = "\n".join(_lines(found, listed))
    if found.unknown:
        failure = Failure(
            "differs",
            f"{count(found.unknown, 'difference')} without a reason",
            "`fieldwarden check --list` names the rows, `fieldwarden trail` tells what happened to one; "
            "`fieldwarden run --rebaseline SYSTEM` reads a system's rows again",
        )
        return Report(result, text, failure, 1)
    if found.unreached:
        first = found.unreached[0]
        failure = Failure("not_compared", f"not all was looked at: {first.reason}", "fieldwarden doctor", first.system)
        return Report(result, text, failure, 3)
    return Report(result, text)


def _compared(tally: Tally, found: Agreement) -> dict[str, Any]:
    fields = {}
    for name, each in tally.fields.items():
        why: dict[str, int] = {}
        for key, number in found.differs.items():
            if key[:3] == (tally.system, tally.stream, name):
                why[key[3]] = why.get(key[3], 0) + number
        fields[name] = {"compared": each.compared, "differ": each.differ, "why": why}
    return {
        "system": tally.system,
        "stream": tally.stream,
        "entity": tally.entity,
        "rows": tally.rows,
        "retired": tally.retired,
        "whole": tally.whole,
        "fields": fields,
    }


def _lines(found: Agreement, listed: bool) -> Iterator[str]:
    if found.tallies:
        differ = Counter[tuple[str, str]]()
        for (system, stream, *_), number in found.differs.items():
            differ[system, stream] += number
        yield table(
            ("system", "entity", "table", "rows", "values", "differ"),
            [
                (t.system, t.entity, t.stream, f"{t.rows:,}", f"{t.values:,}", _part(differ[t.system, t.stream], t))
                for t in found.tallies
            ],
        )
    if found.differs:
        yield ""
        yield table(
            ("system", "table", "field", "rows", "why", "reason"),
            [(*key[:2], key[2] or "(the row)", number, *key[3:]) for key, number in sorted(found.differs.items())],
        )
    if listed and found.listed:
        yield ""
        yield from _list(found)
    if found.skipped:
        yield ""
        yield "Not looked at"
        for each in found.skipped:
            yield f"  {each.system}{' ' + each.stream if each.stream else ''}: {each.reason}"
    yield ""
    if found.waits:
        yield found.waits
    yield verdict(found)


def _part(differ: int, tally: Tally) -> str:
    return f"{differ:,}" if tally.whole else f"{differ:,} (not all was read)"


def _list(found: Agreement) -> Iterator[str]:
    for each in found.listed:
        about = f"{each['entity']} {each['label'] or '(no record)'}"
        where = f"{each['system']} {each['stream']} {each['key']}".rstrip()
        if each["field"]:
            holds, golden = (each[side] if each[side] is not None else "nothing" for side in ("holds", "golden"))
            what = f"{each['field']} is {holds}, golden {golden}" if each["why"] != "unreadable" else each["field"]
        else:
            what = "the row"
        yield f"  {about}: {where}, {what} ({each['why']}: {each['reason']})"
    more = sum(found.differs.values()) - len(found.listed)
    if more > 0:
        yield f"  and {more:,} more (--limit)"
    if any(MASK in (each["holds"], each["golden"]) for each in found.listed):
        yield f"  {hidden()}"


def verdict(found: Agreement) -> str:
    """What was found, in one line."""
    what = f"{count(found.values, 'value')} in {count(found.rows, 'row')}"
    differ = sum(found.differs.values())
    if not found.rows and not differ:
        return "nothing was compared"
    if not differ:
        return f"all that was looked at agrees with the golden records: {what}"
    kinds = ", ".join(f"{number:,} {why}" for why, number in found.why().items())
    return f"{count(differ, 'difference')} in {what}: {kinds}"
