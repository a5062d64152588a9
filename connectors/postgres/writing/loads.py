"""What one group of writes is applied with, and what a session's answers to it mean.

A load is a group whose rows are numbered in its temporary table. The server answers by those numbers; here they become
results and rejections, by write. Nothing is sent from here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import psycopg
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres.words import verbatim
from fieldwarden.connectors.postgres.writing import faults
from fieldwarden.connectors.postgres.writing.groups import Group, copy_text, rows
from fieldwarden.connectors.postgres.writing.refusing import Answer, Rejection
from fieldwarden.connectors.postgres.writing.shapes import TargetTable
from fieldwarden.connectors.postgres.writing.statements import Statement
from fieldwarden.engine.change import key_text
from fieldwarden.engine.ports.target import Write, WriteResult

Asked: TypeAlias = tuple[tuple[str, ...], frozenset[str], frozenset[tuple[str, ...]]]
"""What a statement was compiled for: the fields, those that are not guarded, and those that are written together."""

_NONE: dict[str, str | None] = {}


@dataclass(slots=True)
class Staging:
    """A stream's temporary table for one operation, and how far this transaction has filled it."""

    name: str
    shape: TargetTable
    statements: dict[Asked, Statement] = field(default_factory=dict)
    filled: int = 0


@dataclass(slots=True)
class Load:
    """A group being applied: its writes are numbered from `first` in the staging table."""

    group: Group
    staging: Staging
    statement: Statement
    first: int

    def write(self, ordinal: int) -> Write:
        return self.group.writes[ordinal - self.first]


def encoded(load: Load) -> tuple[dict[int, bytes], dict[int, Rejection]]:
    """Each row's COPY text by its number, and those that cannot be sent at all."""
    texts: dict[int, bytes] = {}
    rejected: dict[int, Rejection] = {}
    for ordinal, row in enumerate(rows(load.group, load.first), load.first):
        try:
            texts[ordinal] = copy_text([row]).encode()
        except UnicodeEncodeError:
            reason = "a value holds a character that is not valid Unicode"
            rejected[ordinal] = Rejection(load.write(ordinal), reason, _odd_text(load.write(ordinal)))
    return texts, rejected


def _odd_text(write: Write) -> str:
    """The field whose value cannot be sent."""
    for name, value in write.values.items():
        if value is not None and value.encode(errors="ignore") != value.encode(errors="backslashreplace"):
            return name
    return ""


def rejection(load: Load, ordinal: int, error: psycopg.Error) -> Rejection:
    place = _field_of(load, faults.copy_place(error)[1])
    column = error.diag.column_name
    named = (name for name, mapping in load.group.stream.fields.items() if column and mapping.column == column)
    reason = faults.reason(error, place)
    whole, constraint, later = faults.of_the_row(error), faults.taken_by(error), faults.may_pass(error)
    refused = Rejection(load.write(ordinal), reason, place or next(named, ""), whole or later, constraint)
    return replace(refused, said=verbatim(error), later=later)


def written(load: Load, answers: Sequence[TupleRow]) -> list[WriteResult]:
    """Answers for the rows that a statement wrote (those with a key)."""
    writes, first, composite = load.group.writes, load.first, len(load.group.stream.key) > 1
    results = []
    for ordinal, key, differing in answers:
        if key is not None:
            result = WriteResult(writes[ordinal - first].token, "applied", _key(key) if composite else key, _NONE)
            if differing is not None:
                result.differing = _differing(load, differing)
            results.append(result)
    return results


def found(load: Load, ordinal: int, key: str | None, differing: str | None, misfit: str | None) -> Answer:
    write = load.write(ordinal)
    operation = load.group.operation
    if misfit is not None and (key is not None or operation == "create"):
        name = misfit.partition(":")[0]  # it begins with the field, unless it speaks of the row
        return Rejection(write, misfit, name, whole=name not in write.values)
    if key is not None:
        return written(load, [(ordinal, key, differing)])[0]
    if operation == "create":
        reason = "the target accepted the row but did not keep it: a trigger or rule drops or rewrites it"
        return Rejection(write, reason, whole=True)
    return WriteResult(write.token, "applied" if operation == "delete" else "missing", write.key)


def _key(answer: str) -> str:
    return key_text(tuple(json.loads(answer)))


def _differing(load: Load, text: str) -> dict[str, str | None]:
    answers = json.loads(text)
    return {name: answer[0] for name, answer in zip(load.group.fields, answers, strict=True) if answer is not None}


def _field_of(load: Load, column: str) -> str:
    """The field behind a column of the temporary table (n3, o3)."""
    if column[:1] not in ("n", "o") or not column[1:].isdecimal():
        return ""
    stream = load.group.stream
    names = stream.create_fields if load.group.operation == "create" else stream.update_fields
    return names[int(column[1:])]
