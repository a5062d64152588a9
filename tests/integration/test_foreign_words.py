"""What a system's own code says (a trigger that raises, a function that fails) is that row's trouble and nobody else's
reading: it parks its row while all others go on, and its words are kept for whoever asks for values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.connectors.postgres import words
from fieldwarden.connectors.postgres.session import translated
from fieldwarden.connectors.postgres.writing import faults
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.engine.ports.target import WriteResult
from fieldwarden.rules.rulebook import Stream, System
from tests.builders import postgres
from tests.integration.cli_project import Shop
from tests.integration.target_world import MARK, PARTY, World, stream
from tests.patience import eventually

MakeRole = Callable[..., str]
EMAIL = "ada.planted@example.org"
RAISES = """
create function forbid() returns trigger language plpgsql as $$ begin
    if new.name like 'poison%' then
        raise exception 'never % at %', new.name, '{email}' using errcode = '{state}', detail = '{email}',
            hint = '{email}', column = '{email}', constraint = '{email}', table = '{email}', schema = 'public';
    end if;
    return new;
end $$;
create trigger forbid before insert or update on party for each row execute function forbid()
"""
PARKED_AT_ONCE = ("P0001", "42501", "42P01", "22023", "23505", "23P01", "28000", "XY123")
TRIED_AGAIN = ("08006", "40001", "40P01", "53300", "53100", "55P03", "57014", "57P01", "58030", "XX000")


async def trigger(world: World, state: str) -> None:
    world.person.execute(RAISES.format(email=EMAIL, state=state).encode())


@pytest.mark.parametrize("state", [*PARKED_AT_ONCE, *TRIED_AGAIN])
async def test_whatever_a_trigger_raises_for_a_row_is_that_rows_trouble(database: str, state: str) -> None:
    async with World(database) as world:
        await trigger(world, state)
        writes = [world.create(f"r-{n}", name=f"poison {n}" if n == 3 else f"n{n}") for n in range(8)]
        results = await world.write(*writes)
        assert [result.status for result in results] == ["applied"] * 3 + ["rejected"] + ["applied"] * 4
        bad = results[3]
        assert bad.later == (state in TRIED_AGAIN)
        assert state in bad.reason
        assert "function forbid" in bad.reason
        assert EMAIL not in repr(bad)
        assert bad.said.count(EMAIL) == 6, "message, detail, hint, column, constraint, table"
        assert "poison 3" in bad.said
        assert world.sql("select count(*) from party") == [(7,)]


@pytest.mark.parametrize("state", ["P0001", "08006"])
async def test_a_row_that_comes_alone_holds_nobody_up_either(database: str, state: str) -> None:
    async with World(database) as world:
        await trigger(world, state)
        result = await world.one(world.create(name="poison"))
        assert (result.status, result.later) == ("rejected", state == "08006")
        key = await world.made("r-2", name="fine", phone="1")
        result = await world.one(world.update(key, {"name": "fine", "phone": "1"}, name="poison", phone="2"))
        if state == "P0001":  # the field to blame is found, and the other one written
            assert (result.status, list(result.refused)) == ("applied", ["name"])
            assert EMAIL in result.said
            assert EMAIL not in repr(result)
        else:
            assert (result.status, result.later) == ("rejected", True)


LACKS = """
create table audit (what text);
create function note() returns trigger language plpgsql as $$ begin
    if new.name like 'poison%' then execute format('insert into audit values (%L)', new.name); end if;
    return new;
end $$;
create trigger note before insert or update on party for each row execute function note()
"""


@asynccontextmanager
async def lacking(
    database: str, make_role: MakeRole, *streams: Stream, ddl: str = PARTY
) -> AsyncIterator[tuple[World, str]]:
    """A target whose role has all but what the trigger of `party` needs for a row named poison; and the role."""
    async with World(database, *streams, ddl=ddl) as world:
        world.sql(LACKS)
        dsn = make_role(database, "grant select, insert, update, delete on party to {}")
        system = System("erp", 0, postgres(), world.streams)
        world.target = PostgresTarget(system, dsn, MARK)
        try:
            yield world, str(conninfo_to_dict(dsn)["user"])
        finally:
            await world.target.close()


async def test_what_a_trigger_lacks_for_one_row_is_that_rows_and_for_all_of_them_the_targets(
    database: str, make_role: MakeRole
) -> None:
    async with lacking(database, make_role) as (world, role):
        good, bad = await world.write(world.create("r-1", name="fine"), world.create("r-2", name=f"poison {EMAIL}"))
        assert (good.status, bad.status, bad.later) == ("applied", "rejected", True)
        assert "function note" in bad.reason
        assert EMAIL not in bad.reason
        assert EMAIL in bad.said, "the statement of its context"
        with pytest.raises(EnvironmentUnfit, match=r"function note met an error \(SQLSTATE 42501\)") as raised:
            await world.write(*(world.create(f"r-{n}", name=f"poison {EMAIL}") for n in range(3, 6)))
        assert EMAIL not in str(raised.value)
        world.sql(f"grant insert on audit to {role}")
        assert (await world.one(world.create("r-3", name="poison"))).status == "applied"


ADDRESS = "; create table addr (id bigint generated always as identity primary key, ext text unique, phone text)"


@pytest.mark.parametrize("beside", ["a create", "an update", "a delete"])
async def test_what_gets_through_elsewhere_tells_nothing_of_what_a_trigger_lacks(
    database: str, make_role: MakeRole, beside: str
) -> None:
    async with lacking(
        database, make_role, stream(), stream("public.addr", fields=("phone",)), ddl=PARTY + ADDRESS
    ) as given:
        world, role = given
        world.sql(f"grant select, insert, update, delete on addr to {role}")
        world.sql("insert into addr (phone) values ('4')")
        world.sql("insert into party (name) values ('fine'), ('fine')")
        other = {
            "a create": world.create("r-9", on="public.addr", phone="5"),  # the last group, by its stream
            "an update": world.update("1", {"name": "fine"}, name="better"),
            "a delete": world.delete("1"),
        }[beside]
        with pytest.raises(EnvironmentUnfit, match=r"erp public\.party: cannot write: .*function note") as raised:
            await world.write(*(world.create(f"r-{n}", name="poison") for n in range(3)), other)
        assert raised.value.path == "erp.public.party"
        assert world.row("array_agg(name)") == (["fine", "fine"],), "nothing was half done"
        assert world.row("array_agg(phone)", table="addr") == (["4"],)


async def test_a_write_that_calls_no_trigger_tells_nothing_of_what_it_lacks(database: str, make_role: MakeRole) -> None:
    async with lacking(database, make_role) as (world, _):
        world.sql("insert into party (name) values ('fine'), ('fine'), ('fine')")
        poison = world.update("1", {"name": "fine"}, name="poison")
        held, gone = world.update("2", {"name": "other"}, name="fine"), world.update("77", name="x")
        with pytest.raises(EnvironmentUnfit, match="function note"):
            await world.write(poison, held, gone)
        bad, good, _, _ = await world.write(poison, world.update("3", {"name": "fine"}, name="better"), held, gone)
        assert (bad.status, bad.later, good.status) == ("rejected", True, "applied")


async def test_a_lost_connection_is_everybodys_trouble_whatever_a_trigger_might_raise(database: str) -> None:
    ends = """create function ends() returns trigger language plpgsql as $$ begin
                  perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(60); return new; end $$;
              create trigger ends before insert on party for each row execute function ends()"""
    async with World(database) as world:
        world.sql(ends)
        with pytest.raises(TransientError):
            await world.write(world.create("r-1", name="a"), world.create("r-2", name="b"))
        world.sql("drop trigger ends on party")
        assert (await world.one(world.create("r-1", name="a"))).status == "applied"


STATEMENTS = {
    "raises": f"do $$begin raise exception '{EMAIL}' using errcode = '08006', detail = '{EMAIL}'; end$$",
    "a value that does not fit": f"select '{EMAIL}'::int",
    "a view that fails for one row": f"select fails('{EMAIL}')",
    "a statement in a function": f"do $$begin execute 'insert into nowhere values (''{EMAIL}'')'; end$$",
}


@pytest.mark.parametrize("what", STATEMENTS)
def test_no_error_of_a_source_or_a_target_quotes_what_code_of_the_database_says(database: str, what: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create function fails(text) returns int language plpgsql as $$begin return $1::int; end$$")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(STATEMENTS[what].encode())
        for told in (words.words(caught.value), str(faults.translated("erp", "party", caught.value).message)):
            assert EMAIL not in told
            assert str(caught.value.sqlstate) in told
        with pytest.raises(EngineError) as ours, translated("erp"):
            raise caught.value
        assert EMAIL not in str(ours.value)
        assert EMAIL in words.verbatim(caught.value)


def test_a_servers_own_words_about_names_are_repeated(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("select * from nowhere")
    assert words.words(caught.value) == 'relation "nowhere" does not exist (SQLSTATE 42P01)'


def test_a_result_does_not_show_what_the_target_said() -> None:
    assert EMAIL not in repr(WriteResult(1, "rejected", said=EMAIL))


@pytest.mark.long
def test_a_running_project_parks_the_row_and_keeps_the_words_for_whoever_asks(shop: Shop) -> None:
    shop.settle()
    shop.sql(
        "crm",
        f"""create function forbid() returns trigger language plpgsql as $$ begin
                if new.name = 'Poison' then
                    raise exception 'never for {EMAIL}' using errcode = '08006', detail = '{EMAIL}';
                end if; return new; end $$;
            create trigger forbid before insert or update on account for each row execute function forbid()""",
    )
    with shop.running("--log-format", "json") as run:
        run.await_ready()
        shop.sql("erp", "update party set name = 'Poison' where tax_number = 'ATU12345675'")
        shop.sql("erp", "update party set term_code = 'N00' where tax_number = 'DE811907980'")
        eventually(
            lambda: shop.sql("crm", "select 1 from account where vat_number = 'DE811907980' and terms = 'Prepaid'"),
            "the others to go on",
        )
        parked = run.await_event("delivery.parked")
        assert run.get("/readyz")[0] == 200
        told = run.get("/readyz")[1] + run.get("/metrics")[1]
        run.end()
    assert parked["target"] == "crm"
    assert "08006" in parked["reason"]
    assert EMAIL not in told + run.log.read_text()
    assert run.event("target.retrying") is None

    listed = shop.call_here("deadletter", "list")[1]
    (letter,) = listed["result"]["dead_letters"]
    plain, shown = (shop.call_here("deadletter", "show", letter["id"], *more)[1] for more in ((), ("--values",)))
    status = shop.call_here("status")[1]
    assert EMAIL not in json.dumps([listed, plain, status])
    assert shown["result"]["said"].count(EMAIL) == 2
    assert EMAIL in shop.invoke("deadletter", "show", letter["id"], "--values").stdout
