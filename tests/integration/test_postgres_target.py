"""Guarded upserts on a real server: compare-and-set per field, once only, and exactly what was asked for."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from fieldwarden.connectors.postgres.reading.messages import READERS, Begin, LogicalMessage
from fieldwarden.engine.ports.target import WriteResult, answers
from tests.builders import postgres
from tests.integration.target_world import MARK, WAITING, World, stream


def done(result: WriteResult, **differing: str | None) -> bool:
    return result.status == "applied" and result.differing == differing


async def test_a_field_is_written_only_where_the_row_holds_what_was_expected(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="Acme", phone="1", credit="5.00")
        world.sql("update party set phone = 'edited by a person'")
        result = await world.one(
            world.update(key, {"name": "Acme", "phone": "1", "credit": "5"}, name="Acme AG", phone="2", credit="6.00")
        )
        assert done(result, phone="edited by a person")
        assert result.key == key
        assert world.row("name, phone, credit::text") == ("Acme AG", "edited by a person", "6.00")


async def test_a_field_nothing_was_expected_of_is_written_only_over_null(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="Acme")
        assert done(await world.one(world.update(key, name="other", phone="1")), name="Acme")
        assert world.row() == ("Acme", "1")


async def test_null_and_the_empty_string_are_two_values(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="", phone="x")
        assert done(await world.one(world.update(key, {"name": None, "phone": "x"}, name="n", phone=None)), name="")
        assert world.row() == ("", None)
        assert done(await world.one(world.update(key, {"name": "", "phone": None}, name=None, phone="")))
        assert world.row() == (None, "")


async def test_an_edit_that_commits_while_we_wait_for_the_row_is_not_overwritten(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="Acme", phone="1")
        with psycopg.connect(database) as person:
            person.execute("update party set name = 'just now'")
            write = asyncio.create_task(
                world.one(world.update(key, {"name": "Acme", "phone": "1"}, name="late", phone="2"))
            )
            await world.until(WAITING)
            person.commit()
        assert done(await write, name="just now")
        assert world.row() == ("just now", "2")


async def test_only_fields_asked_for_are_written_or_spoken_of(database: str) -> None:
    async with World(database) as world:
        first = await world.made("r-1", name="A", phone="1")
        second = await world.made("r-2", name="B", phone="2")
        results = await world.write(
            world.update(first, {"name": "A"}, name="A2"), world.update(second, {"phone": "2"}, phone="22")
        )
        assert all(done(result) for result in results)
        assert world.sql("select name, phone from party order by id") == [("A2", "1"), ("B", "22")]


async def test_delivering_again_changes_nothing_and_is_done(database: str) -> None:
    async with World(database) as world:
        world.sql(
            "create table fired (n int);"
            "create function note() returns trigger language plpgsql as"
            " $$ begin insert into fired values (1); return new; end $$;"
            "create trigger note before insert or update on party for each row execute function note()"
        )
        writes = [world.create(f"r-{n}", name=f"n{n}", phone=None) for n in range(50)]
        keys = [result.key for result in await world.write(*writes)]
        updates = [world.update(str(key), {"name": f"n{n}"}, name=f"m{n}") for n, key in enumerate(keys)]
        await world.write(*updates)
        before = world.sql("select xmin, ctid, id from party order by id")
        fired = world.sql("select count(*) from fired")
        assert all(done(result) for result in await world.write(*updates))
        again = await world.write(*writes)
        assert [result.key for result in again] == keys
        assert [result.differing for result in again] == [{"name": f"m{n}"} for n in range(50)]
        assert world.sql("select xmin, ctid, id from party order by id") == before
        assert world.sql("select count(*) from fired") == fired == [(100,)]


async def test_a_row_that_somebody_brought_there_already_is_left_alone(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="old", phone="1")
        before = world.row("xmin, ctid")
        result = await world.one(world.update(key, {"name": "older", "phone": "0"}, name="old", phone="1"))
        assert done(result)
        assert done(await world.one(world.update(key, {"name": "old"}, name="old")))
        assert world.row("xmin, ctid") == before


async def test_creating_twice_yields_one_row_and_never_overwrites_it(database: str) -> None:
    async with World(database) as world:
        key = await world.made("r-1", name="Acme", phone="1")
        world.sql("update party set phone = 'edited'")
        once_more = await world.write(
            world.create("r-1", name="Acme", phone="1"), world.create("r-1", name="Acme", phone="1")
        )
        assert all(result.key == key and done(result, phone="edited") for result in once_more)
        assert world.row() == ("Acme", "edited")


async def test_a_partial_unique_index_will_do_for_the_external_id(database: str) -> None:
    ddl = """create table party (id int generated always as identity primary key, ext uuid, name text);
             create unique index on party (ext) where ext is not null"""
    record = "01900000-0000-7000-8000-000000000001"
    async with World(database, stream(fields=("name",)), ddl=ddl) as world:
        assert await world.made(record, name="a") == await world.made(record, name="a")


async def test_a_create_carries_defaults_and_constants(database: str) -> None:
    columns = ("name", "phone", "terms")
    async with World(database, stream(fields=columns, constants={"kind": "customer", "credit": "7.5"})) as world:
        first, second = world.create("r-1", name="a", terms=None), world.create("r-2", name="b")
        assert all(done(result) for result in await world.write(first, second))
        assert world.sql("select name, terms, kind, credit::text from party order by name") == [
            ("a", None, "customer", "7.50"),
            ("b", "N30", "customer", "7.50"),
        ]


async def test_natural_keys_come_from_values(database: str) -> None:
    ddl = "create table item (sku varchar(10), site int, name text, primary key (sku, site))"
    item = stream("public.item", ("sku", "site", "name"), key=("sku", "site"), external_id=None)
    async with World(database, item, ddl=ddl) as world:
        create = world.create(sku='A "1"', site="7", name="x")
        (first, second) = [await world.one(create), await world.one(create)]
        assert first.key == second.key == '["A \\"1\\"","7"]'
        assert done(await world.one(world.update(first.key, {"name": "x"}, name="y")))
        assert done(await world.one(world.create(sku='A "1"', site="7", name="x")), name="y")
        assert (await world.one(world.update('["A","8"]', name="z"))).status == "missing"
        moved = await world.one(world.update(first.key, {"site": "7"}, site="8"))
        assert moved.key == '["A \\"1\\"","8"]'
        assert (await world.one(world.create(site="7", name="x"))).status == "rejected"
        unkeyed = await world.one(world.create(sku=None, site="7", name="x"))
        assert (unkeyed.status, unkeyed.reason) == ("rejected", "sku has no value, but it identifies the row")
        assert done(await world.one(world.delete(moved.key)))
        assert world.sql("select * from item") == []


async def test_a_row_is_not_created_by_a_blank_natural_key(database: str) -> None:
    ddl = "create table item (sku text primary key, name text)"
    item = stream("public.item", ("sku", "name"), key=("sku",), external_id=None)
    async with World(database, item, ddl=ddl) as world:
        for blank in ("", " ", "\u3000"):
            result = await world.one(world.create(sku=blank, name="x"))
            assert (result.status, result.reason) == ("rejected", "sku is blank, but it identifies the row")
        signs = [await world.one(world.create(sku=sku, name="x")) for sku in ("-", "\N{PERSONAL COMPUTER}")]
        assert [each.key for each in signs] == ["-", "\N{PERSONAL COMPUTER}"], "signs are told apart like any text"


async def test_child_rows_hang_below_their_parent_and_exist_once(database: str) -> None:
    ddl = """create table party (a int, b int, ext text unique, name text, primary key (a, b));
             create table address (id int generated always as identity primary key, pa int, pb int, kind text,
                                   city text, unique (pa, pb, kind), foreign key (pa, pb) references party);
             insert into party values (1, 2)"""
    party = stream(fields=("name",), key=("a", "b"))
    address = stream(
        "public.address",
        ("city",),
        external_id=None,
        parent="public.party",
        parent_columns=("pa", "pb"),
        constants={"kind": "invoice"},
        conflict=("pa", "pb", "kind"),
    )
    async with World(database, party, address, ddl=ddl) as world:
        create = world.create(on="public.address", parent="[1,2]", city="Bonn")
        create.parent_key = '["1","2"]'
        first = await world.one(create)
        world.sql("update address set city = 'Köln'")
        second = await world.one(create)
        assert first.key == second.key
        assert done(second, city="Köln")
        assert world.row("pa, pb, kind, city", table="address") == (1, 2, "invoice", "Köln")
        orphan = world.create(on="public.address", parent='["9","9"]', city="x")
        rejected = await world.one(orphan)
        assert rejected.status == "rejected"
        assert "address_pa_pb_fkey" in rejected.reason


async def test_deletes_come_last_and_children_before_parents(database: str) -> None:
    ddl = """create table party (id int primary key, ext text unique, name text);
             create table address (id int primary key, party_id int references party, city text);
             insert into party values (1, 'r-1', 'x'), (2, 'r-2', 'kept'); insert into address values (1, 1), (2, 2)"""
    below = {"parent": "public.party", "parent_columns": ("party_id",), "external_id": None}
    address = stream("public.address", ("city",), **below)
    async with World(database, stream(fields=("name",)), address, ddl=ddl) as world:
        gone = [world.delete("1"), world.delete("1", on="public.address")]
        assert all(done(result) for result in await world.write(*gone))
        assert all(done(result) for result in await world.write(*gone)), "already gone is done"
        refused = await world.one(world.delete("2"))
        assert refused.status == "rejected"
        assert "address_party_id_fkey" in refused.reason
        assert world.row("id") == (2,)


async def test_a_delete_that_the_target_swallows_is_not_called_done(database: str) -> None:
    async with World(database) as world:
        key = await world.made(name="x")
        world.sql(
            "create function keep() returns trigger language plpgsql as 'begin return null; end';"
            "create trigger keep before delete on party for each row execute function keep()"
        )
        result = await world.one(world.delete(key))
        assert result.status == "rejected"
        assert "kept the row" in result.reason


async def test_a_missing_row_is_missing(database: str) -> None:
    async with World(database) as world:
        assert (await world.one(world.update("4711", {"name": "x"}, name="y"))).status == "missing"
        assert (await world.one(world.update("4711"))).status == "missing"


async def test_a_target_that_rewrites_values_is_quoted(database: str) -> None:
    async with World(database) as world:
        world.sql(
            "create function shout() returns trigger language plpgsql as"
            " $$ begin new.name = upper(new.name); return new; end $$;"
            "create trigger shout before insert or update on party for each row execute function shout()"
        )
        created = await world.one(world.create(name="Acme", phone="1"))
        assert done(created, name="ACME")
        updated = await world.one(world.update(str(created.key), {"name": "ACME", "phone": "1"}, name="New", phone="2"))
        assert done(updated, name="NEW")
        assert world.row() == ("NEW", "2")


async def test_a_target_that_swallows_a_new_row_is_not_called_done(database: str) -> None:
    async with World(database) as world:
        world.sql(
            "create function drop_it() returns trigger language plpgsql as 'begin return null; end';"
            "create trigger drop_it before insert on party for each row execute function drop_it()"
        )
        result = await world.one(world.create(name="x"))
        assert result.status == "rejected"
        assert "did not keep it" in result.reason


async def test_a_field_read_through_an_expression_is_compared_through_it(database: str) -> None:
    mapped = stream(fields=("name", "phone"), reads={"name": "lower(name)", "phone": "coalesce(phone, 'none')"})
    async with World(database, mapped) as world:
        world.sql("insert into party (id, ext, name) overriding system value values (1, 'r-1', 'ACME')")
        assert done(await world.one(world.update("1", {"name": "acme", "phone": "none"}, name="new", phone="1")))
        assert world.row() == ("new", "1")
        world.sql("update party set name = 'NeW'")
        before = world.row("xmin")
        assert done(await world.one(world.update("1", {"name": "x"}, name="new")))
        assert world.row("xmin, name") == (*before, "NeW")
        assert done(await world.one(world.update("1", {"name": "new"}, name="Mixed")), name="mixed")


async def test_an_expression_may_be_of_another_type_than_its_column(database: str) -> None:
    mapped = stream(fields=("name", "phone"), reads={"phone": "cast(phone as integer) + 1"})
    async with World(database, mapped) as world:
        world.sql("insert into party (id, ext, phone) overriding system value values (1, 'r-1', '41')")
        assert done(await world.one(world.update("1", {"phone": "42"}, phone="7")), phone="8")
        assert world.row("phone") == ("7",)


async def test_a_row_outside_the_streams_filter_is_not_ours_to_write(database: str) -> None:
    from fieldwarden.rules.expressions import parse

    async with World(database, stream(where=parse("kind = 'invoice'"))) as world:
        world.sql("insert into party (id, name, kind) overriding system value values (1, 'a', 'ship')")
        world.sql("insert into party (id, name, kind) overriding system value values (2, 'a', 'invoice')")
        results = await world.write(*(world.update(key, {"name": "a"}, name="b") for key in ("1", "2")))
        assert [result.status for result in results] == ["missing", "applied"]
        assert done(await world.one(world.delete("1")))
        assert world.sql("select id, name from party order by id") == [(1, "a"), (2, "b")]


async def test_a_row_that_changes_its_kind_while_we_wait_for_it_is_not_written(database: str) -> None:
    from fieldwarden.rules.expressions import parse

    async with World(database, stream(where=parse("kind = 'email'"))) as world:
        world.sql("insert into party (id, name, kind) overriding system value values (1, 'a@x', 'email')")
        with psycopg.connect(database) as other:
            other.execute("update party set kind = 'phone', name = '555' where id = 1")
            writing = asyncio.create_task(world.one(world.update("1", {"name": "a@x"}, name="b@x")))
            await world.until(WAITING)
            other.commit()
        assert (await writing).status == "missing"
        assert world.row("name, kind") == ("555", "phone")
        assert (await world.one(world.update("1", {"name": "a@x"}, name="555"))).status == "missing", "nor is it equal"


async def test_a_row_that_is_another_thing_does_not_pass_for_the_one_to_be_created(database: str) -> None:
    from fieldwarden.rules.expressions import parse

    ddl = (
        "create table note (id int generated always as identity primary key, pa int, kind text, name text, unique (pa))"
    )
    note = stream(
        "public.note",
        ("name",),
        external_id=None,
        parent="public.party",
        parent_columns=("pa",),
        constants={"kind": "mine"},
        conflict=("pa",),
        where=parse("kind = 'mine'"),
    )
    async with World(database, note, ddl=ddl) as world:
        world.sql("insert into note (pa, kind, name) values (1, 'theirs', 'x')")
        theirs, ours = await world.write(world.create(parent="1", name="a"), world.create("r-2", parent="2", name="b"))
        assert (theirs.status, theirs.key) == ("rejected", None)
        assert "a row with this pa is there, which `where` of public.note leaves out" in theirs.reason
        assert ours.status == "applied"
        again = await world.one(world.create("r-2", parent="2", name="b"))
        assert (again.status, again.key) == ("applied", ours.key)
        assert world.sql("select pa, kind, name from note order by 1") == [(1, "theirs", "x"), (2, "mine", "b")]


async def test_strange_names_are_only_names(database: str) -> None:
    ddl = """create schema "my.schema"; create table "my.schema"."Ta""ble %s" (
        "I d" int generated always as identity primary key, "Ext;--" text unique, "%(x)s" text, "select" text)"""
    odd = stream(
        '"my.schema"."Ta""ble %s"',
        ("name", "phone"),
        key=("I d",),
        external_id="Ext;--",
        columns={"name": "%(x)s", "phone": "select"},
    )
    async with World(database, odd, ddl=ddl) as world:
        key = await world.made(name="a", phone="b")
        assert done(await world.one(world.update(key, {"name": "a"}, name="c")))
        assert world.sql('select * from "my.schema"."Ta""ble %s"') == [(1, "r-1", "c", "b")]


async def test_a_source_recognises_our_transactions(database: str) -> None:
    async with World(database) as world:
        world.sql("create publication p for table party")
        world.sql("select pg_create_logical_replication_slot('peek', 'pgoutput', true)")
        await world.made(name="x")
        messages = world.sql(
            "select data from pg_logical_slot_peek_binary_changes('peek', null, null,"
            " 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')"
        )
        kinds = [bytes(data)[:1] for (data,) in messages]
        assert kinds[:2] == [b"B", b"M"], "the mark comes before the first row"
        assert b"I" in kinds
        begin, mark = (READERS[kind](bytes(data), 0, False) for kind, (data,) in zip("BM", messages, strict=False))
        assert isinstance(begin, Begin)
        assert isinstance(mark, LogicalMessage)
        assert (mark.transactional, mark.prefix) == (True, MARK.prefix)
        assert MARK.seal.system_of(mark.content, begin.xid, begin.at) == "erp"
        world.sql("select pg_drop_replication_slot('peek')")


async def test_all_of_a_call_is_one_transaction_with_failpoints_around_its_commit(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    async with World(database) as world:

        def hit(name: str) -> None:
            seen.append((name, len(world.sql("select 1 from party"))))

        monkeypatch.setattr("fieldwarden.engine.failpoints.hit", hit)
        await world.write(world.create("r-1", name="a"), world.create("r-2", phone="b"))
    assert seen == [("delivery.before_target_commit", 0), ("delivery.after_target_commit", 2)]


async def test_a_session_that_brought_a_large_value_is_replaced(database: str) -> None:
    sessions = """select pid from pg_stat_activity where datname = current_database()
        and backend_type = 'client backend' and pid <> pg_backend_pid()"""
    async with World(database) as world:
        key = await world.made(name="a")
        assert done(await world.one(world.update(key, {"name": "a"}, name="b")))
        ((before,),) = world.sql(sessions)
        world.sql("update party set name = repeat('x', 5 << 20)")
        large = "x" * (5 << 20)
        assert done(await world.one(world.update(key, {"name": "b"}, name="c")), name=large)
        assert done(await world.one(world.update(key, {"name": large}, name="c")))
        assert {pid for (pid,) in world.sql(sessions)} - {before}, "another session wrote"
        assert world.row("name") == ("c",)


async def test_no_writes_need_no_server() -> None:
    from fieldwarden.connectors.postgres.writing.target import PostgresTarget
    from fieldwarden.rules.rulebook import System

    target = PostgresTarget(System("erp", 0, postgres(), {}), "host=/nowhere", MARK)
    assert await answers(target, []) == []
