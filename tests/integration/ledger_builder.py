"""A hub written by plain SQL and the pure functions alone, so that what reads it is tried without the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from fieldwarden.engine.change import Value
from fieldwarden.engine.ledger.entries import GENESIS, Decision, EntryBody, block_hash, encode, leaf, merkle_root
from fieldwarden.engine.record import Contribution

RULEBOOK = "ab" * 32
START = 1_767_225_600_000_000  # 2026-01-01, µs

Connection = psycopg.Connection[tuple[Any, ...]]


def record_id(number: int) -> str:
    return f"0190d2c0-0000-7000-8000-{number:012x}"


class Builder:
    """Tracks what each record and lane is, as the store would, and writes blocks and records."""

    def __init__(self, connection: Connection) -> None:
        connection.execute("set search_path to fieldwarden")
        self._connection = connection
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._records: dict[str, tuple[str, int, dict[str, Value]]] = {}
        self.blocks = 0

    def change(
        self,
        number: int,
        values: dict[str, Value],
        *,
        row: tuple[str, str, str] = ("crm", "public.account", "1"),
        entity: str = "customer",
        **more: Any,
    ) -> tuple[str, int, bytes]:
        """One entry that brings these fields of a record to these values."""
        record = record_id(number)
        _, version, golden = self._records.get(record, (entity, 0, {}))
        decisions = [
            Decision(name, "accepted", value, golden.get(name), value, row[0], "recency among crm, billing")
            for name, value in values.items()
        ]
        self._records[record] = (entity, version + 1, golden | values)
        body = EntryBody(entity, row, "said", f"0/{version + 1}", START, decisions, **more)
        return record, version + 1, encode(body)

    def block(self, lane: str, entries: Sequence[tuple[str, int, bytes]]) -> None:
        height, previous = self._heads.get(lane, (-1, GENESIS))
        height += 1
        at = START + self.blocks * 60_000_000 + 1
        hashes = [leaf(*entry) for entry in entries]
        root = merkle_root(hashes)
        hashed = block_hash(lane, height, previous, root, RULEBOOK, len(entries), at)
        self._heads[lane] = height, hashed
        self.blocks += 1
        self._connection.execute(
            "insert into ledger_block (lane, height, previous, root, hash, rulebook, entries, at, leaves) values"
            " (%s, %s, %s, %s, %s, %s, %s, timestamptz 'epoch' + %s * interval '1 microsecond', %s)",
            [lane, height, previous, root, hashed, RULEBOOK, len(entries), at, b"".join(hashes)],
        )
        with self._connection.cursor().copy(
            "copy ledger_entry (lane, height, ordinal, record, version, body) from stdin"
        ) as copy:
            for ordinal, (record, version, body) in enumerate(entries):
                copy.write_row([lane, height, ordinal, record, version, body.decode()])

    def records(self, rows: dict[str, list[Contribution]] | None = None) -> None:
        """Write every record as its entries left it, with the given contributions by record id."""
        for id, (entity, version, golden) in self._records.items():
            self._connection.execute(
                "insert into record (id, entity, version, revision, golden, contributions)"
                " values (%s, %s, %s, 1, %s, %s)",
                [
                    id,
                    entity,
                    version,
                    msgspec.json.encode(golden).decode(),
                    msgspec.json.encode((rows or {}).get(id, [])).decode(),
                ],
            )
