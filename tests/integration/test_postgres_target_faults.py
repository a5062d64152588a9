"""A target that fails: nothing is half done, and the error says whether to wait, to mend something, or to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from fieldwarden.connectors.postgres.writing import session as writing
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.engine.guard import GuardViolation
from fieldwarden.engine.ports.target import Write, answers
from fieldwarden.rules.rulebook import System
from tests.builders import postgres
from tests.integration.target_world import MARK, WAITING, World, stream


async def refused(world: World, kind: type[EngineError]) -> EngineError:
    with pytest.raises(kind) as raised:
        await world.write(world.create("r-bad", name="secret"))
    assert "secret" not in raised.value.message
    assert raised.value.suggestion
    return raised.value


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "repair", "said"),
    [
        ("alter table party rename to gone", "alter table gone rename to party", '"public.party" does not exist'),
        (
            "alter table party rename name to other",
            "alter table party rename other to name",
            "does not exist (SQLSTATE 42703)",
        ),
        ("alter table party drop constraint party_ext_key", "alter table party add unique (ext)", "ON CONFLICT"),
        (
            "alter table party alter phone drop default, drop column phone,"
            " add column phone text generated always as (lower(name)) stored",
            "alter table party drop column phone, add column phone text",
            "phone",
        ),
    ],
)
@pytest.mark.parametrize("connected", [False, True])
async def test_a_table_that_does_not_fit_the_mapping_names_what_is_missing(
    database: str, damage: str, repair: str, said: str, connected: bool
) -> None:
    async with World(database) as world:
        if connected:
            await world.made("r-0", name="a", phone="1")
        world.sql(damage)
        with pytest.raises(EnvironmentUnfit) as raised:
            await world.write(world.create("r-1", name="b", phone="2"))
        assert said in raised.value.message
        assert "erp" in raised.value.path
        world.sql(repair)
        assert (await world.one(world.create("r-1", name="b", phone="2"))).status == "applied"


@pytest.mark.parametrize("missing", ["select", "insert", "update (name)", "temporary"])
async def test_a_missing_privilege_is_named(database: str, missing: str, make_role: Callable[..., str]) -> None:
    async with World(database) as world:
        name = world.person.info.dbname
        world.sql(f"revoke temporary on database {name} from public")
        rights = {
            "select": "select on party",
            "insert": "insert on party",
            "update (name)": "update (name, phone, credit) on party",
            "temporary": f"temporary on database {name}",
        }
        dsn = make_role(database, *(f"grant {what} to {{}}" for right, what in rights.items() if right != missing))
        world.sql("insert into party (id, name) overriding system value values (-1, 'a')")
        target = PostgresTarget(System("erp", 0, postgres(), world.streams), dsn, MARK)
        with pytest.raises(EnvironmentUnfit, match="permission denied") as raised:
            await answers(target, [world.create(name="x"), world.update("-1", {"name": "a"}, name="b")])
        assert "grant" in raised.value.suggestion
        await target.close()
        assert world.row("id, name") == (-1, "a"), "nothing was half done"


async def test_a_lost_connection_is_transient_and_mends_itself(database: str) -> None:
    async with World(database) as world:
        await world.made(name="a")
        world.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'fieldwarden%' and datname = current_database()"
        )
        await refused(world, TransientError)
        assert (await world.one(world.create("r-2", name="b"))).status == "applied"


async def test_a_connection_lost_in_mid_write_leaves_nothing_behind(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="a")
        with psycopg.connect(database) as person:
            person.execute("update party set phone = '1'")
            write = asyncio.create_task(
                world.write(world.create("r-2", name="b"), world.update(key, {"name": "a"}, name="c"))
            )
            await world.until(WAITING)
            world.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name like 'fieldwarden%' and datname = current_database()"
            )
            with pytest.raises(TransientError):
                await write
            person.commit()
        assert world.row() == ("a", "1")


async def test_a_cancelled_write_leaves_nothing_behind(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="a")
        with psycopg.connect(database) as person:
            person.execute("update party set phone = '1'")
            write = asyncio.create_task(
                world.write(world.create("r-2", name="b"), world.update(key, {"name": "a"}, name="c"))
            )
            await world.until(WAITING)
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            person.commit()
        assert world.row() == ("a", "1")
        assert (await world.one(world.update(key, {"name": "a"}, name="c"))).differing == {}


async def test_a_row_that_stays_locked_is_waited_for_only_so_long(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_SETTINGS", writing._SETTINGS.replace("'5s'", "'50ms'"))
    async with World(database) as world:
        key = await world.made(name="a")
        with psycopg.connect(database) as person:
            person.execute("select from party for update")
            with pytest.raises(TransientError, match="55P03"):
                await world.write(world.update(key, {"name": "a"}, name="b"))
        assert (await world.one(world.update(key, {"name": "a"}, name="b"))).status == "applied"


async def test_a_deadlock_is_transient(database: str) -> None:
    async with World(database) as world:
        first, second = await world.made("r-1", name="a"), await world.made("r-2", name="a")
        with psycopg.connect(database) as person:
            person.execute("set deadlock_timeout = '10s'")
            person.execute("update party set phone = 'p' where id = %s", [second])
            write = asyncio.create_task(
                world.write(world.update(first, {"name": "a"}, name="b"), world.update(second, {"name": "a"}, name="b"))
            )
            await world.until(WAITING)
            stuck = asyncio.to_thread(person.execute, "update party set phone = 'p' where id = %s", [first])
            other = asyncio.create_task(stuck)
            with pytest.raises(TransientError, match="40P01"):
                await write
            await other
            person.commit()


async def test_a_read_only_server_is_waited_for(database: str) -> None:
    async with World(database) as world:
        world.sql(f"alter database {world.person.info.dbname} set default_transaction_read_only = on")
        assert "read-only" in (await refused(world, TransientError)).message


async def test_a_server_that_is_not_there_is_waited_for() -> None:
    target = PostgresTarget(
        System("erp", 0, postgres(), {"public.party": stream()}), "host=127.0.0.1 port=1 dbname=x", MARK
    )
    with pytest.raises(TransientError):
        await answers(target, [Write(1, "r", "public.party", "create", None, {"name": "a"})])
    await target.close()


async def test_a_type_widened_while_connected_is_noticed(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="a", credit="1.00")
        world.sql("alter table party alter credit type numeric(20,4)")
        again = await world.one(world.update(key, {"credit": "1.0000"}, credit="1234567890123.1234"))
        assert (again.status, again.differing) == ("applied", {})
        assert world.row("credit::text") == ("1234567890123.1234",)


async def test_a_type_changed_while_connected_is_noticed(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="a", credit="1.00")
        world.sql("alter table party alter credit type text")
        again = await world.one(world.update(key, {"credit": "1.00"}, credit="a lot"))
        assert (again.status, again.differing) == ("applied", {})


async def test_writes_outside_the_rules_are_never_sent(database: str) -> None:
    mapped = stream(fields=("name", "phone", "terms"), update_fields=("name", "phone"), create_fields=("name", "terms"))
    async with World(database, mapped) as world:
        for bad in (world.update("1", terms="x"), world.create(phone="1")):
            with pytest.raises(GuardViolation):
                await world.write(world.create("r-1", name="a"), bad)
        assert world.sql("select * from party") == []


async def test_a_protected_column_keeps_its_value_whatever_is_written(database: str) -> None:
    mapped = stream(fields=("name", "phone"), protected_columns=frozenset({"terms", "credit"}))
    async with World(database, mapped) as world:
        world.sql(
            "create function forbid() returns trigger language plpgsql as"
            " $$ begin raise exception 'touched'; end $$;"
            "create trigger forbid before update of terms, credit, id, ext on party"
            " for each row execute function forbid()"
        )
        key = await world.made(name="a", phone="1")
        assert (
            await world.one(world.update(key, {"name": "a", "phone": "1"}, name="b", phone="2"))
        ).status == "applied"
        assert world.row("name, phone, terms, credit") == ("b", "2", "N30", None)


async def test_triggers_on_fields_not_asked_for_stay_quiet(database: str) -> None:
    async with World(database) as world:
        world.sql(
            "create function forbid() returns trigger language plpgsql as"
            " $$ begin raise exception 'touched'; end $$;"
            "create trigger forbid before update of credit on party for each row execute function forbid()"
        )
        key = await world.made(name="a", phone="1")
        assert (await world.one(world.update(key, {"name": "a"}, name="b"))).status == "applied"
