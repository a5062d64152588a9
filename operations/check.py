"""Do the systems hold, as they are now, what the golden records say? Read from the systems.

Nothing the hub believes of a row is taken for granted: the mapped columns are read, and compared. What was not looked
at is said, and "agrees" only of what was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fieldwarden.engine.checking.agreement import REASONS, Disagreement, Why, missing
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import Connection, snapshot
from fieldwarden.engine.hub.views.finding import label
from fieldwarden.engine.hub.views.linked import Linked
from fieldwarden.engine.record import Record
from fieldwarden.operations.comparing import Comparing, Tally
from fieldwarden.operations.hub import check_names
from fieldwarden.operations.onboarding import waits
from fieldwarden.operations.project import Opened
from fieldwarden.operations.rules import live_of
from fieldwarden.operations.systems import looking as looking_of
from fieldwarden.operations.systems import sessions
from fieldwarden.operations.unheard import unheard
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.rulebook import Stream

if TYPE_CHECKING:
    from fieldwarden.engine.ports.looks import Looking

_SORTS = 500
"""Kinds of differences that are told apart: reasons may name rows, and memory is bounded."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A stream, or (empty) all of a system's, that was not looked at; `trouble` if it should have been."""

    system: str
    stream: str
    reason: str
    trouble: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One value, or row (then `field` is empty), that is not what is golden; `label` is what its record is called.
    Personal values are masked."""

    system: str
    stream: str
    entity: str
    key: str
    record: str | None
    label: str
    field: str
    holds: str | None
    golden: str | None
    why: Why
    reason: str


@dataclass
class Agreement:
    """What was found. `differs` counts by (system, stream, field, why, words); `listed` are the first of all,
    masked, as `--list` shows them."""

    tallies: list[Tally] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    differs: Counter[tuple[str, str, str, Why, str]] = field(default_factory=Counter)
    listed: list[Difference] = field(default_factory=list)
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


async def checked(
    project: Opened, *, entity: str | None = None, system: str | None = None, limit: int = 20, unmask: bool = False
) -> Agreement:
    """Compare all systems (or one), in all entities (or one); list `limit` differences. Raises UnknownName,
    EnvironmentUnfit without a hub, TransientError if it fails."""
    check_names(project.rulebook, entity, system)
    async with sessions(project), snapshot(project.hub_dsn, project.hub_schema) as connection:
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
        one, other = looking_of(self._project, name), looking_of(self._project, name)
        if isinstance(one, str) or isinstance(other, str):
            self._skip(name, "", str(one))
            return False
        try:
            async with one as looking, other as again:
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

    def _shown(self, finding: Disagreement, record: Record | None) -> Difference:
        f, mask = finding, self._mask
        called = "" if record is None else label(self._project.rulebook, f.entity, record.id, record.golden, mask)
        return Difference(
            f.system,
            f.stream,
            f.entity,
            mask.key(f.system, f.stream, f.key),
            f.record,
            called,
            f.field,
            mask.value(f.entity, f.field, f.holds) if f.field else None,
            mask.value(f.entity, f.field, f.golden) if f.field else None,
            f.why,
            f.words,
        )
