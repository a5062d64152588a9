"""The first meeting of full systems: all is read and nothing delivered, until somebody has seen what would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldwarden.operations.onboarding import ONBOARDING
from tests.integration.cli_project import COMMAND, Shop
from tests.integration.test_normalised_erp import CUSTOMERS, OTHERS, SYSTEMS, Example
from tests.parts import first
from tests.patience import eventually

ROWS = {"crm": "select * from public.account order by id", "erp": "select * from public.party order by id"}


@pytest.fixture
def new(shop: Shop) -> Shop:
    """The starter project in which nothing ran yet, and whose first meeting is to be reviewed."""
    shop.edit("fieldwarden.yaml", "onboarding: automatic\n", "")
    return shop


def rows(shop: Shop) -> dict[str, object]:
    return {system: shop.sql(system, query) for system, query in ROWS.items()}


def test_run_reads_all_and_delivers_nothing(new: Shop) -> None:
    before = rows(new)
    code, body = new.call_here("run", "--until-idle", "--port", "0")
    assert (code, body["ok"]) == (0, True)
    assert (body["result"]["onboarding"], body["result"]["deliveries"]) == ("waits", 0)
    assert rows(new) == before
    assert new.sql("hub", "select count(*) from fieldwarden.record") == [(4,)]
    assert new.sql("hub", "select count(*) > 0 from fieldwarden.marked") == [(True,)]


def test_status_and_health_say_calmly_what_is_waited_for(new: Shop) -> None:
    with new.running() as run:
        assert run.await_event("onboarding.waits")["message"] == ONBOARDING
        run.await_ready()
        assert ONBOARDING in json.loads(run.get("/readyz")[1])["remarks"]
        eventually(lambda: new.sql("hub", "select count(*) from fieldwarden.record") == [(4,)], "all is read")
        code, body = new.call_here("status", "--check")
        assert (code, body["result"]["rules"]["waits"]) == (0, ONBOARDING)
        assert ONBOARDING in new.invoke("status").output


@pytest.mark.long
def test_what_was_seen_is_delivered_after_apply_and_all_agree(new: Shop) -> None:
    before = rows(new)
    code, body = new.call_here("onboard")
    assert (code, body["result"]["complete"]) == (0, True)
    assert rows(new) == before
    code, done = new.call_here("apply", "--plan-hash", body["result"]["plan"], "--reason", "seen with finance")
    assert (code, done["result"]["onboarded"]) == (0, True)
    assert rows(new) == before
    code, ended = new.call_here("run", "--until-idle", "--port", "0")
    assert (code, ended["result"]["onboarding"]) == (0, "done")
    both = {system: new.sql(system, f"select name, email, credit_limit from {table} order by name")
            for system, table in (("crm", "account"), ("erp", "party"))}  # fmt: skip
    assert both["crm"] == both["erp"]
    assert len(both["crm"]) == 4
    new.holds_what_is_golden()
    acts = new.sql("hub", "select e.body from fieldwarden.ledger_entry e where lane = '#people' order by version")
    (act,) = [json.loads(text) for (text,) in acts]
    assert (act["act"], act["why"]) == ("onboarded", "seen with finance")


def test_onboard_counts_who_knows_whom_and_what_would_be_written(new: Shop) -> None:
    found = new.call_here("onboard")[1]["result"]
    (customer,) = found["entities"]
    assert (customer["records"], customer["matched"]) == (4, 1)
    assert customer["systems"] == [
        {"systems": ["crm", "erp"], "records": 1},
        {"systems": ["crm"], "records": 2},
        {"systems": ["erp"], "records": 1},
    ]
    assert customer["keys"] == [{"key": "tax_id", "records": 1}]
    assert found["rows"] == [
        {"system": "crm", "stream": "public.account", "create": 1, "update": 1, "delete": 0},
        {"system": "erp", "stream": "public.party", "create": 2, "update": 1, "delete": 0},
    ]
    fields = {(each["field"], each["winner"], each["system"]): each for each in found["fields"]}
    assert set(fields) == {
        ("credit_limit", "erp", "crm"),
        ("name", "crm", "erp"),
        ("payment_terms", "erp", "crm"),
        ("tax_id", "crm", "erp"),
    }
    assert (fields["credit_limit", "erp", "crm"]["changed"], fields["credit_limit", "erp", "crm"]["filled"]) == (1, 1)
    (sample,) = fields["name", "crm", "erp"]["samples"]
    assert (sample["before"], sample["after"]) == ("Alder and Sons GmbH", "Alder & Sons")
    (overruled,) = found["overruled"]
    assert (overruled["field"], overruled["system"], overruled["replaced"], overruled["stay"]) == (
        "payment_terms", "crm", 1, 0,
    )  # fmt: skip


COLUMNS = {
    "crm": ("account", {"name": "name", "vat_number": "tax_id", "email": "email", "terms": "payment_terms"}),
    "erp": ("party", {"name": "name", "tax_number": "tax_id", "email": "email", "term_code": "payment_terms"}),
}


def cells(shop: Shop, system: str) -> dict[int, dict[str, object]]:
    """Every row's values by its id, each under its field's name."""
    table, columns = COLUMNS[system]
    columns = {**columns, "credit_limit": "credit_limit"}
    found = shop.sql(system, f"select id, {', '.join(columns)} from {table}")
    return {id: dict(zip(columns.values(), values, strict=True)) for id, *values in found}


@pytest.mark.long
@pytest.mark.parametrize(("on_reject", "limits"), [("correct", [25000, None]), ("leave", [100, 200])])
def test_what_was_foretold_is_what_is_then_written_and_recorded(
    new: Shop, on_reject: str, limits: list[int | None]
) -> None:
    """Rows and values by table and field; which of those that have no say are replaced, and which stay: also where the
    owner knows the customer only once it was created there, and then says nothing of the field."""
    terms = f'"decimal(14,2)", owner: erp, on_reject: {on_reject},'
    new.edit("entities/customer.yaml", '"decimal(14,2)", owner: erp,', terms)
    new.edit("systems/erp.yaml", "email: email", "email: {column: email, write: false}")
    new.sql(
        "erp", "insert into party (name, tax_number, email, term_code) values ('Cedar', 'NL001234567B01', 'x', 'N30')"
    )
    new.sql("crm", "update account set credit_limit = id * 100 where id < 3")
    before = {system: cells(new, system) for system in COLUMNS}
    found = new.call_here("onboard")[1]["result"]
    assert found["complete"]
    new.call_here("apply", "--plan-hash", found["plan"])
    new.call_here("run", "--until-idle", "--port", "0")
    after = {system: cells(new, system) for system in COLUMNS}

    changed = Counter[tuple[str, str]]()
    for system, rows in before.items():
        told = next(each for each in found["rows"] if each["system"] == system)
        assert told["create"] == len(after[system].keys() - rows.keys())
        assert told["update"] == sum(after[system][id] != row for id, row in rows.items())
        assert told["delete"] == len(rows.keys() - after[system].keys()) == 0
        changed.update(
            (system, name) for id, row in rows.items() for name in row if row[name] != after[system][id][name]
        )
    foretold = Counter[tuple[str, str]]()
    for each in found["fields"]:
        foretold[each["system"], each["field"]] += each["changed"]
    assert foretold == changed

    overruled = {each["field"]: each for each in found["overruled"]}
    assert {name: (each["replaced"], each["stay"]) for name, each in overruled.items()} == {
        "payment_terms": (2, 0),
        "credit_limit": (0, 2) if on_reject == "leave" else (2, 0),
    }
    assert [after["crm"][id]["credit_limit"] for id in (1, 2)] == limits
    assert [after["crm"][id]["payment_terms"] for id in (1, 3)] == ["Net 60", "Net 30"]
    outcomes = """
        select decision ->> 1, count(*) from fieldwarden.ledger_entry e,
            jsonb_array_elements(e.body::jsonb -> 'decisions') decision
        where decision ->> 1 in ('refused', 'held') or decision ->> 0 = 'credit_limit' and decision ->> 1 = 'outranked'
        group by 1
    """
    assert new.sql("hub", outcomes) == [("outranked", overruled["credit_limit"]["values"])]


@pytest.mark.long
def test_a_system_that_comes_with_the_rules_is_to_be_looked_at_too(new: Shop) -> None:
    new.edit("fieldwarden.yaml", "systems: [erp, crm]", "systems: [erp]\nplanned: [crm]")
    before = rows(new)
    assert new.call_here("onboard")[1]["result"]["complete"]
    new.edit("fieldwarden.yaml", "systems: [erp]\nplanned: [crm]", "systems: [erp, crm]")
    code, refused = new.call_here("apply")
    assert (code, refused["error"]["code"]) == (1, "not_read")
    assert "crm" in refused["error"]["message"]
    new.call_here("run", "--until-idle", "--port", "0")
    assert rows(new) == before
    assert new.call_here("onboard")[1]["result"]["complete"]
    assert new.call_here("apply")[1]["result"]["onboarded"]


@pytest.mark.long
def test_personal_values_are_masked_unless_asked_for(new: Shop) -> None:
    new.sql("erp", "update party set email = 'other@alder.example' where name like 'Alder%'")
    masked, shown = new.invoke("onboard").output, new.invoke("onboard", "--unmask").output
    assert "alder.example" not in masked
    samples = [each["samples"] for each in new.call_here("onboard")[1]["result"]["fields"] if each["field"] == "email"]
    assert [(one["before"], one["after"]) for (one,) in samples] == [("•••", "•••")]
    assert "alder.example" in shown


def test_keys_that_are_not_unique_are_listed(new: Shop) -> None:
    new.sql("crm", "alter table account drop constraint account_vat_number_key")
    new.sql("crm", "insert into account (name, vat_number) values ('Birch again', 'FR40303265045')")
    found = new.call_here("onboard")[1]["result"]
    (each,) = found["ambiguous"]
    assert (each["system"], each["stream"], each["rows"], each["keys"]) == ("crm", "public.account", 1, ["4"])
    assert "has the same tax_id" in each["reason"]


@pytest.mark.long
def test_a_run_that_works_begins_to_deliver_without_a_restart(new: Shop) -> None:
    with new.running() as run:
        run.await_event("onboarding.waits")
        code, found = new.call_here("onboard")
        assert (code, found["result"]["complete"]) == (0, True)
        assert new.call_here("apply")[0] == 0
        eventually(lambda: len(new.sql("crm", "select id from account")) == 4, "the systems agree")
        run.await_event("onboarding.ended")
        assert json.loads(run.get("/readyz")[1])["remarks"] == []


@pytest.mark.long
def test_rules_that_were_mended_after_looking_are_looked_at_again(new: Shop) -> None:
    first = new.call_here("onboard")[1]["result"]
    new.edit(
        "entities/customer.yaml", "name:          {type: text}", "name: {type: text, owner: erp, seed_from: [crm]}"
    )
    code, body = new.call_here("apply", "--plan-hash", first["plan"])
    assert (code, body["error"]["code"]) == (1, "stale_plan")
    second = new.call_here("onboard")[1]["result"]
    assert ("name", "erp", "crm") in {(each["field"], each["winner"], each["system"]) for each in second["fields"]}
    assert new.call_here("apply", "--plan-hash", second["plan"])[0] == 0
    new.call_here("run", "--until-idle", "--port", "0")
    assert ("Alder and Sons GmbH",) in new.sql("crm", "select name from account")


@pytest.mark.long
def test_rules_changed_after_looking_are_applied_and_then_delivered(new: Shop) -> None:
    new.call_here("onboard")
    new.edit(
        "entities/customer.yaml", "name:          {type: text}", "name: {type: text, owner: erp, seed_from: [crm]}"
    )
    code, body = new.call_here("apply")
    assert (code, body["result"]["onboarded"]) == (0, True)
    assert body["result"]["old"] != body["result"]["new"]
    new.call_here("run", "--until-idle", "--port", "0")
    assert ("Alder and Sons GmbH",) in new.sql("crm", "select name from account")


@pytest.mark.long
def test_nothing_is_let_before_all_has_been_read(new: Shop) -> None:
    code, body = new.call_here("apply")
    assert (code, body["error"]["code"]) == (1, "not_read")
    assert "fieldwarden onboard" in body["error"]["suggestion"]
    before = rows(new)
    code, body = new.call_here("run", "--apply", "--until-idle", "--port", "0")
    assert (code, body["result"]["onboarding"], body["result"]["deliveries"]) == (0, "waits", 0)
    assert rows(new) == before
    assert new.call_here("apply")[1]["result"]["onboarded"]
    code, body = new.call_here("run", "--until-idle", "--port", "0")
    assert (code, body["result"]["onboarding"], body["result"]["deliveries"] > 0) == (0, "done", True)
    new.holds_what_is_golden()


@pytest.mark.long
def test_a_source_that_halts_after_its_first_rows_is_mended_before_anything_is_let(new: Shop) -> None:
    assert new.call_here("onboard")[1]["result"]["complete"]
    new.sql("crm", f"select pg_drop_replication_slot('{new.slot('crm')}')")
    new.sql("crm", "insert into account (name, vat_number) values ('Birch again', 'FR1')")
    code, body = new.call_here("onboard")
    assert (code, body["result"]["plan"], list(body["result"]["unread"])) == (1, None, ["crm"])
    code, body = new.call_here("apply")
    assert (code, body["error"]["code"]) == (1, "not_read")
    assert "crm: reading it is halted" in body["error"]["message"]
    new.call_here("run", "--rebaseline", "crm", "--until-idle", "--port", "0")
    assert new.call_here("apply")[1]["result"]["onboarded"]


def test_check_says_that_nothing_is_delivered_yet(new: Shop) -> None:
    new.call_here("onboard")
    code, body = new.call_here("check")
    assert (code, body["result"]["waits"]) == (0, ONBOARDING)
    assert body["result"]["why"]["in flight"] > 0
    *_, said, verdict = new.invoke("check").output.splitlines()
    assert (said, "in flight" in verdict) == (ONBOARDING, True)
    new.call_here("apply")
    assert new.call_here("check")[1]["result"]["waits"] == ""


@pytest.mark.long
def test_a_second_onboard_says_since_when_it_is_done(new: Shop) -> None:
    new.call_here("onboard")
    new.call_here("apply")
    code, body = new.call_here("onboard")
    assert code == 0
    assert body["result"]["onboarded"]["by"]
    assert "met already" in new.invoke("onboard").output
    code, body = new.call_here("apply")
    assert (code, body["result"]["onboarded"]) == (0, False)


@pytest.mark.long
def test_files_that_turn_automatic_end_the_waiting(new: Shop) -> None:
    new.call_here("onboard")
    new.edit("fieldwarden.yaml", "systems:", "onboarding: automatic\nsystems:")
    code, body = new.call_here("run", "--until-idle", "--port", "0")
    assert (code, body["result"]["onboarding"]) == (0, "done")
    new.holds_what_is_golden()


@pytest.mark.long
def test_an_automatic_project_can_be_looked_at_first(shop: Shop) -> None:
    before = rows(shop)
    assert shop.call_here("onboard")[1]["result"]["complete"]
    assert rows(shop) == before
    assert shop.call_here("run", "--until-idle", "--port", "0")[1]["result"]["deliveries"] > 0


def test_what_cannot_be_reached_is_said_and_nothing_is_complete(new: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    new.sql("erp", "alter table party rename tax_number to number")
    code, body = new.call_here("onboard")
    assert (code, body["error"]["code"], body["result"]["plan"]) == (1, "not_read", None)
    assert "erp" in body["error"]["message"]


@pytest.mark.long
def test_a_system_that_a_run_cannot_reach_is_said_and_not_waited_for(
    new: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    new.call_here("run", "--until-idle", "--port", "0")
    monkeypatch.setattr("fieldwarden.operations.onboard.PATIENCE", 0.0)
    new.environment["CRM_DSN"] = "postgresql://127.0.0.1:1/crm"
    with new.running() as run:
        run.await_event("onboarding.waits")
        code, body = new.call_here("onboard")
    assert (code, body["result"]["complete"], body["result"]["plan"]) == (1, False, None)
    assert body["result"]["stuck"][0].startswith("crm: reading it is retrying")


@pytest.mark.long
@pytest.mark.parametrize(
    "failpoint", first(1, ["ingest.after_commit:2", "snapshot.slot_created", "ingest.before_commit:3"])
)
def test_one_that_was_killed_goes_on(new: Shop, failpoint: str) -> None:
    before = rows(new)
    killed = subprocess.run(
        [COMMAND, "onboard", "--project", new.folder],
        env=os.environ | new.environment | {"FIELDWARDEN_FAILPOINT": failpoint},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    code, body = new.call_here("onboard")
    assert (code, body["result"]["complete"], body["result"]["records"]) == (0, True, 4)
    assert rows(new) == before


TABLES = {
    "erp": ("party", "party_address", "party_identifier", "contact_mechanism", "party_terms", "credit_limit"),
    "billing": ("customer",),
    "crm": ("account",),
}


@pytest.mark.long
def test_an_erp_of_many_tables_meets_a_crm_and_billing(tmp_path: Path, make_database: Callable[..., str]) -> None:
    """Nothing is written anywhere before it is let; then each customer is one, and `check` finds nothing."""
    example = Example(tmp_path / "example", make_database)
    settings = f'project: normalised\nsystems: [{", ".join(SYSTEMS)}]\nhub: {{dsn: "${{env:HUB_DSN}}"}}\n'
    (example.folder / "fieldwarden.yaml").write_text(settings)

    def held() -> dict[str, object]:
        queries = {(system, table): f"select t::text from {table} t order by 1"
                   for system, tables in TABLES.items() for table in tables}  # fmt: skip
        return {f"{system}.{table}": example.sql(system, query) for (system, table), query in queries.items()}

    before, others = held(), example.sql("erp", OTHERS)
    there = example.counts_of(*SYSTEMS)
    code, body = example.call_here("onboard")
    assert (code, body["result"]["complete"]) == (0, True)
    assert held() == before
    found = body["result"]
    customer = next(each for each in found["entities"] if each["entity"] == "customer")
    assert customer["records"] == CUSTOMERS
    roots = {"erp": "public.party", "billing": "public.customer", "crm": "public.account"}
    created = {each["system"]: each["create"] for each in found["rows"] if each["stream"] == roots[each["system"]]}
    assert example.call_here("apply", "--plan-hash", found["plan"])[0] == 0
    example.settle()
    now = example.counts_of(*SYSTEMS)
    assert {system: now[system] - there[system] for system in SYSTEMS} == {"billing": 0, **created}
    assert not set(others) - set(example.sql("erp", OTHERS))
    example.is_sound()
