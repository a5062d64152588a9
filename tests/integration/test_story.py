"""`trail` and `explain` on a hub that the real pipelines and deliveries wrote."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import psycopg
import pytest
import pytest_asyncio

from fieldwarden.engine.errors import LedgerBroken
from fieldwarden.engine.hub.asking import MASK, AmbiguousName, Mask, NotFound, UnknownName
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.views.audit import verify
from fieldwarden.engine.hub.views.story import tell
from fieldwarden.operations import explain as explaining
from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.shell import explain as explain_words
from fieldwarden.operations.shell import trail as trail_words
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import BILLING, CRM, CUSTOMER, ERP, RANKS
from tests.integration.stage import RULES, SCHEMA, Stage


async def _acme(dsn: str) -> Stage:
    """One customer in three systems, with what sales tried on the ERP's credit limit and terms."""
    stage = Stage(dsn)
    await stage.say("crm", "public.account", "1", tax_id="DE-1", name="Acme", phone="111", segment=None)
    await stage.say("billing", "public.customer", "2", tax_id="DE 1", phone="x222", credit_limit="10", street="Oak 1")
    await stage.say("erp", "public.party", "3", tax_id="DE1", name="ACME Ltd", credit_limit="50000", terms="NET30")
    await stage.say("erp", "public.address", "4", parent="3", street="Elm 2", city="Bonn")
    await stage.deliver()
    await stage.say("crm", "public.account", "1", credit_limit="90000")
    await stage.say("crm", "public.account", "1", terms="NET60")
    await stage.hub.close()
    return stage


@pytest.fixture(scope="module")
def acme_template(postgres: EmbeddedServer, hub_template: str) -> Iterator[tuple[str, Stage]]:
    """The hub of that story, told once and only ever copied."""
    name = "acme_template"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name} template {hub_template}".encode())
        yield name, asyncio.run(_acme(postgres.dsn(name)))
        admin.execute(f"drop database {name} with (force)".encode())


@pytest_asyncio.fixture
async def acme(acme_template: tuple[str, Stage], make_database: Callable[..., str]) -> AsyncIterator[Stage]:
    name, told = acme_template
    stage = Stage(make_database(name))
    stage.now, stage.told, stage.targets = told.now, copy.deepcopy(told.told), copy.deepcopy(told.targets)
    yield stage
    await stage.hub.close()


async def test_what_the_engine_wrote_verifies(acme: Stage) -> None:
    await acme.deliver()
    async with snapshot(acme.dsn, SCHEMA) as connection:
        report = await verify(connection)
    assert report.ok, "\n".join(map(str, report.breaks))
    assert {head.lane for head in report.lanes} == {"crm", "billing", "erp"}
    assert report.entries >= 6


@pytest.mark.long
@pytest.mark.parametrize(
    ("key", "how"),
    [
        ("1", "key in crm public.account"),
        ("2", "key in billing public.customer"),
        ("3", "key in erp public.party"),
        ("4", "key in erp public.address"),
        ("erp:3", "key in erp public.party"),
        ("erp:public.address:4", "key in erp public.address"),
        ("de 1", "tax_id"),
    ],
)
async def test_any_systems_key_finds_the_record(acme: Stage, key: str, how: str) -> None:
    story = await acme.trail(key)
    assert story.found_by == how
    again = await acme.trail(story.record)
    assert (again.record, again.found_by) == (story.record, "record id")


async def test_a_trail_tells_the_whole_story(acme: Stage) -> None:
    await acme.say("crm", "public.contact", "9", customer="1", email="ann@acme.example")
    story = await acme.trail("1")
    assert (story.entity, story.label, story.retired) == ("customer", "DE1", False)
    assert story.golden["credit_limit"] == "50000.00"
    assert story.golden["phone"] == MASK
    assert [(row.system, row.key, row.linked, row.live) for row in story.rows] == [
        ("crm", "1", "began the record", True),
        ("billing", "2", "linked by a match key", True),
        ("erp", "3", "linked by a match key", True),
        ("erp", "4", "linked by its parent row", True),
    ]
    assert "credit_limit" in story.rows[0].differs
    assert story.version == len(story.timeline) == 6
    refused = story.timeline[4]
    assert refused.outcomes == {"credit_limit": "refused"}
    assert refused.decisions == [
        "credit_limit 90000.00 refused: stays 50000.00 (owner erp, protected, seeded by billing)"
    ]
    assert story.timeline[5].outcomes == {"terms": "held"}
    assert [(each.target, each.status) for each in story.deliveries] == [("crm", "due")]
    assert [(each.entity, each.field) for each in story.referred_by] == [("contact", "customer")]
    assert story.referring == 1
    assert "x222" not in json.dumps(msgspec.to_builtins(story)), "a personal value"


async def test_a_decision_is_told_with_the_rule_that_held_then(acme: Stage) -> None:
    """Entries name their rulebook; what it said is found in the hub even when the rules have changed since."""

    async def told(rules: Rulebook) -> list[str]:
        async with snapshot(acme.dsn, SCHEMA) as connection:
            trail = await tell(connection, rules, "customer", "1", Mask(rules))
        return trail.timeline[4].decisions

    customer = copy.deepcopy(CUSTOMER)
    del customer["fields"]["credit_limit"]["seed_from"]
    changed = rulebook_from_documents([customer], [copy.deepcopy(CRM), BILLING, ERP], {}, RANKS)
    assert await told(changed) == [f"credit_limit 90000.00 refused: stays 50000.00 (rulebook {RULES.hash[:12]})"]
    with psycopg.connect(acme.dsn) as connection:
        connection.execute(f"insert into {SCHEMA}.rulebook (hash, body) values (%s, %s)", [RULES.hash, RULES.source])
    seeded = "credit_limit 90000.00 refused: stays 50000.00 (owner erp, protected, seeded by billing)"
    assert await told(changed) == [seeded]
    with psycopg.connect(acme.dsn) as connection:
        altered = RULES.source.replace('"billing"', '"crm"')
        connection.execute(f"update {SCHEMA}.rulebook set body = %s where hash = %s", [altered, RULES.hash])
    assert await told(changed) == [f"credit_limit 90000.00 refused: stays 50000.00 (rulebook {RULES.hash[:12]})"]


async def test_decisions_can_be_looked_at_by_hand_however_their_entry_says_them(acme: Stage) -> None:
    with psycopg.connect(acme.dsn) as connection:
        rows = connection.execute(
            "select version, system, field, outcome, proposed, before, after, winner from fieldwarden.decision"
            " where record = (select record from fieldwarden.crosswalk where system = 'erp' limit 1)"
            " and field in ('credit_limit', 'phone') order by version, field"
        ).fetchall()
    assert rows == [
        (1, "crm", "phone", "accepted", "111", None, "111", "crm"),
        (2, "billing", "credit_limit", "accepted", "10.00", None, "10.00", "billing"),
        (2, "billing", "phone", "accepted", "x222", "111", "x222", "billing"),
        (3, "erp", "credit_limit", "accepted", "50000.00", "10.00", "50000.00", "erp"),
        (5, "crm", "credit_limit", "refused", "90000.00", "50000.00", "50000.00", "erp"),
    ]


async def test_a_trail_reads_well(acme: Stage) -> None:
    text = trail_words.text(await acme.trail("1"))
    assert max(map(len, text.splitlines())) <= 110
    assert "In the systems" in text
    assert "2026-01-31 10:05:00  crm public.account 1 said" in text
    assert "Still to be delivered" in text
    assert MASK in text
    assert "x222" in trail_words.text(await acme.trail("1", unmask=True))


async def test_references_are_told_both_ways(acme: Stage) -> None:
    await acme.say("crm", "public.contact", "9", customer="1", email="ann@acme.example")
    contact = await acme.trail("9", "contact")
    assert [(each.field, each.label) for each in contact.refers_to] == [("customer", "DE1")]
    assert contact.label == contact.record, "its only name is personal"
    assert contact.timeline[0].decisions[1] == "customer set to DE1 (owner crm)"
    shown = await acme.trail("ann@acme.example", "contact", unmask=True)
    assert shown.label == "ann@acme.example"


async def test_a_child_that_moved_is_told_in_both_records(acme: Stage) -> None:
    await acme.say("erp", "public.party", "30", tax_id="FR7", name="Autre")
    await acme.say("erp", "public.address", "4", parent="30")
    here, there = await acme.trail("FR7"), await acme.trail("DE1")
    assert here.timeline[-1].headline.endswith("moved here from record DE1")
    assert there.timeline[-1].headline.endswith("moved to another record")


async def test_numbers_that_several_systems_use_are_asked_back(acme: Stage) -> None:
    await acme.say("crm", "public.account", "3", tax_id="FR7", name="Autre")
    with pytest.raises(AmbiguousName) as caught:
        await acme.trail("3")
    assert len(caught.value.candidates) == 2
    assert "erp:3" in caught.value.suggestion
    assert caught.value.exit_code == 1
    assert (await acme.trail("erp:3")).label == "DE1"
    assert (await acme.trail("crm:3")).label == "FR7"


async def test_a_root_row_is_meant_before_a_child_row(acme: Stage) -> None:
    await acme.say("billing", "public.customer", "4", tax_id="FR7", name="Autre")
    assert (await acme.trail("4")).label == "FR7"


async def test_what_does_not_exist_is_said_with_what_comes_close(acme: Stage) -> None:
    with pytest.raises(UnknownName, match="no entity 'custmer'") as unknown:
        await acme.trail("1", "custmer")
    assert (unknown.value.exit_code, unknown.value.suggestion) == (2, "did you mean customer?")
    with pytest.raises(UnknownName, match="no field 'credit'") as no_field:
        await acme.why("credit", "1")
    assert "credit_limit" in no_field.value.suggestion
    await acme.say("crm", "public.account", "7", tax_id="DE123456", name="Other")
    with pytest.raises(NotFound) as missing:
        await acme.trail("DE123457")
    assert (missing.value.exit_code, missing.value.suggestion) == (1, "did you mean DE123456?")
    await acme.say("crm", "public.contact", "9", customer="1", email="ann@acme.example")
    with pytest.raises(NotFound) as personal:
        await acme.trail("ann@acme.exampl", "contact")
    assert "ann@acme.example?" not in personal.value.suggestion


async def test_a_row_that_waits_is_named_when_its_key_finds_nothing(acme: Stage) -> None:
    await acme.say("crm", "public.contact", "77", customer="nobody", email="x@y.example")
    with pytest.raises(NotFound, match="is set aside: field customer refers to a row"):
        await acme.trail("77", "contact")


async def test_set_aside_changes_of_its_rows_belong_to_the_story(acme: Stage) -> None:
    await acme.say("erp", "public.party", "3", credit_limit="much")
    story = await acme.trail("3")
    assert [(each.kind, each.reason) for each in story.set_aside] == [("unreadable", story.set_aside[0].reason)]
    assert "credit_limit" in story.set_aside[0].reason or "decimal" in story.set_aside[0].reason
    assert "Set aside" in trail_words.text(story)


async def test_a_retired_record_is_still_found_by_its_name(acme: Stage) -> None:
    await acme.say("crm", "public.account", "1", "delete")
    story = await acme.trail("DE1")
    assert story.retired
    assert story.timeline[-1].headline == "crm public.account 1 was deleted; the record is retired"
    assert "retired" in trail_words.text(story).splitlines()[0]


# --- explain ----------------------------------------------------------------------------------------------------


async def test_why_a_protected_field_stands_and_who_was_refused(acme: Stage) -> None:
    before = await acme.why("credit_limit", "1")
    assert before == (
        "credit_limit of customer DE1 is 50000.00 because erp owns it (owner erp, protected). "
        "erp said so on 2026-01-31 10:03:00. "
        "crm said 90000.00 on 2026-01-31 10:05:00 and was refused; crm is yet to be corrected. "
        "billing carries it: it was written there."
    )
    assert 'crm said "NET60" on 2026-01-31 10:06:00, which finance could approve' in await acme.why("terms", "1")
    await acme.deliver()
    assert "90000" not in await acme.why("credit_limit", "1"), "no row holds it any more"
    assert "billing and crm carry it: it was written there." in await acme.why("credit_limit", "1")


async def test_why_of_the_other_strategies(acme: Stage) -> None:
    phone = await acme.why("phone", "1", unmask=True)
    assert phone.startswith(
        'phone of customer DE1 is "x222" because billing changed it last (recency among crm, billing).'
    )
    assert "crm and erp carry it: it was written there." in phone
    assert "x222" not in await acme.why("phone", "1")
    segment = await acme.why("segment", "1")
    assert segment.startswith("segment of customer DE1 is empty because no system that may supply it says a")
    name = await acme.why("name", "1")
    assert 'is "ACME Ltd" because erp owns it (owner erp).' in name
    assert "billing and crm carry it" in name
    street = await acme.why("street", "1")
    assert 'is "Elm 2" because' in street
    assert "group address" in street
    assert "billing and crm carry it" in street
    await acme.say("crm", "public.account", "1", phone="999")
    lost = await acme.why("phone", "1", unmask=True)
    older = 'billing said "x222" on 2026-01-31 10:02:00 and lost, because it is older; billing is yet to be corrected.'
    assert older in lost
    assert 'erp carries "x222", which was written there; erp is yet to be corrected.' in lost


async def test_why_an_owners_last_word_outlives_its_row(acme: Stage) -> None:
    await acme.say("erp", "public.party", "3", "delete")
    assert "erp owns it, and its last word outlives the row it deleted" in await acme.why("credit_limit", "1")


async def test_the_history_of_a_field_ends_an_explanation(acme: Stage) -> None:
    found = await explaining.explain(LiveHub(acme.dsn, SCHEMA, RULES), "customer", "credit_limit", "1")
    assert [event.outcomes["credit_limit"] for event in found.history] == ["refused", "accepted", "accepted"]
    text = explain_words.text(found)
    assert "Who says what" in text
    assert "Latest decisions" in text
    assert max(map(len, text.splitlines())) <= 100
    assert msgspec.to_builtins(found)["winner"] == "erp"


async def test_an_altered_entry_stops_the_story_by_name(acme: Stage) -> None:
    with psycopg.connect(acme.dsn) as connection:
        connection.execute("update fieldwarden.ledger_entry set body = '[' where lane = 'billing'")
    with pytest.raises(LedgerBroken, match="lane billing, block 0, entry 0"):
        await acme.trail("1")


def test_entity_and_field_are_written_with_a_dot() -> None:
    assert explaining.split("customer.credit_limit") == ("customer", "credit_limit")
    for wrong in ("customer", "customer.", ".credit_limit"):
        with pytest.raises(UnknownName):
            explaining.split(wrong)
