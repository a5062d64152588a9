"""A protected column is reached by nobody else's write, under whatever name, view, part or system: on a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fieldwarden.connectors.postgres.reach import origins
from fieldwarden.connectors.postgres.writing.protecting import Owners, ProtectedColumn
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.ports.target import answers
from tests.integration.cli_project import Shop
from tests.integration.protected_world import conflicts_of, laid_out, limits, rules, second, tried, update
from tests.integration.target_world import MARK


@pytest.fixture
def shared(database: str) -> str:
    return laid_out(database)


REACHING = [
    ("renamed", "lim"),
    ("twice", "deep"),
    ("app.party", "credit_limit"),
    ('"public"."renamed"', "lim"),
    ("heir", "credit_limit"),
    ("inbox", "note"),
    ("hidden", "tel"),
    ("over_hidden", "tel"),
    ("outbox", "tel"),
]


@pytest.mark.long
@pytest.mark.parametrize(("table", "column"), REACHING)
async def test_no_other_name_leads_to_it(table: str, column: str, shared: str) -> None:
    key: dict[str, Any] = {"key": "key"} if table == "twice" else {}
    rulebook = rules(table, column, **key)
    with pytest.raises(ProtectedColumn) as raised:
        await tried(shared, rulebook)
    assert f"erp vendors: 'rating' writes column {column!r}, which is the column 'credit_limit'" in raised.value.message
    assert "erp customers reads the protected field 'credit_limit' from" in raised.value.message
    assert raised.value.path == "erp.vendors"
    assert limits(shared) == [(1, "100"), (2, "200")]
    assert [each.write.column for each in await conflicts_of(rulebook, {"erp": shared})] == [column]


async def test_without_the_check_a_view_would_have_led_there(shared: str) -> None:
    """Mutation: the target has no owners to ask about."""
    target = PostgresTarget(rules("twice", "deep", key="key").systems["erp"], shared, MARK)
    await answers(target, [update()])
    await target.close()
    assert limits(shared)[0] == (1, "999999")


@pytest.mark.parametrize(
    ("table", "column", "more"),
    [
        ("renamed", "tel", {}),
        ("twice", "tel", {"key": "key"}),
        ("computed", "phone", {}),
        ("elsewhere", "credit_limit", {}),
        ("party", "phone", {}),
        ("party", "credit_limit", {"apart": True}),
    ],
)
async def test_what_reaches_another_column_or_other_rows_goes_on(
    table: str, column: str, more: dict[str, Any], shared: str
) -> None:
    rulebook = rules(table, column, **more)
    (result,) = await tried(shared, rulebook)
    assert result.status in ("applied", "missing"), result
    assert limits(shared) == [(1, "100"), (2, "200")]
    assert await conflicts_of(rulebook, {"erp": shared}) == []


@pytest.mark.parametrize(
    ("owner", "table", "reaches"),
    [("ledger", "ledger_a", True), ("ledger_a", "ledger", True), ("ledger_a", "ledger_b", False)],
)
async def test_a_part_is_its_whole_and_no_other_part(owner: str, table: str, reaches: bool, shared: str) -> None:
    rulebook = rules(table, "credit_limit", owner=owner)
    assert bool(await conflicts_of(rulebook, {"erp": shared})) is reaches
    if reaches:
        with pytest.raises(ProtectedColumn):
            await tried(shared, rulebook)


async def test_what_a_protected_column_is_generated_from_is_it(shared: str) -> None:
    [conflict] = await conflicts_of(rules("renamed2", "b", owned="net"), {"erp": _with_view(shared)})
    assert (conflict.write.column, conflict.read.column) == ("b", "net")
    assert await conflicts_of(rules("renamed", "tel", owned="net"), {"erp": shared}) == []


def _with_view(dsn: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("create view renamed2 as select id, base as b from party")
    return dsn


@pytest.fixture
def writer(shared: str, make_role: Callable[..., str]) -> str:
    """A role that may write a view, and knows nothing of the table below it."""
    return make_role(shared, "grant select, update on renamed, twice to {}")


async def test_a_role_that_sees_nothing_but_the_view_is_told_all_the_same(writer: str, shared: str) -> None:
    with psycopg.connect(writer) as person, pytest.raises(psycopg.errors.InsufficientPrivilege):
        person.execute("select from party")
    with pytest.raises(ProtectedColumn):
        await tried(writer, rules("twice", "deep", key="key"))
    assert limits(shared) == [(1, "100"), (2, "200")]


@pytest.fixture
def outsider(shared: str, make_role: Callable[..., str]) -> str:
    """A role that may use a view, and not even the schema of what is below it."""
    return make_role(shared, "grant usage on schema api to {}", "grant select, update (lim, tel) on api.customer to {}")


async def test_a_view_over_a_schema_that_its_writer_may_not_use_is_written_and_seen_through(
    outsider: str, shared: str
) -> None:
    with psycopg.connect(outsider) as person, pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema priv"):
        person.execute("select from priv.customer")
    for rulebook in (rules("api.customer", "tel", owner="priv.customer"), rules("api.customer", "tel", owner="party")):
        (result,) = await tried(outsider, rulebook)
        assert result.status == "applied", result
    rulebook = rules("api.customer", "tel", owner="api.customer", owned="lim")
    (result,) = await tried(outsider, rulebook)
    assert result.status == "applied", result
    with pytest.raises(ProtectedColumn):
        await tried(outsider, rules("api.customer", "lim", owner="priv.customer"))
    for owned in ("said", "top"):  # computed: of whatever the view speaks of
        with pytest.raises(ProtectedColumn):
            await tried(outsider, rules("api.customer", "tel", owner="api.customer", owned=owned))
    with psycopg.connect(shared) as person:
        assert person.execute("select credit_limit from priv.customer").fetchall() == [("100",)]


VIEWS = """
create view odd as select id as "resorigtbl", phone as ":resorigtbl", 'a{b}' as "} :resjunk", credit_limit from party;
create view several as select id, phone from party union all select id, note from inbox;
create view inner_query as with w as (select id as k, phone || 'x' as x, kind from party)
    select x, kind, k, (select max(id) from inbox) from w where k in (select id from inbox) order by x || kind;
create view outer_join as select p.*, i.lim as "it""s" from party p left join inbox i using (id);
create view grouped as select kind, count(*) as n from party group by kind having max(phone) > '' order by max(phone);
create materialized view kept as select id, phone from party
"""


def test_the_stored_query_of_a_view_says_what_the_server_says_of_its_columns(shared: str) -> None:
    """The oracle is the server, which describes the query's result to whoever may ask."""
    with psycopg.connect(shared, autocommit=True) as owner:
        owner.execute(VIEWS)
        views = owner.execute(
            "select pg_get_viewdef(c.oid), r.ev_action::text from pg_class c join pg_rewrite r on r.ev_class = c.oid"
            " where r.ev_type = '1' and c.oid >= 16384 or c.relname in ('pg_stats', 'pg_locks', 'columns')"
            " and r.ev_type = '1' and c.relkind = 'v'"
        ).fetchall()
        assert len(views) > 15
        for query, tree in views:
            owner.pgconn.prepare(b"", query.encode())
            said = owner.pgconn.describe_prepared(b"")
            assert origins(tree) == [(said.ftable(each), said.ftablecol(each)) for each in range(said.nfields)], query


async def test_a_table_that_is_not_there_is_no_table_without_protection(shared: str) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"vendors writes table public\.nowhere, which is not there") as raised:
        await tried(shared, rules("nowhere", "credit_limit"))
    assert raised.value.path == "erp.vendors"


@pytest.mark.parametrize(
    ("table", "column"), [("party", "credit_limit"), ("renamed", "lim"), ('"public"."party"', "credit_limit")]
)
async def test_a_second_system_with_the_same_database_is_found_out(
    table: str, column: str, shared: str, over_tcp: Callable[[str], str]
) -> None:
    """By what the server says of itself: the connection strings name two hosts."""
    erp, erp2 = make_conninfo(over_tcp(shared), host="127.0.0.1"), make_conninfo(over_tcp(shared), host="localhost")
    rulebook, write = second(table, column), update(table, "credit_limit")
    with pytest.raises(ProtectedColumn, match="erp party reads the protected field"):
        await tried(erp2, rulebook, "erp2", write, erp=erp)
    assert [each.write.system for each in await conflicts_of(rulebook, {"erp": erp, "erp2": erp2})] == ["erp2"]
    assert limits(shared) == [(1, "100"), (2, "200")]


async def test_names_with_dots_are_not_mixed_up(shared: str) -> None:
    """`"x.y"` in public is not y in the schema "public.x"."""
    rulebook = second('"public.x".y', "credit_limit", '"x.y"')
    (result,) = await tried(shared, rulebook, "erp2", update('"public.x".y', "credit_limit"), erp=shared)
    assert result.status == "missing"
    assert await conflicts_of(rulebook, {"erp": shared, "erp2": shared}) == []
    assert await conflicts_of(second('"public"."x.y"', "credit_limit", '"x.y"'), {"erp": shared, "erp2": shared})


async def test_a_database_with_the_same_tables_is_another(shared: str, make_database: Callable[..., str]) -> None:
    """As every copy of an application has them."""
    copy = laid_out(make_database())
    rulebook, write = second("party", "credit_limit"), update("party", "credit_limit")
    (result,) = await tried(copy, rulebook, "erp2", write, erp=shared)
    assert result.status == "applied"
    assert await conflicts_of(rulebook, {"erp": shared, "erp2": copy}) == []
    assert limits(shared) == [(1, "100"), (2, "200")]


async def test_once_the_view_is_gone_the_target_writes(shared: str) -> None:
    """It is asked anew by each session: nothing has to be restarted."""
    rulebook = rules("renamed", "lim")
    target = PostgresTarget(rulebook.systems["erp"], shared, MARK, None, Owners(rulebook, {"erp": shared}))
    with pytest.raises(ProtectedColumn):
        await answers(target, [update()])
    with psycopg.connect(shared, autocommit=True) as owner:
        owner.execute("drop view renamed cascade; create table renamed (id int primary key, lim text)")
    (result,) = await answers(target, [update()])
    await target.close()
    assert result.status == "missing"


VENDOR = """\
entity: vendor
fields: {rating: {type: text, strategy: source_priority, order: [crm, erp]}}
"""


@pytest.mark.long
def test_doctor_and_plan_name_both_places(shop: Shop) -> None:
    shop.sql("erp", "create view party_view as select id, credit_limit as lim from party")
    shop.sql("crm", "create table vendor (id int primary key, rating text)")
    assert shop.invoke("onboard").exit_code == 0
    assert shop.invoke("apply").exit_code == 0
    (shop.folder / "entities/vendor.yaml").write_text(VENDOR)
    erp, crm = shop.folder / "systems/erp.yaml", shop.folder / "systems/crm.yaml"
    crm.write_text(f"{crm.read_text()}  vendor: {{entity: vendor, key: id, fields: {{rating: rating}}}}\n")
    vendors = "{table: party_view, entity: vendor, key: id, mode: target, fields: {rating: lim}}"
    erp.write_text(f"{erp.read_text()}  vendors: {vendors}\n")
    code, body = shop.call_here("doctor")
    [check] = [each for each in body["result"]["checks"] if each["subject"] == "protected"]
    assert (code, check["level"], check["about"]) == (2, "error", "erp")
    line = len(erp.read_text().splitlines())
    assert check["path"].startswith(f"systems/erp.yaml:{line}:")
    owner = next(number for number, text in enumerate(erp.read_text().splitlines(), 1) if "credit_limit" in text)
    assert f"(systems/erp.yaml:{owner}:" in check["message"]
    code, body = shop.call_here("plan")
    assert any("reads the protected field 'credit_limit' from" in each for each in body["result"]["warnings"]), body
