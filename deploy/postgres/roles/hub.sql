-- The roles of a new hub; then, by hub.owner_dsn: fieldwarden hub roles.
begin;

-- For a superuser, or a role that may create roles. Passwords: psql's \password ROLE.
do $$ begin if not exists (select from pg_roles where rolname = 'fieldwarden_owner') then create role "fieldwarden_owner" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin if not exists (select from pg_roles where rolname = 'fieldwarden_runtime') then create role "fieldwarden_runtime" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin if not exists (select from pg_roles where rolname = 'fieldwarden_reader') then create role "fieldwarden_reader" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin if not exists (select from pg_roles where rolname = 'fieldwarden_auditor') then create role "fieldwarden_auditor" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'fieldwarden_owner'); end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'fieldwarden_runtime'); end $$;
do $$ begin execute format('grant connect on database %I to %I', current_database(), 'fieldwarden_reader'); end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'fieldwarden_auditor'); end $$;
do $$ begin if not exists (select from pg_namespace where nspname = 'fieldwarden') then create schema "fieldwarden" authorization "fieldwarden_owner"; end if; end $$;

commit;
