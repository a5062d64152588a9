"""The guard reads the write set back out of the statement's text, and believes nothing else."""

from __future__ import annotations

import pytest

from engine.guard import GuardViolation, check_statement, columns
from rules.rulebook import FieldMap, Stream

TABLE = ("public", "party")
STREAM = Stream(
    "erp",
    "public.party",
    "customer",
    ("id",),
    {name: FieldMap(name, name) for name in ("phone", "name", "terms", "Credit")},
    external_id="ext",
    creates=True,
    constants={"kind": "customer"},
    update_fields=("phone", "name"),
    create_fields=("phone", "name", "terms"),
    protected_columns=frozenset({"terms", "Credit"}),
)


def test_write_sets_come_from_the_rulebook_alone() -> None:
    assert columns(STREAM, "update") == {"phone", "name"}
    assert columns(STREAM, "create") == {"phone", "name", "terms", "ext", "kind"}
    assert columns(STREAM, "delete") == set()


@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("update", "UPDATE public.party AS t SET phone = i.n FROM pg_temp.i AS i WHERE t.id = i.k RETURNING i.ord"),
        ("update", 'UPDATE "public"."party" SET "phone" = 1, NAME = 2 WHERE id = 1'),
        ("create", "INSERT INTO public.party (ext, phone, terms) SELECT 1, 2, 3 ON CONFLICT (ext) DO NOTHING"),
        ("create", "WITH m AS (INSERT INTO public.party (ext) VALUES (1) RETURNING id) SELECT id FROM m"),
        ("delete", "DELETE FROM public.party AS t USING i WHERE t.id = i.k"),
    ],
)
def test_what_the_rules_allow_passes(operation: str, statement: str) -> None:
    check_statement(STREAM, operation, TABLE, statement)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("operation", "statement", "why"),
    [
        ("update", "UPDATE public.party SET phone = 1, terms = 2 WHERE id = 1", "protected column 'terms'"),
        ("update", "UPDATE public.party SET TERMS = 2 WHERE id = 1", "protected column 'terms'"),
        ("update", 'UPDATE public.party SET "Credit" = 2 WHERE id = 1', "protected column 'Credit'"),
        ("update", "UPDATE public.party SET (phone, terms) = (1, 2) WHERE id = 1", "not a column"),
        ("update", "UPDATE public.party SET kind = 2 WHERE id = 1", "outside its write set"),
        ("update", "UPDATE public.party SET phone = 1", "names no rows"),
        ("update", "UPDATE public.invoice SET phone = 1 WHERE id = 1", "writes to public.invoice"),
        ("update", "UPDATE other.public.party SET phone = 1 WHERE id = 1", "writes to"),
        ("update", "UPDATE party SET phone = 1 WHERE id = 1", "writes to party"),
        ("update", 'UPDATE public."Party" SET phone = 1 WHERE id = 1', "writes to public.Party"),
        ("update", "UPDATE public.party SET phone = 1 WHERE id = 1; SELECT 1", "exactly one statement"),
        ("update", "DELETE FROM public.party WHERE id = 1", "not exactly one update"),
        (
            "update",
            "WITH x AS (UPDATE public.party SET terms = 1 WHERE id = 1 RETURNING id) "
            "UPDATE public.party SET phone = 1 WHERE id = 1",
            "not exactly one update",
        ),
        ("update", "SELECT 1", "not exactly one update"),
        ("update", "TRUNCATE public.party", "not exactly one statement"),
        ("update", "ALTER TABLE public.party DISABLE TRIGGER ALL", "exactly one statement"),
        ("update", "UPDATE public.party SET phone = ((1 WHERE", "cannot be parsed"),
        ("create", 'INSERT INTO public.party (ext, "Credit") VALUES (1, 2)', "protected column 'Credit'"),
        ("create", "INSERT INTO public.party VALUES (1, 2)", "does not list its columns"),
        (
            "create",
            "INSERT INTO public.party (ext) VALUES (1) ON CONFLICT (ext) DO UPDATE SET terms = 1",
            "overwrites the row",
        ),
        ("delete", "DELETE FROM public.party", "names no rows"),
        ("delete", "UPDATE public.party SET phone = 1 WHERE id = 1", "not exactly one delete"),
    ],
)
def test_everything_else_is_refused(operation: str, statement: str, why: str) -> None:
    with pytest.raises(GuardViolation, match="nothing was sent") as raised:
        check_statement(STREAM, operation, TABLE, statement)  # type: ignore[arg-type]
    assert why in raised.value.message


def test_a_constant_or_external_id_may_not_be_a_protected_column() -> None:
    stream = Stream("s", "public.party", "c", ("id",), {}, external_id="ext", protected_columns=frozenset({"ext"}))
    with pytest.raises(GuardViolation, match="protected column 'ext'"):
        check_statement(stream, "create", TABLE, "INSERT INTO public.party (ext) VALUES (1)")
