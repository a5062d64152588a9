"""Changed rules reach the records there are: `plan` says what they would do, `apply` does it, `run` works by them."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.integration.cli_project import Shop, execute
from tests.parts import first
from tests.patience import ended, eventually

ENTITY, CRM, ERP = "entities/customer.yaml", "systems/crm.yaml", "systems/erp.yaml"
LIMIT = 'credit_limit:  {type: "decimal(14,2)", owner: erp, protected: true}'
ALDER = "vat_number = 'DE811907980'"


def crm_owns_the_limit(shop: Shop) -> None:
    shop.edit(ENTITY, LIMIT, LIMIT.replace("erp", "crm"))


def without(shop: Shop, field: str) -> None:
    """Take a field out of the entity and of every system."""
    for file in (ENTITY, CRM, ERP):
        path = shop.folder / file
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.strip().startswith(f"{field}:")))


def map_phones_later(shop: Shop) -> None:
    """Both systems have a phone number, the CRM alone has values, and the files map it after the first run."""
    for system, table in (("crm", "account"), ("erp", "party")):
        shop.sql(system, f"alter table {table} add phone text")
    shop.sql("crm", "update account set phone = '+49 ' || id")
    shop.settle()
    shop.edit(ENTITY, "  tax_id:        {type: text}\n", "  tax_id:        {type: text}\n  phone: {type: text}\n")
    shop.edit(CRM, "      tax_id: vat_number\n", "      tax_id: vat_number\n      phone: phone\n")
    shop.edit(ERP, "      tax_id: tax_number\n", "      tax_id: tax_number\n      phone: phone\n")


def hub(shop: Shop, question: str) -> Any:
    """The first cell of the answer."""
    return execute(shop.hub + "&options=-csearch_path%3Dfieldwarden", f"select {question}")[0][0]


def well(shop: Shop) -> None:
    code, found = shop.call_here("audit", "verify")
    assert code == 0, found


# --- the live rulebook ------------------------------------------------------------------------------------------


def test_a_fresh_hub_takes_the_files_and_there_is_nothing_to_plan(shop: Shop) -> None:
    shop.settle()
    code, plan = shop.call_here("plan", "--detailed-exitcode")
    assert (code, plan["result"]["differences"]) == (0, False)
    assert shop.call_here("status")[1]["result"]["rules"]["remark"] == ""
    assert "is live" in shop.invoke("doctor").output


@pytest.mark.long
def test_other_files_change_nothing_until_they_are_applied(shop: Shop) -> None:
    """Case 5: whichever files a process has, it decides by the live rulebook, and says where they differ."""
    shop.settle()
    crm_owns_the_limit(shop)
    with shop.running() as run:
        run.await_ready()
        shop.sql("crm", f"update account set credit_limit = 1 where {ALDER}")
        eventually(
            lambda: shop.sql("crm", f"select credit_limit = 25000 from account where {ALDER}") == [(True,)],
            "the edit is refused and corrected, as the live rules say",
        )
        _, ready = run.get("/readyz")
        assert "fieldwarden apply" in ready
        assert '"ready": true' in ready
        assert run.event("rules.differ")
        run.end()
    assert "fieldwarden plan" in shop.invoke("status").output
    assert "fieldwarden plan" in shop.invoke("doctor").output


@pytest.mark.long
def test_how_a_system_is_reached_is_no_rule(shop: Shop) -> None:
    shop.settle()
    shop.edit(CRM, "${env:CRM_DSN}", "${env:CRM_ELSEWHERE}")
    shop.environment["CRM_ELSEWHERE"] = shop.crm
    assert not shop.call_here("plan")[1]["result"]["differences"]
    shop.sql("crm", f"update account set name = 'Alder' where {ALDER}")
    shop.settle()
    assert shop.sql("erp", "select count(*) from party where name = 'Alder'") == [(1,)]


# --- plan and apply ---------------------------------------------------------------------------------------------


@pytest.mark.long
def test_changed_rules_reach_the_records_that_are_there(shop: Shop) -> None:
    """Case 4: plan counts what apply then does, nothing personal is shown, the ledger says who and why."""
    shop.settle()
    shop.edit(ENTITY, "strategy: recency, among: [crm, erp]", "owner: erp, protected: true")
    shop.edit(ENTITY, "{type: text}\n  tax_id", "{type: text, owner: erp, protected: true}\n  tax_id")
    shop.sql("erp", "update party set email = 'finance@alder.example' where id = 4000")
    shop.settle()
    code, plan = shop.call_here("plan", "--detailed-exitcode")
    assert code == 4
    found = plan["result"]
    assert {each["unit"] for each in found["rules"]} == {"email", "name"}
    assert all(each["protected"] for each in found["fields"])
    assert "alder" not in str([each["samples"] for each in found["fields"] if each["field"] == "email"])
    code, told = shop.call_here("apply", "--plan-hash", found["plan"], "--reason", "finance asked")
    assert (code, told["result"]["records"]) == (0, 4)
    well(shop)
    act = hub(shop, "body::json from ledger_entry where lane = '#people'")
    assert (act["act"], act["why"], "@" in act["who"]) == ("applied", "finance asked", True)
    assert (act["details"]["old"], act["details"]["new"]) == (found["live"], found["files"])
    shop.sql("crm", f"update account set email = 'crm@alder.example' where {ALDER}")
    shop.settle()
    assert shop.sql("crm", f"select email from account where {ALDER}") == [("finance@alder.example",)]


def test_values_that_change_are_counted_sampled_and_delivered(shop: Shop) -> None:
    shop.sql("crm", "update account set email = 'crm@alder.example' where id = 1")
    shop.settle()
    shop.edit(ERP, "      email: email\n", "      email: {column: email, write: false}\n")
    shop.call_here("apply")
    shop.edit(ENTITY, "class: personal, strategy: recency, among: [crm, erp]", "class: personal, owner: erp")
    shop.sql("erp", "update party set email = 'new@alder.example' where id = 4000")
    shop.settle()
    plan = shop.call_here("plan")[1]["result"]
    _, told = shop.call_here("apply")
    assert plan["touched"] == told["result"]["changed"]
    shop.settle()
    well(shop)


@pytest.mark.long
def test_rows_are_created_where_creating_is_switched_on_later(shop: Shop) -> None:
    shop.edit(ERP, "    create: true\n", "    create: false\n")
    shop.settle()
    assert shop.sql("erp", "select count(*) from party") == [(2,)]
    shop.edit(ERP, "    create: false\n", "    create: true\n")
    plan = shop.call_here("plan")[1]["result"]
    assert plan["rows"] == [{"system": "erp", "stream": "public.party", "create": 2, "update": 0, "delete": 0}]
    shop.call_here("apply")
    shop.settle()
    assert shop.sql("erp", "select count(*) from party") == [(4,)]


@pytest.mark.long
def test_a_newly_mapped_column_is_read_by_itself_and_delivered(shop: Shop) -> None:
    map_phones_later(shop)
    plan = shop.call_here("plan")[1]["result"]
    assert {(each["stream"], *each["fields"]) for each in plan["reading"]} == {
        ("public.account", "phone"),
        ("public.party", "phone"),
    }
    shop.sql("crm", f"update account set phone = '+49 777' where {ALDER}")
    shop.call_here("apply")
    shop.settle()
    assert shop.sql("erp", "select count(*) from party where phone is not null") == [(3,)]
    assert shop.sql("erp", "select phone from party where id = 4000") == [("+49 777",)]
    assert shop.sql("crm", "select count(*) from account") == shop.sql("erp", "select count(*) from party")
    well(shop)


@pytest.mark.long
def test_a_newly_mapped_table_is_read_before_anything_is_delivered(shop: Shop) -> None:
    shop.edit(ERP, "    create: true\n", "    create: false\n")
    erp = (shop.folder / ERP).read_text()
    shop.sql(
        "erp", "create table other (id int primary key, name text, tax text); insert into other values (1, 'X', 'T1')"
    )
    (shop.folder / ERP).write_text(
        erp.replace("public.party:", "public.other:")
        .replace("    external_id: fieldwarden_id\n", "")
        .replace("tax_number", "tax")
        .replace("      email: email\n      payment_terms: term_code\n      credit_limit: credit_limit\n", "")
    )
    shop.edit(ENTITY, "owner: erp, protected: true, seed_from: [crm]", "")
    shop.edit(ENTITY, ", owner: erp, protected: true", "")
    shop.edit(
        ENTITY,
        "email:         {type: text, class: personal, strategy: recency, among: [crm, erp]}",
        "email:         {type: text, class: personal}",
    )
    shop.settle()
    assert shop.sql("crm", "select count(*) from account where name = 'X'") == [(1,)]
    (shop.folder / ERP).write_text(erp)
    plan = shop.call_here("plan")[1]["result"]
    assert "stream erp public.party" in plan["came"]
    assert "stream erp public.other" in plan["left"]
    assert shop.call_here("apply")[0] == 0
    shop.settle()
    assert shop.sql("crm", "select count(*) from account where vat_number = 'ATU12345675'") == [(1,)]
    well(shop)


@pytest.mark.long
def test_a_field_that_left_is_dropped_and_its_rows_can_go(shop: Shop) -> None:
    """Case 6: a field is taken out of the files, then a row that had it is deleted."""
    shop.settle()
    without(shop, "email")
    plan = shop.call_here("plan")[1]["result"]
    assert "field customer.email" in plan["left"]
    shop.call_here("apply")
    assert hub(shop, "count(*) from record where contributions like '%email%' or golden::text like '%email%'") == 0
    shop.sql("crm", f"delete from account where {ALDER}")
    shop.settle()
    assert hub(shop, "count(*) from record where retired") == 1
    well(shop)


@pytest.mark.long
def test_a_running_process_takes_over_what_another_applies(shop: Shop) -> None:
    shop.settle()
    with shop.running() as run:
        run.await_ready()
        crm_owns_the_limit(shop)
        assert shop.call_here("apply")[0] == 0
        run.await_event("rules.superseded")
        run.await_ready()
        shop.sql("crm", f"update account set credit_limit = 777 where {ALDER}")
        eventually(
            lambda: shop.sql("erp", "select credit_limit = 777 from party where id = 4000") == [(True,)],
            "crm is the owner now",
        )
        run.end()
    well(shop)


@pytest.mark.long
def test_what_was_refused_once_never_comes_back_under_other_rules(shop: Shop) -> None:
    """Case 1, from beginning to end: refused and corrected, then the rules make the one who was refused the owner."""
    shop.settle()
    shop.sql("crm", f"update account set credit_limit = 999999 where {ALDER}")
    assert shop.settle()["refused"] == 1
    crm_owns_the_limit(shop)
    told = shop.call_here("explain", "customer.credit_limit", "DE811907980")[1]["result"]
    assert told["winner"] == "erp"
    assert "word of crm" in told["files"]
    assert shop.call_here("plan", "--detailed-exitcode")[0] == 4
    assert shop.call_here("apply")[0] == 0
    shop.settle()
    shop.sql("erp", "update party set credit_limit = 24000 where id = 4000")
    assert shop.settle()["refused"] == 1
    assert shop.sql("crm", f"select credit_limit::text from account where {ALDER}") == [("25000.00",)]
    assert shop.sql("erp", "select credit_limit::text from party where id = 4000") == [("25000.00",)]
    told = shop.call_here("explain", "customer.credit_limit", "DE811907980")[1]["result"]
    assert (told["winner"], told["files"], "999" in str(told["claims"])) == ("crm", "", False)
    assert shop.call_here("check")[0] == 0
    well(shop)


@pytest.mark.long
def test_a_row_holds_its_correction_when_its_system_becomes_the_owner(shop: Shop) -> None:
    """Case 3: erp's other spelling was corrected long ago, then erp becomes the owner."""
    shop.settle()
    name = shop.sql("crm", f"select name from account where {ALDER}")[0][0]
    shop.sql("erp", "update party set name = 'An Old Spelling' where id = 4000")
    shop.settle()
    assert shop.sql("erp", "select name from party where id = 4000") == [(name,)]
    shop.edit(ENTITY, "{type: text}\n  tax_id", "{type: text, owner: erp, protected: true}\n  tax_id")
    assert shop.call_here("apply")[0] == 0
    shop.sql("crm", f"update account set name = 'Edited' where {ALDER}")
    assert shop.settle()["refused"] == 1
    assert shop.sql("crm", f"select name from account where {ALDER}") == [(name,)]
    assert shop.sql("erp", "select name from party where id = 4000") == [(name,)]
    assert shop.call_here("check")[0] == 0
    well(shop)


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_stale_plan_is_refused(shop: Shop) -> None:
    shop.settle()
    crm_owns_the_limit(shop)
    old = shop.call_here("plan")[1]["result"]["plan"]
    without(shop, "email")
    code, told = shop.call_here("apply", "--plan-hash", old)
    assert (code, told["error"]["code"]) == (1, "stale_plan")
    assert "fieldwarden plan" in told["error"]["suggestion"]
    assert hub(shop, "count(*) from ledger_entry where lane = '#people'") == 0


def test_files_that_do_not_validate_are_not_applied(shop: Shop) -> None:
    shop.settle()
    shop.edit(ENTITY, "owner: erp", "owner: nobody")
    for command in ("plan", "apply"):
        code, told = shop.call_here(command)
        assert (code, told["error"]["code"]) == (2, "configuration")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (ENTITY, "decimal(14,2)", "decimal(14,4)", "customer.credit_limit changes its type"),
        (CRM, "key: id", "key: vat_number", "crm public.account changes its key from id to vat_number"),
    ],
)
def test_what_records_cannot_be_brought_under_is_refused(shop: Shop, file: str, old: str, new: str, words: str) -> None:
    shop.settle()
    shop.edit(file, old, new)
    assert words in shop.call_here("plan")[1]["result"]["obstacles"][0]["message"]
    code, told = shop.call_here("apply")
    assert (code, told["error"]["code"]) == (2, "cannot_apply")
    assert words in told["error"]["message"]
    assert "fieldwarden apply" in told["error"]["suggestion"]
    assert hub(shop, "count(*) from ledger_entry where lane = '#people'") == 0


@pytest.mark.long
def test_a_renamed_entity_goes_and_another_comes(shop: Shop) -> None:
    shop.settle()
    shop.edit(ENTITY, "entity: customer", "entity: client")
    for file in (CRM, ERP):
        shop.edit(file, "entity: customer", "entity: client")
    plan = shop.call_here("plan")[1]["result"]
    assert "entity client" in plan["came"]
    assert "entity customer" in plan["left"]
    assert "given up" in shop.invoke("plan").output
    assert shop.call_here("apply")[0] == 0
    shop.settle()
    assert hub(shop, "count(*) from record where entity = 'client' and not retired") == 4
    assert hub(shop, "count(*) from record where entity = 'customer' and not retired") == 0
    assert shop.sql("crm", "select count(*) from account") == shop.sql("erp", "select count(*) from party")
    well(shop)


def test_a_plan_needs_a_hub_of_this_version(shop: Shop) -> None:
    shop.settle()
    crm_owns_the_limit(shop)
    shop.sql(
        "hub", "delete from fieldwarden.migration where version = (select max(version) from fieldwarden.migration)"
    )
    code, told = shop.call_here("plan")
    assert (code, "fieldwarden run" in told["error"]["suggestion"]) == (3, True)


@pytest.mark.long
@pytest.mark.parametrize(
    "point", first(1, ["after_switch", "before_switch", "before_batch", "after_batch", "before_end"])
)
def test_an_apply_killed_anywhere_goes_on(shop: Shop, point: str) -> None:
    shop.settle()
    without(shop, "email")
    shop.environment["FIELDWARDEN_FAILPOINT"] = f"apply.{point}"
    with pytest.raises(AssertionError):
        shop.call("apply")  # it says nothing any more
    del shop.environment["FIELDWARDEN_FAILPOINT"]
    switched = hub(shop, "former is not null from live_rulebook")
    assert switched == (point != "before_switch")
    shop.sql("crm", f"update account set name = 'Meanwhile' where {ALDER}")
    shop.settle()
    well(shop)
    if switched:
        assert "fieldwarden apply" in shop.invoke("status").output
    assert shop.call_here("apply")[0] == 0
    assert hub(shop, "former is null from live_rulebook")
    assert hub(shop, "count(*) from record where contributions like '%email%'") == 0
    assert hub(shop, "count(*) from ledger_entry where lane = '#people'") == 1
    well(shop)


@pytest.mark.long
def test_killed_while_a_newly_mapped_column_is_read_it_is_read_again(shop: Shop) -> None:
    map_phones_later(shop)
    assert shop.call_here("apply")[0] == 0
    shop.environment["FIELDWARDEN_FAILPOINT"] = "partial.running"
    with pytest.raises(AssertionError):
        shop.call("run", "--until-idle", "--port", "0")  # it says nothing any more
    del shop.environment["FIELDWARDEN_FAILPOINT"]
    shop.settle()
    assert shop.sql("erp", "select count(*) from party where phone is not null") == [(3,)]
    assert shop.call_here("check")[0] == 0
    well(shop)


@pytest.mark.long
def test_a_second_apply_says_which_one_runs(shop: Shop) -> None:
    shop.settle()
    crm_owns_the_limit(shop)
    with shop.applying("apply.before_batch") as stopped:
        without(shop, "email")
        code, told = shop.call_here("apply")
        assert (code, told["error"]["code"]) == (1, "apply_runs")
        assert "@" in told["error"]["message"]
        os.kill(stopped.pid, signal.SIGCONT)
        ended(stopped)
        assert stopped.returncode == 0
    assert shop.call_here("apply")[0] == 0
    well(shop)
