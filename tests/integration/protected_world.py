"""Databases in which a protected column has many names, and rulebooks that write it by one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from fieldwarden.connectors.postgres.writing.protecting import Owners, live_conflicts
from fieldwarden.connectors.postgres.writing.target import PostgresTarget
from fieldwarden.engine.ports.target import Write, answers
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.protecting import Conflict
from fieldwarden.rules.rulebook import Rulebook
from tests.integration.target_world import MARK

DDL = """
create table party (
    id int primary key, credit_limit text, phone text, kind text, base int,
    net int generated always as (base * 2) stored
);
insert into party (id, credit_limit, phone, kind, base) values (1, '100', '1', 'customer', 1);
create table heir () inherits (party);
insert into heir (id, credit_limit, phone) values (2, '200', '2');
create view renamed as select id, credit_limit as lim, phone as tel from party;
create view twice as select id as key, lim as deep, tel from renamed;
create view joined as select p.id, p.credit_limit as lim from party p join party q on p.id = q.id;
create view computed as select id, coalesce(credit_limit, '') as lim, phone from party;
create schema app; create view app.party as select * from public.party;
create table inbox (id int primary key, lim text, note text);
create rule passed_on as on update to inbox do also update party set credit_limit = new.lim where id = new.id;
create view hidden as select id, phone as tel from party;
create function anything() returns trigger language plpgsql as
    'begin update party set credit_limit = new.tel where id = new.id; return new; end';
create trigger hidden instead of update on hidden for each row execute function anything();
create view over_hidden as select id, tel from hidden;
create table outbox (id int primary key, tel text);
create rule passed_on as on update to outbox do also update over_hidden set tel = new.tel where id = new.id;
create table ledger (id int, credit_limit text, note text, kind text) partition by list (kind);
create table ledger_a partition of ledger for values in ('a');
create table ledger_b partition of ledger for values in ('b');
create table elsewhere (id int primary key, credit_limit text, phone text);
create schema priv; create schema api;
create table priv.customer (id int primary key, credit_limit text, phone text, "} :resorigtbl 1 " text);
insert into priv.customer values (1, '100', '1');
create function priv.spoken(text) returns text immutable language sql as 'select $1';
create view priv.between as select id, credit_limit as lim, phone from priv.customer;
create view api.customer as
    select id, lim, phone as tel, priv.spoken(lim) as said, (select max(phone) from priv.customer) as top
    from priv.between order by phone || lim;
create table public."x.y" (id int primary key, credit_limit text, phone text); create schema "public.x";
create table "public.x".y (id int primary key, credit_limit text, phone text)
"""


def rules(
    table: str, column: str, *, owner: str = "party", owned: str = "credit_limit", apart: bool = False, **more: Any
) -> Rulebook:
    """The erp owns a customer's credit limit; a second stream of it writes `column` of `table` for a vendor's rating.
    `apart`: no row is both."""
    customer = {"entity": "customer", "fields": {"credit_limit": {"type": "text", "owner": "erp", "protected": True}}}
    vendor = {"entity": "vendor", "fields": {"rating": {"type": "text", "order": ["crm", "erp"]}}}
    vendors = {"table": table, "entity": "vendor", "key": "id", "mode": "target", "fields": {"rating": column}} | more
    customers = {"table": owner, "entity": "customer", "key": "id", "fields": {"credit_limit": owned}}
    if apart:
        customers, vendors = customers | {"where": "kind = 'customer'"}, vendors | {"where": "kind = 'vendor'"}
    supplier = {"entity": "vendor", "key": "id", "fields": {"rating": "rating"}}
    erp = {"system": "erp", "connector": {"kind": "postgres", "dsn": "service=erp"}}
    crm = {"system": "crm", "connector": {"kind": "postgres", "dsn": "service=crm"}, "streams": {"rated": supplier}}
    streams = {"customers": customers, "vendors": vendors}
    return rulebook_from_documents([customer, vendor], [{**erp, "streams": streams}, crm])


def update(stream: str = "vendors", field: str = "rating") -> Write:
    return Write(1, "r", stream, "update", "1", {field: "999999"}, {field: None}, unguarded=frozenset({field}))


def laid_out(dsn: str) -> str:
    """The database with all these tables."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(DDL)
    return dsn


def limits(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as person:
        return person.execute("select id, credit_limit from party order by id").fetchall()


async def tried(dsn: str, rulebook: Rulebook, system: str = "erp", write: Write | None = None, **dsns: str) -> Any:
    """One write by the target, as `run` makes it: its answer."""
    target = PostgresTarget(rulebook.systems[system], dsn, MARK, None, Owners(rulebook, {"erp": dsn} | dsns))
    try:
        return await answers(target, [write or update()])
    finally:
        await target.close()


async def conflicts_of(rulebook: Rulebook, dsns: Mapping[str, str], **target_dsns: str) -> list[Conflict]:
    """As doctor and plan find them, where every system answers."""
    found, unasked = await live_conflicts(rulebook, dsns, target_dsns)
    assert unasked == []
    return found


def second(table: str, column: str, owner: str = "party") -> Rulebook:
    """The same database by a second name: system erp2, whose own field it writes."""
    customer = {"entity": "customer", "fields": {"credit_limit": {"type": "text", "owner": "erp", "protected": True}}}
    stream = {"entity": "customer", "key": "id"}
    erp = {"system": "erp", "connector": {"kind": "postgres", "dsn": "service=erp"}}
    erp2 = {"system": "erp2", "mode": "target", "connector": {"kind": "postgres", "dsn": "service=other"}}
    return rulebook_from_documents(
        [customer],
        [
            {**erp, "streams": {owner: {**stream, "fields": {"credit_limit": "credit_limit"}}}},
            {**erp2, "streams": {table: {**stream, "fields": {"credit_limit": column}}}},
        ],
    )
