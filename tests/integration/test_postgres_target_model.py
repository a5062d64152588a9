"""Random writes with a person editing in between, against a naive model of one row after another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldwarden.engine.change import Value
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.ports.target import Write, WriteResult, answers
from tests.integration.target_world import World, stream

FIELDS = ("name", "phone")
PROTECTED = "kept"

values = st.sampled_from([None, "", "a", "b"])
some_fields = st.dictionaries(st.sampled_from(FIELDS), values)


@dataclass(frozen=True)
class Edit:
    """What a person does between two calls."""

    record: int
    fields: dict[str, Value]
    delete: bool = False


@dataclass(frozen=True)
class Call:
    """One record's write: `trust` fields are expected as they truly are, the others as guessed."""

    record: int
    operation: str
    fields: dict[str, Value]
    trust: frozenset[str] = frozenset()
    guessed: dict[str, Value] = field(default_factory=dict)


records = st.integers(0, 4)
edits = st.builds(Edit, records, some_fields, st.booleans())
calls = st.builds(
    Call,
    records,
    st.sampled_from(["create", "update", "update", "delete"]),
    some_fields,
    st.frozensets(st.sampled_from(FIELDS)),
    some_fields,
)
histories = st.lists(st.tuples(st.lists(edits, max_size=2), st.lists(calls, max_size=6)), max_size=6)


class Model:
    """Rows by record; every field compared and set by itself."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Value]] = {}

    def edit(self, edit: Edit) -> None:
        if edit.delete:
            self.rows.pop(edit.record, None)
        elif edit.record in self.rows:
            self.rows[edit.record].update(edit.fields)

    def apply(self, call: Call, expected: dict[str, Value]) -> tuple[str, dict[str, Value]]:
        if call.operation == "delete":
            self.rows.pop(call.record, None)
            return "applied", {}
        row = self.rows.get(call.record)
        if row is None:
            if call.operation == "update":
                return "missing", {}
            self.rows[call.record] = {name: call.fields.get(name) for name in FIELDS}
            return "applied", {}
        if call.operation == "update":
            for name, value in call.fields.items():
                if row[name] == expected.get(name):
                    row[name] = value
        return "applied", {name: row[name] for name, value in call.fields.items() if row[name] != value}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def world(postgres: EmbeddedServer, runner: asyncio.Runner) -> Iterator[World]:
    world = World(
        postgres.dsn("postgres"),
        stream("public.model_party", FIELDS, protected_columns=frozenset({PROTECTED})),
        ddl="create table model_party (id bigint generated always as identity primary key, ext text unique,"
        " name text, phone text, kept text default 'finance')",
    )
    yield world
    runner.run(world.target.close())
    world.sql("drop table model_party")
    world.person.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_a_history_ends_as_the_model_says(
    world: World, runner: asyncio.Runner, history: list[tuple[list[Edit], list[Call]]]
) -> None:
    world.sql("truncate model_party")
    model = Model()
    keys: dict[int, str] = {}
    for meddling, batch in history:
        known = {record: dict(row) for record, row in model.rows.items()}
        for edit in meddling:
            model.edit(edit)
            meddle(world, edit)
        # A batch holds one write per record, as a plan does; creates come first, deletes last.
        chosen = {call.record: call for call in batch}
        plan = [(call, write(call, keys, known)) for call in chosen.values()]
        results = {result.token: result for result in runner.run(answers(world.target, [w for _, w in plan]))}
        for call, sent in plan:
            check(model, call, sent, results[sent.token], keys)
        assert rows(world) == model.rows
    assert world.sql(f"select 1 from model_party where {PROTECTED} is distinct from 'finance'") == []


def meddle(world: World, edit: Edit) -> None:
    if edit.delete:
        world.sql("delete from model_party where ext = %s", str(edit.record))
    for name, value in edit.fields.items() if not edit.delete else ():
        world.sql(f"update model_party set {name} = %s where ext = %s", value, str(edit.record))


def write(call: Call, keys: dict[int, str], known: dict[int, dict[str, Value]]) -> Write:
    row = known.get(call.record, {})
    expected = {name: row.get(name) if name in call.trust else call.guessed.get(name) for name in call.fields}
    key = None if call.operation == "create" else keys.get(call.record, "-1")
    fields = {} if call.operation == "delete" else call.fields
    return Write(call.record, str(call.record), "public.model_party", call.operation, key, fields, expected)  # type: ignore[arg-type]


def check(model: Model, call: Call, sent: Write, result: WriteResult, keys: dict[int, str]) -> None:
    status, differing = model.apply(call, sent.expected)
    assert (result.status, result.differing) == (status, differing), (call, sent)
    if call.operation == "create":
        assert result.key is not None
        keys[call.record] = result.key


def rows(world: World) -> dict[int, dict[str, Value]]:
    found = world.sql("select ext, name, phone from model_party")
    return {int(ext): {"name": name, "phone": phone} for ext, name, phone in found}
