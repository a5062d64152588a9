"""A small sound project, and what is said of it when one place in it is wrong.

`problems(folder, file, old, new)` replaces `old` by `new`; the mark ▸ in `new` stands where the problem must be found.
"""

from __future__ import annotations

from pathlib import Path

from fieldwarden.rules.errors import ConfigurationError, Problem
from fieldwarden.rules.loading import Project, load_project

MARK = "▸"

FILES = {
    "fieldwarden.yaml": """\
project: shop
systems: [erp, billing, crm]
embedded:
  databases: {crm: sql/crm.sql}
limits: {future_tolerance: 5m}
""",
    "sql/crm.sql": "create table account (id text primary key);\n",
    "entities/customer.yaml": """\
entity: customer
identity: {match: [tax_id, [legal_name, postal_code]]}
delete: {authority: [crm]}
defaults: {strategy: source_priority, order: [erp, billing, crm]}
fields:
  legal_name: {type: text, owner: erp, seed_from: [crm]}
  tax_id: {type: text}
  terms: {type: code(terms), owner: erp, protected: true}
  credit_limit: {type: "decimal(14,2)", owner: erp, protected: true, on_reject: correct, approval: finance}
  currency: {type: text, owner: erp, protected: true}
  email: {type: text, class: personal, strategy: recency, among: [crm, billing]}
  parent_company: {type: ref(customer), strategy: first_non_null, order: [crm, erp]}
  street: {type: text}
  postal_code: {type: text, optional: true}
groups:
  credit: {fields: [credit_limit, currency]}
  address: {fields: [street, postal_code], owner: billing}
""",
    "systems/crm.yaml": """\
system: crm
connector: {kind: postgres, dsn: "${embedded:crm}"}
on_null: value
streams:
  public.account:
    entity: customer
    key: id
    external_id: fieldwarden_id
    changed_at: coalesce(updated_at, created_at)
    create: true
    fields:
      legal_name: name
      tax_id: upper(vat)
      terms: terms
      email: {column: mail, read: lower(mail)}
      parent_company: {column: parent_id}
      credit_limit: {column: credit, write: false}
      currency: currency
""",
    "systems/billing.yaml": """\
system: billing
connector: {kind: postgres, dsn: "postgresql://app:${env:PW}@db/billing"}
streams:
  customer:
    entity: customer
    key: number
    fields: {legal_name: name, tax_id: tax_id, email: email, street: street, postal_code: zip}
""",
    "systems/erp.yaml": """\
system: erp
connector: {kind: postgres, dsn: "service=erp", slot: custom_slot}
streams:
  public.party:
    entity: customer
    key: id
    external_id: fieldwarden_id
    create: true
    on_retire: delete
    fields: {legal_name: name, tax_id: tax_id, terms: term_code, credit_limit: credit_limit, currency: currency,
             parent_company: parent_id}
  public.party_address:
    entity: customer
    parent: {public.party: party_id}
    key: id
    where: kind = 'invoice'
    create: true
    set: {kind: invoice}
    unique: [party_id, kind]
    fields: {street: street, postal_code: {column: zip}}
""",
    "codes/terms.csv": """\
canonical,erp,crm
NET30,N30|N31,Net 30
NET60,N60,Net 60
""",
}


def write(folder: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def load(folder: Path, environment: dict[str, str] | None = None) -> Project:
    return load_project(folder, environment or {})


def replaced(file: str, old: str, new: str) -> tuple[dict[str, str], int, int]:
    """The files with one replacement, and the line and column (from 1) at which the mark stood."""
    assert FILES[file].count(old) == 1, f"{old!r} must stand once in {file}"
    text = FILES[file].replace(old, new)
    before = text[: text.index(MARK)]
    files = {**FILES, file: text.replace(MARK, "")}
    return files, before.count("\n") + 1, len(before) - before.rfind("\n")


def said(folder: Path, files: dict[str, str]) -> list[Problem]:
    """All problems of a project's files."""
    try:
        load(write(folder, files))
    except ConfigurationError as error:
        return list(error.problems)
    return []
