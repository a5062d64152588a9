"""A vendor's API: one call per record, over a line that loses, delays and repeats, at a service that may be busy.

`Vendor` is the service: what it was once asked to do it does, whether its caller still lives or not. `VendorTarget` is
a connector that talks to it, for as long as its process lives. What the service promises (`Manners`) is what the target
states as its capabilities; what becomes of a call is drawn by `fate`. Waiting is the event loop's, so that in virtual
time a run is the same for every seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace

from fieldwarden.engine.change import Value
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.target import Capabilities, Found, Intent, Write, WriteResult
from fieldwarden.engine.testing.target import MemoryTarget, TargetRow


@dataclass(frozen=True, slots=True)
class Manners:
    """What a service promises.

    `unique`: external ids are unique, so that creating twice yields one row. `keyed`: a create with an idempotency key
    that it has seen makes nothing. `caches`: whatever it is asked with a key that it has seen, it gives the answer that
    it gave then. `versioned`: rows have versions, and an update for another one is a conflict. Where
    it is not `versioned`, updates are made whatever the row holds, unless it `compares` field by field. `natural`: rows
    carry no external id, and are found by this field.
    """

    unique: bool = True
    keyed: bool = False
    caches: bool = False
    versioned: bool = False
    compares: bool = True
    natural: str = ""
    settles_within: float = 0.0
    concurrency: int = 1
    batch: int = 100

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            self.batch, self.concurrency, self.compares or self.versioned, self.unique, self.settles_within
        )


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a call. `lands`: seconds until the service does it, None: never. `answers`: seconds from then
    until the caller hears of it, None: never. `busy`: the service asks for this pause instead. `breaks`: the line is
    cut, and with it the whole call of `write`. `twice`: it is answered twice."""

    lands: float | None = 0.0
    answers: float | None = 0.0
    busy: float = 0.0
    breaks: bool = False
    twice: bool = False


@dataclass
class Vendor:
    """The service. `rewrite` and `refuse` are as a MemoryTarget has them."""

    system: str
    manners: Manners = field(default_factory=Manners)
    rewrite: Callable[[str, str, Value], Value] = lambda _stream, _name, value: value
    refuse: Callable[[str, str, Value], str] = lambda _stream, _name, _value: ""
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    done: dict[str, WriteResult] = field(default_factory=dict)
    """By idempotency key, the writes that were made."""
    answers: dict[str, WriteResult] = field(default_factory=dict)
    """By idempotency key, whatever was answered."""

    def __post_init__(self) -> None:
        self.memory = MemoryTarget(self.system, rewrite=self.rewrite, refuse=self.refuse)

    @property
    def rows(self) -> dict[str, dict[str, TargetRow]]:
        return self.memory.rows

    def do(self, write: Write) -> WriteResult:
        """Carry out a call."""
        if self.manners.caches:
            key = write.idempotency_key
            if key not in self.answers:
                self.answers[key] = self._carried_out(write)
            return replace(self.answers[key], token=write.token)
        return self._carried_out(write)

    def _carried_out(self, write: Write) -> WriteResult:
        if self.manners.keyed and write.operation == "create" and (known := self.done.get(write.idempotency_key)):
            return replace(self._as_it_stands(write, known.key or ""), token=write.token)
        result = self._done(write)
        if result.status == "applied" and result.key is not None:
            place = (write.stream, result.key)
            if write.operation != "delete" and result.key in self.rows.get(write.stream, {}):
                self.versions[place] = self.versions.get(place, 0) + 1
                result.row_version = self._version(write.stream, result.key)
            self.done[write.idempotency_key] = result
        return result

    def _done(self, write: Write) -> WriteResult:
        manners = self.manners
        if write.operation == "create" and not manners.unique:
            write = replace(write, record=f"{write.record} {self.memory.written}")  # nothing that could be found twice
            result = self.memory.carry_out(write)
            if result.key is not None:
                self.rows[write.stream][result.key].record = write.record.partition(" ")[0]
            return result
        row = self.rows.get(write.stream, {}).get(write.key or "")
        if write.operation != "update" or row is None:
            return self.memory.carry_out(write)
        if manners.versioned and write.row_version != self._version(write.stream, write.key or ""):
            return replace(self._as_it_stands(write, write.key or ""), status="conflict", seen=True)
        if manners.versioned or not manners.compares:
            write = replace(write, unguarded=frozenset(write.values))
        return self.memory.carry_out(write)

    def _as_it_stands(self, write: Write, key: str) -> WriteResult:
        row = self.rows.get(write.stream, {}).get(key)
        if row is None:
            return WriteResult(write.token, "missing", key)
        differing = {
            name: row.values.get(name) for name, value in write.values.items() if row.values.get(name) != value
        }
        return WriteResult(write.token, "applied", key, differing, row_version=self._version(write.stream, key))

    def _version(self, stream: str, key: str) -> str:
        return f"v{self.versions.get((stream, key), 0)}" if self.manners.versioned else ""

    def find(self, intent: Intent) -> Found:
        """The row that an intent is about, as it is now."""
        rows, natural = self.rows.get(intent.stream, {}), self.manners.natural
        if intent.operation != "create":
            keys = [key for key in rows if key == intent.row]
        elif natural:
            keys = [key for key, row in rows.items() if row.values.get(natural) == intent.values.get(natural)]
        else:
            keys = [key for key, row in rows.items() if (row.record, row.parent) == (intent.record, intent.parent)]
        if not keys:
            return Found(intent.key, None)
        return Found(intent.key, keys[0], dict(rows[keys[0]].values), self._version(intent.stream, keys[0]))


@dataclass
class VendorTarget:
    """`engine.ports.Target` for that service. A call without an answer is given up after `patience` seconds. `blind`
    tells whether a look-up cannot say anything yet."""

    vendor: Vendor
    fate: Callable[[Write], Fate] = lambda _write: Fate()
    blind: Callable[[], bool] = lambda: False
    patience: float = 2.0

    def __post_init__(self) -> None:
        self.system = self.vendor.system
        self.capabilities = self.vendor.manners.capabilities

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        for write in writes:
            fate = self.fate(write)
            if fate.busy:
                yield WriteResult(write.token, "busy", pause=fate.busy)
                continue
            result = await self._call(replace(write, values=dict(write.values)), fate)
            if fate.breaks:
                raise TransientError(f"{self.system}: the line was cut")
            yield result
            if fate.twice:
                yield result

    async def _call(self, write: Write, fate: Fate) -> WriteResult:
        answer: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()

        def land() -> None:
            result = self.vendor.do(write)
            if fate.answers is not None and not fate.breaks:
                asyncio.get_running_loop().call_later(fate.answers, hear, result)

        def hear(result: WriteResult) -> None:
            if not answer.done():
                answer.set_result(result)

        if fate.lands is not None:
            asyncio.get_running_loop().call_later(fate.lands, land)
        try:
            return await asyncio.wait_for(answer, self.patience)
        except TimeoutError:
            return WriteResult(write.token, "unknown", write.key)

    async def look_up(self, intents: Sequence[Intent]) -> Sequence[Found]:
        await asyncio.sleep(0)
        return [self.vendor.find(each) for each in intents if not self.blind()]

    async def close(self) -> None:
        return


KINDS: dict[str, Manners] = {
    "unique ids": Manners(settles_within=10.0),
    "unique ids, versions": Manners(versioned=True, settles_within=10.0, concurrency=4, batch=1),
    "idempotency keys": Manners(unique=False, keyed=True, compares=False, settles_within=10.0, concurrency=4, batch=1),
    "answers kept by idempotency key, versions": Manners(
        unique=False, keyed=True, caches=True, versioned=True, settles_within=10.0, concurrency=2, batch=1
    ),
    "nothing but an external id": Manners(unique=False, compares=False, settles_within=10.0, concurrency=3, batch=2),
    "nothing but a natural key": Manners(unique=False, compares=False, natural="tax_id", settles_within=10.0),
    "versions, no unique ids": Manners(unique=False, versioned=True, settles_within=10.0),
}
"""Services by what they can do about a second create and a lost update."""
