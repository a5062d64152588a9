-- The statements of workers and their duties (`engine.hub.duties`). Each takes effect by itself, so that a process that is
-- stopped between two of them holds nothing up. All times are the hub's.

-- name: lock_number
select pg_try_advisory_lock(%s, %s)

-- name: notice_silence
-- Where a worker's host is gone without a word, its session ends within a minute, and with it the lock.
select set_config('tcp_keepalives_idle', '20', false), set_config('tcp_keepalives_interval', '10', false),
    set_config('tcp_keepalives_count', '3', false)

-- name: forget_worker
delete from worker where token = %(token)s and number is distinct from %(number)s

-- name: enrol
insert into worker as w (number, token, name, rulebook, until)
values (%(number)s, %(token)s, %(name)s, %(rulebook)s, clock_timestamp() + %(lease)s * interval '1 second')
on conflict (number) do update set token = excluded.token, name = excluded.name, rulebook = excluded.rulebook,
    until = excluded.until, since = case when w.token = excluded.token then w.since else clock_timestamp() end

-- name: add_duties
insert into duty (name) select unnest(%s::text[]) on conflict do nothing

-- name: renew
with awake as (
    update worker set until = clock_timestamp() + %(lease)s * interval '1 second' where token = %(token)s
)
update duty set until = clock_timestamp() + %(lease)s * interval '1 second' where holder = %(token)s returning name

-- name: workers
-- Those whose session lives; awake are those who have spoken within their lease.
select w.number, w.token, w.name, w.rulebook, w.since, w.until >= clock_timestamp() as awake
from worker w
where w.number in (
    select l.objid::bigint from pg_locks l
    where l.locktype = 'advisory' and l.classid = %s::bigint::oid and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
)
order by w.number

-- name: duties
select name, holder, coalesce(until < clock_timestamp(), true) as expired from duty order by name

-- name: claim_duty
-- Only from whom it was seen with, unless that one has renewed it since.
update duty set holder = %(token)s, until = clock_timestamp() + %(lease)s * interval '1 second', since = clock_timestamp()
where name = %(name)s and holder is not distinct from %(seen)s and (%(free)s or until < clock_timestamp())
returning name

-- name: give_duty
update duty set holder = null, until = null, since = clock_timestamp() where name = %(name)s and holder = %(token)s

-- name: give_all
update duty set holder = null, until = null, since = clock_timestamp() where holder = %(token)s

-- name: end_sessions
-- Of a worker that hangs: a transaction of its that stays open would hold everybody up.
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
  and application_name like 'fieldwarden %%' and right(application_name, length(%(mark)s::text)) = %(mark)s::text

-- name: partitions
select source, name, position, message, updated_at, holder from partition order by source, name
