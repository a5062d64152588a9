"""`fieldwarden check`: what systems hold is read from them, and what differs is said with its reason."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import psycopg
import pytest

from fieldwarden.connectors.postgres.looking.rows import PAGE, Looking
from fieldwarden.operations.check import checked
from fieldwarden.operations.project import opened
from fieldwarden.rules.loading import rulebook_from_documents
from tests.integration.cli_project import Shop, execute
from tests.patience import eventually

ALDER = "vat_number = 'DE811907980'"


@pytest.fixture
def settled(shop: Shop) -> Shop:
    """Four customers, in both systems, as the golden records say."""
    shop.settle()
    return shop


def lose(shop: Shop, system: str) -> None:
    """What was committed there until now will never be told: somebody moved the slot on."""
    slot = shop.slot(system)
    shop.sql(system, f"select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")


def found(shop: Shop, *words: str) -> tuple[int, list[tuple[Any, ...]]]:
    """Exit code, and (system, field, why, reason, rows) of what differs."""
    code, body = shop.call_here("check", *words)
    keys = ("system", "field", "why", "reason", "number")
    return code, [tuple(each[key] for key in keys) for each in body["result"]["differences"]]


def reasons(shop: Shop) -> tuple[int, list[tuple[Any, ...]]]:
    """Exit code, and (system, field, why)."""
    code, all_of_them = found(shop)
    return code, [each[:3] for each in all_of_them]


@contextmanager
def unwritable(shop: Shop, system: str, table: str) -> Iterator[None]:
    """The table can be read, but nobody's write to it ends before this does."""
    with psycopg.connect(getattr(shop, system)) as person:
        person.execute(f"lock table {table} in share mode".encode())
        yield


# --- what agrees ---------------------------------------------------------------------------------------------


def test_systems_that_agree(settled: Shop) -> None:
    out = settled.invoke("check", "--list")
    assert out.exit_code == 0
    assert "all that was looked at agrees with the golden records: 40 values in 8 rows" in out.output
    code, body = settled.call_here("check", "customer", "--system", "erp")
    (only,) = body["result"]["compared"]
    assert (code, only["system"], only["rows"], only["whole"]) == (0, "erp", 4, True)
    assert only["fields"]["credit_limit"] == {"compared": 4, "differ": 0, "why": {}}


@pytest.mark.long
def test_rows_that_are_none_of_the_stream_are_none_of_ours(settled: Shop) -> None:
    settled.edit("systems/crm.yaml", "    key: id\n", "    key: id\n    where: name <> 'test'\n")
    assert settled.call_here("apply")[0] == 0
    settled.settle()
    settled.sql("crm", "insert into account (name) values ('test')")
    lose(settled, "crm")
    assert reasons(settled) == (0, [])


# --- what the hub has not heard of -----------------------------------------------------------------------------


@pytest.mark.long
def test_an_edit_that_nobody_has_read_yet_is_in_flight(settled: Shop) -> None:
    settled.sql("crm", f"update account set credit_limit = 1 where {ALDER}")
    code, differences = found(settled)
    assert code == 0
    assert differences == [("crm", "credit_limit", "in flight", "crm has changes that have not been read yet", 1)]
    settled.settle()
    assert reasons(settled) == (0, [])


@pytest.mark.long
def test_an_edit_that_was_lost_has_no_reason(settled: Shop) -> None:
    settled.sql("crm", f"update account set name = 'Alder', email = 'a@b.example' where {ALDER}")
    lose(settled, "crm")
    out = settled.invoke("check", "--list")
    assert out.exit_code == 1
    assert "customer DE811907980: crm public.account 1, name is Alder, golden Alder & Sons (unknown:" in out.output
    assert "email is •••, golden ••• (unknown" in out.output
    assert "a@b.example" not in out.output
    assert "a@b.example" in settled.invoke("check", "--list", "--unmask").output
    code, body = settled.call_here("check", "--list")
    assert (code, body["error"]["code"], body["result"]["unknown"]) == (1, "differs", 2)
    assert {each["field"] for each in body["result"]["listed"]} == {"name", "email"}
    assert len(settled.call_here("check", "--list", "--limit", "1")[1]["result"]["listed"]) == 1


def test_the_owner_s_row_is_compared_too(settled: Shop) -> None:
    settled.sql("erp", "update party set credit_limit = 7 where tax_number = 'ATU12345675'")
    lose(settled, "erp")
    assert reasons(settled) == (1, [("erp", "credit_limit", "unknown")])


def test_rows_that_came_or_went_without_a_word(settled: Shop) -> None:
    settled.sql("crm", f"delete from account where {ALDER}")
    settled.sql("crm", "insert into account (name, vat_number) values ('Elm', 'X1')")
    assert reasons(settled) == (0, [("crm", "", "in flight")])
    lose(settled, "crm")
    assert found(settled) == (
        1,
        [
            ("crm", "", "unknown", "the hub does not know this row", 1),
            ("crm", "", "unknown", "the row is not there, and the hub has not heard so", 1),
        ],
    )


@pytest.mark.long
def test_a_row_that_came_back_without_a_word(settled: Shop) -> None:
    settled.sql("erp", "create table kept as select * from party where tax_number = 'ATU12345675'")
    settled.sql("erp", "delete from party where tax_number = 'ATU12345675'")
    settled.settle()
    settled.sql("erp", "insert into party overriding system value select * from kept")
    lose(settled, "erp")
    code, differences = found(settled)
    assert (code, differences[0][3]) == (1, "the hub holds this row to be deleted")


def test_nothing_was_ever_read(shop: Shop) -> None:
    with mock.patch.dict(os.environ, shop.environment), opened(shop.folder) as project:
        project.migrate()
    code, differences = found(shop)
    assert code == 0
    assert {(system, why) for system, _, why, _, _ in differences} == {("crm", "in flight"), ("erp", "in flight")}
    assert differences[0][3] == "not all rows of crm have been read: nobody has begun to read it"


# --- what the hub knows of -------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_delivery_that_is_due(settled: Shop) -> None:
    with unwritable(settled, "crm", "account"), settled.running() as run:
        run.await_ready()
        settled.sql("erp", "update party set credit_limit = 9 where tax_number = 'ATU12345675'")
        settled.sql("erp", "insert into party (name, tax_number) values ('Elm', 'X1')")
        eventually(lambda: settled.sql("hub", "select 1 from fieldwarden.pending having count(*) > 1"), "the marks")
        assert found(settled) == (
            0,
            [
                ("crm", "", "in flight", "no row yet: a delivery is due", 1),
                ("crm", "credit_limit", "in flight", "a delivery is due", 1),
            ],
        )
        run.process.kill()
        run.process.wait()
    settled.sql("hub", "truncate fieldwarden.dirty, fieldwarden.marked")
    code, differences = found(settled)
    assert (code, [each[:3] for each in differences]) == (
        1,
        [("crm", "", "unknown"), ("crm", "credit_limit", "unknown")],
    )
    assert "nothing" in differences[1][3] or "no delivery is due" in differences[1][3]


@pytest.mark.long
def test_a_value_that_the_target_cannot_hold_is_parked(settled: Shop) -> None:
    settled.sql("crm", "alter table account alter credit_limit type numeric(7,2)")
    settled.sql("erp", "update party set credit_limit = 999999 where tax_number = 'ATU12345675'")
    settled.settle()
    code, differences = found(settled)
    assert (code, differences[0][:3]) == (0, ("crm", "credit_limit", "parked"))
    assert "out of its column's range" in differences[0][3]


@pytest.mark.long
def test_a_value_that_the_target_rewrites_is_parked(settled: Shop) -> None:
    settled.sql(
        "crm",
        "create function rounded() returns trigger language plpgsql as"
        " 'begin new.credit_limit := round(new.credit_limit, -2); return new; end';"
        " create trigger rounded before update on account for each row execute function rounded()",
    )
    settled.sql("erp", "update party set credit_limit = 8123 where tax_number = 'ATU12345675'")
    settled.settle()
    code, differences = found(settled)
    assert (code, [each[:3] for each in differences]) == (0, [("crm", "credit_limit", "parked")])


@pytest.mark.long
def test_what_was_refused_and_left(shop: Shop) -> None:
    shop.edit(
        "entities/customer.yaml", "owner: erp, protected: true}", "owner: erp, protected: true, on_reject: leave}"
    )
    shop.settle()
    shop.sql("crm", f"update account set credit_limit = 1 where {ALDER}")
    shop.settle()
    assert reasons(shop) == (0, [("crm", "credit_limit", "refused and left")])


@pytest.mark.long
def test_what_cannot_be_read_spoils_its_field(settled: Shop) -> None:
    settled.sql("crm", f"update account set terms = 'whenever' where {ALDER}")
    settled.sql("crm", "insert into account (name, vat_number, terms) values ('Elm', 'X1', 'whenever')")
    settled.settle()
    assert found(settled) == (0, []), "what the CRM has no say in was put right"
    settled.sql("erp", "update party set term_code = 'whenever'")
    settled.settle()
    code, differences = found(settled)
    assert code == 0
    assert {each[:3] for each in differences} == {("erp", "payment_terms", "unreadable")}
    assert "the code is not in the code list payment_terms for erp" in differences[-1][3]
    assert "whenever" not in str(differences)


@pytest.mark.long
def test_what_is_not_delivered_there(shop: Shop) -> None:
    shop.edit("systems/crm.yaml", "credit_limit: credit_limit", "credit_limit: {column: credit_limit, write: false}")
    shop.settle()
    code, differences = found(shop)
    assert (code, {each[:3] for each in differences}) == (0, {("crm", "credit_limit", "not deliverable")})


# --- what was not looked at ------------------------------------------------------------------------------------


def test_a_system_that_cannot_be_reached(settled: Shop) -> None:
    settled.environment["CRM_DSN"] = "host=/nowhere dbname=crm"
    out = settled.invoke("check")
    assert out.exit_code == 3
    assert "Not looked at\n  crm: crm: " in out.output
    assert "all that was looked at agrees with the golden records: 20 values in 4 rows" in out.output
    code, body = settled.call_here("check")
    assert (code, body["error"]["code"]) == (3, "not_compared")
    assert [(each["system"], each["trouble"]) for each in body["result"]["not_compared"]] == [("crm", True)]
    assert [each["system"] for each in body["result"]["compared"]] == ["erp"]


def test_a_column_that_is_gone(settled: Shop) -> None:
    settled.sql("crm", "alter table account drop column terms")
    code, body = settled.call_here("check")
    assert (code, body["error"]["code"]) == (3, "not_compared")
    assert "has no column 'terms'" in body["error"]["message"] or "has no column terms" in body["error"]["message"]


def test_names_that_do_not_exist(settled: Shop) -> None:
    for words, hint in ((("custmer",), "customer"), (("--system", "crn"), "crm")):
        code, body = settled.call_here("check", *words)
        assert (code, body["error"]["code"]) == (2, "unknown_name")
        assert hint in body["error"]["suggestion"]


def test_without_a_hub(shop: Shop) -> None:
    assert shop.call_here("check")[1]["error"]["code"] in ("environment", "no_hub")
    assert shop.call_here("check")[0] == 3


# --- while it lives, and how much it holds ---------------------------------------------------------------------


@pytest.mark.long
def test_live_traffic_is_no_difference_without_a_reason(settled: Shop) -> None:
    ended = threading.Event()

    def people() -> None:
        with psycopg.connect(settled.erp, autocommit=True) as erp, psycopg.connect(settled.crm, autocommit=True) as crm:
            number = 0
            while not ended.is_set():
                number += 1
                erp.execute("update party set credit_limit = %s, name = %s", [number, f"n{number}"])
                crm.execute("update account set name = %s, credit_limit = 1", [f"m{number}"])

    with settled.running() as run:
        run.await_ready()
        editing = threading.Thread(target=people)
        editing.start()
        try:
            for _ in range(4):
                code, body = settled.call_here("check", "--list")
                assert code == 0, body["result"]["listed"]
        finally:
            ended.set()
            editing.join()
        eventually(lambda: settled.call_here("check")[1]["result"]["differ"] == 0, "agreement")


def test_rows_come_in_the_order_of_their_keys_bytes(database: str) -> None:
    """Not in the order of their values: the hub knows only their text."""
    texts = ["a", "B", "_", "a b", 'q"', "back\\slash", "tab\t", "ä", "z", "😀", "", "Z"]
    execute(database, "create table thing (a text, n integer, v text, primary key (a, n))")
    with psycopg.connect(database, autocommit=True) as connection:
        for text in texts:
            for number in (2, 10, -1):
                connection.execute("insert into thing values (%s, %s, 'v')", [text, number])
    entity = {"entity": "thing", "identity": {"match": ["v"]}, "fields": {"v": {"type": "text", "owner": "s"}}}
    streams = {"public.thing": {"entity": "thing", "key": ["a", "n"], "fields": {"v": "v"}}}
    document = {"system": "s", "connector": {"kind": "postgres", "dsn": "x"}, "streams": streams}
    system = rulebook_from_documents([entity], [document], {}, ["s"]).systems["s"]
    stream = system.streams["public.thing"]

    async def keys() -> tuple[list[str], set[str]]:
        from fieldwarden.engine.change import key_text

        async with Looking.at(system, database) as looking:
            relation = looking.relation(stream)
            rows = [raw async for page in looking.rows(stream, relation) for raw in page]
            found = [key_text((str(raw.values[0]), str(raw.values[1]))) for raw in rows]
            again = await looking.again(stream, relation, [*found[:5], key_text(("nobody", "1"))])
            return found, {key_text((str(raw.values[0]), str(raw.values[1]))) for raw in again}

    found, again = asyncio.run(keys())
    assert found == sorted(found)
    assert len(found) == 3 * len(texts)
    assert again == set(found[:5])


@pytest.mark.long
def test_memory_is_bounded_however_many_rows_differ(settled: Shop) -> None:
    settled.sql(
        "crm", "insert into account (name, vat_number) select 'n' || i, 'V' || i from generate_series(1, 20000) i"
    )
    lose(settled, "crm")
    sizes = []
    copied = Looking.rows

    async def counted(self: Looking, *words: Any) -> Any:
        async for page in copied(self, *words):
            sizes.append(len(page))
            yield page

    with (
        mock.patch.dict(os.environ, settled.environment),
        mock.patch.object(Looking, "rows", counted),
        opened(settled.folder) as project,
    ):
        tracemalloc.start()
        agreement = asyncio.run(checked(project))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert agreement.unknown == 20_000
    assert len(agreement.listed) == 20
    assert max(sizes) <= PAGE
    assert peak < 16 << 20
