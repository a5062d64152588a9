"""The guard reads the write set back out of the statement's text, and believes nothing else."""

from __future__ import annotations

import pytest

from fieldwarden.engine.guard import GuardViolation, check_question, check_statement, columns
from fieldwarden.rules.rulebook import FieldMap, Stream

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
        ("create", "INSERT INTO public.party (ext, phone, terms) SELECT 1, 2, 3 ON CONFLICT(ext) DO NOTHING"),
        ("create", "WITH m AS (INSERT INTO public.party (ext) SELECT 1 RETURNING id) SELECT id FROM m"),
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


HOSTILE = [
    ('UPDATE public.party SET "phone"."city" = 1 WHERE id = 1', "a part of column 'phone'"),
    ("UPDATE public.party SET phone.city = 1 WHERE id = 1", "a part of column 'phone'"),
    ("UPDATE public.party SET phone[1] = 1 WHERE id = 1", "not a column"),
    ("UPDATE public.party SET phone[1:2] = 1 WHERE id = 1", "not a column"),
    ("UPDATE public.party SET phone = 1, phone = 2 WHERE id = 1", "a column twice"),
    ("UPDATE public.party SET phone = SETVAL('s', 1) WHERE id = 1", "the function setval()"),
    ("UPDATE public.party SET phone = NEXTVAL('s') WHERE id = 1", "the function nextval()"),
    ("UPDATE public.party SET phone = LO_IMPORT('/etc/passwd') WHERE id = 1", "the function lo_import()"),
    ("UPDATE public.party SET phone = 1 WHERE PG_READ_FILE('x') = '1'", "the function pg_read_file()"),
    ("UPDATE public.party SET phone = app.pay(1) WHERE id = 1", "holds"),
    ('UPDATE public.party SET phone = "array_to_json".pay(1) WHERE id = 1', "holds"),
    ("UPDATE public.party SET phone = 1 WHERE id = 1 RETURNING PG_TERMINATE_BACKEND(1)", "pg_terminate_backend()"),
    ("UPDATE public.party SET phone = 1 FROM DBLINK('x') AS i WHERE id = 1", "holds"),
    ("UPDATE public.party SET phone = 1 FROM GENERATE_SERIES(1, 9) AS i WHERE id = 1", "holds"),
    ("UPDATE public.party SET phone = (SELECT credit FROM bank LIMIT 1 OFFSET 1) WHERE id = 1", "holds"),
    ("UPDATE public.party SET phone = bank.credit FROM bank WHERE id = 1", "a column of bank"),
    ("UPDATE public.party SET phone = CURRENT_USER WHERE id = 1", "holds"),
    ("UPDATE public.party SET phone = 1 WHERE id = 1 /* AND name = 2 */", "a comment"),
    ("UPDATE public.party SET phone = 1 WHERE id = 1 -- AND name = 2", ""),
    ("UPDATE ONLY public.party SET phone = 1 WHERE id = 1", ""),
    ("UPDATE public.party * SET phone = 1 WHERE id = 1", ""),
    ("update public.party set phone = 1 where id = 1", "not spelled"),
    ("UPDATE public.party SET phone = 1 WHERE CURRENT OF c", ""),
    ("MERGE INTO public.party AS t USING i ON t.id = i.k WHEN MATCHED THEN UPDATE SET terms = 1", "exactly one"),
    ("WITH x AS (DELETE FROM public.party RETURNING id) SELECT id FROM x", "not exactly one update"),
    ("EXPLAIN ANALYZE UPDATE public.party SET phone = 1 WHERE id = 1", "exactly one statement"),
    ("DO $$ BEGIN UPDATE public.party SET terms = 1; END $$", ""),
    ("CALL app.pay(1)", "exactly one statement"),
    ("COPY public.party FROM PROGRAM 'id'", "exactly one statement"),
    ("SELECT 1 INTO x", ""),
    ("VALUES (1)", "exactly one statement"),
    ("", "exactly one statement"),
]


@pytest.mark.parametrize(("statement", "why"), HOSTILE)
def test_what_is_no_part_of_our_statements_is_refused_by_name(statement: str, why: str) -> None:
    with pytest.raises(GuardViolation, match="nothing was sent") as raised:
        check_statement(STREAM, "update", TABLE, statement)
    assert why in raised.value.message


@pytest.mark.parametrize(
    "conflict",
    [
        "ON CONFLICT(ext) DO UPDATE SET phone = 1",
        "ON CONFLICT(id) DO UPDATE SET terms = 1",
        "ON CONFLICT ON CONSTRAINT party_ext_key DO UPDATE SET terms = 1",
        "ON CONFLICT(ext) DO SELECT",
        "OVERRIDING SYSTEM VALUE",
    ],
)
def test_a_row_that_is_there_is_never_overwritten(conflict: str) -> None:
    with pytest.raises(GuardViolation, match="nothing was sent"):
        check_statement(STREAM, "create", TABLE, f"INSERT INTO public.party (ext, phone) SELECT 1, 2 {conflict}")


@pytest.mark.parametrize(
    "question",
    [
        "SELECT id FROM public.party; DROP TABLE public.party",
        "WITH x AS (DELETE FROM public.party AS t RETURNING id) SELECT id FROM x",
        "UPDATE public.party SET phone = 1 WHERE id = 1",
        "SELECT SETVAL('s', 1)",
        "SELECT id INTO copy FROM public.party",
        "SELECT PG_ADVISORY_LOCK(1)",
        "SELECT id FROM public.party /* x */",
    ],
)
def test_a_question_only_asks(question: str) -> None:
    check_question(STREAM, 'SELECT t.id FROM public.party AS t WHERE t.id = 1 FOR UPDATE OF "t"')
    with pytest.raises(GuardViolation, match="nothing was sent"):
        check_question(STREAM, question)


def test_a_constant_or_external_id_may_not_be_a_protected_column() -> None:
    stream = Stream("s", "public.party", "c", ("id",), {}, external_id="ext", protected_columns=frozenset({"ext"}))
    with pytest.raises(GuardViolation, match="protected column 'ext'"):
        check_statement(stream, "create", TABLE, "INSERT INTO public.party (ext) SELECT 1")
