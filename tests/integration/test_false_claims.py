"""A clerk of the CRM, who may write its rows and nothing else, tries to become another's customer."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.integration.cli_project import Shop

Say = Callable[[str], None]
FREE = "alter table account drop constraint account_fieldwarden_id_key, drop constraint account_vat_number_key"
COPY = "insert into account (name, email, {0}) select 'Mallory', 'mallory@evil.example', {0} from account where id = 2"


@pytest.fixture
def clerk(shop: Shop, make_role: Callable[..., str]) -> Say:
    """What somebody says in the CRM who may read, enter and edit accounts there. Birch is its row 2; every row carries
    its record id, and nothing there says that two may not carry the same."""
    shop.settle()
    linked = "select key::integer, record::text from fieldwarden.crosswalk where system = 'crm'"
    shop.sql("crm", FREE)
    for key, record in shop.sql("hub", linked):
        shop.sql("crm", f"update account set fieldwarden_id = '{record}' where id = {key}")
    shop.settle()
    dsn = make_role(shop.crm, "grant select, insert, update on account to {}")

    def say(statement: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(statement.encode())

    return say


def record_of(shop: Shop, key: int = 2) -> str:
    asked = f"select record::text from fieldwarden.crosswalk where system = 'crm' and key = '{key}'"
    return str(shop.sql("hub", asked)[0][0])


def of_birch(shop: Shop) -> list[list[tuple[object, ...]]]:
    """What the two systems say of Birch themselves."""
    crm = shop.sql("crm", "select name, email from account where id = 2")
    return [crm, shop.sql("erp", "select name, email from party where tax_number = 'FR40303265045'")]


def trail(shop: Shop, record: str) -> str:
    return " ".join(shop.invoke("trail", "customer", record).stdout.split())


def suspicious(shop: Shop, kind: str = "suspicious") -> list[dict[str, object]]:
    found: list[dict[str, object]] = shop.call_here("deadletter", "list", "--kind", kind)[1]["result"]["dead_letters"]
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    "before", ["", "update account set fieldwarden_id = null where id = 2; "], ids=["beside it", "taken from it"]
)
def test_a_copied_record_id_is_not_believed(shop: Shop, clerk: Say, before: str) -> None:
    true, record = of_birch(shop), record_of(shop)
    clerk(
        f"create temporary table taken as select fieldwarden_id from account where id = 2; {before}"
        "insert into account (name, email, fieldwarden_id) select 'Mallory', 'mallory@evil.example', * from taken"
    )
    shop.settle()
    assert of_birch(shop) == true
    [letter] = suspicious(shop)
    assert "copied, or forged" in str(letter["reason"])
    assert "a row claims another's record" in shop.invoke("status").stdout
    told = trail(shop, record)
    assert "claimed to be this record by record_id, and was not believed" in told
    assert shop.call_here("audit", "verify")[0] == 0


@pytest.mark.long
def test_it_is_told_once_however_often_the_row_is_edited(shop: Shop, clerk: Say) -> None:
    clerk(COPY.format("fieldwarden_id"))
    shop.settle()
    for name in ("Mallory 2", "Mallory 3"):
        clerk(f"update account set name = '{name}' where name like 'Mallory%'")
        shop.settle()
    shop.call_here("deadletter", "retry", "--all", "--reason", "to see it again")
    shop.settle()
    assert len(suspicious(shop)) == 1
    told = trail(shop, record_of(shop))
    assert told.count("was not believed") == 1


@pytest.mark.long
def test_the_row_is_one_of_its_own_once_it_claims_nothing_any_more(shop: Shop, clerk: Say) -> None:
    true = of_birch(shop)
    clerk(COPY.format("fieldwarden_id"))
    shop.settle()
    clerk("update account set fieldwarden_id = null where name = 'Mallory'")
    shop.settle()
    assert suspicious(shop) == []
    assert of_birch(shop) == true
    assert shop.sql("erp", "select count(*) from party where name = 'Mallory'") == [(1,)]
    shop.is_sound()


@pytest.mark.long
def test_a_row_entered_anew_in_place_of_one_that_is_gone_is_believed(shop: Shop, clerk: Say) -> None:
    record = record_of(shop)
    shop.sql(
        "crm",
        "create temporary table old as select fieldwarden_id from account where id = 2;"
        "delete from account where id = 2;"
        "insert into account (name, email, fieldwarden_id) select 'Birch', 'new@birch.example', * from old",
    )
    shop.settle()
    assert suspicious(shop) == []
    assert shop.sql("erp", "select email from party where name = 'Birch'") == [("new@birch.example",)]
    ((key,),) = shop.sql("crm", "select id from account where name = 'Birch'")
    assert record_of(shop, key) == record
    shop.is_sound()


@pytest.mark.long
@pytest.mark.parametrize("order", ["a copy, then the old one deleted", "the old one deleted later"])
def test_a_row_that_takes_the_place_of_another_is_believed_once_that_is_gone(
    shop: Shop, clerk: Say, order: str
) -> None:
    """As an application that gives a row a new key by a copy, in one transaction or in two."""
    record, copied = record_of(shop), COPY.format("fieldwarden_id")
    gone = "delete from account where id = 2"
    if order.endswith("later"):
        shop.sql("crm", copied)
        shop.settle()
        assert len(suspicious(shop)) == 1
        shop.sql("crm", gone)
    else:
        shop.sql("crm", f"begin; {copied}; {gone}; commit")
    shop.settle()
    assert suspicious(shop) == []
    ((key,),) = shop.sql("crm", "select id from account where name = 'Mallory'")
    assert record_of(shop, key) == record
    shop.is_sound()


@pytest.mark.long
def test_a_match_key_that_only_another_system_may_give_is_suspicious(shop: Shop, clerk: Say) -> None:
    shop.edit("entities/customer.yaml", "{type: text}\n  email", "{type: text, owner: erp, protected: true}\n  email")
    assert shop.call_here("apply", "--reason", "the ERP gives tax ids")[0] == 0
    shop.settle()
    true = of_birch(shop)
    clerk(COPY.format("vat_number"))
    shop.settle()
    assert of_birch(shop) == true
    [letter] = suspicious(shop)
    assert "tax_id, which only erp may give" in str(letter["reason"])


@pytest.mark.long
def test_a_row_typed_twice_is_a_duplicate_and_no_crime(shop: Shop, clerk: Say) -> None:
    """Everybody may give a tax id here: two rows with the same one wait for a steward, as ever."""
    clerk(COPY.format("vat_number"))
    shop.settle()
    assert suspicious(shop) == []
    assert len(suspicious(shop, "ambiguous")) == 1


@pytest.mark.long
def test_a_row_said_to_be_merged_does_not_bring_a_record_that_it_only_claims(shop: Shop, clerk: Say) -> None:
    """Merged into his own account, the clerk's copy would give him all that the ERP has of Birch."""
    shop.sql("crm", "alter table account add merged_into bigint")
    shop.edit("systems/crm.yaml", "    create: true", "    merged_into: merged_into\n    create: true")
    assert shop.call_here("apply", "--reason", "merges are told")[0] == 0
    clerk("insert into account (name, email) values ('Mallory', 'mallory@evil.example')")
    shop.settle()
    true = of_birch(shop)
    clerk("insert into account (name, fieldwarden_id, merged_into) select 'Copy', fieldwarden_id,"
          " (select id from account where name = 'Mallory') from account where id = 2")  # fmt: skip
    shop.settle()
    assert of_birch(shop) == true
    assert len(suspicious(shop)) == 1


@pytest.mark.long
def test_records_that_differ_in_a_key_of_another_system_are_not_merged_by_the_clerk(shop: Shop, clerk: Say) -> None:
    """The ERP's row of Alder is gone, what it said of the tax id is not: no word of the CRM makes it Birch."""
    shop.edit("entities/customer.yaml", "{type: text}\n  email", "{type: text, owner: erp, protected: true}\n  email")
    shop.sql("crm", "alter table account add merged_into bigint")
    shop.edit("systems/crm.yaml", "    create: true", "    merged_into: merged_into\n    create: true")
    shop.edit("systems/erp.yaml", "    create: true", "    create: false")
    assert shop.call_here("apply", "--reason", "merges are told")[0] == 0
    shop.settle()
    shop.sql("erp", "delete from party where tax_number = 'DE811907980'")
    shop.settle()
    true = of_birch(shop)
    clerk("update account set merged_into = 2 where id = 1")
    shop.settle()
    assert of_birch(shop) == true
    assert record_of(shop, 1) != record_of(shop, 2)
    [letter] = suspicious(shop)
    assert "they differ in tax_id, which only erp may give" in str(letter["reason"])


def test_the_count_and_the_log_name_the_system_and_never_the_row(shop: Shop, clerk: Say) -> None:
    with shop.running() as run:
        run.await_ready()
        clerk(COPY.format("fieldwarden_id"))
        said = run.await_event("source.suspicious")
        assert (said["system"], said["claim"], said["rows"]) == ("crm", "record_id", 1)
        assert 'fieldwarden_suspicious_claims_total{claim="record_id",system="crm"} 1.0' in run.get("/metrics")[1]
        assert "Mallory" not in run.log.read_text()
        run.end()
