"""A gap in what a source tells: with `on_gap: rebaseline` everything is read again, without it a person is asked."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from fieldwarden.engine.change import RawChange
from fieldwarden.engine.errors import SourceGap, TransientError
from fieldwarden.engine.ports.parts import LOG
from fieldwarden.engine.ports.source import Start
from fieldwarden.engine.principal import Principal
from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.engine.running.ingest.session import Pipeline
from fieldwarden.engine.running.telemetry import Telemetry
from fieldwarden.engine.testing import MemoryHub, ScriptedSource
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import CRM, rulebook, whole
from tests.simulation.virtual_time import simulate

HALTING, MENDING = rulebook(), rulebook(crm=CRM | {"on_gap": "rebaseline"})
FIRST = [whole("public.account", n, f"C-{n}", tax_id=f"T{n}", name="Acme") for n in (1, 2, 3, 4)]


class Gapped(ScriptedSource):
    """Loses its connection behind its first rows and finds, `times` over, that changes are gone meanwhile; `rows` are
    those that its system has by then, of which it reads half before it happens again, or all (`late`)."""

    def __init__(self, rows: list[RawChange], *, safe: bool = True, times: int = 1, late: bool = False) -> None:
        never = whole("public.account", 9, "C-1", tax_id="T1", name="Never told")
        super().__init__("crm", [*FIRST, never], snapshot=len(FIRST), size=2, fail=self.lose)
        self.rows, self.safe, self.left, self.late = rows, safe, times, late
        self.starts: list[tuple[int, bool]] = []
        """Each by the number of its baseline, and whether that had just begun."""

    def lose(self, done: int) -> None:
        first = self._snapshot.stop if self.late else max(len(FIRST), self._snapshot.start + 1)
        if self.left and done >= first:
            raise TransientError("the connection was lost")

    async def open(self, start: Start) -> None:
        part = (await start.take([LOG]))[LOG]
        new = start.is_new_to(part)
        self.starts.append((start.baseline, new))
        if part.position is not None and not new and self.left:
            self.left -= 1
            raise SourceGap("the slot is gone", safe=self.safe)
        if new and start.baseline == 2:
            self.tell_again(self.rows)
            if self.late:
                self.extend([later(6, "Behind all rows")])
        await super().open(start)


def live(source: Gapped, rules: Rulebook, hub: MemoryHub, deletes: Bounds | None = None) -> Telemetry:
    telemetry = Telemetry()

    async def main() -> None:
        stop = asyncio.Event()
        clock = lambda: int(asyncio.get_running_loop().time() * 1e6)  # noqa: E731
        hub.clock = clock
        who = Principal("a process", "a test")
        pipeline = Pipeline(rules, source, hub, telemetry, clock=clock, chance=lambda: 0.5, deletes=deletes, who=who)
        running = asyncio.create_task(pipeline.run(stop))
        await asyncio.sleep(120)
        stop.set()
        await running

    simulate(main())
    return telemetry


def names(hub: MemoryHub) -> dict[str, str | None]:
    """Row -> its record's name; of rows that are there."""
    rows = {row.key: hub.record(id) for row, id in hub.crosswalk.items()}
    return {key: record.golden.get("name") for key, record in rows.items() if not record.retired}


def kinds(hub: MemoryHub) -> list[str]:
    return [kept.kind for kept in hub.set_aside.values()]


def later(n: int, name: str) -> RawChange:
    return whole("public.account", 20 + n, f"C-{n}", tax_id=f"T{n}", name=name)


REST = [later(1, "Alder"), later(2, "Acme"), later(5, "Fir")]
"""One was changed, two were deleted and one came while nobody heard of it."""


def test_everything_is_read_again_and_what_went_meanwhile_is_noticed() -> None:
    source, hub = Gapped(REST), MemoryHub()
    telemetry = live(source, MENDING, hub)
    assert names(hub) == {"C-1": "Alder", "C-2": "Acme", "C-5": "Fir"}
    assert source.starts == [(1, False), (1, False), (2, True)]
    [(system, number, begun)] = hub.begun
    assert (system, number, begun.who, begun.why) == ("crm", 2, "a process", "by itself: the slot is gone")
    assert telemetry.registry.get_sample_value("fieldwarden_rebaselines_total", {"system": "crm"}) == 1
    assert asyncio.run(hub.unread(["crm"])) == []


@pytest.mark.parametrize(("rules", "safe"), [(HALTING, True), (MENDING, False)])
def test_a_person_is_asked_where_nobody_said_otherwise_or_the_system_may_be_another(
    rules: Rulebook, safe: bool
) -> None:
    hub = MemoryHub()
    live(Gapped(REST, safe=safe), rules, hub)
    assert (hub.sources["crm"].state, hub.sources["crm"].message) == ("halted", "the slot is gone")
    assert hub.begun == []
    assert set(names(hub)) == {"C-1", "C-2", "C-3", "C-4"}


def test_what_went_in_a_mass_is_held() -> None:
    hub = MemoryHub()
    live(Gapped(REST), MENDING, hub, Bounds(Decimal("0.1"), 1, 10**12))
    assert kinds(hub) == ["brake", "brake"]
    assert set(names(hub)) == {"C-1", "C-2", "C-3", "C-4", "C-5"}


def test_baselines_that_never_come_to_their_end_are_a_matter_for_a_person() -> None:
    """As where a server keeps less of its log than is written while its rows are read."""
    source, hub = Gapped(REST, times=9), MemoryHub()
    live(source, MENDING, hub)
    assert [number for _, number, _ in hub.begun] == [2, 3, 4]
    assert hub.sources["crm"].state == "halted"
    assert asyncio.run(hub.unread(["crm"])) == ["crm"], "nothing is delivered meanwhile"


def test_baselines_that_are_over_too_late_to_go_on_from_are_a_matter_for_a_person() -> None:
    """As where a server gives up the new slot while its rows are read, which shows only behind the last of them."""
    source, hub = Gapped(REST, times=9, late=True), MemoryHub()
    live(source, MENDING, hub)
    assert [number for _, number, _ in hub.begun] == [2, 3, 4]
    assert hub.sources["crm"].state == "halted"
