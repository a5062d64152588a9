-- Each role's own password, out of its own file. A role without one (the hub's reader and auditor) cannot log in yet.
-- The server is told not to log these statements, whatever else it logs.
set log_statement = 'none';
set log_min_duration_statement = -1;
set log_min_error_statement = 'panic';
\set password `cat /run/secrets/hub_owner`
alter role fieldwarden_owner password :'password';
\set password `cat /run/secrets/hub_runtime`
alter role fieldwarden_runtime password :'password';
\set password `cat /run/secrets/crm_source`
alter role crm_source password :'password';
\set password `cat /run/secrets/crm_target`
alter role crm_target password :'password';
\set password `cat /run/secrets/billing_source`
alter role billing_source password :'password';
\set password `cat /run/secrets/billing_target`
alter role billing_target password :'password';
\set password `cat /run/secrets/erp_source`
alter role erp_source password :'password';
\set password `cat /run/secrets/erp_target`
alter role erp_target password :'password';
\unset password
