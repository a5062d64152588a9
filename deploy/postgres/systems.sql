-- Run by psql when the server's data are made: the three sample systems, each in a database of its own.
-- The hub's database, `fieldwarden`, is the server's default one.
create database crm;
\connect crm
\ir sql/crm.sql
create database billing;
\connect billing
\ir sql/billing.sql
create database erp;
\connect erp
\ir sql/erp.sql
