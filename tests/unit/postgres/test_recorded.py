"""What real servers sent (tests/golden/record_pgoutput.py), and what it must come to."""

from __future__ import annotations

import gzip
import json
from collections import deque
from pathlib import Path

import pytest

from fieldwarden.connectors.postgres.marks import Marks, Seal
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder, Payload
from fieldwarden.connectors.postgres.reading.position import WalPosition
from fieldwarden.connectors.postgres.reading.spill import Spool
from fieldwarden.connectors.postgres.reading.transactions import Transactions
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.wanted import Wanted

GOLDEN = Path(__file__).parents[2] / "golden"
COLUMNS = ("id", "name", "body", "code", "amount")
TYPES = {23: "integer", 25: "text", 1042: "text", 1700: "numeric"}
BODY = "x" * 3000
UNSEALED = Marks("crm", {"fieldwarden"}, Seal(b""), sealed_from=1 << 63)


@pytest.mark.parametrize("version", [16, 18])
def test_a_recorded_history(version: int) -> None:
    recording = json.loads(gzip.decompress((GOLDEN / f"pgoutput_{version}.json.gz").read_bytes()))
    assert recording["version"] // 10000 == version
    start = WalPosition("stream", recording["point"])
    decoder = Decoder({"public.account": Wanted("public.account", ("id",), frozenset(COLUMNS))}, TYPES)
    made = Transactions("crm", decoder, start, Spool(10_000), marks=UNSEALED, max_changes=10_000, max_bytes=1 << 24)
    frames = deque[Payload](bytes.fromhex(frame) for frame in recording["frames"])
    assert {chr(frame[25]) for frame in frames} == set("BCRIUDTMSEAc")
    while frames or made.replaying:
        made.take(frames)
    changes = made.cut()
    assert [(c.operation, c.values, c.old_values, c.echo) for c in changes[:9]] == [
        ("insert", ("1", "Ann", BODY, "ab", "1234567.8900"), None, False),
        ("update", ("1", "Bob", UNKNOWN, "ab", "1234567.8900"), None, False),
        ("update", ("2", "Bob", UNKNOWN, "ab", "1234567.8900"), ("1", *[UNKNOWN] * 4), False),
        ("insert", ("3", None, None, None, None), None, True),
        ("update", ("2", None, BODY, "ab", "1234567.8900"), None, False),
        ("delete", ("2", *[UNKNOWN] * 4), None, False),
        ("insert", ("4", None, None, None, None), None, False),
        ("truncate", (), None, False),
        ("insert", ("1", "s" * 60, None, None, None), None, False),
    ]
    assert [change.values[0] for change in changes[8:]] == [*map(str, range(1, 701)), "2000"]
    assert changes[0].relation.columns == COLUMNS
    assert changes[0].relation.types == ("integer", "text", "text", "text", "numeric")
    positions = [change.position for change in changes]
    assert positions == sorted(set(positions))
    assert made.settled
