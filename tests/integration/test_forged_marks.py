"""Nobody hides an edit behind our mark: a clerk at the CRM, with the rights of a clerk, or a DBA, who can read the log.
Whatever they send, an edit of what finance owns is refused, recorded and put back, and the forged mark is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import psycopg
import pytest

from fieldwarden.connectors.postgres.reading.messages import READERS, LogicalMessage
from tests.integration.cli_project import Shop
from tests.patience import eventually

BIRCH = "vat_number = 'FR40303265045'"
SEND = "select pg_logical_emit_message(true, %s, %s)"
LOG = (
    "select data from pg_logical_slot_peek_binary_changes('spy', null, null, 'proto_version', '1', 'messages', 'true',"
)


@pytest.fixture
def clerk(shop: Shop, make_role: Callable[..., str]) -> Iterator[psycopg.Connection]:
    """May connect, read, insert and change accounts, and what everybody may: no more."""
    dsn = make_role(shop.crm, "grant select, insert, update on account to {}")
    shop.settle()
    shop.sql("erp", "update party set credit_limit = 5000 where tax_number = 'FR40303265045'")
    shop.settle()
    assert limit(shop) == "5000.00"
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def limit(shop: Shop) -> str:
    ((value,),) = shop.sql("crm", f"select credit_limit::text from account where {BIRCH}")
    return str(value)


def refused(shop: Shop) -> int:
    entries = 'select count(*) from fieldwarden.ledger_entry where body like \'%"credit_limit","refused"%\''
    return int(shop.sql("hub", entries)[0][0])


def mark(shop: Shop) -> str:
    ((id,),) = shop.sql("hub", "select id from fieldwarden.project")
    return f"fieldwarden:{id}"


def acts(shop: Shop) -> list[dict[str, str]]:
    entries = shop.sql("hub", "select body from fieldwarden.ledger_entry where lane = '#people' order by version")
    found = [json.loads(body) for (body,) in entries]
    return [act["details"] for act in found if act["act"] == "forged_mark"]


@pytest.mark.long
def test_a_forged_mark_hides_no_edit_and_is_reported(shop: Shop, clerk: psycopg.Connection) -> None:
    """Before the edit and after it, of our own name and of none, and not even in the transaction."""
    before, prefix = refused(shop), mark(shop)
    tries: list[tuple[list[str], list[str]]] = [
        ([prefix], []),
        ([], [prefix]),
        (["fieldwarden"], []),
        ([prefix] * 3, []),
    ]
    for number, (early, late) in enumerate(tries):
        with clerk.transaction():
            for name in early:
                clerk.execute(SEND, [name, "1 groups, first record 01900000-0000-7000-8000-000000000001"])
            clerk.execute(f"update account set credit_limit = {999_000 + number} where {BIRCH}")
            for name in late:
                clerk.execute(SEND, [name, ""])
    shop.settle()
    assert (limit(shop), refused(shop)) == ("5000.00", before + len(tries)), "they are put back"
    clerk.execute("select pg_logical_emit_message(false, %s, '')", [prefix])
    clerk.execute(f"update account set credit_limit = 1 where {BIRCH}")
    with shop.running() as run:
        run.await_ready()
        refusals = 'guard_refusals_total{entity="customer",owner="erp"} 1.0'
        eventually(lambda: refusals in run.get("/metrics")[1], "the refusal is counted")
        with clerk.transaction():
            clerk.execute(SEND, [prefix, ""])
            clerk.execute("update account set name = 'Birch & Co' where vat_number = 'FR40303265045'")
        eventually(lambda: 'forged_marks_total{system="crm"} 1.0' in run.get("/metrics")[1], "the mark is counted")
        run.end()
    shop.settle()
    ((last,),) = shop.sql("hub", "select transaction from fieldwarden.forged_mark")
    (act,) = acts(shop)
    assert act["system"] == "crm"
    assert int(act["transactions"]) < 4, "the ledger spoke of the first ones, and does so again in an hour"
    code, body = shop.call_here("status")
    ((system, number, told),) = [
        (each["system"], each["number"], each["last"]) for each in body["result"]["forged_marks"]
    ]
    assert (code, system, number, told) == (0, "crm", 4, last)
    assert f"somebody has marked 4 transactions as our own writes, the last ({last})" in shop.invoke("status").output
    shop.is_sound()


def test_a_mark_copied_out_of_the_log_hides_no_edit(shop: Shop, clerk: psycopg.Connection) -> None:
    """A DBA can read what we wrote there, and send it again."""
    shop.sql("crm", "select pg_create_logical_replication_slot('spy', 'pgoutput')")
    shop.sql("erp", "update party set credit_limit = 6000 where tax_number = 'FR40303265045'")
    shop.settle()
    before, prefix = refused(shop), mark(shop)
    log = shop.sql("crm", f"{LOG} 'publication_names', '{shop.slot('crm')}')")
    shop.sql("crm", "select pg_drop_replication_slot('spy')")
    sent = [READERS["M"](bytes(data), 0, False) for (data,) in log if bytes(data)[:1] == b"M"]
    genuine = [each.content.decode() for each in sent if isinstance(each, LogicalMessage) and each.prefix == prefix]
    assert genuine, "what we wrote is there to be copied"
    with psycopg.connect(shop.crm) as dba:
        for content in genuine:
            dba.execute(SEND, [prefix, content])
        dba.execute(f"update account set credit_limit = 999999 where {BIRCH}")
    shop.settle()
    assert (limit(shop), refused(shop)) == ("6000.00", before + 1)
    assert [act["system"] for act in acts(shop)] == ["crm"]


@pytest.mark.long
def test_neither_a_new_row_nor_a_deleted_one_is_hidden_by_a_forged_mark(shop: Shop, clerk: psycopg.Connection) -> None:
    prefix = mark(shop)
    with clerk.transaction():
        clerk.execute(SEND, [prefix, ""])
        clerk.execute("insert into account (name, vat_number, credit_limit) values ('Dahl', 'ATU99999999', 9)")
    shop.settle()
    assert shop.sql("erp", "select name, credit_limit from party where tax_number = 'ATU99999999'") == [("Dahl", None)]
    assert shop.sql("crm", "select credit_limit from account where name = 'Dahl'") == [(None,)], "it was refused"
    with psycopg.connect(shop.crm) as dba:
        dba.execute(SEND, [prefix, ""])
        dba.execute("update account set id = default where name = 'Dahl'")
    shop.settle()
    ((key,),) = shop.sql("crm", "select id::text from account where name = 'Dahl'")
    assert shop.sql("hub", f"select count(*) from fieldwarden.crosswalk where key = '{key}'") == [(1,)]
    with psycopg.connect(shop.crm) as dba:
        dba.execute(SEND, [prefix, ""])
        dba.execute("delete from account where name = 'Dahl'")
    shop.settle()
    golden = "select golden ->> 'name' from fieldwarden.record where retired"
    assert shop.sql("hub", golden) == [("Dahl",)], "the CRM has the say about that"
    with psycopg.connect(shop.crm) as dba:
        dba.execute(SEND, [prefix, ""])
        dba.execute("truncate account")
    shop.settle()
    assert shop.sql("hub", "select count(*) from fieldwarden.record where not retired") == [(0,)]
    shop.is_sound()


@pytest.mark.long
def test_what_we_write_is_known_for_ours_still(shop: Shop, clerk: psycopg.Connection) -> None:
    before = refused(shop)
    for value in (100, 200, 100):
        shop.sql("erp", f"update party set credit_limit = {value} where tax_number = 'FR40303265045'")
        shop.settle()
    clerk.execute(f"update account set credit_limit = 100 where {BIRCH}")  # what we wrote there ourselves
    shop.settle()
    assert (limit(shop), refused(shop), acts(shop)) == ("100.00", before, [])
    assert shop.sql("hub", "select echoes > 2 from fieldwarden.source where name = 'crm'") == [(True,)]


TRIGGER = """
create or replace function meddle() returns trigger language plpgsql as $$ begin
    {} return new;
end $$;
create trigger meddle {} on account for each row when ({}) execute function meddle()"""
EMAIL, LIMIT = "email = 'birch@example.com'", "credit_limit = 6000"
BESIDE = [
    (EMAIL, "new.credit_limit := 999999;", "before update", "old.email <> new.email"),
    (LIMIT, "new.credit_limit := 999999;", "before update", "old.credit_limit = 5000"),
    (EMAIL, "update account set credit_limit = 9 where id = new.id;", "after update", "old.email <> new.email"),
]
"""What we write for the ERP, and what a trigger of the CRM does once, when that is written."""


@pytest.mark.long
def test_what_triggers_do_beside_our_writes_is_recorded_and_put_back(shop: Shop, clerk: psycopg.Connection) -> None:
    """In our own transactions, and so under marks that are ours."""
    before = refused(shop)
    for number, (news, *trigger) in enumerate(BESIDE):
        shop.sql("crm", TRIGGER.format(*trigger))
        shop.sql("erp", f"update party set {news.replace('@', f'{number}@')} where tax_number = 'FR40303265045'")
        shop.settle()
        shop.sql("crm", "drop trigger meddle on account")
        assert (limit(shop), refused(shop)) == ("6000.00" if number else "5000.00", before + number + 1), trigger
    shop.sql("crm", TRIGGER.format("new.credit_limit := 9;", "before insert", "true"))
    shop.sql("erp", "insert into party (name, tax_number, credit_limit) values ('Dahl', 'ATU99999999', 8)")
    shop.settle()
    assert shop.sql("crm", "select credit_limit::text from account where name = 'Dahl'") == [("8.00",)]
    assert refused(shop) == before + len(BESIDE) + 1
    shop.sql("crm", "drop trigger meddle on account")
    shop.sql("crm", TRIGGER.format("delete from account where name = 'Cedar Labs';", "after update", "true"))
    shop.sql("erp", "update party set credit_limit = 7000 where tax_number = 'FR40303265045'")
    shop.settle()
    golden = "select golden ->> 'name' from fieldwarden.record where retired"
    assert shop.sql("hub", golden) == [("Cedar Labs",)], "the CRM has the say about that"
    assert acts(shop) == []
    shop.is_sound()


@pytest.mark.long
def test_an_upgraded_hub_takes_the_marks_of_before_for_what_they_are(shop: Shop, clerk: psycopg.Connection) -> None:
    """On their way when it was stopped: no alarm. What was marked so by somebody else is no echo even then."""
    shop.sql("hub", "update fieldwarden.followed set sealed_from = null")
    before, prefix = refused(shop), mark(shop)
    with psycopg.connect(shop.crm) as ours:
        ours.execute(SEND, [prefix, "1 groups, first record 01900000-0000-7000-8000-000000000001"])
        ours.execute(f"update account set credit_limit = 777 where {BIRCH}")
    shop.settle()
    assert (limit(shop), refused(shop), acts(shop)) == ("5000.00", before + 1, [])
    with clerk.transaction():
        clerk.execute(SEND, [prefix, "1 groups, first record 01900000-0000-7000-8000-000000000001"])
        clerk.execute(f"update account set credit_limit = 777 where {BIRCH}")
    shop.settle()
    assert (limit(shop), refused(shop), len(acts(shop))) == ("5000.00", before + 2, 1)


@pytest.mark.long
def test_doctor_advises_to_take_the_right_from_everybody(shop: Shop) -> None:
    def about() -> list[tuple[str, str, str]]:
        _, body = shop.call_here("doctor")
        found = [check for check in body["result"]["checks"] if check["about"] == "crm"]
        return [
            (each["level"], each["message"], each["suggestion"]) for each in found if "logical mess" in each["message"]
        ]

    ((level, _, advice),) = about()
    assert level == "note"
    assert advice.startswith("REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean,text,text")
    for statement in advice.split("; "):
        shop.sql("crm", statement)
    assert about() == []
    assert shop.settle()["deliveries"] > 0, "we still may"
