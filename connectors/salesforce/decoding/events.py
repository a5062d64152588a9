"""A change event of the Pub/Sub API as the engine is told of it. Pure: bytes in, changes out, no I/O.

Whatever is wrong with an event's bytes becomes an undecoded change, or a look at the records that it names, never
another exception. What is wrong with an object's shape is `SchemaDrift`, which stops that stream only; a schema that
has not been met is `SchemaNeeded`, which is answered by asking for it and decoding again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.decoding.header import OVERFLOW, Header, header
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.connectors.salesforce.decoding.rows import KEY, ObjectReader
from fieldwarden.connectors.salesforce.decoding.shapes import HEADER, EventSchema
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.bugs import bug_of
from fieldwarden.engine.change import UNKNOWN, Operation, RawChange, RawValue, Relation, Undecoded
from fieldwarden.engine.errors import SchemaDrift
from fieldwarden.engine.wanted import Wanted

_MOST_SCHEMAS = 256
_OPERATIONS: Final[Mapping[str, Operation]] = {"CREATE": "insert", "UPDATE": "update", "UNDELETE": "insert"}


class SchemaNeeded(Exception):
    """An event names a schema that is not known yet."""

    def __init__(self, id: str) -> None:
        super().__init__("a schema of the topic is not known yet")
        self.id = id


class Event(NamedTuple):
    """One event as it came: the id of its schema, its payload, and its own replay id."""

    schema: str
    payload: bytes
    replay: bytes


@dataclass(slots=True)
class Told:
    """What one event comes to.

    `changes`: what it tells of rows. `hints`: rows that have to be looked at, since it does not tell all; they may be
    gone. `rescan`: all rows of the stream have to be read; `lost`: and some may be gone that nobody tells
    of. `head` is None where not even that could be read."""

    stream: str = ""
    changes: list[RawChange] = field(default_factory=list)
    hints: list[RawChange] = field(default_factory=list)
    rescan: bool = False
    lost: bool = False
    head: Header | None = None


class EventDecoder:
    """Decodes the events of one topic. Keep it as long as the topic is read.

    `wanted` and `fields` are by object (`Account`): which columns are read of it, and what `describe` tells of them.
    `client` is the name under which we write. `schema_of` gives a schema by its id, or None if it was not asked for."""

    def __init__(
        self,
        topic: str,
        wanted: Mapping[str, Wanted],
        fields: Mapping[str, Mapping[str, Described]],
        *,
        client: str,
        schema_of: Callable[[str], str | None],
    ) -> None:
        self._topic = topic
        self._wanted = wanted
        self._fields = fields
        self._client = client
        self._schema_of = schema_of
        self._schemas: dict[str, EventSchema | Unreadable] = {}
        self._readers: dict[tuple[str, str], ObjectReader] = {}
        self._keys = {name: each.relation((KEY,), ("text",)) for name, each in wanted.items()}
        self._relations: dict[str, dict[tuple[tuple[str, ...], tuple[str, ...]], Relation]] = {}

    def describe(self, fields: Mapping[str, Mapping[str, Described]]) -> None:
        """What `describe` tells by now: fields may be new, or have other types."""
        self._fields = fields
        self._readers.clear()

    def decode(self, event: Event, place: Place) -> Told:
        """What an event tells that stands at `place`. Raises SchemaNeeded, SchemaDrift."""
        try:
            return self._decoded(event, place)
        except (SchemaNeeded, SchemaDrift):
            raise
        except Exception as error:  # of whatever kind (memory, recursion, a bug): it is this event's trouble alone
            bug = bug_of(error)
            reason = f"reading it failed ({bug.kind} at {bug.places[-1]}, fingerprint {bug.fingerprint})"
            return self._unreadable(event, place, reason)

    def _decoded(self, event: Event, place: Place) -> Told:
        try:
            schema = self._schema(event.schema)
            content = schema.read(event.payload)
            told = content.get(HEADER)
            head = header(told if isinstance(told, dict) else {})
        except Unreadable as error:
            return self._unreadable(event, place, str(error))
        wanted = self._wanted.get(head.entity)
        if wanted is None:
            return Told(head=head)
        if head.kind == OVERFLOW:
            return Told(wanted.stream, rescan=True, lost=True, head=head)
        if head.kind.startswith("GAP_"):
            many = bool(head.prefixes)
            hints = self._hints(head.ids, head, event, place)
            return Told(wanted.stream, hints=hints, rescan=many, lost=many and head.kind == "GAP_DELETE", head=head)
        return self._written(self._reader(event.schema, schema, head.entity, wanted), event, head, content, place)

    def _written(
        self,
        reader: ObjectReader,
        event: Event,
        head: Header,
        content: Mapping[str, object],
        place: Place,
    ) -> Told:
        ids, many = head.ids, bool(head.prefixes)
        stream = reader.relation.stream
        if head.kind == "DELETE":
            gone = [self._change(reader, "delete", id, reader.nothing(), head, event, place) for id in ids]
            return Told(stream, gone, rescan=many, lost=many, head=head)
        try:
            row = reader.row(head, content)
        except Unreadable as error:
            undecoded = [self._undecoded(reader.relation, id, event, place, str(error)) for id in ids]
            return Told(stream, undecoded, rescan=many, head=head)
        changes: list[RawChange] = []
        if row.speaks:
            operation = _OPERATIONS[head.kind]
            changes = [self._change(reader, operation, id, row.values, head, event, place) for id in ids]
        hints = self._hints(ids, head, event, place) if row.look else []
        return Told(stream, changes, hints, many, head=head)

    def _hints(self, ids: tuple[str, ...], head: Header, event: Event, place: Place) -> list[RawChange]:
        relation, where = self._keys[head.entity], self._where(event)
        return [RawChange(relation, "hint", (id,), place.row, None, place=where) for id in ids]

    def _change(
        self,
        reader: ObjectReader,
        operation: Operation,
        id: str,
        values: tuple[RawValue, ...],
        head: Header,
        event: Event,
        place: Place,
    ) -> RawChange:
        key = reader.key
        return RawChange(
            reader.relation,
            operation,
            (*values[:key], id, *values[key + 1 :]),
            place.row,
            head.at,
            echo=bool(head.client) and head.client == self._client,
            transaction=head.transaction,
            place=self._where(event),
        )

    def _unreadable(self, event: Event, place: Place, reason: str) -> Told:
        """Of an event that nobody can read it is not even known of which object it speaks: of one of this topic."""
        wanted = next(iter(self._wanted.values()))
        relation = wanted.relation((KEY,), ("text",))
        return Told(wanted.stream, [self._undecoded(relation, None, event, place, reason)])

    def _undecoded(self, relation: Relation, id: str | None, event: Event, place: Place, reason: str) -> RawChange:
        values: tuple[RawValue, ...] = tuple(
            (UNKNOWN if id is None else id) if name == KEY else UNKNOWN for name in relation.columns
        )
        where = self._where(event)
        headers = (("schema", event.schema.encode()), ("replay", event.replay))
        key = None if id is None else id.encode()
        undecoded = Undecoded(f"{where}: {reason}", key, event.payload, headers)
        return RawChange(relation, "update", values, place.row, None, place=where, undecoded=undecoded)

    def _where(self, event: Event) -> str:
        return f"{self._topic} {event.replay.hex()}"

    def _schema(self, id: str) -> EventSchema:
        known = self._schemas.get(id)
        if known is None:
            text = self._schema_of(id)
            if text is None:
                raise SchemaNeeded(id)
            try:
                known = EventSchema(text)
            except Unreadable as error:
                known = error
            if len(self._schemas) >= _MOST_SCHEMAS:
                self._schemas.clear()
                self._readers.clear()
            self._schemas[id] = known
        if isinstance(known, Unreadable):
            raise Unreadable(str(known))
        return known

    def _reader(self, id: str, schema: EventSchema, entity: str, wanted: Wanted) -> ObjectReader:
        known = self._readers.get((id, entity))
        if known is None:
            relations = self._relations.setdefault(entity, {})
            known = ObjectReader(schema, wanted, self._fields.get(entity, {}), relations)
            self._readers[id, entity] = known
        return known
