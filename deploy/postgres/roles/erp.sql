-- The roles for erp: run in its database by its owner or a superuser.
begin;

-- erp_source reads erp: connector: dsn
do $$ begin if not exists (select from pg_roles where rolname = 'erp_source') then create role "erp_source" login nosuperuser nocreatedb nocreaterole nobypassrls replication; end if; end $$;
do $$ begin execute format('grant connect on database %I to %I', current_database(), 'erp_source'); end $$;
grant usage on schema "public" to "erp_source";
grant select ("active", "description", "list_price", "sku", "tax_code", "unit", "write_date") on "public"."item" to "erp_source";
grant select ("create_date", "credit_hold", "customer_group", "customer_no", "email", "fieldwarden_id", "id", "language", "name", "party_type", "payment_term_code", "phone", "salesperson", "website", "write_date") on "public"."party" to "erp_source";
grant select ("city", "country_code", "id", "kind", "party_id", "street", "zip") on "public"."party_address" to "erp_source";
grant select ("id", "identifier", "party_id", "scheme") on "public"."party_tax_identifier" to "erp_source";
grant select ("amount", "currency", "id", "party_id") on "public"."credit_limit" to "erp_source";
grant select ("email", "fieldwarden_id", "first_name", "id", "last_name", "party_id", "phone", "write_date") on "public"."contact_person" to "erp_source";
grant select ("amount", "currency", "document_no", "due_date", "dunning_level", "fieldwarden_id", "id", "party_id", "posting_date", "state", "write_date") on "public"."receivable" to "erp_source";
grant select ("amount", "channel", "currency", "fieldwarden_id", "id", "receivable_id", "reconciled", "reference", "value_date", "write_date") on "public"."receipt" to "erp_source";
do $$ begin
  if not exists (select from pg_publication where pubname = 'fieldwarden_erp') then
    execute format('create publication %I with (publish = %L, publish_via_partition_root = true%s)', 'fieldwarden_erp',
      'insert, update, delete, truncate', case when current_setting('server_version_num')::int >= 180000
      then ', publish_generated_columns = stored' else '' end);
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'item') then
    alter publication "fieldwarden_erp" add table only "public"."item";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'party') then
    alter publication "fieldwarden_erp" add table only "public"."party";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'party_address') then
    alter publication "fieldwarden_erp" add table only "public"."party_address";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'party_tax_identifier') then
    alter publication "fieldwarden_erp" add table only "public"."party_tax_identifier";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'credit_limit') then
    alter publication "fieldwarden_erp" add table only "public"."credit_limit";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'contact_person') then
    alter publication "fieldwarden_erp" add table only "public"."contact_person";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'receivable') then
    alter publication "fieldwarden_erp" add table only "public"."receivable";
  end if; end $$;
do $$ begin
  if not exists (select from pg_publication_tables where pubname = 'fieldwarden_erp' and schemaname = 'public' and tablename = 'receipt') then
    alter publication "fieldwarden_erp" add table only "public"."receipt";
  end if; end $$;
comment on publication "fieldwarden_erp" is null;

-- erp_target writes to erp: connector: target_dsn
do $$ begin if not exists (select from pg_roles where rolname = 'erp_target') then create role "erp_target" login nosuperuser nocreatedb nocreaterole nobypassrls noreplication; end if; end $$;
do $$ begin execute format('grant connect, temporary on database %I to %I', current_database(), 'erp_target'); end $$;
grant usage on schema "public" to "erp_target";
grant select ("active", "description", "list_price", "sku", "tax_code", "unit", "write_date") on "public"."item" to "erp_target";
grant update ("active", "unit") on "public"."item" to "erp_target";
grant select ("create_date", "credit_hold", "customer_group", "customer_no", "email", "fieldwarden_id", "id", "language", "name", "party_type", "payment_term_code", "phone", "salesperson", "website", "write_date") on "public"."party" to "erp_target";
grant insert ("credit_hold", "customer_group", "customer_no", "email", "fieldwarden_id", "language", "name", "party_type", "payment_term_code", "phone", "salesperson", "website") on "public"."party" to "erp_target";
grant update ("customer_group", "customer_no", "email", "language", "name", "phone", "salesperson", "website") on "public"."party" to "erp_target";
grant select ("city", "country_code", "id", "kind", "party_id", "street", "zip") on "public"."party_address" to "erp_target";
grant insert ("city", "country_code", "kind", "party_id", "street", "zip") on "public"."party_address" to "erp_target";
grant update ("city", "country_code", "street", "zip") on "public"."party_address" to "erp_target";
grant select ("id", "identifier", "party_id", "scheme") on "public"."party_tax_identifier" to "erp_target";
grant insert ("identifier", "party_id", "scheme") on "public"."party_tax_identifier" to "erp_target";
grant update ("identifier") on "public"."party_tax_identifier" to "erp_target";
grant select ("amount", "currency", "id", "party_id") on "public"."credit_limit" to "erp_target";
grant insert ("amount", "currency", "party_id") on "public"."credit_limit" to "erp_target";
grant select ("email", "fieldwarden_id", "first_name", "id", "last_name", "party_id", "phone", "write_date") on "public"."contact_person" to "erp_target";
grant insert ("email", "fieldwarden_id", "first_name", "last_name", "party_id", "phone") on "public"."contact_person" to "erp_target";
grant update ("email", "first_name", "last_name", "party_id", "phone") on "public"."contact_person" to "erp_target";
grant delete on "public"."contact_person" to "erp_target";
grant select ("amount", "currency", "document_no", "due_date", "dunning_level", "fieldwarden_id", "id", "party_id", "posting_date", "state", "write_date") on "public"."receivable" to "erp_target";
grant insert ("amount", "currency", "document_no", "due_date", "dunning_level", "fieldwarden_id", "party_id", "posting_date", "state") on "public"."receivable" to "erp_target";
grant update ("amount", "currency", "document_no", "due_date", "dunning_level", "party_id", "posting_date", "state") on "public"."receivable" to "erp_target";
grant delete on "public"."receivable" to "erp_target";
grant select ("amount", "channel", "currency", "fieldwarden_id", "id", "receivable_id", "reconciled", "reference", "value_date", "write_date") on "public"."receipt" to "erp_target";
grant insert ("amount", "channel", "currency", "fieldwarden_id", "receivable_id", "reconciled", "reference", "value_date") on "public"."receipt" to "erp_target";
grant update ("amount", "channel", "currency", "receivable_id", "reference", "value_date") on "public"."receipt" to "erp_target";
grant delete on "public"."receipt" to "erp_target";
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."party"'::regclass and a.attname <> all ('{credit_hold,customer_group,customer_no,email,fieldwarden_id,language,name,party_type,payment_term_code,phone,salesperson,website}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."party_address"'::regclass and a.attname <> all ('{city,country_code,kind,party_id,street,zip}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."party_tax_identifier"'::regclass and a.attname <> all ('{identifier,party_id,scheme}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."credit_limit"'::regclass and a.attname <> all ('{amount,currency,party_id}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."contact_person"'::regclass and a.attname <> all ('{email,fieldwarden_id,first_name,last_name,party_id,phone}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."receivable"'::regclass and a.attname <> all ('{amount,currency,document_no,due_date,dunning_level,fieldwarden_id,party_id,posting_date,state}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select distinct d.refobjid::regclass::text from pg_attrdef f
    join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
    join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
    join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
    where f.adrelid = '"public"."receipt"'::regclass and a.attname <> all ('{amount,channel,currency,fieldwarden_id,receivable_id,reconciled,reference,value_date}'::text[]) order by 1
  loop execute format('grant usage on sequence %s to %I', each, 'erp_target'); end loop; end $$;
do $$ declare each text; begin
  for each in
    select oid::regprocedure::text from pg_proc
    where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace order by 1
  loop execute format('grant execute on function %s to %I', each, 'erp_target'); end loop; end $$;

commit;
-- Then give each a password (\password ROLE in psql).
