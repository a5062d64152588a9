-- A sample CRM. Run once, when the embedded database is made.
create table account (
    id             bigint generated always as identity primary key,
    name           text not null,
    vat_number     text unique,
    email          text,
    terms          text,
    credit_limit   numeric(14,2),
    fieldwarden_id text unique
);
insert into account (name, vat_number, email, terms) values
    ('Alder & Sons', 'DE811907980', 'office@alder.example', 'Net 30'),
    ('Birch Foods',  'FR40303265045', 'hello@birch.example', 'Net 60'),
    ('Cedar Labs',   'NL001234567B01', 'accounts@cedar.example', 'Prepaid');
