-- Billing: those who pay online. They sign up with an e-mail or a phone; the rest they fill in when it is asked for.
-- `fieldwarden_id` is the one column added for replication.

create table customer (
    id              text primary key,
    email           text,
    name            text,
    vat_id          text,
    phone           text,
    terms           text not null default 'net_14',
    street          text,
    city            text,
    postal_code     text,
    fieldwarden_id  text unique,
    updated_at      timestamptz not null default now()
);

-- Customers 41 to 70: the ERP knows those up to 50, the CRM all of them. Here a tax id is digits only.
create temporary table firm as
select n,
       (array['Alder', 'Birch', 'Cedar', 'Elm', 'Fir', 'Hazel', 'Larch', 'Maple', 'Oak', 'Pine'])[1 + n % 10] as tree,
       (array['Bau', 'Druck', 'Energie', 'Feinkost', 'Glas', 'Holz', 'Kabel', 'Metall', 'Optik', 'Papier'])[1 + n / 10] as trade
from generate_series(41, 70) as n;

insert into customer (id, email, name, vat_id, phone, street, city, postal_code, updated_at)
select 'cus_' || n, 'billing@' || lower(tree || '-' || trade) || '.example', tree || ' ' || trade, (300000000 + n)::text,
       case when n % 3 > 0 then '+49 89 5550' || 100 + n end, tree || 'weg ' || n, 'Berlin', '10' || 100 + n,
       timestamptz '2025-02-20 08:00+01' + n * interval '5 hours'
from firm;
