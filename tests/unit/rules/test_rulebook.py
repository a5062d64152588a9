"""What the files of a sound project fold into: policies, write sets, references, code lists, hash."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.rules.connections import database_settings
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.loading import (
    ReferenceUnresolved,
    load_rulebook_source,
    resolve_reference,
    rulebook_from_documents,
)
from fieldwarden.rules.rulebook import Policy, Rulebook
from tests.builders import postgres
from tests.unit.rules.projects import FILES, load, write


@pytest.fixture
def rulebook(tmp_path: Path) -> Rulebook:
    return load(write(tmp_path)).rulebook


def policy(rulebook: Rulebook, field: str) -> Policy:
    return rulebook.entities["customer"].unit_of[field].policy


def test_an_unprotected_owner_is_followed_by_its_seeds_and_the_other_mapped_systems_by_rank(rulebook: Rulebook) -> None:
    assert policy(rulebook, "legal_name") == Policy(
        strategy="owner",
        order=("erp", "crm", "billing"),
        owner="erp",
        seed_from=("crm",),
        nulls=frozenset({"erp", "crm"}),  # the owner's null always stands; crm says on_null: value
        sentence="owner erp",
    )


def test_a_protected_owner_stands_alone(rulebook: Rulebook) -> None:
    assert policy(rulebook, "terms") == Policy(
        strategy="owner",
        order=("erp",),
        owner="erp",
        protected=True,
        nulls=frozenset({"erp"}),
        sentence="owner erp, protected",
    )


def test_the_other_strategies_keep_their_declared_order_of_mapped_systems(rulebook: Rulebook) -> None:
    assert policy(rulebook, "tax_id").sentence == "source_priority erp > billing > crm"
    assert policy(rulebook, "email").order == ("crm", "billing")
    assert policy(rulebook, "email").sentence == "recency among crm, billing"
    assert policy(rulebook, "parent_company").sentence == "first_non_null crm > erp"
    assert policy(rulebook, "parent_company").nulls == frozenset()
    assert policy(rulebook, "email").nulls == {"crm"}


def test_a_group_is_one_unit_in_declared_order_and_its_silent_fields_take_what_the_others_say(
    rulebook: Rulebook,
) -> None:
    credit = rulebook.entities["customer"].unit_of["currency"]
    assert (credit.name, credit.fields) == ("credit", ("credit_limit", "currency"))
    assert (credit.policy.protected, credit.policy.approval) == (True, "finance")
    address = rulebook.entities["customer"].unit_of["street"]
    assert address.optional == {"postal_code"}
    assert address.policy.order == ("billing", "erp")
    assert [unit.name for unit in rulebook.entities["customer"].units][-1] == "address"


def test_match_keys_and_delete_authority(rulebook: Rulebook) -> None:
    customer = rulebook.entities["customer"]
    assert [(key.name, key.fields) for key in customer.match] == [
        ("tax_id", ("tax_id",)),
        ("legal_name+postal_code", ("legal_name", "postal_code")),
    ]
    assert customer.delete_authority == {"crm"}
    assert customer.fields["email"].personal


def test_write_sets_never_hold_what_the_system_protects_or_only_reads(rulebook: Rulebook) -> None:
    party = rulebook.systems["erp"].streams["public.party"]
    assert party.update_fields == ("legal_name", "tax_id", "parent_company")
    assert party.create_fields == ("legal_name", "tax_id", "parent_company")
    assert party.protected_columns == {"term_code", "credit_limit", "currency"}
    assert party.conflict == ("fieldwarden_id",)
    account = rulebook.systems["crm"].streams["public.account"]
    assert account.update_fields == ("legal_name", "terms", "email", "parent_company", "currency")
    assert account.protected_columns == frozenset()


def test_a_child_stream_knows_its_parent_and_what_makes_a_row_of_it_unique(rulebook: Rulebook) -> None:
    child = rulebook.systems["erp"].streams["public.party_address"]
    assert (child.parent, child.parent_columns) == ("public.party", ("party_id",))
    assert (child.constants, child.conflict) == ({"kind": "invoice"}, ("party_id", "kind"))
    assert child.where is not None
    assert child.where.sql("a") == '"a"."kind" = \'invoice\''
    assert child.update_fields == ("street", "postal_code")


def test_fields_are_columns_expressions_references_and_codes(rulebook: Rulebook) -> None:
    fields = rulebook.systems["crm"].streams["public.account"].fields
    assert (fields["legal_name"].column, fields["legal_name"].read, fields["legal_name"].writable) == (
        "name",
        None,
        True,
    )
    assert (fields["tax_id"].column, fields["tax_id"].writable) == (None, False)
    assert fields["email"].column == "mail"
    assert fields["email"].read is not None
    assert fields["parent_company"].reference == "public.account"
    codes = fields["terms"].codes
    assert codes is not None
    assert codes.inward == {"Net 30": "NET30", "Net 60": "NET60"}
    erp = rulebook.systems["erp"].streams["public.party"].fields["terms"].codes
    assert erp is not None
    assert (erp.inward["N31"], erp.outward["NET30"]) == ("NET30", "N30")
    assert erp.codes == {"NET30", "NET60"}


def test_connector_settings_keep_their_references_and_have_their_defaults(tmp_path: Path) -> None:
    project = load(write(tmp_path), {"PW": "hunter2"})
    assert project.rulebook.systems["billing"].settings == postgres("postgresql://app:${env:PW}@db/billing")
    assert database_settings(project.rulebook.systems["erp"]).slot == "custom_slot"
    assert project.settings.limits.future_tolerance == timedelta(minutes=5)
    assert "hunter2" not in repr(project)
    resolved = project.resolve("x:${env:PW}")
    assert (str(resolved), resolved.reveal()) == ("***", "x:hunter2")


def test_the_bounds_of_the_brake_have_defaults_and_a_share_is_exact(tmp_path: Path) -> None:
    deletes = load(write(tmp_path / "default")).settings.limits.deletes
    assert (deletes.share, deletes.number, deletes.window) == (Decimal("0.2"), 20, timedelta(minutes=10))
    text = FILES["fieldwarden.yaml"].replace(
        "{future_tolerance: 5m}", "{deletes: {share: 0.35, number: 7, window: 1h}}"
    )
    deletes = load(write(tmp_path / "said", {**FILES, "fieldwarden.yaml": text})).settings.limits.deletes
    assert (deletes.share, deletes.number, deletes.window) == (Decimal("0.35"), 7, timedelta(hours=1))


def test_ranks_follow_the_project_file(rulebook: Rulebook) -> None:
    assert {name: system.rank for name, system in rulebook.systems.items()} == {"erp": 0, "billing": 1, "crm": 2}


def test_a_rulebook_comes_back_whole_from_its_source(rulebook: Rulebook) -> None:
    assert load_rulebook_source(rulebook.source) == rulebook


def test_the_hash_names_the_rules_and_nothing_else(rulebook: Rulebook, tmp_path: Path) -> None:
    def hashed(name: str, file: str, old: str, new: str) -> str:
        return load(write(tmp_path / name, {**FILES, file: FILES[file].replace(old, new)})).rulebook.hash

    assert (
        hashed("comment", "entities/customer.yaml", "entity: customer\n", "entity: customer  # hers\n") == rulebook.hash
    )
    assert hashed("port", "fieldwarden.yaml", "limits: {future_tolerance: 5m}", "run: {port: 0}") == rulebook.hash
    assert hashed("first", "fieldwarden.yaml", "embedded:", "onboarding: automatic\nembedded:") == rulebook.hash
    assert hashed("brake", "fieldwarden.yaml", "{future_tolerance: 5m}", "{deletes: {share: 0.5}}") == rulebook.hash
    assert hashed("rule", "entities/customer.yaml", "among: [crm, billing]", "among: [billing, crm]") != rulebook.hash
    assert hashed("codes", "codes/terms.csv", "NET60,N60", "NET60,N61") != rulebook.hash
    assert hashed("rank", "fieldwarden.yaml", "[erp, billing, crm]", "[billing, erp, crm]") != rulebook.hash


def test_places_can_be_found_later(tmp_path: Path) -> None:
    project = load(write(tmp_path))
    assert str(project.locate("crm")) == "systems/crm.yaml:1:1"
    assert str(project.locate("crm", "public.account")) == "systems/crm.yaml:5:3"
    assert str(project.locate("crm", "public.account", "tax_id")) == "systems/crm.yaml:13:15"
    assert str(project.locate("crm", "public.account", part="external_id")) == "systems/crm.yaml:8:18"
    problem = project.locate("erp", "public.party", "terms").problem("column 'term_code' does not exist")
    assert str(problem) == "systems/erp.yaml:10:55: column 'term_code' does not exist"


# --- from mappings, as the tests of the engine build theirs ----------------------------------------------------

ENTITY: dict[str, Any] = {
    "entity": "item",
    "identity": {"match": ["sku"]},
    "fields": {
        "sku": {"type": "text"},
        "name": {"type": "text", "owner": "a", "protected": True, "seed_from": ["b"]},
        "note": {"type": "text"},
    },
}
A: dict[str, Any] = {
    "system": "a",
    "connector": {"kind": "postgres", "dsn": "x"},
    "streams": {"item": {"entity": "item", "key": "sku", "create": True, "fields": {"sku": "sku", "name": "name"}}},
}
B: dict[str, Any] = {**A, "system": "b"}


def test_a_natural_key_creates_rows_but_is_never_updated() -> None:
    item = rulebook_from_documents([ENTITY], [A, B]).systems["a"].streams["item"]
    assert item.conflict == ("sku",)
    assert item.create_fields == ("sku", "name")  # `name` is a's own and protected, but b may seed it
    assert item.update_fields == ()
    assert item.protected_columns == {"name"}


def test_only_systems_that_are_read_supply_values() -> None:
    written_only = {**B, "mode": "target"}
    rulebook = rulebook_from_documents([ENTITY], [A, written_only])
    units = rulebook.entities["item"].unit_of
    assert units["sku"].policy.order == ("a",)
    assert units["name"].policy.seed_from == ()
    assert units["note"].policy.order == ()
    assert not rulebook.systems["b"].streams["item"].reads
    assert rulebook.systems["b"].streams["item"].update_fields == ("name",)


def test_a_system_that_is_only_read_is_never_written() -> None:
    item = deepcopy(A["streams"]["item"])
    del item["create"]
    read_only = {**A, "streams": {"item": {**item, "mode": "source"}}}
    stream = rulebook_from_documents([ENTITY], [read_only, B]).systems["a"].streams["item"]
    assert (stream.update_fields, stream.create_fields, stream.creates) == ((), (), False)


def test_an_owner_drops_the_defaults_about_another_strategy() -> None:
    entity = {**ENTITY, "defaults": {"strategy": "recency", "among": ["b", "a"]}}
    units = rulebook_from_documents([entity], [A, B]).entities["item"].unit_of
    assert units["sku"].policy.sentence == "recency among b, a"
    assert units["name"].policy.sentence == "owner a, protected, seeded by b"


def test_a_strategy_drops_the_defaults_about_an_owner() -> None:
    fields = {"sku": {"type": "text", "strategy": "first_non_null"}, "name": {"type": "text"}}
    entity = {**ENTITY, "defaults": {"owner": "a", "protected": True}, "fields": fields}
    units = rulebook_from_documents([entity], [A, B]).entities["item"].unit_of
    assert units["sku"].policy.sentence == "first_non_null a > b"
    assert units["name"].policy.sentence == "owner a, protected"


def test_order_breaks_the_ties_of_recency() -> None:
    fields = {**ENTITY["fields"], "sku": {"type": "text", "strategy": "recency", "among": ["a", "b"], "order": ["b"]}}
    rulebook = rulebook_from_documents([{**ENTITY, "fields": fields}], [A, B])
    assert rulebook.entities["item"].unit_of["sku"].policy.order == ("b", "a")


def test_a_system_that_lacks_a_field_of_a_group_never_supplies_the_group() -> None:
    groups = {"both": {"fields": ["sku", "note"], "strategy": "source_priority"}}
    entity = {**ENTITY, "groups": groups}
    richer = {**B, "streams": {"item": {**B["streams"]["item"], "fields": {"sku": "sku", "name": "name", "note": "n"}}}}
    rulebook = rulebook_from_documents([entity], [A, richer])
    assert rulebook.entities["item"].unit_of["sku"].policy.order == ("b",)


def test_mappings_are_checked_like_files() -> None:
    with pytest.raises(ConfigurationError) as error:
        rulebook_from_documents([ENTITY], [{**A, "colour": "red"}, B], {"x": "canonical\nA\nA\n"})
    assert [(problem.file, problem.message) for problem in error.value.problems] == [
        ("codes/x.csv", "canonical code 'A' stands here twice, first on line 2"),
        ("systems/a.yaml", "unknown key 'colour'"),
    ]


def test_a_code_list_without_a_column_for_a_system_is_spelled_canonically() -> None:
    fields = {**ENTITY["fields"], "note": {"type": "code(x)"}}
    item = {**A["streams"]["item"], "fields": {"sku": "sku", "name": "name", "note": "note"}}
    rulebook = rulebook_from_documents(
        [{**ENTITY, "fields": fields}], [{**A, "streams": {"item": item}}, B], {"x": 'canonical,b\n"A,1",p|q\n'}
    )
    codes = rulebook.systems["a"].streams["item"].fields["note"].codes
    assert codes is not None
    assert codes.codes == {"A,1"}
    assert not codes.inward
    assert not codes.outward


# --- references ------------------------------------------------------------------------------------------------


def test_references_are_followed_when_asked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    environment = {"HOST": "db"}
    assert resolve_reference("host=${env:HOST}", environment, None).reveal() == "host=db"
    assert resolve_reference("${file:secret}", environment, None, folder=tmp_path).reveal() == "s3cret"
    assert resolve_reference("${embedded:crm}", environment, lambda name: f"dsn of {name}").reveal() == "dsn of crm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x${env:NOPE}", "environment variable NOPE is not set"),
        ("${file:nope}", "file nope cannot be read: No such file or directory"),
        ("${embedded:crm}", "embedded database crm cannot be reached from here"),
        ("${vault:x}", "a reference is ${env:NAME}, ${file:path} or ${embedded:NAME}"),
    ],
)
def test_a_reference_to_nothing_names_itself_and_no_value(text: str, message: str) -> None:
    with pytest.raises(ReferenceUnresolved) as error:
        resolve_reference(text, {"SECRET": "hunter2"}, None)
    assert error.value.message == message
    assert error.value.exit_code == 3


def test_streams_that_refer_to_each_other_in_a_circle_are_refused() -> None:
    systems = [
        {
            "system": "crm",
            "connector": {"kind": "postgres", "dsn": "${env:CRM}"},
            "streams": {
                "public.account": {"entity": "customer", "key": "id", "fields": {"main_contact": "contact_id"}},
                "public.contact": {
                    "entity": "contact",
                    "key": "id",
                    "fields": {"customer": "account_id", "boss": "boss_id"},
                },
            },
        }
    ]
    entities = [
        {"entity": "customer", "fields": {"main_contact": {"type": "ref(contact)"}}},
        {"entity": "contact", "fields": {"customer": {"type": "ref(customer)"}, "boss": {"type": "ref(contact)"}}},
    ]
    with pytest.raises(ConfigurationError, match="refer to each other in a circle") as refusal:
        rulebook_from_documents(entities, systems)
    assert len(refusal.value.problems) == 1


def test_rules_are_read_though_a_system_is_of_a_kind_that_is_not_here(tmp_path: Path) -> None:
    """Who audits a hub need not have every connector installed; only that system cannot be reached."""
    now = load(write(tmp_path)).rulebook
    content = json.loads(now.source)
    crm = next(data for data in content["systems"] if data["system"] == "crm")
    crm["connector"] = {"kind": "elsewhere", "token": "${env:TOKEN}", "objects": ["a"]}
    there = load_rulebook_source(json.dumps(content, separators=(",", ":"), ensure_ascii=False))
    assert there.hash == now.hash
    assert there.systems["crm"].kind == "elsewhere"
    assert there.systems["crm"].streams == now.systems["crm"].streams
