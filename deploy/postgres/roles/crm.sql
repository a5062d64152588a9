-- The roles for crm: run in its database by its owner or a superuser.
begin;

-- crm_source reads crm: connector: connect_dsn (Debezium's)
do $$ begin if not exists (select from pg_roles where rolname = 'crm_source') then create role "crm_source" login nosuperuser nocreatedb nocreaterole nobypassrls replication; end if; end $$;
do $$ begin execute format('grant connect on database %I to %I', current_database(), 'crm_source'); end $$;
grant usage on schema "public" to "crm_source";
grant select on "public"."product" to "crm_source";
grant select on "public"."account" to "crm_source";
grant select on "public"."contact" to "crm_source";
grant select on "public"."opportunity" to "crm_source";
do $$ begin
  if not exists (select from pg_publication where pubname = 'fieldwarden_crm') then
    execute format('create publication %I with (publish = %L, publish_via_partition_root = true%s)', 'fieldwarden_crm',
      'insert, update, delete, truncate', case when current_setting('server_version_num')::int >= 180000
      then ', publish_generated_columns = stored' else '' end);
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_crm' and schemaname = 'public' and tablename = 'product') then
    alter publication "fieldwarden_crm" add table only "public"."product";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_crm' and schemaname = 'public' and tablename = 'account') then
    alter publication "fieldwarden_crm" add table only "public"."account";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_crm' and schemaname = 'public' and tablename = 'contact') then
    alter publication "fieldwarden_crm" add table only "public"."contact";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_crm' and schemaname = 'public' and tablename = 'opportunity') then
    alter publication "fieldwarden_crm" add table only "public"."opportunity";
  end if; end $$;
comment on publication "fieldwarden_crm" is null;

-- crm_target writes to crm: connector: dsn
do $$ begin if not exists (select from pg_roles where rolname = 'crm_target') then create role "crm_target" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'crm_target'); end $$;
grant usage on schema "public" to "crm_target";
grant select ("active", "list_price", "name", "sku", "unit", "updated_at") on "public"."product" to "crm_target";
grant insert ("active", "list_price", "name", "sku", "unit") on "public"."product" to "crm_target";
grant update ("active", "list_price", "name", "unit") on "public"."product" to "crm_target";
grant select ("billing_city", "billing_country", "billing_postal_code", "billing_street", "credit_hold", "credit_limit", "currency", "email", "fieldwarden_id", "id", "language", "name", "owner_name", "payment_terms", "phone", "segment", "updated_at", "vat_number", "website") on "public"."account" to "crm_target";
grant insert ("billing_city", "billing_country", "billing_postal_code", "billing_street", "credit_hold", "credit_limit", "currency", "email", "fieldwarden_id", "language", "name", "owner_name", "payment_terms", "phone", "segment", "vat_number", "website") on "public"."account" to "crm_target";
grant update ("billing_city", "billing_country", "billing_postal_code", "billing_street", "credit_hold", "credit_limit", "currency", "email", "language", "name", "owner_name", "payment_terms", "phone", "segment", "vat_number", "website") on "public"."account" to "crm_target";
grant select ("account_id", "email", "fieldwarden_id", "first_name", "id", "last_name", "phone", "updated_at") on "public"."contact" to "crm_target";
grant insert ("account_id", "email", "fieldwarden_id", "first_name", "last_name", "phone") on "public"."contact" to "crm_target";
grant update ("account_id", "email", "first_name", "last_name", "phone") on "public"."contact" to "crm_target";
grant delete on "public"."contact" to "crm_target";
grant select ("account_id", "close_date", "currency", "id", "product_sku", "quantity", "stage", "subscription_status", "unit_price", "updated_at") on "public"."opportunity" to "crm_target";
grant update ("account_id", "close_date", "currency", "product_sku", "quantity", "subscription_status", "unit_price") on "public"."opportunity" to "crm_target";
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."product"'::regclass and a.attname <> all ('{active,list_price,name,sku,unit}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'crm_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."account"'::regclass and a.attname <> all ('{billing_city,billing_country,billing_postal_code,billing_street,credit_hold,credit_limit,currency,email,fieldwarden_id,language,name,owner_name,payment_terms,phone,segment,vat_number,website}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'crm_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."contact"'::regclass and a.attname <> all ('{account_id,email,fieldwarden_id,first_name,last_name,phone}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'crm_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select oid::regprocedure::text from pg_proc
    where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace order by 1
  loop execute format('grant execute on function %s to %I', each, 'crm_target'); end loop; end $$;

commit;
-- Then give each a password (\password ROLE in psql).
