"""How fast change events of Salesforce become rows: `python -m bench.salesforce`. Exit code 1 below the promised rate.

The yardstick is fastavro alone, which reads the same payloads and makes no rows of them: what ours takes beyond that is
bitmaps, texts and rows. Rates are of CPU seconds, since a decoder waits for nothing: so they hold on a busy machine.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastavro

from bench.figures import FLAT, Memory, Run, Spread
from fieldwarden.connectors.salesforce.decoding.events import Event, EventDecoder
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.decoding.repeats import Repeats
from fieldwarden.engine.wanted import Wanted

PROMISED = 20_000
"""Events in a second."""

_STRINGS = {"type": "array", "items": "string"}
_KINDS = ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"]
_HEADER = (
    ("entityName", "string"),
    ("recordIds", _STRINGS),
    ("changeType", {"type": "enum", "name": "ChangeType", "symbols": [*_KINDS, "GAP_OVERFLOW"]}),
    *((name, "string") for name in ("changeOrigin", "transactionKey")),
    ("sequenceNumber", "int"),
    *((name, "long") for name in ("commitTimestamp", "commitNumber")),
    ("commitUser", "string"),
    *((name, _STRINGS) for name in ("nulledFields", "diffFields", "changedFields")),
)
_TEXTS, _AMOUNTS, _TIMES = 30, 6, 4
"""Fields of the object, of which every third is mapped: an account has about as many."""


def _named(count: int, prefix: str) -> list[str]:
    return [f"{prefix}{number}__c" for number in range(count)]


FIELDS = [
    *((name, "string", Described("string")) for name in _named(_TEXTS, "Text")),
    *((name, "double", Described("currency", 2)) for name in _named(_AMOUNTS, "Amount")),
    *((name, "long", Described("datetime")) for name in _named(_TIMES, "Time")),
]
COLUMNS = [name for name, _, _ in FIELDS[::3]]
SCHEMA = {
    "type": "record",
    "name": "AccountChangeEvent",
    "namespace": "com.sforce.eventbus",
    "fields": [
        {
            "name": "ChangeEventHeader",
            "type": {
                "type": "record",
                "name": "ChangeEventHeader",
                "fields": [{"name": name, "type": kind} for name, kind in _HEADER],
            },
        },
        *({"name": name, "type": ["null", kind]} for name, kind, _ in FIELDS),
    ],
}


def events(count: int, first: int = 0) -> Iterator[Event]:
    """Three updates of four fields each, then a new record with a value in each field."""
    parsed = fastavro.parse_schema(SCHEMA)
    for number in range(first, first + count):
        new = number % 4 == 3
        changed = range(len(FIELDS)) if new else range(number % 9, len(FIELDS), 10)
        values = {FIELDS[place][0]: _value(FIELDS[place][1], number) for place in changed}
        head = {
            "entityName": "Account",
            "recordIds": [f"001xx{number:010d}AAA"],
            "changeType": "CREATE" if new else "UPDATE",
            "changeOrigin": "com/salesforce/api/rest/65.0;client=SomeOther",
            "transactionKey": f"0001a6f7-0d5c-4d1e-9c0b-{number:012x}",
            "sequenceNumber": 1,
            "commitTimestamp": 1_772_000_000_000 + number,
            "commitNumber": number,
            "commitUser": "005xx000001TT96AAG",
            "nulledFields": [],
            "diffFields": [],
            "changedFields": [] if new else [f"0x{sum(1 << place + 1 for place in changed):X}"],
        }
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, {"ChangeEventHeader": head, **values})
        yield Event("s1", stream.getvalue(), number.to_bytes(8, "big"))


def _value(kind: str, number: int) -> str | float | int:
    if kind == "string":
        return f"value {number}"
    return number / 4 if kind == "double" else 1_712_694_387_000 + number


class Ours:
    """The decoder as a source holds it."""

    name = "ours"

    def __init__(self) -> None:
        wanted = Wanted("account", ("Id",), frozenset({"Id", *COLUMNS}))
        fields = {name: described for name, _, described in FIELDS}
        text = json.dumps(SCHEMA)
        self._decoder = EventDecoder(
            "/data/AccountChangeEvent",
            {"Account": wanted},
            {"Account": fields},
            client="fieldwarden-bench",
            schema_of=lambda _: text,
        )
        self._repeats = Repeats()
        self._place = Place(1, 0, b"")

    def rows(self, batch: list[Event]) -> int:
        """How many rows these events told of."""
        rows = 0
        for event in batch:
            self._place = self._place.after(event.replay)
            told = self._decoder.decode(event, self._place)
            assert told.head is not None
            if not self._repeats.again(told.head.identity):
                rows += len(told.changes)
        return rows


class Bare:
    """fastavro, which makes a mapping of each payload: no bitmaps, no texts, no rows."""

    name = "fastavro"

    def __init__(self) -> None:
        self._parsed = fastavro.parse_schema(SCHEMA)

    def rows(self, batch: list[Event]) -> int:
        return sum(
            fastavro.schemaless_reader(io.BytesIO(each.payload), self._parsed, None) is not None for each in batch
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rates by contender, in events per second of CPU; the memory of ours."""

    events: int
    rates: dict[str, Spread]
    ratio: float
    memory: Memory

    @property
    def reached(self) -> bool:
        return self.rates["ours"].middle >= PROMISED and self.memory.ratio <= FLAT


def play(count: int, repeat: int) -> Outcome:
    """Both contenders on the same events, in turn; then ours on ten times as many, made as they are read."""
    batch, contenders = [*events(count)], (Ours(), Bare())
    runs: dict[str, list[Run]] = {each.name: [] for each in contenders}
    for _ in range(repeat):
        for each in (Ours(), Bare()):
            begun = time.process_time()
            rows = each.rows(batch)
            runs[each.name].append(Run(count, time.process_time() - begun))
            assert rows == count, f"{each.name} told of {rows} rows, not of {count}"
    rates = {name: Spread.of([run.rate for run in each]) for name, each in runs.items()}
    return Outcome(count, rates, rates["ours"].middle / rates["fastavro"].middle, _memory(count))


def _memory(count: int) -> Memory:
    ours, step, peaks = Ours(), 1_000, list[int]()
    for number in range(0, 10 * count, step):
        assert ours.rows([*events(step, number)]) == step
        if number + step in (count, 10 * count):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)
    return Memory(count, peaks[0], 10 * count, peaks[1])


def text(outcome: Outcome) -> str:
    lines = [f"Salesforce change events decoded to rows ({outcome.events:,} events, of each CPU second)"]
    for name, rate in outcome.rates.items():
        lines.append(f"  {name:<12}{rate.middle:>9,.0f} events/s   {rate.low:,.0f} to {rate.high:,.0f}")
    lines.append(f"  ours/fastavro {outcome.ratio:>7.2f}")
    memory = outcome.memory
    lines.append(
        f"memory    {memory.small_peak / 2**20:,.0f} MiB at its peak after {memory.small:,} events, "
        f"{memory.large_peak / 2**20:,.0f} MiB after {memory.large:,}: ratio {memory.ratio:.2f} (bound {FLAT})"
    )
    if not outcome.reached:
        lines.append(f"MISSED: {PROMISED:,} events in a second with flat memory")
    return "\n".join(lines)


def as_json(outcome: Outcome) -> dict[str, Any]:
    rates = {name: round(rate.middle) for name, rate in outcome.rates.items()}
    return {"events_per_second": rates, "ratio": outcome.ratio, "memory": outcome.memory.ratio, "ok": outcome.reached}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.salesforce", description=__doc__)
    parser.add_argument("--events", type=int, default=PROMISED, help=f"events of a run (default {PROMISED:,})")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args()
    outcome = play(options.events, options.repeat)
    print(json.dumps(as_json(outcome)) if options.json else text(outcome))
    return 0 if outcome.reached else 1


if __name__ == "__main__":
    sys.exit(main())
