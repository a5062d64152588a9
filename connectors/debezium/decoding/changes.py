"""A Kafka record of a Debezium topic as the engine is told of it. Pure: bytes in, a change out, no I/O.

JSON with schemas, JSON without and Avro are told apart record by record, so that a topic may change its converter in
its midst. Whatever is wrong with a record's bytes becomes an undecoded change, never another exception; what is wrong
with a table's shape is `SchemaDrift`, which stops that stream only; and a schema id that has not been met is
`SchemaNeeded`, which is answered by asking the registry and decoding again.

Facts: Debezium's connector reference (PostgreSQL, MySQL), "Data change events", "Primary key updates", "Tombstones".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from fieldwarden.connectors.debezium.decoding import json_format
from fieldwarden.connectors.debezium.decoding.avro_format import Avro, framed
from fieldwarden.connectors.debezium.decoding.envelope import Event, new_values, operation
from fieldwarden.connectors.debezium.decoding.rows import check_key
from fieldwarden.connectors.debezium.decoding.storable import check_change, shown, spells_nul
from fieldwarden.connectors.debezium.decoding.tables import Table
from fieldwarden.connectors.debezium.decoding.unavailable import DEFAULT, Placeholder
from fieldwarden.connectors.debezium.kafka.parts import NOWHERE
from fieldwarden.connectors.debezium.kafka.record import Headers, Record, place
from fieldwarden.connectors.debezium.kafka.repeats import mark_of
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.bugs import bug_of
from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation, Undecoded
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift
from fieldwarden.engine.record import LARGE
from fieldwarden.engine.wanted import wanted_tables
from fieldwarden.rules.connections import debezium_settings
from fieldwarden.rules.rulebook import System

NEW_KEY, OLD_KEY = "__debezium.newkey", "__debezium.oldkey"
_INITIAL = (True, "true", "first", "first_in_data_collection", "last_in_data_collection")
"""Values of `source.snapshot` after which more rows of the initial snapshot come (`last` is its last)."""


class SchemaNeeded(Exception):
    """A record names a schema of the registry that `schema_of` does not know yet."""

    def __init__(self, number: int) -> None:
        super().__init__(f"schema {number} of the registry")
        self.id = number


@dataclass(frozen=True, slots=True)
class Note:
    """What a record says besides changes of rows. `content` is its payload as plain objects.

    A notification's content has `aggregate_type`, `type`, `id`, `additional_data`; a heartbeat's `ts_ms`."""

    kind: Literal["heartbeat", "notification", "transaction", "schema"]
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def snapshot_over(self) -> bool:
        """Whether it says that the initial snapshot is complete, or that there is none."""
        return (
            self.kind == "notification"
            and self.content.get("aggregate_type") == "Initial Snapshot"
            and self.content.get("type") in ("COMPLETED", "SKIPPED")
        )


def _placeholder(system: System, configured: str) -> Placeholder:
    try:
        return Placeholder(configured)
    except ValueError:
        raise EnvironmentUnfit(
            f"{system.name}: unavailable.value.placeholder is not hexadecimal after hex:",
            suggestion="mend it under `options:` in the system's file",
        ) from None


def _failure(error: Exception) -> str:
    """What nobody foresaw, by its type and by where it came up, since its message may quote a value."""
    bug = bug_of(error)
    return f"reading it failed ({bug.kind} at {bug.places[-1]}, fingerprint {bug.fingerprint})"


def _merged(types: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {column: kind for some in types for column, kind in some.items()}


class Decoder:
    """Decodes one system's records. Holds what was compiled from schemas, so keep it as long as the source is open.

    `schema_of` gives an Avro schema's text by its id, or None if it has not been fetched. `types` are portable column
    types by stream and column, for records that do not say them: JSON without schemas (see `plain.field_types`), and
    decimals written as text by a connector without `column.propagate.source.type`. `partitions` are the numbers of
    partitions by topic; the caller keeps them up to date.

    `streaming` turns true once a record has shown that the connector's initial snapshot is over. `mark` is where in the
    database's log the change stands that was decoded last. Raises EnvironmentUnfit for a placeholder nobody can read.
    """

    def __init__(
        self,
        system: System,
        *,
        schema_of: Callable[[int], bytes | str | None],
        types: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        topics = Topics(system)
        settings = debezium_settings(system)
        placeholder = _placeholder(system, settings.options.get("unavailable.value.placeholder", DEFAULT))
        types = types or {}
        self.partitions: dict[str, int] = {}
        self.streaming = False
        self.mark = NOWHERE
        self._schema_of = schema_of
        self._schemas: dict[int, Avro | Unreadable] = {}
        self._knows_own = not settings.is_postgres
        self._tables = {
            topic: Table(
                topic, wanted, placeholder, _merged(types.get(each.name, {}) for each in topics.streams[topic])
            )
            for topic, wanted in wanted_tables(system.read_streams.values(), topics.of_table).items()
        }
        self._notes: dict[str, Literal["heartbeat", "notification", "transaction", "schema"]] = {
            topics.heartbeat: "heartbeat",
            topics.notifications: "notification",
            f"{topics.prefix}.transaction": "transaction",
            topics.prefix: "schema",
        }

    def tell_columns(self, topic: str, types: Mapping[str, str]) -> None:
        """The columns that a topic's table has now, with portable types: records that lack one are from before it."""
        self._tables[topic].tell_columns(types)

    def is_partial(self, topic: str, relation: Relation) -> bool:
        """Whether rows of this shape lack columns that the table has got since."""
        return topic in self._tables and self._tables[topic].is_partial(relation)

    def decode(self, record: Record, position: str) -> RawChange | Note | None:
        """What a record says; None for what says nothing (tombstones, logical messages, topics nobody reads).

        `position` is that of the change it tells of. Raises SchemaNeeded, and SchemaDrift where a stream's topic no
        longer fits its mapping."""
        self.mark = NOWHERE
        table, value = self._tables.get(record.topic), record.value
        if table is None:
            return self._note(record)
        if value is None:
            return None
        try:
            return self._change(table, record, value, position)
        except Unreadable as error:
            return self._undecoded(table, record, position, str(error))
        except SchemaDrift as drift:
            if shown(drift.message) == drift.message:
                raise
            return self._undecoded(table, record, position, drift.message)  # no table has such a column
        except SchemaNeeded:
            raise
        except Exception as error:  # of whatever kind (memory, recursion, a bug): it is this record's trouble alone
            return self._undecoded(table, record, position, _failure(error))

    def refuse(self, record: Record, position: str, reason: str) -> RawChange | None:
        """The same record as one that cannot be decoded, for a reason the caller found; None outside of tables."""
        table = self._tables.get(record.topic)
        return None if table is None else self._undecoded(table, record, position, reason)

    # --- changes of rows ----------------------------------------------------------------------------------------

    def _change(self, table: Table, record: Record, value: bytes, position: str) -> RawChange | None:
        event = self._event(table, value, record.headers)
        kind = operation(event)
        if kind is None:
            return None
        source = event.source
        if not self.streaming and source.snapshot not in _INITIAL:
            self.streaming = True
        change = RawChange(
            event.shape.relation,
            kind,
            (),
            position,
            None if kind == "observe" else source.at if source.at is not None else record.timestamp * 1_000,
            echo=None if kind != "observe" and source.txId is not None and not self._knows_own else False,
            transaction=str(source.txId if source.txId is not None else source.gtid or ""),
            place=place(record),
            large=len(value) > LARGE,
        )
        if kind != "observe":
            self.mark = mark_of(source.sequence, source.at)  # also of what turns out to be unreadable from here on
        if kind != "truncate":
            self._fill(table, event, change, record)
        if spells_nul(value):
            check_change(change)
        return change

    def _fill(self, table: Table, event: Event, change: RawChange, record: Record) -> None:
        key, headers = record.key, record.headers
        if key is None:
            check_key(table.wanted, table.topic, ())
            raise Unreadable("it has no key")
        if change.operation == "delete":
            self._fill_delete(table, event, change, key, headers)
            return
        self._check_key(table, key, headers)
        change.values = new_values(event)
        if headers and change.operation == "insert" and any(name == OLD_KEY for name, _ in headers):
            change.follows_rekey = self._has_many(table)

    def _has_many(self, table: Table) -> bool:
        """Whether a row under another key may be in another partition."""
        return self.partitions.get(table.topic, 2) > 1

    def _event(self, table: Table, value: bytes, headers: Headers) -> Event:
        if value.startswith(b"{"):  # no envelope in Avro does: its first field is a union of two
            return table.json_event(value)
        frame = framed(value, "value", headers)
        if frame is None:
            return table.json_event(value)
        return table.avro_event(frame[0], self._avro(frame[0]), value, frame[1])

    def _fill_delete(self, table: Table, event: Event, change: RawChange, key: bytes, headers: Headers) -> None:
        """A delete, or the first half of a change of key, which is no delete."""
        shape = event.shape
        change.values = shape.spread(self._key(table, key, headers))
        moved = next((text for name, text in headers if name == NEW_KEY), None)
        if moved is not None:
            change.operation, change.old_values = "rekey", change.values
            change.values = shape.spread(self._key(table, moved, ()))
            change.follows_rekey = self._has_many(table)

    def _key(self, table: Table, key: bytes, headers: Headers) -> tuple[str, ...]:
        frame = framed(key, "key", headers)
        if frame is None:
            return table.json_key(key)
        return table.avro_key(frame[0], self._avro(frame[0]), key, frame[1])

    def _check_key(self, table: Table, key: bytes, headers: Headers) -> None:
        """That a record's key is the stream's, without reading more of it than needed."""
        if table.knows_json_key(key) and not spells_nul(key):
            return
        frame = framed(key, "key", headers)
        if frame is None:
            table.json_key(key)
        elif not table.knows_avro_key(frame[0]):
            table.avro_key(frame[0], self._avro(frame[0]), key, frame[1])

    def _avro(self, number: int) -> Avro:
        known = self._schemas.get(number)
        if known is None:
            text = self._schema_of(number)
            if text is None:
                raise SchemaNeeded(number)
            try:
                known = Avro(text)
            except Unreadable as error:
                known = error
            self._schemas[number] = known
        if isinstance(known, Unreadable):
            raise Unreadable(str(known))
        return known

    def _undecoded(self, table: Table, record: Record, position: str, reason: str) -> RawChange:
        wanted = table.wanted
        values: tuple[RawValue, ...] = (UNKNOWN,) * len(wanted.key)
        if record.key is not None:
            with suppress(Exception):  # of a record that cannot be read its key may be as bad
                values = self._key(table, record.key, record.headers)
        relation = wanted.relation(wanted.key, ("text",) * len(wanted.key))
        headers = tuple((shown(name), data) for name, data in record.headers)
        at = place(record)
        undecoded = Undecoded(shown(f"{at}: {reason}"), record.key, record.value, headers)
        return RawChange(relation, "update", values, position, None, place=at, undecoded=undecoded)

    # --- everything else ----------------------------------------------------------------------------------------

    def _note(self, record: Record) -> Note | None:
        kind, value = self._notes.get(record.topic), record.value
        if kind is None or value is None:
            return None
        try:
            frame = framed(value, "value", record.headers)
            if frame is None:
                _, content = json_format.unwrapped(value)
            else:
                content = self._avro(frame[0]).read(value, frame[1])
        except SchemaNeeded:
            raise
        except Exception:  # as above; and there is nothing in it that could be lost
            return None
        note = Note(kind, content if isinstance(content, dict) else {})
        if kind == "heartbeat" or note.snapshot_over:
            self.streaming = True
        return note
