-- Nobody has a right in this database only because he can log in to the server: PostgreSQL gives PUBLIC a few by itself.
do $$ declare each text; begin
  execute format('revoke all on database %I from public', current_database());
  for each in
    select oid::regprocedure::text from pg_proc
    where proname = 'pg_logical_emit_message' and pronamespace = 'pg_catalog'::regnamespace
  loop execute format('revoke execute on function %s from public', each); end loop;
end $$;
revoke all on schema public from public;
