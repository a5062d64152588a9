"""What a person writes as a condition is an expression and nothing else, whoever is asked to read by it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.condition import ConditionRefused, check_condition
from fieldwarden.connectors.postgres.looking.probe import probe
from fieldwarden.operations.backfill import condition_of
from fieldwarden.rules.debezium_options import contradictions
from fieldwarden.rules.expressions import Expression, parse
from fieldwarden.rules.rulebook import System
from tests.builders import debezium
from tests.integration.target_world import stream

CRM = System("crm", 0, debezium(database="postgres"), {})
MYSQL = System("shop", 0, debezium(database="mysql"), {})


@pytest.fixture
def clerk(database: str, make_role: Callable[..., str]) -> str:
    """The connection string of a role that may do more than ours: its schema is its own, with all that is in it."""
    dsn = make_role(database, "alter schema public owner to {}")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            "create type mood as enum ('sad', 'glad');"
            "create table account (id int primary key, name text, active bool, updated_at timestamptz, boss int,"
            " mood mood);"
            "create table noted (what text);"
            "create function note() returns bool language sql as 'insert into noted values (''x'') returning true';"
            "create function evil() returns bool immutable language plpgsql as 'begin return note(); end';"
            "create function same(mood, mood) returns bool language sql as 'select note()';"
            "create operator = (leftarg = mood, rightarg = mood, function = same);"
            "insert into account values (1, 'a', true, now(), 1, 'sad')"
        )
    return dsn


def made(dsn: str) -> tuple[int, ...]:
    with psycopg.connect(dsn) as person:
        row = person.execute(
            "select (select count(*) from pg_class where relname = 'hacked'), (select count(*) from noted),"
            " (select count(*) from account)"
        ).fetchone()
    assert row is not None
    return row


HOSTILE = [
    "true; commit; create table hacked (id int)",
    "true; drop table account",
    "true) union select 1 from (select 1",
    "true -- and id = 1\n; create table hacked (id int)",
    "/* */ evil()",
    "evil()",
    "exists (select from noted)",
    "id in (select id from account)",
    "pg_sleep(100) is null",
    "pg_read_file('/etc/passwd') is null",
    "nextval('s') > 0",
    "set_config('x', 'y', false) = 'y'",
    "id = (delete from account returning id)",
    "id = $1",
    "id = ?",
    "account.id = 1",
    "current_user = 'x'",
    "name::regclass is null",
    r"name = 'a\'",
    "E'\\'' = name",
    "$$x$$ = name; commit",
    "id = 1 order by id",
    "id = 1 limit 1",
    "id = 1 for update",
    "",
    ";",
]


@pytest.mark.parametrize("where", HOSTILE)
def test_what_is_no_expression_is_refused_before_anybody_is_asked(where: str, clerk: str) -> None:
    with pytest.raises(ConditionRefused) as refused:
        condition_of(CRM, where)
    assert "coalesce" in refused.value.suggestion, "it says what is allowed"
    assert made(clerk) == (0, 0, 1)


@pytest.mark.parametrize(
    "text",
    ["true; commit; create table hacked (id int)", "true; create table hacked (id int)", "evil()"],
)
async def test_the_second_line_holds_where_the_first_does_not(
    text: str, clerk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation: free text comes through as an expression. The role may write; the statement cannot."""
    with psycopg.connect(clerk, autocommit=True) as person:
        person.execute(f"select 1 where {text.replace('hacked', 'proof')}".encode())
        person.execute("drop table if exists proof; truncate noted")  # the text works, executed as it is
    monkeypatch.setattr(Expression, "condition", lambda *_: text)
    with pytest.raises(ConditionRefused, match=r"multiple commands|read-only transaction"):
        await check_condition("crm", clerk, "public.account", parse("true"))
    assert made(clerk) == (0, 0, 1)


@pytest.mark.parametrize(
    ("where", "sent"),
    [
        ("id between 7 and 9 or Name = 'it''s'", """("id" BETWEEN 7 AND 9) OR ("name" = 'it''s')"""),
        ("active and updated_at > '2026-01-01'", """"active" AND ("updated_at" > '2026-01-01')"""),
        ("name like 'c1%' -- the first", """"name" LIKE 'c1%'"""),
    ],
)
async def test_what_is_sent_is_rendered_from_what_was_understood(where: str, sent: str, clerk: str) -> None:
    expression, text = condition_of(CRM, where)
    assert text == sent
    await check_condition("crm", clerk, "public.account", expression)


async def test_a_column_that_is_not_there_is_named_with_the_one_that_is_meant(clerk: str) -> None:
    with pytest.raises(ConditionRefused, match=r"public\.account has no column 'activ'") as refused:
        await check_condition("crm", clerk, "public.account", parse("activ and id = 1"))
    assert refused.value.suggestion == "did you mean active?"
    with pytest.raises(ConditionRefused, match="crm does not understand"):
        await check_condition("crm", clerk, "public.account", parse("active = 7"))


def test_mysql_is_asked_in_its_own_words_or_not_at_all() -> None:
    assert condition_of(MYSQL, "first || last = 'ab'")[1] == "(CONCAT(`first`, `last`)) = 'ab'"
    with pytest.raises(ConditionRefused, match="mysql cannot be asked that"):
        condition_of(MYSQL, "made at time zone 'UTC' > '2026-01-01'")


async def test_doctor_only_reads_whatever_the_database_makes_of_an_expression(clerk: str) -> None:
    """Its owner has given `=` a meaning of its own, which writes with the rights of whoever compares."""
    children = stream(
        "public.account",
        ("name",),
        where=parse("mood = 'sad'"),
        external_id=None,
        creates=False,
        parent="public.account",
        parent_columns=("boss",),
    )
    found = await probe(System("crm", 0, debezium(slot="s", publication="p"), {"children": children}), clerk)
    assert any("SQLSTATE 25006" in each.message for each in found), found  # read_only_sql_transaction
    assert made(clerk) == (0, 0, 1)
    with psycopg.connect(clerk, autocommit=True) as person:
        person.execute("select from account where mood = 'sad'")
    assert made(clerk) == (0, 1, 1), "the trap works"


def test_sql_of_its_own_is_no_option_of_a_connector() -> None:
    options = {
        "heartbeat.action.query": "update x set y = 1",
        "database.initial.statements": "drop table x",
        "snapshot.select.statement.overrides": "public.account",
        "snapshot.select.statement.overrides.public.account": "select 1",
    }
    assert {each.option for each in contradictions(options) if each.level == "error"} == set(options)
    assert not [each for each in contradictions({"heartbeat.action.query": ""}) if "SQL" in each.message]
