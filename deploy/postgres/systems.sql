-- Run by psql, as the server's superuser, when the server's data are made: the three sample systems, each in a database of
-- its own, and the roles by which Fieldwarden and Debezium come. What stands in roles/ is what the program prints:
-- `fieldwarden hub roles --print --new`, `fieldwarden target roles SYSTEM --print`; a test compares them.
-- The hub's database, `fieldwarden`, is the server's default one; its tables are made by the service `hub`, as their owner.
\set ON_ERROR_STOP on
create database crm;
\connect crm
\ir sql/crm.sql
\ir roles/closed.sql
\ir roles/crm.sql
create database billing;
\connect billing
\ir sql/billing.sql
\ir roles/closed.sql
\ir roles/billing.sql
create database erp;
\connect erp
\ir sql/erp.sql
\ir roles/closed.sql
\ir roles/erp.sql
\connect fieldwarden
\ir roles/closed.sql
\ir roles/hub.sql
\ir roles/passwords.sql
