"""That the check of protected columns holds as long as a target writes, whoever does not answer: on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from fieldwarden.connectors.postgres import places
from fieldwarden.connectors.postgres.places import may_be_here
from fieldwarden.connectors.postgres.session import connect
from fieldwarden.connectors.postgres.writing.protecting import ColumnCheck, Owners, ProtectedColumn, live_conflicts
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.ports.target import answers
from fieldwarden.rules.rulebook import Rulebook
from tests.integration.cli_project import Shop
from tests.integration.protected_world import conflicts_of, laid_out, limits, rules, second, tried, update
from tests.integration.target_world import MARK
from tests.patience import within

UNTOUCHED = [(1, "100"), (2, "200")]


@pytest.fixture
def shared(database: str) -> str:
    return laid_out(database)


def change(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(statements.encode())


@asynccontextmanager
async def writing(dsn: str, rulebook: Rulebook, system: str = "erp", **dsns: str) -> AsyncIterator[PostgresTarget]:
    """A target that looks again before each transaction."""
    target = PostgresTarget(
        rulebook.systems[system], dsn, MARK, None, Owners(rulebook, {"erp": dsn} | dsns), look_seconds=0
    )
    try:
        yield target
    finally:
        await target.close()


# --- what becomes of the database under a session ---------------------------------------------------------------

AS_IT_WAS = """
create table plain (id int primary key, tel text, more text); insert into plain values (1);
create table ruled (id int primary key, tel text); insert into ruled values (1);
create rule also as on update to ruled do also update party set phone = new.tel;
create view over as select id, tel from renamed; create view app.own as select id, tel from plain;
create view switched as select id, credit_limit as tel from public.party;
create schema turned; create view turned.own as select id, credit_limit as tel from public.party;
create function nothing() returns trigger language plpgsql as 'begin return new; end';
create view triggered as select id, phone as tel from party;
create trigger before before update on triggered for each statement execute function nothing()
"""
RENAMED = "alter view renamed rename column tel to x; alter view renamed rename column lim to tel"


@pytest.mark.long
@pytest.mark.parametrize(
    ("table", "statements"),
    [
        ("renamed", RENAMED),
        ("renamed", "create or replace view renamed as select id, phone as lim, credit_limit as tel from party"),
        ("renamed", "drop view renamed cascade; create view renamed as select id, credit_limit as tel from party"),
        ("renamed", "alter view renamed rename to other; alter view switched rename to renamed"),
        ("app.own", "alter schema app rename to was; create schema app; alter view switched set schema app;"
                    "alter view app.switched rename to own"),
        ("app.own", "alter schema app rename to was; alter schema turned rename to app"),
        ("over", "create or replace view renamed as select id, phone as lim, credit_limit as tel from party"),
        ("plain", "create rule also as on update to plain do also update party set credit_limit = new.tel"),
        ("ruled", "create or replace rule also as on update to ruled do also update party set credit_limit = new.tel"),
        ("triggered", "create trigger t instead of update on triggered for each row execute function anything()"),
        ("plain", "create table joining (id int, credit_limit text); alter table joining rename credit_limit to tel;"
                  "alter table plain rename to gone; alter table party rename credit_limit to tel;"
                  "alter table party rename to plain; create view party as select id, tel as credit_limit from plain"),
        ("over", "create trigger t instead of update on renamed for each row execute function anything()"),
    ],
)  # fmt: skip
async def test_a_view_that_comes_to_lead_there_is_seen_within_the_session(
    table: str, statements: str, shared: str
) -> None:
    change(shared, AS_IT_WAS)
    async with writing(shared, rules(table, "tel")) as target:
        assert (await answers(target, [update()]))[0].status == "applied"
        change(shared, statements)
        with pytest.raises(ProtectedColumn):
            await answers(target, [update()])
        with pytest.raises(ProtectedColumn):
            await answers(target, [update()])


PARTS = """
create table top (id int, credit_limit text); create table first_part () inherits (top);
create table middle (id int, credit_limit text); create table leaf () inherits (middle); insert into top values (1);
create table ledger_c (like ledger); insert into ledger_c values (1, '100', null, 'c')
"""


@pytest.mark.parametrize(
    ("table", "owner", "statement"),
    [
        ("ledger_c", "ledger", "alter table ledger attach partition ledger_c for values in ('c')"),
        ("top", "leaf", "alter table middle inherit top"),
    ],
)
async def test_what_becomes_a_part_is_seen(table: str, owner: str, statement: str, shared: str) -> None:
    change(shared, PARTS)
    async with writing(shared, rules(table, "credit_limit", owner=owner)) as target:
        assert (await answers(target, [update()]))[0].status == "applied"
        change(shared, statement)
        with pytest.raises(ProtectedColumn):
            await answers(target, [update()])


async def test_what_changes_elsewhere_or_for_the_better_goes_on(shared: str) -> None:
    async with writing(shared, rules("renamed", "tel")) as target:
        await answers(target, [update()])
        for statements in (
            "create table another (id int); truncate elsewhere; alter table inbox add more text",
            "alter view renamed rename lim to limited; alter table party add more text; vacuum party",
            "create or replace view renamed as select id, credit_limit as limited, phone as tel from party where true",
        ):
            for statement in statements.split(";"):
                change(shared, statement)
            (result,) = await answers(target, [update()])
            assert result.status == "applied"
    assert limits(shared) == UNTOUCHED


class Counted(psycopg.AsyncCursor[Any]):
    """Counts what is asked."""

    asked = 0

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        Counted.asked += 1
        return await super().execute(*args, **kwargs)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
    async with await connect("erp", dsn) as connection:
        yield connection


async def test_it_costs_a_session_one_query_every_few_seconds(shared: str) -> None:
    now, rulebook = [100.0], rules("renamed", "tel")
    check = ColumnCheck(rulebook.systems["erp"], Owners(rulebook, {"erp": shared}), 5.0, lambda: now[0])
    async with session(shared) as connection:
        await check.begin(connection)
        connection.cursor_factory = Counted
        Counted.asked = 0
        for _ in range(10):
            now[0] += 0.49
            await check.again(connection)
        assert Counted.asked == 0
        now[0] += 0.2
        await check.again(connection)
        assert Counted.asked == 1
        change(shared, RENAMED)
        now[0] += 4.9
        await check.again(connection)
        assert Counted.asked == 1
        now[0] += 0.2
        with pytest.raises(ProtectedColumn):
            await check.again(connection)


# --- owners that do not answer ----------------------------------------------------------------------------------


async def test_where_the_owner_may_be_this_database_nothing_is_written_until_it_answers(
    shared: str, over_tcp: Callable[[str], str]
) -> None:
    """Its reading role cannot log in; and the two strings name the host differently."""
    role = f"late_{conninfo_to_dict(shared)['dbname']}"
    rulebook, write = second("party", "credit_limit"), update("party", "credit_limit")
    erp2 = make_conninfo(over_tcp(shared), host="127.0.0.1")
    async with writing(erp2, rulebook, "erp2", erp=make_conninfo(shared, user=role)) as target:
        for _ in range(2):
            with pytest.raises(TransientError, match="erp does not answer: it may be the same database") as raised:
                await answers(target, [write])
            assert raised.value.path == "erp2"
        change(shared, f"create role {role} login")
        with pytest.raises(ProtectedColumn):
            await answers(target, [write])
        change(shared, f"drop role {role}")
        with pytest.raises(ProtectedColumn):  # it has said what it is
            await answers(target, [write])
    assert limits(shared) == UNTOUCHED


@pytest.mark.parametrize(
    "elsewhere",
    ["host=127.0.0.1 port=1 dbname=another", "host=nowhere.invalid dbname=OURS", "host=/nowhere dbname=another"],
)
async def test_an_owner_that_is_clearly_elsewhere_holds_up_nobody_while_it_is_down(elsewhere: str, shared: str) -> None:
    """As every other copy of an application: its tables have the same names."""
    rulebook, write = second("party", "credit_limit"), update("party", "credit_limit")
    erp = elsewhere.replace("OURS", str(conninfo_to_dict(shared)["dbname"]))
    (result,) = await tried(shared, rulebook, "erp2", write, erp=erp)
    assert result.status == "applied"


async def test_nor_does_one_that_takes_a_connection_and_says_nothing(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_PATIENCE", 0.1)
    rulebook, write = second("party", "credit_limit"), update("party", "credit_limit")
    silence = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silence.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        erp = f"host=127.0.0.1 port={port} dbname=another connect_timeout=0"
        async with within():
            (result,) = await tried(shared, rulebook, "erp2", write, erp=erp)
        silence.set()
    assert result.status == "applied"


@pytest.mark.long
@pytest.mark.parametrize(
    ("changed", "may"),
    [
        ({"port": "1"}, True),  # a pooler has its own
        ({"host": "localhost"}, True),
        ({"host": "127.0.0.1,db.invalid"}, True),
        ({"host": "db.invalid", "hostaddr": "127.0.0.1"}, True),
        ({"host": None}, True),
        ({"dbname": None}, True),
        ({"service": "erp", "host": None}, True),
        ({"dbname": "another"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "db.invalid"}, False),
    ],
)
async def test_a_connection_string_rules_out_what_it_names_otherwise(
    changed: Mapping[str, str | None], may: bool, database: str
) -> None:
    given = {name: value for name, value in {**conninfo_to_dict(database), **changed}.items() if value is not None}
    async with session(database) as connection:
        assert await may_be_here(connection, make_conninfo("", **given)) is may


async def test_what_no_connection_string_is_may_lead_anywhere(database: str) -> None:
    async with session(database) as connection:
        assert await may_be_here(connection, "postgresql://u:p@ss@host/x")


@pytest.fixture
def namesake(database: str) -> Iterator[str]:
    """A connection string to a database that does not name it: it is the one of the role's name."""
    given = conninfo_to_dict(database)
    name = f"namesake_{given['dbname']}"
    with psycopg.connect(database, autocommit=True) as owner:
        for statement in ("create role {} login", "create database {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))
        yield make_conninfo(host=given["host"], port=given["port"], user=name)
        for statement in ("drop database {} with (force)", "drop role {}"):
            owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


async def test_an_owner_that_has_said_that_it_is_elsewhere_is_believed_while_it_is_down(
    namesake: str, shared: str
) -> None:
    rulebook, now = second("party", "credit_limit"), [100.0]

    def check() -> ColumnCheck:
        return ColumnCheck(rulebook.systems["erp2"], Owners(rulebook, {"erp": namesake}), 5.0, lambda: now[0])

    heard = check()
    async with session(shared) as connection:
        await heard.begin(connection)
        change(shared, f"alter role {conninfo_to_dict(namesake)['user']} nologin")
        for _ in range(3):
            now[0] += 1000.0
            await heard.again(connection)
        with pytest.raises(TransientError):
            await check().begin(connection)


async def test_answers_of_before_are_worth_nothing_to_another_database(
    shared: str, make_database: Callable[..., str]
) -> None:
    """A server that was started anew calls itself otherwise, and is its own owner all the same."""
    copy, rulebook = laid_out(make_database()), second("party", "credit_limit")
    check = ColumnCheck(rulebook.systems["erp2"], Owners(rulebook, {"erp": shared}))
    async with session(copy) as connection:
        await check.begin(connection)
    async with session(shared) as connection:
        with pytest.raises(ProtectedColumn):
            await check.begin(connection)


async def test_sessions_that_are_opened_anew_do_not_ask_the_owners_again(shared: str) -> None:
    """The owner is a listener that says nothing and hangs up."""
    asked = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        writer.close()

    now, rulebook = [100.0], second("party", "credit_limit")
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        owners = Owners(rulebook, {"erp": f"host=127.0.0.1 port={port} dbname=another"})
        check = ColumnCheck(rulebook.systems["erp2"], owners, 5.0, lambda: now[0])
        for _ in range(3):
            async with session(shared) as connection:
                await check.begin(connection)
        first = len(asked)
        now[0] += 1000.0
        async with session(shared) as connection:
            await check.begin(connection)
    assert first > 0
    assert len(asked) == 2 * first


async def test_owners_are_asked_at_once(shared: str) -> None:
    """Each answers only when both have been asked."""
    waiting = asyncio.Barrier(2)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.close()

    rulebook = second("party", "credit_limit")
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        read, written = (f"host=127.0.0.1 port={port} dbname={name} gssencmode=disable" for name in ("a", "b"))
        check = ColumnCheck(rulebook.systems["erp2"], Owners(rulebook, {"erp": read}, {"erp": written}))
        async with session(shared) as connection, within():
            await check.begin(connection)


# --- systems that are written elsewhere than they are read ------------------------------------------------------


async def test_what_a_system_writes_is_looked_for_where_it_is_written(
    shared: str, make_database: Callable[..., str]
) -> None:
    copy, rulebook = laid_out(make_database()), second("party", "credit_limit")
    read_elsewhere = await conflicts_of(rulebook, {"erp": shared, "erp2": copy}, erp2=shared)
    assert [each.write.system for each in read_elsewhere] == ["erp2"]
    assert await conflicts_of(rulebook, {"erp": shared, "erp2": shared}, erp2=copy) == []


async def test_an_owner_that_is_written_here_is_here(shared: str, make_database: Callable[..., str]) -> None:
    """As one that is read from a standby."""
    rulebook, owners = second("party", "credit_limit"), {"erp": make_database()}
    check = ColumnCheck(rulebook.systems["erp2"], Owners(rulebook, owners, {"erp": shared}))
    async with session(shared) as connection:
        with pytest.raises(ProtectedColumn):
            await check.begin(connection)
    found = await conflicts_of(rulebook, owners | {"erp2": shared}, erp=shared)
    assert [each.write.system for each in found] == ["erp2"]


# --- what nobody could look at ----------------------------------------------------------------------------------


async def test_systems_that_do_not_answer_are_named(shared: str) -> None:
    rulebook = second("party", "credit_limit")
    found = await live_conflicts(rulebook, {"erp": make_conninfo(shared, port="1"), "erp2": shared}, {})
    assert found == ([], ["erp"])
    down = {"erp2": make_conninfo(shared, port="1")}
    found = await live_conflicts(rulebook, {"erp": shared, "erp2": shared}, down)
    assert found == ([], ["erp2"]), "what it writes was not seen"


@pytest.mark.long
def test_plan_says_what_was_not_checked(shop: Shop) -> None:
    assert shop.invoke("onboard").exit_code == 0
    assert shop.call_here("plan")[1]["result"]["warnings"] == []
    shop.environment["ERP_DSN"] = "postgresql://bob:hunter2@127.0.0.1:1/erp"
    del shop.environment["CRM_DSN"]
    code, body = shop.call_here("plan")
    assert code == 0
    assert body["result"]["warnings"] == [
        "protected columns of erp were not checked: it does not answer",
        "whether crm writes a protected column was not checked: its connection string refers to what is not known here",
    ]
