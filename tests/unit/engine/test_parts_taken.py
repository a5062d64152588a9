"""A part that another worker takes while a batch of it is in hand: nothing of that batch is stored any more, whatever
the batch is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from fieldwarden.engine.change import RawChange, RowRef
from fieldwarden.engine.ports.source import Batch, Observation
from fieldwarden.engine.running.ingest.looking import AT_ONCE
from fieldwarden.engine.testing import MemoryHub, PartitionedSource, ScriptedSource
from tests.builders import raw
from tests.unit.engine.test_hints import STREAM, hint, names, row
from tests.unit.engine.test_loops import account, live

PART = "crm.account/0"


class Robbed(PartitionedSource):
    """Whenever it has handed over a batch (or, with `late`, been asked to look), another takes its part."""

    def __init__(self, hub: MemoryHub, log: list[RawChange], *, late: bool = False) -> None:
        super().__init__("crm", {PART: log}, size=5000)
        self.give([PART])
        self.looks = 0
        self._hub, self._late = hub, late

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in super().batches():
            if not self._late:
                await self._hub.take("crm", [PART])
            yield batch

    async def look(self, rows: Sequence[RowRef]) -> list[Observation]:
        self.looks += 1
        await self._hub.take("crm", [PART])
        return await super().look(rows)


def test_what_was_told_beside_hints_is_not_stored_nor_is_anything_looked_at() -> None:
    hub = MemoryHub()
    source = Robbed(hub, [account(1, name="Acme"), hint(2, "C-2")])
    live(source, hub, worker=1)
    assert (hub.records, source.looks) == ({}, 0)


def test_what_was_seen_for_the_first_hints_of_many_is_not_stored() -> None:
    hub, keys = MemoryHub(), [f"C-{n}" for n in range(AT_ONCE + 1)]
    source = Robbed(hub, [hint(n, key) for n, key in enumerate(keys)], late=True)
    source.holds = {row(key): account(0, key, name=key) for key in keys}
    live(source, hub, worker=1)
    assert source.looks >= 2
    assert hub.records == {}


def test_what_stands_before_a_truncate_is_not_stored_and_nothing_is_deleted() -> None:
    hub = MemoryHub()
    live(ScriptedSource("crm", [account(1, name="Acme")]), hub)
    live(Robbed(hub, [raw(STREAM, "truncate", 1)]), hub, worker=1)
    live(Robbed(hub, [account(2, "C-2", name="Other"), raw(STREAM, "truncate", 3)]), hub, worker=1)
    assert names(hub) == {"C-1": "Acme"}
    assert len(hub.records) == 1
