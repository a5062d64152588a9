"""The builder and the guard do not trust each other: whatever mistake a builder makes, no statement leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlglot
from sqlglot import exp

from fieldwarden.connectors.postgres.writing import fields, statements
from fieldwarden.connectors.postgres.writing.groups import arrange, copy_text, depths, rows
from fieldwarden.connectors.postgres.writing.shapes import ColumnType, TargetTable, touched
from fieldwarden.connectors.postgres.writing.statements import statement
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.engine.ports.target import Write
from fieldwarden.rules.names import qualified, table_parts
from fieldwarden.rules.rulebook import FieldMap, Stream, System
from tests.builders import postgres

TEXT = ColumnType("text", "text")
STREAM = Stream(
    "erp",
    "public.party",
    "customer",
    ("id",),
    {name: FieldMap(name, name) for name in ("phone", "name", "terms")},
    external_id="ext",
    creates=True,
    on_retire="delete",
    update_fields=("phone", "name"),
    create_fields=("phone", "name"),
    protected_columns=frozenset({"terms"}),
)
SHAPE = TargetTable(dict.fromkeys(("id", "ext", "phone", "name", "terms"), TEXT), {})


def built(operation: str, stream: Stream = STREAM, fields: tuple[str, ...] = ("phone", "name")) -> exp.Expr:
    text = statement(stream, operation, SHAPE, "fw_1", fields).write  # type: ignore[arg-type]
    return sqlglot.parse_one(text, dialect="postgres")


def test_protected_columns_are_in_no_statement() -> None:
    for operation in ("create", "update", "delete"):
        tree = built(operation, fields=() if operation == "delete" else ("phone", "name"))
        assert "terms" not in {node.name for node in tree.find_all(exp.Identifier)}


def test_a_collation_that_ignores_case_hides_no_difference() -> None:
    """Every comparison of a text that decides something is made to the last character."""
    for node in built("update").find_all(exp.NullSafeEQ, exp.NullSafeNEQ):
        assert isinstance(node.this, exp.Collate), node.sql()
        assert isinstance(node.expression, exp.Collate), node.sql()


def test_a_type_without_exact_equality_is_compared_as_text() -> None:
    value = ColumnType("citext", "citext").comparable(exp.column("x"))
    assert value.sql(dialect="postgres") == 'CAST(x AS TEXT) COLLATE "C"'


def test_a_field_outside_the_write_set_is_refused() -> None:
    with pytest.raises(GuardViolation, match="terms"):
        statement(STREAM, "update", SHAPE, "fw_1", ("phone", "terms"))


@pytest.mark.parametrize("operation", ["create", "update"])
def test_a_broken_builder_is_caught(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutation: the builder takes the protected field for one of the write set's."""
    sound = fields.write_set

    def broken(stream: Stream, operation: str) -> tuple[str, ...]:
        return (*sound(stream, operation), "terms")  # type: ignore[arg-type]

    monkeypatch.setattr(fields, "write_set", broken)
    with pytest.raises(GuardViolation, match="protected column 'terms'"):
        statement(STREAM, operation, SHAPE, "fw_1", ("phone", "terms"))  # type: ignore[arg-type]


def test_a_write_set_that_itself_holds_a_protected_column_is_caught() -> None:
    """Mutation: the folding of the rules lets a protected field into the update set."""
    stream = replace(STREAM, update_fields=("phone", "terms"))
    with pytest.raises(GuardViolation, match="protected column 'terms'"):
        statement(stream, "update", SHAPE, "fw_1", ("phone", "terms"))


def test_a_builder_that_overwrites_existing_rows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def overwriting(*_: object) -> exp.OnConflict:
        text = "INSERT INTO x (ext) VALUES (1) ON CONFLICT (ext) DO UPDATE SET phone = 1"
        found = sqlglot.parse_one(text, dialect="postgres").find(exp.OnConflict)
        assert found is not None
        return found

    monkeypatch.setattr(statements, "_conflict", overwriting)
    with pytest.raises(GuardViolation, match="overwrites"):
        built("create")


def test_a_row_that_could_not_be_found_again_is_not_created() -> None:
    with pytest.raises(GuardViolation, match="nothing sets id"):
        built("create", replace(STREAM, external_id=None))
    with pytest.raises(GuardViolation, match="but constants"):
        built("create", replace(STREAM, constants={"name": "x"}, conflict=("name",)), ("phone",))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("public.party", ("public", "party")),
        ("public.Party", ("public", "Party")),
        ("party", ("party",)),
        ('"my.schema"."My ""Table"""', ("my.schema", 'My "Table"')),
        ('sales."a.b"', ("sales", "a.b")),
    ],
)
def test_names_are_taken_exactly(name: str, parts: tuple[str, ...]) -> None:
    assert table_parts(name) == parts
    assert qualified(name) == (parts if len(parts) > 1 else ("public", *parts)), "no search_path decides"


def write(operation: str, **changes: object) -> Write:
    plain = Write(1, "r", "public.party", operation, "1", {"phone": "1"})  # type: ignore[arg-type]
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "stream"),
    [
        (write("update", values={"terms": "x"}), STREAM),
        (write("create", values={"terms": "x"}), STREAM),
        (write("update", key=None), STREAM),
        (write("update", stream="public.other"), STREAM),
        (write("create"), replace(STREAM, creates=False)),
        (write("delete"), replace(STREAM, on_retire="keep")),
        (write("update", key="[1"), replace(STREAM, key=("a", "b"))),
    ],
)
def test_a_write_outside_the_rules_is_a_bug(bad: Write, stream: Stream) -> None:
    system = System("erp", 0, postgres(), {"public.party": stream})
    with pytest.raises(GuardViolation):
        [rows(group, 0) for group in arrange(system, depths(system), [bad])[0]]


def test_order_is_parents_first_and_deletes_last_the_other_way_round() -> None:
    child = replace(
        STREAM, name="public.address", parent="public.party", parent_columns=("party_id",), conflict=("party_id",)
    )
    customer = FieldMap("name", "name", reference="public.party")
    other = replace(STREAM, name="public.a_invoice", fields={**STREAM.fields, "name": customer})
    system = System("erp", 0, postgres(), {s.name: s for s in (other, child, STREAM)})
    operations = ("delete", "update", "create")
    writes = [write(operation, stream=name, parent_key="1") for operation in operations for name in system.streams]
    groups, rejected = arrange(system, depths(system), writes)
    assert not rejected
    order = [(g.operation, g.stream.name) for g in groups]
    assert order[0] == ("create", "public.party")
    assert order[-1] == ("delete", "public.party")
    assert [operation for operation, _ in order] == ["create"] * 3 + ["update"] * 3 + ["delete"] * 3


def test_references_in_a_circle_still_have_an_order() -> None:
    a = replace(STREAM, name="a", fields={"phone": FieldMap("phone", "phone", reference="b")})
    b = replace(STREAM, name="b", fields={"phone": FieldMap("phone", "phone", reference="a")})
    self_referring = replace(STREAM, name="c", fields={"phone": FieldMap("phone", "phone", reference="c")})
    assert depths(System("s", 0, postgres(), {"a": a, "b": b, "c": self_referring}))["c"] == 0


def test_a_child_whose_parent_has_no_key_is_rejected_alone() -> None:
    child = replace(STREAM, name="x", parent="public.party", parent_columns=("party_id",))
    system = System("erp", 0, postgres(), {"x": child})
    groups, rejected = arrange(system, depths(system), [write("create", stream="x", key=None)])
    assert not groups
    assert [(r.status, r.reason) for r in rejected] == [("rejected", "its row in public.party has no key here yet")]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (["1", None, ""], "1\t\\N\t\n"),
        (["1", "\\N", "a\\"], "1\t\\\\N\ta\\\\\n"),
        (["1", "a\tb", "c\nd\re"], "1\ta\\tb\tc\\nd\\re\n"),
        (["1", "\\.", None], "1\t\\\\.\t\\N\n"),
        (["1", "\x02é😀", "\x0b"], "1\t\x02é😀\t\x0b\n"),
    ],
)
def test_copy_text_is_exact(row: list[str | None], text: str) -> None:
    assert copy_text([row]) == text
    assert copy_text([["0", "plain", "x"], row]) == "0\tplain\tx\n" + text


def test_touched_columns_are_named_once() -> None:
    assert touched(STREAM) == (("id", "ext", "phone", "name"), ())
