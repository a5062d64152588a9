-- What we ask of PostgreSQL systems and of their catalogues, by name. But for the last three, none of these changes anything.
-- Sources: PostgreSQL documentation, "System Catalogs" and "System Views".

-- name: columns
-- Every column of these tables ("schema.table"), with what the role may read and how its table is published.
select n.nspname || '.' || c.relname as table_name, c.oid, n.nspname, c.relname, c.relkind, c.relreplident,
       has_schema_privilege(n.oid, 'USAGE') as usable, has_table_privilege(c.oid, 'SELECT') as readable,
       a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity, a.atthasdef,
       format_type(a.atttypid, a.atttypmod) as written,
       has_column_privilege(c.oid, a.attnum, 'SELECT') as column_readable,
       array(select k.attname::text from pg_partitioned_table p join pg_attribute k on k.attrelid = p.partrelid
             where p.partrelid = c.oid and k.attnum = any(p.partattrs)) as partitioned_by
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname || '.' || c.relname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by c.oid, a.attnum

-- name: indexes
-- Unique indexes of these tables over plain columns. A sound one is valid and covers every row.
select i.indrelid, i.indisprimary, i.indisreplident, i.indisunique and i.indisvalid and i.indpred is null as sound,
       i.indisvalid as valid, pg_get_expr(i.indpred, i.indrelid) as predicate,
       array(select a.attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality as k (attnum, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum order by k.place) as columns
from pg_index i
where i.indrelid = any(%s) and i.indisunique and i.indexprs is null

-- name: base_types
-- What these types are below any domains: a domain over a domain over numeric(12,2) is numeric(12,2).
with recursive base as (
    select oid as of, oid, typtype, typbasetype, typcategory, typtypmod from pg_type where oid = any(%s)
    union all
    select base.of, t.oid, t.typtype, t.typbasetype, t.typcategory,
           case when base.typtypmod <> -1 then base.typtypmod else t.typtypmod end
    from base join pg_type t on t.oid = base.typbasetype where base.typtype = 'd')
select of, oid, typtype, typcategory, typtypmod from base where typtype <> 'd'

-- name: published_parts
-- The tables that hold the rows of these, which are themselves or their leaf partitions, and by what each identifies a row.
select t.oid as root, p.oid, format('%%s.%%s', n.nspname, p.relname) as name, p.relpersistence = 'u' as unlogged,
       p.relreplident as identity,
       array(select a.attname::text from pg_index i join pg_attribute a
                 on a.attrelid = i.indrelid and a.attnum = any(i.indkey[0:i.indnkeyatts - 1])
             where i.indrelid = p.oid
               and case p.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end
       ) as identified_by,
       's' = any(generated.kinds) as stored, 'v' = any(generated.kinds) as virtual
from pg_class t
join lateral (select t.oid as part where t.relkind = 'r'
              union select relid from pg_partition_tree(t.oid) where isleaf and relid <> t.oid) as each on true
join pg_class p on p.oid = each.part
join pg_namespace n on n.oid = p.relnamespace
join lateral (select array(select attgenerated::text from pg_attribute
                           where attrelid = p.oid and not attisdropped) as kinds) as generated on true
where t.oid = any(%s) and p.relkind = 'r' order by t.oid, n.nspname, p.relname

-- name: here
-- Which database this is, whatever its connection string calls it: the server by the moment when it was started.
select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as started, d.oid as database
from pg_database d where d.datname = current_database()

-- name: present
-- Which of these relations there are.
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))

-- name: named_columns
-- Every column of these relations, by number.
select n.nspname, c.relname, c.oid, a.attname, a.attnum
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where (n.nspname, c.relname) in (select * from unnest(%s::text[], %s::text[]))
    and c.relkind in ('r', 'p', 'v', 'm', 'f')

-- name: reached
-- Columns that are written when the given ones are: of partitions and children, generated from them, by rules on their table.
with given as (select * from unnest(%(tables)s::oid[], %(columns)s::int2[]) as g (rel, att))
select 'part' as how, g.rel, g.att, i.inhrelid as to_rel, c.attnum as to_att
from given g join pg_inherits i on i.inhparent = g.rel
join pg_attribute a on a.attrelid = g.rel and a.attnum = g.att
join pg_attribute c on c.attrelid = i.inhrelid and c.attname = a.attname and not c.attisdropped
union all
select 'generated', g.rel, g.att, d.refobjid, d.refobjsubid
from given g join pg_attribute a on a.attrelid = g.rel and a.attnum = g.att and a.attgenerated <> ''
join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = g.rel
    and d.refobjsubid > 0 and d.refobjsubid <> g.att
left join pg_attrdef f on f.adrelid = g.rel and f.adnum = g.att
where (d.classid = 'pg_class'::regclass and d.objid = g.rel and d.objsubid = g.att)
    or (d.classid = 'pg_attrdef'::regclass and d.objid = f.oid)
union all
select 'rule', g.rel, g.att, d.refobjid, d.refobjsubid
from given g join pg_rewrite r on r.ev_class = g.rel and r.ev_type <> '1'
join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    and d.refclassid = 'pg_class'::regclass and d.refobjid <> g.rel and d.refobjsubid > 0

-- name: views
-- Of these relations the views: what each selects, as the rewriter keeps it (anybody may read that), and its columns.
select c.oid,
       (select r.ev_action::text from pg_rewrite r where r.ev_class = c.oid and r.ev_type = '1') as query,
       exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgtype & 64 <> 0) as instead,
       array(select a.attnum::int from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
             and not a.attisdropped order by a.attnum) as numbers
from pg_class c where c.oid = any(%s) and c.relkind in ('v', 'm')

-- name: mentioned
-- Columns that these views mention anywhere: more than they show, never less.
select r.ev_class as rel, d.refobjid as to_rel, d.refobjsubid as to_att
from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class and d.refobjsubid > 0
where r.ev_class = any(%s) and r.ev_type = '1'

-- name: fingerprint
-- The version (xmin) of each row of the catalogue that named_columns, reached and views answer by. Further columns than
-- the wanted ones are known by their numbers, whatever they are called; or are their parents', who call them alike.
with named as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname, c.relname) in (select * from unnest(%(schemas)s::text[], %(names)s::text[]))),
relations as (select unnest(%(relations)s::oid[]) as rel union select oid from named),
versions as (
    select 'named' as what, c.oid as rel, n.nspname || '.' || c.relname as part, c.xmin as version
    from relations join pg_class c on c.oid = rel join pg_namespace n on n.oid = c.relnamespace
    union all
    select 'column', a.attrelid, a.attnum::text, a.xmin
    from named join pg_attribute a on a.attrelid = named.oid and a.attname = any(%(columns)s::text[])
    union all
    select 'default', f.adrelid, f.adnum::text, f.xmin from relations join pg_attrdef f on f.adrelid = rel
    union all
    select 'rule', r.ev_class, r.oid::text, r.xmin from relations join pg_rewrite r on r.ev_class = rel
    union all
    select 'trigger', t.tgrelid, t.oid::text, t.xmin
    from relations join pg_trigger t on t.tgrelid = rel and t.tgtype & 64 <> 0
    union all
    select 'part', i.inhparent, i.inhrelid::text, i.xmin from relations join pg_inherits i on i.inhparent = rel)
select sum(hashtextextended(concat_ws(' ', what, rel, version, part), 0))::text as fingerprint from versions

-- name: mark_rights
-- Who may call the function that puts messages, and so marks, into the log.
select string_agg(p.oid::regprocedure::text, ', ' order by p.oid) as functions,
       bool_or(exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                       where grantee = 0 and privilege_type = 'EXECUTE')) as everybody,
       bool_and(has_function_privilege(p.oid, 'EXECUTE')) as ours, quote_ident(current_user) as role
from pg_proc p
where p.proname = 'pg_logical_emit_message' and p.pronamespace = 'pg_catalog'::regnamespace

-- name: server_facts
-- What a server must grant a source: version, log level, encoding, free slots and senders.
select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
       pg_is_in_recovery() as standby, pg_encoding_to_char(d.encoding) as encoding,
       current_setting('max_replication_slots')::int
           - (select count(*) from pg_replication_slots) as free_slots,
       current_setting('max_wal_senders')::int - (select count(*) from pg_stat_replication) as free_senders
from pg_database d where d.datname = current_database()

-- name: tables
-- Every table of the application.
select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'

-- name: table_rights
-- What the role may do in a table and in these columns of it.
select has_table_privilege(%(table)s::oid, 'DELETE') as deletes,
       array(select c from unnest(%(columns)s::text[]) c
             where has_column_privilege(%(table)s::oid, c, 'INSERT')) as inserts,
       array(select c from unnest(%(columns)s::text[]) c
             where has_column_privilege(%(table)s::oid, c, 'UPDATE')) as updates

-- name: publication_facts
-- A publication, whose comment says whose it is; and whether the role could make one.
select has_database_privilege(current_database(), 'CREATE') as creates,
       (select to_jsonb(p) from pg_publication p where pubname = %(name)s) as options,
       (select obj_description(oid, 'pg_publication') from pg_publication where pubname = %(name)s) as comment

-- name: published
-- The tables that a publication covers, with its column lists.
select schemaname || '.' || tablename as name, to_jsonb(t) -> 'attnames' as columns
from pg_publication_tables t where pubname = %s

-- name: peek
-- Whether a slot has anything to tell beyond what was read: looked at, and not taken.
with told as (
    select lsn, xid, chr(get_byte(data, 0)) as kind from pg_logical_slot_peek_binary_changes(
        %(slot)s, null, %(limit)s, 'proto_version', '1', 'publication_names', %(publication)s)
)
select count(*), coalesce(bool_or(kind = 'C' and lsn > %(read)s::pg_lsn and xid::text in (
    select xid::text from told where kind in ('I', 'U', 'D', 'T'))), false)
from told

-- name: log_written
-- How much log the server keeps at most, and how fast it writes it.
select (select setting::bigint << 20 from pg_settings where name = 'max_slot_wal_keep_size') as kept,
       wal_bytes::bigint as written, extract(epoch from now() - stats_reset)::float8 as seconds from pg_stat_wal

-- name: abandoned_slots
-- Slots of former projects or of former names, which nobody reads: they hold the log back.
select slot_name as name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as retained
from pg_replication_slots
where database = current_database() and not active and plugin = 'pgoutput' and slot_name <> %s and slot_name ~ %s
order by slot_name

-- name: log_end
-- Where the log ends now, in bytes.
select ((case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)
        - '0/0'::pg_lsn)::bigint

-- name: open_transactions
-- The transactions that may be at their end just now: each holds its number's lock until all see what it did. One whose
-- session waits for its client is not at its end.
select array_agg(transactionid::text::bigint) from pg_locks left join pg_stat_activity using (pid)
where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted
  and coalesce(state, '') not in ('idle in transaction', 'idle in transaction (aborted)')

-- name: snapshot
-- What this transaction sees: all that ended below `below`, but for `hidden`.
select pg_snapshot_xmax(seen)::text::bigint as below,
       array(select number::text::bigint from pg_snapshot_xip(seen) as t (number)) as hidden
from pg_current_snapshot() as seen

-- name: surveyed_tables
-- Every table of the application but partitions, in order.
select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
order by 1

-- name: references
-- Foreign keys between tables; `owned` are those whose rows go with the row that they refer to.
select n.nspname || '.' || c.relname as source, rn.nspname || '.' || r.relname as target,
       k.confdeltype = 'c' as owned,
       array(select a.attname::text from unnest(k.conkey) with ordinality as u (attnum, place)
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum order by u.place) as columns,
       array(select a.attname::text from unnest(k.confkey) with ordinality as u (attnum, place)
             join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum order by u.place) as keys
from pg_constraint k
join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class r on r.oid = k.confrelid join pg_namespace rn on rn.oid = r.relnamespace
where k.contype = 'f' and k.conparentid = 0 and n.nspname || '.' || c.relname = any(%s)
order by source, k.conname

-- name: labels
-- The labels of these enumerations, in their order.
select enumtypid as type, array_agg(enumlabel::text order by enumsortorder) as labels from pg_enum
where enumtypid = any(%s) group by enumtypid

-- name: column_checks
-- Check constraints that speak of one column.
select n.nspname || '.' || c.relname as source, a.attname as column, pg_get_constraintdef(k.oid) as text
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
where k.contype = 'c' and cardinality(k.conkey) = 1 and n.nspname || '.' || c.relname = any(%s)

-- name: publication
-- A publication, whose comment marks it as ours, and what it covers; tables named alike in two schemas are told apart.
select p.oid, to_jsonb(p) as options, obj_description(p.oid, 'pg_publication') as mark,
       array(select schemaname || '.' || tablename from pg_publication_tables where pubname = p.pubname) as tables,
       array(select array[n.nspname, c.relname]::text[] from pg_publication_rel r
             join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
             where r.prpubid = p.oid) as listed
from pg_publication p where pubname = %s

-- name: server
-- Who the server is, and where its log ends. A standby has no end of its own.
select current_setting('server_version_num')::int as version, current_setting('wal_level') as wal_level,
       (pg_control_system()).system_identifier::text as server, (pg_control_checkpoint()).timeline_id as timeline,
       current_database() as database,
       pg_is_in_recovery() as standby,
       (case when pg_is_in_recovery() then '0/0'::pg_lsn else pg_current_wal_lsn() end)::text as end_lsn

-- name: slot
-- A replication slot: how far it was confirmed, what it holds back, who reads it.
select to_jsonb(s) as slot, current_database() as database,
       (select concat_ws(' from ', nullif(application_name, ''), host(client_addr)) from pg_stat_activity
        where pid = s.active_pid) as reader,
       pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint as retained,
       pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint as behind
from pg_replication_slots s where slot_name = %s

-- name: database_name
-- What the server itself calls the database: a pooler may have its own name for it.
select current_database()::text as name

-- name: may_lock
-- Whether the role may lock rows of a table, which needs UPDATE on some column of it.
select has_any_column_privilege(to_regclass(%s), 'UPDATE') as locks

-- name: role
-- As whom we came, and whether that role may do everything.
select rolname as name, rolsuper as superuser from pg_roles where rolname = current_user

-- name: confirmed_past
-- Whether a slot is confirmed past a place of the log.
select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s

-- name: drop_slot
-- A slot that nobody of ours follows any more. Fails while somebody streams from it.
select pg_drop_replication_slot(%s)

-- name: end_sessions
-- The sessions of a process of ours that hangs, or is gone without a word: their slots and row locks go with them.
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
    and application_name like 'fieldwarden%%' and right(application_name, length(%(mark)s::text)) = %(mark)s

-- name: send_message
-- An empty message in the log, whose place comes back: whoever streams from there passes it.
select pg_logical_emit_message(true, %s, '')::text
