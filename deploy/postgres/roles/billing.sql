-- The roles for billing: run in its database by its owner or a superuser.
begin;

-- billing_source reads billing: connector: connect_dsn (Debezium's)
do $$ begin if not exists (select from pg_roles where rolname = 'billing_source') then create role "billing_source" login nosuperuser nocreatedb nocreaterole nobypassrls replication; end if; end $$;
do $$ begin execute format('grant connect on database %I to %I', current_database(), 'billing_source'); end $$;
grant usage on schema "public" to "billing_source";
grant select on "public"."product" to "billing_source";
grant select on "public"."customer" to "billing_source";
grant select on "public"."subscription" to "billing_source";
grant select on "public"."invoice" to "billing_source";
grant select on "public"."payment" to "billing_source";
do $$ begin
  if not exists (select from pg_publication where pubname = 'fieldwarden_billing') then
    execute format('create publication %I with (publish = %L, publish_via_partition_root = true%s)', 'fieldwarden_billing',
      'insert, update, delete, truncate', case when current_setting('server_version_num')::int >= 180000
      then ', publish_generated_columns = stored' else '' end);
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_billing' and schemaname = 'public' and tablename = 'product') then
    alter publication "fieldwarden_billing" add table only "public"."product";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_billing' and schemaname = 'public' and tablename = 'customer') then
    alter publication "fieldwarden_billing" add table only "public"."customer";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_billing' and schemaname = 'public' and tablename = 'subscription') then
    alter publication "fieldwarden_billing" add table only "public"."subscription";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_billing' and schemaname = 'public' and tablename = 'invoice') then
    alter publication "fieldwarden_billing" add table only "public"."invoice";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_billing' and schemaname = 'public' and tablename = 'payment') then
    alter publication "fieldwarden_billing" add table only "public"."payment";
  end if; end $$;
comment on publication "fieldwarden_billing" is null;

-- billing_target writes to billing: connector: dsn
do $$ begin if not exists (select from pg_roles where rolname = 'billing_target') then create role "billing_target" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'billing_target'); end $$;
grant usage on schema "public" to "billing_target";
grant select ("active", "name", "sku", "tax_code", "unit_label", "unit_price", "updated_at") on "public"."product" to "billing_target";
grant insert ("active", "name", "sku", "tax_code", "unit_label", "unit_price") on "public"."product" to "billing_target";
grant update ("active", "name", "tax_code", "unit_label", "unit_price") on "public"."product" to "billing_target";
grant select ("account_number", "address_city", "address_country", "address_line1", "address_postal_code", "collection_paused", "credit_limit", "currency", "email", "fieldwarden_id", "id", "name", "phone", "preferred_locale", "tax_id", "terms", "updated_at") on "public"."customer" to "billing_target";
grant insert ("account_number", "address_city", "address_country", "address_line1", "address_postal_code", "collection_paused", "credit_limit", "currency", "email", "fieldwarden_id", "name", "phone", "preferred_locale", "tax_id", "terms") on "public"."customer" to "billing_target";
grant update ("account_number", "address_city", "address_country", "address_line1", "address_postal_code", "collection_paused", "credit_limit", "currency", "email", "name", "phone", "preferred_locale", "tax_id", "terms") on "public"."customer" to "billing_target";
grant select ("crm_opportunity_id", "currency", "customer_id", "fieldwarden_id", "id", "product_sku", "quantity", "start_date", "status", "unit_amount", "updated_at") on "public"."subscription" to "billing_target";
grant insert ("crm_opportunity_id", "currency", "customer_id", "fieldwarden_id", "product_sku", "quantity", "start_date", "status", "unit_amount") on "public"."subscription" to "billing_target";
grant update ("crm_opportunity_id", "currency", "customer_id", "product_sku", "quantity", "start_date", "status", "unit_amount") on "public"."subscription" to "billing_target";
grant select ("currency", "customer_id", "due_on", "dunning_level", "id", "issued_on", "number", "status", "total", "updated_at") on "public"."invoice" to "billing_target";
grant update ("due_on", "dunning_level") on "public"."invoice" to "billing_target";
grant select ("amount", "currency", "id", "invoice_id", "method", "received_on", "reconciled", "reference", "updated_at") on "public"."payment" to "billing_target";
grant update ("method", "received_on", "reconciled") on "public"."payment" to "billing_target";
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."product"'::regclass and a.attname <> all ('{active,name,sku,tax_code,unit_label,unit_price}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'billing_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."customer"'::regclass and a.attname <> all ('{account_number,address_city,address_country,address_line1,address_postal_code,collection_paused,credit_limit,currency,email,fieldwarden_id,name,phone,preferred_locale,tax_id,terms}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'billing_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."subscription"'::regclass and a.attname <> all ('{crm_opportunity_id,currency,customer_id,fieldwarden_id,product_sku,quantity,start_date,status,unit_amount}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'billing_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select oid::regprocedure::text from pg_proc
    where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace order by 1
  loop execute format('grant execute on function %s to %I', each, 'billing_target'); end loop; end $$;

commit;
-- Then give each a password (\password ROLE in psql).
