"""Three small systems that share customers, invoices and products, and the project that keeps them in agreement.

Every system writes down what happens to its rows, and by whom, in a table of its own (`touched`, by triggers): what
people did to a system and what Fieldwarden did to it are read from there, never from Fieldwarden.
"""

from __future__ import annotations

from pathlib import Path

SYSTEMS = ("crm", "billing", "erp")

CUSTOMERS, DOOMED, INVOICES, ITEMS = 12, 4, 8, 5
"""Rows that are there from the beginning: T-1.., D-1.. (which the CRM's people may delete), I-1.. (of T-1..), P-1.."""

_TOUCHED = """
create table touched (
    n bigint generated always as identity primary key, who text not null default current_setting('application_name'),
    lsn pg_lsn not null default pg_current_wal_insert_lsn(),
    place text not null, op text not null, was jsonb, now jsonb
);
create function touch() returns trigger language plpgsql as $$ begin
    insert into touched (place, op, was, now) values (tg_table_name, tg_op, to_jsonb(old), to_jsonb(new));
    return null;
end $$;
"""
_WATCH = "create trigger zz_touch after insert or update or delete on {} for each row execute function touch();\n"

_TABLES = {
    "crm": """
create table account (
    id bigint generated always as identity primary key, ext text unique, tax text not null unique, name text,
    phone text, segment text, credit_limit numeric(14,2), phoned_at timestamptz
);
""",
    "billing": """
create table customer (
    id bigint generated always as identity primary key, ext text unique, vat text not null unique, label text,
    phone text, segment text, credit numeric(14,2), street text, city text, phoned_at timestamptz
);
create table invoice (
    id bigint generated always as identity primary key, ext text unique, number text not null unique,
    customer_id bigint not null references customer, amount numeric(14,2) not null
);
create table product (sku text primary key, title text);
""",
    "erp": """
create table party (
    id bigint generated always as identity primary key, ext text unique, tax text not null unique, name text,
    segment text, credit_limit numeric(14,2)
);
create table party_address (
    id bigint generated always as identity primary key, party_id bigint not null unique references party,
    street text, city text
);
create table receivable (
    id bigint generated always as identity primary key, ext text unique, number text not null unique,
    party_id bigint not null references party, amount numeric(14,2)
);
create table item (sku text primary key, title text);
""",
}

WATCHED = {
    "crm": ("account",),
    "billing": ("customer", "invoice", "product"),
    "erp": ("party", "party_address", "receivable", "item"),
}

_CUSTOMER = "'{0}-' || n, 'name {0} ' || n, 'seg {0} ' || n, 10.25 * n"
_ROWS = {
    "crm": "insert into account (tax, name, segment, credit_limit) select {} from generate_series(1, {}) n;",
    "billing": "insert into customer (vat, label, segment, credit) select {} from generate_series(1, {}) n;",
    "erp": "insert into party (tax, name, segment, credit_limit) select {} from generate_series(1, {}) n;",
}
_MORE_ROWS = {
    "crm": "",
    "billing": "insert into invoice (number, customer_id, amount) select 'I-' || n, id, n + 0.75"
    f" from generate_series(1, {INVOICES}) n join customer on vat = 'T-' || n;",
    "erp": "insert into party_address (party_id, street, city) select id, 'street ' || id, 'city ' || id from party;"
    "insert into item (sku, title) select 'P-' || n, 'title ' || n from generate_series(1, {items}) n;",
}


def ddl(system: str, items: int) -> str:
    """The system's tables, with rows that people put there before Fieldwarden was heard of."""
    watched = "".join(_WATCH.format(table) for table in WATCHED[system])
    born = "".join(
        _ROWS[system].format(_CUSTOMER.format(letter), number) for letter, number in (("T", CUSTOMERS), ("D", DOOMED))
    )
    return _TOUCHED + _TABLES[system] + watched + born + _MORE_ROWS[system].format(items=items)


_FILES = {
    "fieldwarden.yaml": """\
project: faults
systems: [erp, billing, crm]
onboarding: automatic
hub: {dsn: "${env:HUB_DSN}"}
""",
    "entities/customer.yaml": """
entity: customer
identity: {match: [tax_id]}
delete: {authority: [crm]}
fields:
  tax_id:       {type: text, order: [erp, billing, crm]}
  name:         {type: text, owner: erp}
  phone:        {type: text, strategy: recency, among: [crm, billing]}
  segment:      {type: text, order: [crm, billing, erp]}
  credit_limit: {type: "decimal(14,2)", owner: erp, protected: true}
  street:       {type: text}
  city:         {type: text}
groups:
  address: {fields: [street, city], order: [erp, billing]}
""",
    "entities/invoice.yaml": """
entity: invoice
identity: {match: [number]}
fields:
  number:   {type: text, owner: billing}
  customer: {type: ref(customer), owner: billing}
  amount:   {type: "decimal(14,2)", owner: billing, protected: true}
""",
    "entities/product.yaml": """
entity: product
identity: {match: [sku]}
fields:
  sku:   {type: text, owner: erp}
  title: {type: text, owner: erp}
""",
    "systems/crm.yaml": """
system: crm
connector: {kind: postgres, dsn: "${env:CRM_DSN}"}
streams:
  public.account:
    entity: customer
    key: id
    external_id: ext
    changed_at: phoned_at
    create: true
    fields: {tax_id: tax, name: name, phone: phone, segment: segment, credit_limit: credit_limit}
""",
    "systems/billing.yaml": """
system: billing
connector: {kind: postgres, dsn: "${env:BILLING_DSN}"}
streams:
  public.customer:
    entity: customer
    key: id
    external_id: ext
    changed_at: phoned_at
    create: true
    on_retire: delete
    fields: {tax_id: vat, name: label, phone: phone, segment: segment, credit_limit: credit, street: street, city: city}
  public.invoice:
    entity: invoice
    key: id
    external_id: ext
    fields: {number: number, customer: customer_id, amount: amount}
  public.product:
    entity: product
    key: sku
    create: true
    fields: {sku: sku, title: title}
""",
    "systems/erp.yaml": """
system: erp
connector: {kind: postgres, dsn: "${env:ERP_DSN}"}
streams:
  public.party:
    entity: customer
    key: id
    external_id: ext
    create: true
    fields: {tax_id: tax, name: name, segment: segment, credit_limit: credit_limit}
  public.party_address:
    entity: customer
    parent: {public.party: party_id}
    key: id
    create: true
    unique: [party_id]
    fields: {street: street, city: city}
  public.receivable:
    entity: invoice
    key: id
    external_id: ext
    create: true
    fields: {number: number, customer: party_id, amount: amount}
  public.item:
    entity: product
    key: sku
    fields: {sku: sku, title: title}
""",
}


def lay_out(folder: Path) -> None:
    for name, text in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
