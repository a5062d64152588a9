"""How the records of one stream are written, and what of what they hold is compared. Pure.

A target's values are canonical texts by field; a request has them by column, in JSON; and what a record holds comes
back as the texts by which it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from fieldwarden.connectors.salesforce.decoding import json_values
from fieldwarden.connectors.salesforce.decoding.described import ObjectOf
from fieldwarden.connectors.salesforce.decoding.rows import KEY, typed
from fieldwarden.engine.change import UNKNOWN, RawValue, Value
from fieldwarden.engine.errors import EnvironmentUnfit, SchemaDrift, ValueRefused
from fieldwarden.engine.guard import GuardViolation, writable
from fieldwarden.engine.ports.target import Write
from fieldwarden.engine.wanted import Wanted
from fieldwarden.rules.rulebook import Entity, FieldMap, Stream

Held = Callable[[Sequence[RawValue]], Value]


class WriteShape:
    """One stream in the object as it is described now.

    Raises SchemaDrift where a mapped field is not there any more, EnvironmentUnfit where the external id does not tell
    records apart."""

    def __init__(self, stream: Stream, entity: Entity, object: ObjectOf) -> None:
        self.stream = stream
        self.object = object
        columns = {KEY, *stream.parent_columns, *([stream.external_id] if stream.external_id else [])}
        for each in stream.fields.values():
            columns |= each.columns
        self.columns = tuple(sorted(columns))
        wanted = Wanted(stream.name, (KEY,), frozenset(columns))
        self._types = tuple(typed(wanted, name, object.reads) for name in self.columns)
        self._texts = [str if name == KEY else json_values.text(object.reads[name]) for name in self.columns]
        self._held = {name: self._reader(entity, each) for name, each in stream.fields.items()}
        if stream.creates:
            self._check_external_id()

    def held(self, record: Mapping[str, Any]) -> dict[str, Value]:
        """What a record holds, by field, in the canonical texts in which writes have it."""
        row: list[RawValue] = [text(record.get(name)) for name, text in zip(self.columns, self._texts, strict=True)]
        return {name: read(row) for name, read in self._held.items()}

    def refusals(self, write: Write) -> dict[str, str]:
        """The fields of a write that Salesforce does not take, with why; and all of the blocks that they are in."""
        operation: Literal["create", "update"] = "create" if write.operation == "create" else "update"
        found = {
            name: why for name in write.values if (why := self.object.fields[self._column(name)].refusal(operation))
        }
        return blocked(write, found)

    def body(self, write: Write, fields: Sequence[str]) -> dict[str, Any]:
        """The record of a request that brings these fields; of a new one all that it is to have.

        Raises GuardViolation for a field that the rules do not let us write."""
        beyond = set(fields) - writable(self.stream, write.operation)
        if beyond:
            raise GuardViolation(f"{self.stream.system} {self.stream.name}: {min(beyond)} is not in the write set")
        body: dict[str, Any] = {"attributes": {"type": self.object.name}}
        if write.key is not None:
            body["id"] = write.key
        else:
            for name, text in self.stream.constants.items():
                body[name] = self._written(name, text)
            for name in self.stream.parent_columns:
                body[name] = write.parent_key
            if self.stream.external_id:
                body[self.stream.external_id] = write.record
        for name in fields:
            column = self._column(name)
            body[column] = self._written(column, write.values[name])
        return body

    def field_of(self, column: str) -> str | None:
        """The field that a column carries."""
        return next((name for name, each in self.stream.fields.items() if each.column == column), None)

    def _column(self, name: str) -> str:
        column = self.stream.fields[name].column
        assert column is not None, "what is written has a column"
        return column

    def _written(self, column: str, value: Value) -> Any:
        return json_values.written(self.object.reads[column], value)

    def _reader(self, entity: Entity, mapping: FieldMap) -> Held:
        """What is compared is in the system's own terms: a code or another row's key is its text."""
        read: Callable[[Sequence[RawValue]], RawValue]
        if mapping.read is not None:
            try:
                read = mapping.read.bind(self.columns, self._types)
            except ValueError as error:
                raise SchemaDrift(
                    f"{self.stream.system}: {self.stream.name} no longer fits {mapping.read.text!r}: {error}",
                    suggestion=f"mend the mapping of {self.stream.name}",
                    path=f"{self.stream.name}.{mapping.field}",
                ) from error
        else:
            assert mapping.column is not None, "a field is read from a column or an expression"
            read = itemgetter(self.columns.index(mapping.column))
        own = mapping.reference is not None or mapping.codes is not None
        canonical = None if own else entity.fields[mapping.field].type.canonical(mapping.zone)

        def held(row: Sequence[RawValue]) -> Value:
            value = read(row)
            if value is None or value is UNKNOWN:
                return None
            try:
                return value if canonical is None else canonical(value)
            except ValueRefused:
                return value  # whatever it is, it is not what we want there

        return held

    def _check_external_id(self) -> None:
        name = self.stream.external_id
        found = None if name is None else self.object.fields.get(name)
        if found is None or not found.unique or not found.external_id:
            raise EnvironmentUnfit(
                f"{self.stream.system}: {self.object.name}.{name} does not tell records apart",
                suggestion="make it an External ID and Unique in Salesforce's Setup, and name it as `external_id`",
                path=f"{self.stream.name}.{name}",
            )


def blocked(write: Write, refused: Mapping[str, str]) -> dict[str, str]:
    """With each refused field all others of its blocks, which are not written without it.

    >>> values = {"street": "a", "city": "b", "name": "c"}
    >>> write = Write(0, "r", "s", "update", "k", values, blocks=(("street", "city"),))
    >>> sorted(blocked(write, {"city": "too long"}))
    ['city', 'street']
    """
    found = dict(refused)
    for block in write.blocks:
        reason = next((refused[name] for name in block if name in refused), None)
        if reason is not None:
            found |= {name: found.get(name, reason) for name in block if name in write.values}
    return found
