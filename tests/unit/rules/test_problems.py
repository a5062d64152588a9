"""Every mistake a person can make in the files: the exact message, at the exact place, with a way out."""

# ruff: noqa: E501 - one mistake a line reads best

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldwarden.rules.documents import MAX_BYTES
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.loading import load_rulebook_source, rulebook_from_documents
from tests.unit.rules.projects import FILES, load, replaced, said, write

CUSTOMER, CRM, ERP, BILLING = (
    "entities/customer.yaml",
    "systems/crm.yaml",
    "systems/erp.yaml",
    "systems/billing.yaml",
)
PROJECT, TERMS = "fieldwarden.yaml", "codes/terms.csv"

SHAPE = [
    (PROJECT, "project: shop", "project: shop\n▸hubb: {}", "unknown key 'hubb' (did you mean 'hub'?)"),
    (PROJECT, "future_tolerance: 5m", "future_tolerance: ▸soon", "'future_tolerance': a length of time is a number"),
    (PROJECT, "future_tolerance: 5m", "deletes: {share: ▸20}", "'share': a share is a number from 0 to 1"),
    (PROJECT, "future_tolerance: 5m", "deletes: {share: ▸most}", "'share': a share is a number from 0 to 1"),
    (CRM, "on_null: value", "on_null: value\non_gap: ▸stop", "'on_gap' must be halt or rebaseline"),
    (BILLING, "streams:", "mode: target\n▸on_gap: rebaseline\nstreams:", "billing is only written to: no change of it is read, so none can be missed (remove on_gap:)"),
    (CUSTOMER, "{type: text, owner: erp, seed", "{type: text, ▸ownr: erp, seed", "unknown key 'ownr' (did you mean 'owner'?)"),
    (CUSTOMER, "owner: erp, seed_from", "owner: ▸{}, seed_from", "'owner' must be text"),
    (CUSTOMER, "owner: erp, seed_from: [crm]", "owner: erp, seed_from: ▸crm", "'seed_from' must be a list"),
    (CUSTOMER, "protected: true, on_reject", "protected: ▸yes, on_reject", "'protected' must be true or false"),
    (CUSTOMER, "on_reject: correct", "on_reject: ▸corect", "'on_reject' must be correct or leave (did you mean 'correct'?)"),
    (CUSTOMER, "tax_id: {type: text}", "▸tax_id: {}", "'type' is missing (add type:)"),
    (CUSTOMER, "tax_id: {type: text}", "▸tax_id: {tpe: text}", "'type' is missing ('tpe' stands there: is it meant?)"),
    (CUSTOMER, "tax_id: {type: text}", "tax_id: {type: ▸txt}", "'type': 'txt' is not a type; the types are text"),
    (CUSTOMER, "tax_id: {type: text}", "tax_id: {type: ▸decimal(2)}", "'type': a decimal is decimal(PRECISION,SCALE)"),
    (CUSTOMER, "tax_id: {type: text}", "tax_id: ▸text", "'tax_id' must be a mapping of keys to values"),
    (CUSTOMER, "  tax_id: {type", "  ▸Tax: {type", "'Tax' is not a name (a name is lower-case letters"),
    (CUSTOMER, "class: personal", "class: ▸private", "'class' must be personal"),
    (CUSTOMER, "entity: customer\nidentity", "▸identity", "'entity' is missing (add entity:)"),
    (CRM, "key: id", "▸key:", "'key' has no value (give it one, or remove the key)"),
    (CRM, "create: true", "create: ▸1", "'create' must be true or false"),
    (CRM, "key: id", "key: [id, ▸7]", "item 2 of 'key' must be text"),
    (CRM, "{column: mail, read", "{▸colum: mail, read", "unknown key 'colum' (did you mean 'column'?)"),
    (CRM, "kind: postgres", "kind: ▸oracle", "there is no kind of connector 'oracle'; there are postgres, debezium and salesforce (install the package that brings oracle (docs/connectors.md))"),
    (CRM, "connector: {kind: postgres, ", "▸connector: {", "'kind' is missing (add kind:)"),
    (CRM, 'dsn: "${embedded:crm}"', '▸prefix: crm, dsn: "x"', "unknown key 'prefix' (there is dsn, kind, publication, slot, target_dsn)"),
    (CRM, "kind: postgres, dsn", "kind: debezium, ▸slott: a, dsn", "unknown key 'slott' (did you mean 'slot'?)"),
    (CRM, "kind: postgres, dsn", "kind: debezium, prefix: ▸a b, dsn", "'prefix': a topic prefix is letters, digits, _ . and -"),
    (CRM, "kind: postgres, dsn", "kind: debezium, database: ▸mssql, dsn", "'database' must be postgres or mysql"),
    (ERP, "parent: {public.party: party_id}", "parent: ▸{public.party: party_id, x: y}", "'parent' may hold only one entry"),
    (ERP, "set: {kind: invoice}", "set: {kind: ▸[a]}", "'kind': a constant is text, a number, true or false"),
    (CRM, "key: id\n", "key: id\n    ▸key: id\n", "key 'key' stands here twice, first on line 7 (remove one)"),
    (CRM, "key: id\n", "key: ▸&k id\n", "anchors (&) and aliases (*) are not supported (write the value out)"),
    (CRM, "key: id\n", "key: ▸!!python/name:os.system id\n", "tags (!) are not supported (write a plain value)"),
    (CRM, "    key: id\n", "   ▸key: id\n", "not valid YAML: "),
    (CRM, "key: id\n", 'key: ▸"i\\0d"\n', "the text holds a character that cannot be stored"),
    (CRM, "key: id\n", 'key: "\\u▸d800"\n', "not valid YAML: "),
]  # fmt: skip

ENTITY = [
    ("order: [erp, billing, crm]", "order: [▸erq, billing, crm]", "order names 'erq', which is not a system (did you mean 'erp'?)"),
    ("owner: erp, seed_from: [crm]", "owner: ▸sap, seed_from: [crm]", "owner names 'sap', which is not a system"),
    ("among: [crm, billing]", "among: [crm, ▸bill]", "among names 'bill', which is not a system (did you mean 'billing'?)"),
    ("seed_from: [crm]", "seed_from: [crm, ▸crm]", "seed_from names 'crm' twice (remove one)"),
    ("seed_from: [crm]", "seed_from: [▸erp]", "the owner cannot seed its own field (remove it)"),
    ("authority: [crm]", "authority: [▸crn]", "authority names 'crn', which is not a system (did you mean 'crm'?)"),
    ("match: [tax_id,", "match: [▸taxid,", "match key names 'taxid', which is not a field of customer (did you mean 'tax_id'?)"),
    ("[legal_name, postal_code]]", "[legal_name, ▸postcode]]", "match key names 'postcode', which is not a field"),
    ("match: [tax_id,", "match: [{▸taxid: case},", "match key names 'taxid', which is not a field of customer (did you mean 'tax_id'?)"),
    ("match: [tax_id,", "match: [{tax_id: ▸tax_id(AQ)},", "there is no tax identifier known for AQ; there is one for AD, AL, AR"),
    ("[legal_name, postal_code]]", "[legal_name, {postal_code: ▸fuzzy}]]", "'fuzzy' is not a normaliser; there are exact, case, digits"),
    ("[legal_name, postal_code]]", "{legal_name: case, credit_limit: ▸digits}]", "'credit_limit' is of type decimal(14,2), of which every value has one spelling (write credit_limit without a normaliser)"),
    ("[legal_name, postal_code]]", "▸[legal_name, legal_name]]", "item 2 of 'match': a match key is a field, a field with its normaliser as {tax_id: digits}"),
    ("[legal_name, postal_code]]", "▸{legal_name: {case: true}}]", "item 2 of 'match': a match key is a field, a field with its normaliser as {tax_id: digits}"),
    ("tax_id: {type: text}", "tax_id: {type: text, check: ▸{tax_id: AQ}}", "'check': there is no validator of tax identifiers for AQ; there is one for AD, AL"),
    ("tax_id: {type: text}", "tax_id: {type: text, check: ▸[email, soundex]}", "'check': 'soundex' is no validator; there are email, iban"),
    ("tax_id: {type: text}", "tax_id: {type: text, check: ▸{length: many}}", "'check': length is a number of characters"),
    ("tax_id: {type: text}", "tax_id: {type: text, check: ▸{pattern: '('}}", "'check': the pattern is no regular expression"),
    ("tax_id: {type: text}", "tax_id: {type: text, ▸on_invalid: refuse}", "on_invalid says what becomes of a value that fails a check, and there is none"),
    ("code(terms)", "code(terms), ▸check: email", "check goes with fields of type text; 'terms' is of type code(terms)"),
    ("code(terms)", "▸code(term)", "there is no code list codes/term.csv (did you mean 'terms'?)"),
    ("ref(customer)", "▸ref(costumer)", "'costumer' is not an entity (did you mean 'customer'?)"),
    ("tax_id: {type: text}", "tax_id: {type: text, ▸protected: true}", "protected goes with an owner, but the strategy is"),
    ("tax_id: {type: text}", "tax_id: {type: text, strategy: ▸owner}", "strategy owner needs an owner (add owner: SYSTEM)"),
    ("tax_id: {type: text}", "tax_id: {type: text, ▸owner: erp, strategy: recency}", "a field has an owner or strategy recency, not both"),
    ("tax_id: {type: text}", "tax_id: {type: text, ▸among: [crm]}", "among has no meaning with strategy source_priority"),
    ("tax_id: {type: text}", "tax_id: {type: text, owner: erp, ▸order: [crm]}", "order has no meaning with strategy owner"),
    ("tax_id: {type: text}", "tax_id: {type: text, owner: erp, ▸approval: boss}", "approval goes with protected: true"),
    ("tax_id: {type: text}", "tax_id: {type: text, owner: erp, ▸on_reject: leave}", "on_reject goes with protected: true"),
    ("email: {type: text, class: personal, strategy: recency, among: [crm, billing]}", "email: {type: text, owner: ▸erp}", "owner erp does not map 'email' (map it in systems/erp.yaml)"),
    ("email: {type: text, class: personal, strategy: recency, among: [crm, billing]}", "▸email: {type: text, order: [erp]}", "no system that may supply 'email' maps it and is read"),
    ("fields: [credit_limit, currency]", "fields: [credit_limit, ▸curency]", "'curency' is not a field of customer (did you mean 'currency'?)"),
    ("fields: [street, postal_code]", "fields: [street, ▸currency, postal_code]", "field 'currency' is already in group 'credit'"),
    ("  credit: {fields", "  ▸email: {fields", "'email' is both a field and a group"),
    ("currency: {type: text, owner: erp,", "currency: {type: text, owner: ▸billing,", "two systems claim 'currency': field 'credit_limit' says owner erp, field 'currency' says owner billing"),
    ("street: {type: text}", "street: {type: text, owner: ▸erp}", "two systems claim 'street': group 'address' says owner billing, field 'street' says owner erp (a field has one owner)"),
    ("currency: {type: text, owner: erp, protected: true}", "currency: {type: text, owner: erp, protected: ▸false}", "fields of group 'credit' must agree: field 'credit_limit' says protected true, this false"),
    ("currency: {type: text, owner: erp, protected: true}", "▸currency: {type: text}", "fields of group 'credit' must agree: 'currency' says source_priority [erp, billing, crm], others owner erp, protected (write the policy on the group 'credit')"),
]  # fmt: skip

SYSTEM = [
    (CRM, "entity: customer", "entity: ▸custmer", "'custmer' is not an entity (did you mean 'customer'?)"),
    (CRM, "legal_name: name", "▸legal_nme: name", "customer has no field 'legal_nme' (did you mean 'legal_name'?)"),
    (CRM, "upper(vat)", "▸md5(vat)", "md5() is not allowed in an expression; allowed are the functions coalesce, nullif"),
    (CRM, "read: lower(mail)", "read: ▸lower(mail", "'lower(mail' is not a PostgreSQL scalar expression"),
    (CRM, "changed_at: coalesce(updated_at, created_at)", "changed_at: ▸now()", "the clock (now(), current_date ...) is not allowed"),
    (ERP, "where: kind = 'invoice'", "where: ▸p.kind = 'invoice'", "column 'kind' is qualified"),
    (CRM, "{column: parent_id}", "▸{write: false}", "neither a column nor an expression to read (add column: NAME)"),
    (CRM, "read: lower(mail)", "read: ▸case when type = 'email' then mail end", "column 'mail' is written, but read through case when type = 'email' then mail end, which may not give it back (write: false; or, where rows are several things, a stream for each, with table: and where:)"),
    (CRM, "{column: mail, read: lower(mail)}", "{read: lower(mail), write: ▸true}", "an expression cannot be written (add column: NAME)"),
    (CRM, "currency: currency", "currency: ▸mail", "column 'mail' is written by field 'email' already (write {column: mail, write: false}"),
    (CRM, "currency: currency", "currency: ▸fieldwarden_id", "column 'fieldwarden_id' is written by external_id: already"),
    (ERP, "    set: {kind: invoice}", "    on_write: {▸zip: now()}\n    set: {kind: invoice}", "column 'zip' is written by on_write:, but it belongs to the field 'postal_code'"),
    (ERP, "    set: {kind: invoice}", "    on_write: {▸kind: 1}\n    set: {kind: invoice}", "column 'kind' is written by on_write:, but it belongs to "),
    (ERP, "    set: {kind: invoice}", "    on_write: {▸id: 1}\n    set: {kind: invoice}", "column 'id' is written by on_write:, but it belongs to the key"),
    (ERP, "    set: {kind: invoice}", "    on_write: {at: ▸now() + 1}\n    set: {kind: invoice}", "the clock (now(), current_date ...) is not allowed"),
    (ERP, "street: street", "street: ▸party_id", "column 'party_id' is written by parent: already"),
    (ERP, "street: street", "street: ▸kind", "column 'kind' is written by set: already"),
    (ERP, "set: {kind: invoice}", "set: {kind: invoice, ▸party_id: 1}", "column 'party_id' holds the parent's key"),
    (ERP, "terms: term_code, credit_limit: credit_limit, ", "terms: term_code, credit_limit: ▸round(tax_id), ", "column 'tax_id' is protected, since 'credit_limit' is read from it; 'tax_id' writes it (write: false on tax_id)"),
    (ERP, "parent: {public.party: party_id}", "parent: {▸public.prty: party_id}", "parent 'public.prty' is not a stream of erp (did you mean 'public.party'?)"),
    (ERP, "parent: {public.party: party_id}", "parent: {public.party: ▸[a, b]}", "the key of public.party has 1 column(s), but 2 hold it here (its key is id)"),
    (ERP, "parent: {public.party: party_id}", "parent: {▸public.party_address: party_id}", "stream public.party_address is its own ancestor"),
    (ERP, "unique: [party_id, kind]", "unique: ▸[party_id, sort]", "unique names column 'sort', which nothing sets when a row is created"),
    (ERP, "    create: true\n    set: {kind: invoice}\n    unique: [party_id, kind]\n", "    ▸create: true\n", "create needs unique, external_id, or that 'kind', by which `where` tells these rows, is set (set: {kind: ...}; or unique: [...], with {columns: ..., where: ...} for a partial index)"),
    (ERP, "unique: [party_id, kind]", "unique: {columns: [party_id, kind], where: ▸kind =}", "'kind =' is not a PostgreSQL scalar expression"),
    (ERP, "  public.party_address:\n    entity: customer\n    parent: {public.party: party_id}\n    key: id\n    where: kind = 'invoice'\n    create: true\n    set: {kind: invoice}\n    unique: [party_id, kind]\n", "  ▸public.party_address:\n    entity: customer\n    key: id\n", "two streams stand for customer in erp: public.party and public.party_address"),
    (CRM, "    external_id: fieldwarden_id\n    changed_at: coalesce(updated_at, created_at)\n    create", "    ▸create", "create needs an external_id, or a key whose columns are mapped fields (add external_id: COLUMN)"),
    (CRM, "    external_id: fieldwarden_id\n    changed_at: coalesce(updated_at, created_at)\n    create: true\n    fields:\n      legal_name: name\n", "    ▸create: true\n    fields:\n      legal_name: id\n", "create by the key needs a match key of customer within it: a created row that comes back before it is linked would begin a second record (add legal_name to identity: match: of customer, or external_id: COLUMN here)"),
    (CRM, "create: true\n", "create: true\n    ▸unique: [name]\n", "unique is for child rows"),
    (CRM, "create: true\n", "mode: source\n    ▸create: true\n", "rows cannot be created: mode is source (remove create)"),
    (ERP, "on_retire: delete", "mode: source\n    ▸on_retire: delete", "rows cannot be deleted: mode is source"),
    (ERP, "where: kind = 'invoice'", "first_by: ▸[sort]", "first_by does not tell any two rows apart: it lacks the key (first_by: [sort, id])"),
    (CRM, "create: true\n", "create: true\n    ▸first_by: [id]\n", "first_by is for child rows, of which a parent may have several (remove it)"),
    (ERP, "where: kind = 'invoice'", "▸merged_into: other", "merged_into is for rows that stand for records; child rows follow the row above them (name it in the stream that is this one's parent)"),
    (CRM, "create: true\n", "create: true\n    merged_into: ▸[one, two]\n", "the key of public.account has 1 column(s), but 2 hold it in merged_into (its key is id)"),
    (CRM, "create: true\n", "create: true\n    merged_into: ▸id\n", "merged_into names the row's own key (name the column that holds the other row's key)"),
    (CRM, "create: true\n", "mode: target\n    ▸merged_into: other\n", "merged_into is never read: mode is target (remove merged_into)"),
    (CRM, "      email: {column: mail, read: lower(mail)}\n      parent_company: {column: parent_id}\n      credit_limit: {column: credit, write: false}\n      currency: currency", "      parent_company: ▸{column: parent_id}\n    merged_into: parent_id", "column 'parent_id' says which row this one is by now (merged_into): it is never written"),
    (CRM, "create: true\n", "create: true\n    merged_into: other\n    on_write: {▸other: now()}\n", "column 'other' is written by on_write:, but it belongs to merged_into:"),
    (ERP, "set: {kind: invoice}", "set: {kind: ▸delivery}", "kind is set to 'delivery', but `where` asks for another"),
    (ERP, "  public.party_address:\n", "  ▸other:\n    table: party\n    entity: customer\n    key: id\n    parent: {public.party: party_id}\n    fields: {email: mail}\n  public.party_address:\n", "public.party and other read one table, and a row can be in both by their `where` (give each a `where:`"),
    (ERP, "  public.party_address:\n", "  other:\n    table: public.party\n    entity: customer\n    key: ▸number\n    parent: {public.party: party_id}\n    where: kind = 'x'\n    fields: {email: mail}\n  public.party_address:\n", "public.party and other read one table, but the key of public.party is id (key: [id])"),
    (CRM, "dsn: \"${embedded:crm}\"", "dsn: ▸\"${embedded:crn}\"", "'crn' is not an embedded database of this project (did you mean 'crm'?)"),
    (CRM, "dsn: \"${embedded:crm}\"", "dsn: ▸\"${vault:crm}\"", "'${vault:crm}' is not a reference (a reference is ${env:NAME}, ${file:path} or ${embedded:NAME})"),
    (CRM, "dsn: \"${embedded:crm}\"", "dsn: ▸\"${env:CRM\"", "a reference is not closed (write ${env:NAME})"),
    (BILLING, "dsn: \"postgresql://app:${env:PW}@db/billing\"", "dsn: ▸\"postgresql://app:hunter2@db/billing\"", "a password stands here in the open"),
    (ERP, "dsn: \"service=erp\"", "dsn: ▸\"host=x password=hunter2\"", "a password stands here in the open"),
    (PROJECT, "systems: [erp, billing, crm]", "systems: [erp, billing, crm, ▸shop]", "system 'shop' has no file in systems/"),
    (PROJECT, "systems: [erp, billing, crm]", "systems: [erp, billing, crm, ▸erp]", "system 'erp' is listed twice (remove one)"),
    (PROJECT, "embedded:\n", "run: {token: ▸hunter2}\nembedded:\n", "a secret stands here in the open (write ${env:NAME} or ${file:path} instead)"),
    (PROJECT, "embedded:\n", "onboarding: ▸automatically\nembedded:\n", "'onboarding' must be reviewed or automatic (did you mean 'automatic'?)"),
    (PROJECT, "sql/crm.sql", "▸sql/crn.sql", "there is no file sql/crn.sql"),
    (TERMS, "canonical,erp,crm", "▸code,erp,crm", "the first column is 'code' (it must be 'canonical')"),
    (TERMS, "canonical,erp,crm", "canonical,erp,▸crn", "'crn' is not a system (the systems are billing, crm, erp)"),
    (TERMS, "canonical,erp,crm", "canonical,erp,▸erp", "system 'erp' has two columns (remove one)"),
    (TERMS, "NET60,N60,", "▸NET30,N60,", "canonical code 'NET30' stands here twice, first on line 2"),
    (TERMS, "NET60,N60,", "NET60,▸N30,", "code 'N30' of erp means both 'NET30' (line 2) and 'NET60' (one code of a system has one meaning)"),
    (TERMS, "NET60,N60,Net 60", "▸NET60,N60", "2 cells, but the header has 3"),
    (TERMS, "NET60,N60,", "▸,N60,", "the canonical code is empty"),
]  # fmt: skip


def found(folder: Path, file: str, old: str, new: str, message: str) -> None:
    files, line, column = replaced(file, old, new)
    everything = [str(problem) for problem in said(folder, files)]
    wanted = f"{file}:{line}:{column}: {message}"
    assert any(problem.startswith(wanted) for problem in everything), f"{wanted}\nnot in\n" + "\n".join(everything)


@pytest.mark.parametrize(("file", "old", "new", "message"), SHAPE)
def test_a_wrong_shape_is_named_where_it_stands(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    found(tmp_path, file, old, new, message)


@pytest.mark.parametrize(("old", "new", "message"), ENTITY)
def test_a_rule_that_cannot_be_kept_is_named_where_it_stands(tmp_path: Path, old: str, new: str, message: str) -> None:
    found(tmp_path, CUSTOMER, old, new, message)


IDENTITY = "identity: {match: [tax_id, [legal_name, postal_code]]}"
UNMATCHED = (
    "no match key tells which customer of erp and billing and crm are the same: what more than one of them has would be "
    "created in erp and crm once more (add identity: {match: [FIELD]}, or identity: none if no two systems ever begin"
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"entity: customer\n{IDENTITY}", "▸entity: customer", UNMATCHED),
        (IDENTITY, "▸identity: {}", UNMATCHED),
        (IDENTITY, "▸identity: {match: []}", UNMATCHED),
        (IDENTITY, "identity: ▸non", "'identity' must be none (did you mean 'none'?)"),
        (IDENTITY, "identity: {▸mach: []}", "unknown key 'mach' (did you mean 'match'?)"),
    ],
)
def test_rows_that_nothing_brings_together_are_not_created_in_each_others_system(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    found(tmp_path, CUSTOMER, old, new, message)


def test_who_says_that_nothing_brings_them_together_is_taken_at_their_word(tmp_path: Path) -> None:
    files, _, _ = replaced(CUSTOMER, IDENTITY, "identity: none▸")
    assert said(tmp_path, files) == []


def test_a_rulebook_that_a_hub_keeps_from_before_this_check_is_read_as_it_was() -> None:
    systems = [
        {
            "system": name,
            "connector": {"kind": "postgres", "dsn": "x"},
            "streams": {"shelf": {**SHELF, "external_id": "e"}},
        }
        for name in ("a", "b")
    ]
    now = rulebook_from_documents([{**TITLE, "identity": "none"}], systems)
    before = now.source.replace(',"identity":"none"', "")
    assert before != now.source
    assert load_rulebook_source(before).source == before


def test_a_rulebook_that_a_hub_keeps_from_before_normalisers_means_by_its_match_keys_what_it_meant_then() -> None:
    """So the hub's match keys stay true to it, until the files are applied, which makes them anew."""
    system = {"system": "a", "connector": {"kind": "postgres", "dsn": "x"}, "streams": {"shelf": SHELF}}
    match = {"match": ["sku", ["site", {"title": "case"}]]}
    now = rulebook_from_documents([{**TITLE, "identity": match}], [system])
    before = load_rulebook_source(now.source.replace(',"unnamed":"exact"', ""))
    assert (now.source, now.hash) != (before.source, before.hash)
    assert load_rulebook_source(before.source) == before
    assert [key.forms for key in now.entities["item"].match] == [("exact",), ("exact", "case")]
    assert [key.forms for key in before.entities["item"].match] == [("alphanumeric",), ("alphanumeric", "case")]


@pytest.mark.parametrize(("file", "old", "new", "message"), SYSTEM)
def test_a_mapping_that_means_nothing_is_named_where_it_stands(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    found(tmp_path, file, old, new, message)


TITLE = {"entity": "item", "fields": {name: {"type": "text"} for name in ("sku", "site", "title")}}
SHELF: dict[str, Any] = {
    "entity": "item",
    "key": ["sku", "site"],
    "create": True,
    "fields": {"sku": "sku", "site": "site", "title": "title"},
}


def said_of_a_shelf(match: list[Any], **changes: Any) -> list[str]:
    """What is said of a stream that creates rows by their key, with these match keys."""
    reading = {"system": "a", "connector": {"kind": "postgres", "dsn": "x"}, "streams": {"shelf": {**SHELF, **changes}}}
    other = {**reading, "system": "b", "streams": {"shelf": {**SHELF, "external_id": "ext"}}}
    try:
        rulebook_from_documents([{**TITLE, "identity": {"match": match}}], [reading, other])
    except ConfigurationError as error:
        return [problem.message + problem.suggestion for problem in error.problems]
    return []


@pytest.mark.parametrize("match", [[["sku", "site"]], ["sku"], ["title", ["site", "sku"]]])
def test_rows_created_by_their_key_are_found_by_a_match_key_within_it(match: list[Any]) -> None:
    assert said_of_a_shelf(match) == []


@pytest.mark.parametrize("match", [["title"], [["sku", "site", "title"]]])
def test_rows_created_by_their_key_and_found_by_anything_else_could_begin_a_second_record(match: list[Any]) -> None:
    (problem,) = said_of_a_shelf(match)
    assert "create by the key needs a match key of item within it" in problem
    assert "add [sku, site] to identity: match: of item" in problem
    assert said_of_a_shelf(match, mode="target") == [], "what is never read cannot come back"
    assert said_of_a_shelf(match, external_id="ext") == [], "each row carries its record's id"


def test_group_fields_from_two_streams_of_one_system(tmp_path: Path) -> None:
    files = dict(FILES)
    files[BILLING] = files[BILLING].replace(", postal_code: zip}", "}") + (
        "  extra:\n    entity: customer\n    parent: {customer: n}\n    key: id\n    fields: {postal_code: zip}\n"
    )
    assert [str(problem) for problem in said(tmp_path, files)] == [
        "systems/billing.yaml:12:14: the fields of group 'address' come from two streams: customer and extra"
        " (in each system the fields of a group come from one stream)"
    ]


def test_a_reference_where_the_system_has_no_stream_for_it(tmp_path: Path) -> None:
    files = dict(FILES)
    files["entities/region.yaml"] = "entity: region\nfields: {name: {type: text}}\n"
    files[CUSTOMER] = files[CUSTOMER].replace("ref(customer)", "ref(region)")
    assert [str(problem) for problem in said(tmp_path, files)] == [
        "systems/crm.yaml:16:23: 'parent_company' refers to region, but no stream of crm stands for region"
        " (map region in crm, or leave the field out here)",
        "systems/erp.yaml:11:30: 'parent_company' refers to region, but no stream of erp stands for region"
        " (map region in erp, or leave the field out here)",
    ]


def test_two_files_that_define_one_entity(tmp_path: Path) -> None:
    files = {**FILES, "entities/zz.yaml": "# again\nentity: customer\nfields: {name: {type: text}}\n"}
    assert [str(problem) for problem in said(tmp_path, files)] == [
        "entities/zz.yaml:2:9: entity 'customer' is defined twice, first in entities/customer.yaml (join the two files)"
    ]


def test_a_system_without_rank(tmp_path: Path) -> None:
    files = {**FILES, PROJECT: FILES[PROJECT].replace("[erp, billing, crm]", "[erp, billing]")}
    assert [str(problem) for problem in said(tmp_path, files)] == [
        "systems/crm.yaml:1:9: system 'crm' has no rank (list it under systems: in fieldwarden.yaml)"
    ]


def test_all_errors_of_all_files_are_said_at_once_in_file_order(tmp_path: Path) -> None:
    files = dict(FILES)
    files[CUSTOMER] = files[CUSTOMER].replace("owner: erp, seed", "ownr: erp, seed").replace("ref(customer)", "ref(x)")
    files[CRM] = files[CRM].replace("legal_name: name", "legal_nam: name").replace("key: id", "key: 7")
    files[TERMS] += "NET60,X,Y\n"
    files[BILLING] = "system: [\n"
    places = [str(problem).split(": ")[0] for problem in said(tmp_path, files)]
    assert places == [
        "codes/terms.csv:4:1",
        "entities/customer.yaml:6:28",
        "entities/customer.yaml:12:26",
        "systems/billing.yaml:2:1",
        "systems/crm.yaml:7:10",
    ]


def test_files_that_cannot_be_read_do_not_make_others_wrong(tmp_path: Path) -> None:
    files = {**FILES, CUSTOMER: "entity: customer\nfields: [\n"}
    assert {problem.file for problem in said(tmp_path, files)} == {CUSTOMER}


def test_missing_folders_and_files(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ConfigurationError) as missing:
        load(nowhere)
    assert str(missing.value) == f"{nowhere}:1:1: there is no such folder (fieldwarden init NAME makes one)"
    empty = write(tmp_path / "empty", {"systems/x.yml": "system: x\n"})
    with pytest.raises(ConfigurationError) as bare:
        load(empty)
    assert [f"{problem.file}: {problem.message}" for problem in bare.value.problems] == [
        f"entities: there is no entities/*.yaml in {empty}",
        f"fieldwarden.yaml: there is no fieldwarden.yaml in {empty}",
        f"systems: there is no systems/*.yaml in {empty}",
        "systems/x.yml: it would not be read",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"entity: \xff\n", "1:1: the file is not UTF-8 text (save it as UTF-8)"),
        (b"", "1:1: the file must hold a mapping of keys to values"),
        (b"- a\n", "1:1: the file must hold a mapping of keys to values"),
        (b"[" * 5_000, "1:1001: nested too deeply (no file has more than 32 levels)"),
        (b"entity: a\n\x00", "1:1: not valid YAML: it holds a character that YAML does not allow"),
        (b"#" * (MAX_BYTES + 1), "1:1: the file is larger than 1,000,000 bytes (split it)"),
        (b"entity: a\n---\nentity: b\n", "2:1: not valid YAML: expected a single document"),
    ],
    ids=["not text", "empty", "list", "deep", "control", "large", "two documents"],
)
def test_a_file_that_is_no_mapping(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path)
    (tmp_path / CUSTOMER).write_bytes(content)
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"{CUSTOMER}:{message}")


def test_a_code_list_that_is_not_text(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / TERMS).write_bytes(b"canonical,erp\nNET30,\xff\n")
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path)
    assert str(error.value) == f"{TERMS}:2:1: the file is not UTF-8 text (save it as UTF-8)"


def test_a_field_that_could_not_be_read_is_not_reported_missing_elsewhere(tmp_path: Path) -> None:
    files = {**FILES, CUSTOMER: FILES[CUSTOMER].replace("tax_id: {type: text}", "tax_id: {type: txt}")}
    assert [str(problem).split(": ")[0] for problem in said(tmp_path, files)] == ["entities/customer.yaml:7:18"]


def test_a_password_is_never_repeated(tmp_path: Path) -> None:
    files = {**FILES, ERP: FILES[ERP].replace("service=erp", "postgresql://u:hunter2@h/d")}
    assert "hunter2" not in str(ConfigurationError(said(tmp_path, files)))


@pytest.mark.parametrize(
    "read",
    ["lower(mail)", "upper(mail)", "trim(mail)", "btrim(mail, '-')", "ltrim(mail)", "nullif(lower(trim(mail)), '')"],
)
def test_a_difference_that_stays_is_said(read: str, tmp_path: Path) -> None:
    files = {**FILES, CRM: FILES[CRM].replace("read: lower(mail)", f'read: "{read}"')}
    project = load(write(tmp_path, files))
    assert project.warnings == ()
    assert [str(remark) for remark in project.remarks] == [
        f"systems/crm.yaml:15:29: what {read} takes away is left as it is: rows that differ only in that are not "
        "made equal; correct them in the systems, or read the column as it is"
    ]


def test_what_is_idle_is_a_warning(tmp_path: Path) -> None:
    files = dict(FILES)
    files[CUSTOMER] = (
        files[CUSTOMER]
        .replace("  tax_id:", "  nickname: {type: text}\n  tax_id:")
        .replace("among: [crm, billing]", "among: [crm, billing, erp]")
    )
    project = load(write(tmp_path, files))
    assert [str(warning) for warning in project.warnings] == [
        "entities/customer.yaml:7:3: no system maps 'nickname' (map it, or remove it)",
        "entities/customer.yaml:12:81: among names 'erp', which does not supply email"
        " (map it there, or remove the system)",
    ]
