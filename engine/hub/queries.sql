-- Every statement of the hub's store (`engine.hub.queries` loads them by name). The search path is the hub's schema.
-- Lists come as array literals, which cost a tenth of driver-made arrays; larger rows come by COPY.

-- name: temporary_tables
-- Landing places of COPY, one set per connection, emptied at each commit.
create temp table if not exists new_state (
    id uuid, version bigint, retired boolean, golden json, contributions text
) on commit delete rows;
create temp table if not exists settled (
    record uuid, revision bigint, mark bigint, status text, delay double precision, awaits uuid,
    reason text, result text, contributions text
) on commit delete rows;

-- name: plans
-- Plans are made once, while tables may be small and are never analysed, and must hold when they are large: every hot
-- statement finds the big table's rows by an array of keys, and joins them to a landing table by hashing.
set enable_seqscan = off; set enable_nestloop = off; set enable_mergejoin = off; set jit = off

-- the project -----------------------------------------------------------------------------------------------------

-- name: project
select id from project

-- name: followed
select slot, publication from followed where source = %s

-- name: follow
insert into followed (source, slot, publication) values (%s, %s, %s)
on conflict (source) do update set slot = excluded.slot, publication = excluded.publication, sealed_from = 0

-- name: mark_key
select key from mark_key

-- name: seal_from
update followed set sealed_from = %s where source = %s and sealed_from is null

-- name: sealed_from
select sealed_from from followed where source = %s

-- name: note_forged
-- Nothing where all of it has been noted: a source repeats what it was not told to forget.
insert into forged_mark as f (system, number, position, transaction, at) values (%s, %s, %s, %s, %s)
on conflict (system) do update set number = f.number + excluded.number, position = excluded.position,
    transaction = excluded.transaction, at = excluded.at
where f.position < excluded.position
returning number, told, told_at

-- name: told_forged
update forged_mark set told = number, told_at = %s where system = %s

-- name: forged_marks
select system, number, transaction, at from forged_mark order by system

-- ingest ----------------------------------------------------------------------------------------------------------

-- name: lease
-- The baseline is its source's, also where it is one of the source's lanes. `leased_at` is when the rows began to be read
-- that nobody has looked for yet: where the parts tell them, that goes on under the next lease.
insert into source as s (name, system, epoch) values (%s, %s, 1)
on conflict (name) do update set epoch = s.epoch + 1,
    leased_at = case when s.swept then clock_timestamp() else s.leased_at end
returning epoch, coalesce((select b.baseline from source b where b.name = s.system), s.baseline),
    exists (select from partition p where p.source = s.system and p.position > '')
        or exists (select from source b where b.name = s.system and b.baseline > 1)

-- name: see_anew
-- A source that reads its rows by itself begins with them anew; what the parts have told of theirs is told once.
delete from seen where system = %s and not exists (select from source where name = %s and not swept)

-- name: forget_seen
delete from seen where system = %s

-- name: note
insert into source as s (name, system, state, message) values (%s, %s, %s, %s)
on conflict (name) do update set state = excluded.state, message = excluded.message, updated_at = clock_timestamp()

-- name: fence
-- Shared with the other lanes, kept from whoever changes the rules: from here to the commit they stay as they are. What
-- they are, `move` asks, since this statement may have seen them before it got the lock.
select epoch, exists (select from live_rulebook where former is not null), exists (select from joined),
    exists (select from kept_apart), pg_advisory_xact_lock_shared(1718183270, hashtext(current_schema()))::text
from source where name = %s for update

-- name: links
select key, record::text from crosswalk where system = %s and stream = %s and key = any(%s::text[])

-- name: any_set_aside
select exists (select from set_aside where system = any(%s::text[]))

-- name: letters
-- Locked in the order of their ids, before any record: whoever tries them again does the same.
select key, id, kind, position, moves, await_system, await_stream, await_key from set_aside
where system = %s and stream = %s and key = any(%s::text[]) order by id for update

-- name: held_up
select key, min(id) from set_aside
where system = %s and stream = %s and key = any(%s::text[]) and kind <> 'unreadable' and not released group by key

-- name: lock_identity
select pg_advisory_xact_lock(1718183268, hashtext(%s))

-- name: matches
select value, record::text from match_key where entity = %s and name = %s and value = any(%s::text[])
order by value, record

-- name: lock_records
-- Those too large to come as one row come without what is large (`large_record`).
select id::text, entity, version, case when octet_length(contributions) <= 262144 then golden::text end,
    case when octet_length(contributions) <= 262144 then contributions end, retired, revision
from record where id = any(%s::uuid[]) order by id for update

-- name: large_record
-- A server makes each part once, and sends it piece by piece.
select r.entity, r.version, r.retired, r.revision, p.part, substr(p.bytes, n, 4194304)
from record r
cross join lateral (
    values (0, convert_to(r.golden::text, 'UTF8')), (1, convert_to(r.contributions, 'UTF8'))
) as p (part, bytes)
cross join lateral generate_series(1, octet_length(p.bytes), 4194304) as n
where r.id = %s::uuid

-- name: rows_of
-- Rows that are set aside may not be linked yet, but they are known. No more is read than is given back.
(
    select key from crosswalk where system = %(system)s and stream = %(stream)s and key >= %(since)s
    order by key limit %(limit)s
) union (
    select distinct key from set_aside where system = %(system)s and stream = %(stream)s and key >= %(since)s
    order by key limit %(limit)s
) order by 1 limit %(limit)s

-- name: saw
insert into seen (system, stream, key) select %s, %s, unnest(%s::text[]) on conflict do nothing returning key

-- name: unseen
-- Rows linked since the re-read began are not missing: we created them, after the moment that it shows.
select key from (
    select key, linked_at as at from crosswalk
    where system = %(system)s and stream = %(stream)s and key = any(%(keys)s::text[])
    union all
    select key, min(since) from set_aside
    where system = %(system)s and stream = %(stream)s and key = any(%(keys)s::text[]) group by key
) as known where at < (select leased_at from source where name = %(system)s)
except
select key from seen where system = %(system)s and stream = %(stream)s and key = any(%(keys)s::text[])

-- name: copy_records
copy record (id, entity, version, revision, retired, golden, contributions) from stdin

-- name: copy_new_state
copy new_state (id, version, retired, golden, contributions) from stdin

-- name: update_records
update record r set version = n.version, revision = r.revision + 1, retired = n.retired, golden = n.golden,
    contributions = n.contributions
from new_state n where r.id = any(%s::uuid[]) and r.id = n.id

-- name: unlink
delete from crosswalk where system = %s and stream = %s and key = any(%s::text[])

-- name: link
insert into crosswalk as c (system, stream, key, record)
select %s, %s, r.key, r.record from unnest(%s::text[], %s::uuid[]) as r (key, record)
on conflict (system, stream, key) do update set record = excluded.record, sent = null where c.record <> excluded.record

-- name: copy_links
-- Rows that nobody had linked a moment ago: twice as fast as `link`, but it fails where somebody has done so since.
copy crosswalk (system, stream, key, record, sent) from stdin

-- name: notes
-- What we wrote into rows that these records do not tell of themselves yet. To be asked after they are locked.
select record::text, system, stream, key, sent from crosswalk where record = any(%s::uuid[]) and sent is not null

-- name: plain_notes
-- The same; of large ones only that they are there (`large_notes`).
select record::text, system, stream, key, case when octet_length(sent) <= 262144 then sent end
from crosswalk where record = any(%s::uuid[]) and sent is not null

-- name: large_notes
select c.system, c.stream, c.key, substr(p.bytes, n, 4194304)
from crosswalk c
cross join lateral (select convert_to(c.sent, 'UTF8') as bytes offset 0) as p
cross join lateral generate_series(1, octet_length(p.bytes), 4194304) as n
where c.record = %s::uuid and octet_length(c.sent) > 262144

-- name: clear_notes
update crosswalk set sent = null where record = any(%s::uuid[]) and sent is not null

-- name: forget_match_keys
delete from match_key where record = any(%s::uuid[])

-- name: add_match_keys
insert into match_key (entity, name, value, record)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::uuid[]) on conflict do nothing

-- name: drop_duplicates
-- Of records whose pairs were written anew: what they carry no more. `offset 0`: looked up pair by pair.
delete from duplicate d where d.record = any(%s::uuid[]) and not exists (
    select from match_key m where m.entity = d.entity and m.name = d.name and m.value = d.value and m.record = d.record
    offset 0
)

-- name: note_duplicates
-- Of pairs just written: those that another record carries as well. Whoever carries such a pair already is noted, but for
-- the first: so one other is enough to look at. Told are those that were not noted before, of live records.
with told (entity, name, value, record) as (
    select * from unnest(%s::text[], %s::text[], %s::text[], %s::uuid[])
), found as (
    select told.*, other.record as other, other.retired
    from told cross join lateral (
        select carrier.record, (select r.retired from record r where r.id = carrier.record) as retired
        from (
            select m.record from match_key m
            where m.entity = told.entity and m.name = told.name and m.value = told.value and m.record <> told.record
            limit 20
        ) carrier
        order by 2, 1 limit 1
    ) other
), noted as (
    insert into duplicate (entity, name, value, record)
    select entity, name, value, record from found union select entity, name, value, other from found
    on conflict do nothing
    returning entity, name, value, record
)
select f.entity, f.name, f.other::text, f.record::text
from found f
where not f.retired and not (select r.retired from record r where r.id = f.record) and exists (
    select from noted n where n.entity = f.entity and n.name = f.name and n.value = f.value and n.record = f.record
)

-- name: reconsider_alike
-- What stood in the way of joining these records may be gone.
update duplicate set considered = false where record = any(%s::uuid[]) and considered

-- name: alike
-- Of a pair that many carry, one more than are ever joined. A pair of which one record is left is told as well, so that
-- it is looked into and done with.
select pair.entity, pair.name, pair.value, array(
    select o.record::text from duplicate o
    where o.entity = pair.entity and o.name = pair.name and o.value = pair.value order by o.record limit %(many)s + 1
) from (
    select distinct entity, name, value from (
        select entity, name, value from duplicate where not considered order by entity, name, value limit %(limit)s
    ) as first
) as pair

-- name: naming
-- The records whose rows refer to a record in these fields, in what they hold or in what was written into a row that
-- was created since: all are looked through.
select r.id::text from record r where r.id not in (%(id)s::text::uuid, %(other)s::uuid) and (
    (
        strpos(r.contributions, %(id)s::text) > 0 and exists (
            select from json_array_elements(r.contributions::json) as c
            join unnest(%(systems)s::text[], %(streams)s::text[], %(names)s::text[]) as f (system, stream, name)
                on c ->> 'system' = f.system and c ->> 'stream' = f.stream
            where %(id)s::text in (
                c -> 'fields' ->> f.name, c -> 'carried' ->> f.name, c -> 'void' ->> f.name, c -> 'restore' ->> f.name,
                c -> 'sent' ->> f.name, c -> 'still' ->> f.name
            )
        )
    )
    or r.id in (
        select x.record from crosswalk x
        join unnest(%(systems)s::text[], %(streams)s::text[], %(names)s::text[]) as f (system, stream, name)
            on x.system = f.system and x.stream = f.stream
        where strpos(x.sent, %(id)s::text) > 0 and x.sent::json ->> f.name = %(id)s::text
    )
)
order by r.id limit %(limit)s

-- name: told_identity
-- The last entry of a record that tells of this, in which it took another in or went on as that.
select version, body from ledger_entry where record = %s and strpos(body, %s) > 0 and strpos(body, %s) > 0
order by version desc limit 1

-- name: entries_of
-- All that was decided about a record, in its order.
select version, body from ledger_entry where record = %s order by version

-- name: rekeys_of
-- Those of them that tell that a row goes on under another key.
select version, body from ledger_entry where record = %s and strpos(body, '"event":"rekeyed"') > 0 order by version

-- name: considered
update duplicate d set considered = true from unnest(%s::text[], %s::text[], %s::text[]) as c (entity, name, value)
where d.entity = c.entity and d.name = c.name and d.value = c.value and d.value = any(%s::text[])

-- name: joined
select id::text, record::text from joined where id = any(%s::uuid[])

-- name: apart
select one::text, other::text from kept_apart where one = any(%s::uuid[]) and other = any(%s::uuid[])

-- name: join
insert into joined (id, entity, record, rows)
select * from unnest(%s::uuid[], %s::text[], %s::uuid[], %s::json[])

-- name: joined_rows
select id::text, rows::text from joined where record = %s order by at desc

-- name: unjoin
delete from joined where id = %s

-- name: rejoin
-- Those that came with it go back with it.
update joined set record = %s where id = any(%s::uuid[])

-- name: no_longer_apart
delete from kept_apart where (one = %(one)s::uuid and other = %(other)s::uuid)
    or (one = %(other)s::uuid and other = %(one)s::uuid)

-- name: waiting_rows
-- The changes of a row that wait for a steward.
update set_aside set released = true where system = %s and stream = %s and key = %s and kind in ('ambiguous', 'suspicious')

-- name: join_on
-- Whatever was joined to it before goes on with it.
update joined j set record = n.record from unnest(%(ids)s::uuid[], %(records)s::uuid[]) as n (id, record)
where j.record = any(%(ids)s::uuid[]) and j.record = n.id

-- name: follow_first
insert into following (record)
select m.record from unnest(%(texts)s::text[]) as t (text) cross join lateral (
    select record from match_key
    where entity = %(entity)s and name = %(key)s and value >= t.text and value < t.text || E'\x7f'
    offset 0
) as m
on conflict do nothing

-- name: follow_later
-- An id that does not come first in its key: all pairs of that key are looked at.
insert into following (record)
select distinct m.record from match_key m join unnest(%(texts)s::text[]) as t (text) on strpos(m.value, t.text) > 0
where m.entity = %(entity)s and m.name = %(key)s
on conflict do nothing

-- name: to_reunite
select exists (select from duplicate where not considered) or exists (select from following)

-- name: following
select f.record::text from following f order by f.record limit %s

-- name: followed_on
delete from following where record = any(%s::uuid[])

-- name: wake_joined
-- Deliveries that wait for a record to have a key somewhere, which is another one now.
update dirty set status = 'due', awaits = null, due = clock_timestamp() where awaits = any(%s::uuid[])

-- name: keep_apart
insert into kept_apart (one, other) select least(a, b), greatest(a, b) from (select %s::uuid as a, %s::uuid as b) as c
on conflict do nothing

-- name: apart_on
-- Those that a joined record was kept apart from, the one that goes on is kept apart from as well.
insert into kept_apart (one, other)
select least(k, %(survivor)s::uuid), greatest(k, %(survivor)s::uuid) from (
    select case when one = %(absorbed)s::uuid then other else one end as k from kept_apart
    where one = %(absorbed)s::uuid or other = %(absorbed)s::uuid
) as kept where k <> %(survivor)s::uuid
on conflict do nothing

-- name: duplicates
-- The first of them, each with its live records, in order.
select d.entity, d.name, array_agg(d.record::text order by d.record)
from duplicate d join record r on r.id = d.record
where not r.retired
group by d.entity, d.name, d.value
having count(*) > 1 and not (count(*) = 2 and exists (
    select from kept_apart k where k.one = (array_agg(d.record order by d.record))[1]
        and k.other = (array_agg(d.record order by d.record))[2]
))
order by d.entity, d.name, min(d.record::text) limit %s

-- name: duplicate_counts
select entity, count(*) from (
    select d.entity from duplicate d join record r on r.id = d.record
    where not r.retired group by d.entity, d.name, d.value
    having count(*) > 1 and not (count(*) = 2 and exists (
        select from kept_apart k where k.one = (array_agg(d.record order by d.record))[1]
            and k.other = (array_agg(d.record order by d.record))[2]
    ))
) each group by entity order by entity

-- name: copy_match_keys
-- Those of new records, which can have none yet.
copy match_key (entity, name, value, record) from stdin

-- name: last_block
select height, hash from ledger_block where lane = %s order by height desc limit 1

-- name: hold_lane
select pg_advisory_xact_lock(1718183269, hashtext(current_schema() || ' ' || %s))

-- name: last_act
select version from ledger_entry where lane = %s order by height desc, ordinal desc limit 1

-- name: add_block
insert into ledger_block (lane, height, previous, root, hash, rulebook, entries, at, leaves)
values (%s, %s, %s, %s, %s, %s, %s, timestamptz 'epoch' + %s * interval '1 microsecond', %s)

-- name: copy_entries
copy ledger_entry (lane, height, ordinal, record, version, body) from stdin

-- name: mark_dirty
-- One mark for all rows of a commit in a shard: a later commit's is greater, which is all that settling asks. Records
-- that have a row of their own already, whatever it waits for, are due again there.
with now as (select nextval('mark') as mark), again as (
    update dirty d set mark = now.mark, due = clock_timestamp(), status = 'due', attempts = 0, awaits = null, reason = ''
    from now where d.target = %(target)s and d.record = any(%(records)s::uuid[]) returning d.record
)
insert into marked (target, mark, number, records, shard)
select %(target)s, nextval('mark'), cardinality(records), records, shard from (
    select array_agg(r order by r) as records, shard_of(r) as shard from unnest(%(records)s::uuid[]) as r
    where not exists (select from again a where a.record = r) group by shard_of(r)
) as fresh

-- name: mark_suspect
-- Only the marks that are claimed next are looked into: of a long backlog's end it is not asked, and a record that is
-- marked there as well is merely looked at twice.
insert into dirty (target, record, mark)
select %(target)s, r, m from (select nextval('mark') as m) as m, unnest(%(records)s::uuid[]) as r
where r <> all (array(
    select unnest(records) from (
        select records from marked where target = %(target)s order by mark limit 8
    ) as next
))
on conflict (target, record) do nothing

-- name: relieve
-- What is parked of deliveries that need nothing any more is due again, and will be found done; what is parked behind such
-- a record too: it may have given up what it held.
with behind as (
    update dirty set status = 'due', attempts = 0, awaits = null, due = clock_timestamp()
    where status = 'parked' and awaits = any(%(ids)s::uuid[]) and (target, awaits) in (
        select * from unnest(%(targets)s::text[], %(ids)s::uuid[])
    )
)
update dirty d set status = 'due', attempts = 0, due = clock_timestamp()
from unnest(%(targets)s::text[], %(ids)s::uuid[]) as agreed (target, record)
where d.status = 'parked' and d.target = agreed.target and d.record = agreed.record
  and d.target = any(%(targets)s::text[]) and d.record = any(%(ids)s::uuid[])

-- name: wake
-- Deliveries to this system that wait for one of these records to have a key there, or to give up what it holds.
update dirty set status = 'due', awaits = null, due = clock_timestamp()
where target = %s and awaits = any(%s::uuid[])

-- name: set_aside
insert into set_aside (system, stream, key, entity, kind, reason, position, payload, moves, candidates,
    await_system, await_stream, await_key)
values (%s, %s, %s, %s, %s, %s, %s, %s::json, %s, %s::uuid[], %s, %s, %s)

-- name: keep_aside
-- Tried again, and set aside again: it keeps its place among the changes of its row.
update set_aside set kind = %s, reason = %s, candidates = %s::uuid[], await_system = %s, await_stream = %s,
    await_key = %s, released = false
where id = %s

-- name: drop_set_aside
delete from set_aside where id = any(%s::bigint[])

-- name: move
-- The parts that a batch is of, but only those that nobody else has taken, and how its lane fares. Gives the number of parts
-- that moved, which the caller compares, and of lanes: none under other rules than the batch was decided by.
with part as (
    update partition p set position = coalesce(nullif(n.position, ''), p.position),
        baseline = case when n.position = '' then p.baseline else %(baseline)s end,
        message = coalesce(n.message, p.message), updated_at = clock_timestamp()
    from unnest(%(names)s::text[], %(epochs)s::bigint[], %(positions)s::text[], %(messages)s::text[])
        as n (name, epoch, position, message)
    where p.source = %(source)s and p.name = n.name and p.epoch = n.epoch
    returning 1
), lane as (
    update source set changes = changes + %(changes)s, echoes = echoes + %(echoes)s,
        state = coalesce(%(state)s, state), message = case when %(state)s::text is null then message else %(message)s end,
        read_at = case %(state)s::text when 'snapshot' then null when 'streaming' then coalesce(read_at, clock_timestamp())
            else read_at end,
        updated_at = clock_timestamp()
    where name = %(lane)s and (%(rulebook)s = '' or not exists (select from live_rulebook where hash <> %(rulebook)s))
    returning 1
)
select (select count(*) from part), (select count(*) from lane)

-- name: unread
-- A source is read once each of its parts has come to where its first rows end, if that was said apart, and, in a new
-- baseline whose rows the parts tell, rows that were not told of have been looked for.
select wanted from unnest(%s::text[]) as wanted
where not exists (
    select from source s where s.name = wanted and s.read_at is not null and s.swept and not exists (
        select from partition p where p.source = wanted and p.until > coalesce(p.position, '')
    )
)

-- name: how_unread
select w.name, s.read_at is not null, s.swept is false, array(
    select p.name from partition p where p.source = w.name and p.until > coalesce(p.position, '') order by p.name
)
from unnest(%s::text[]) as w (name) left join source s on s.name = w.name order by w.name

-- name: mapped_later
select s.name from source s join unnest(%s::text[], %s::text[]) as m (source, stream) on m.source = s.name
where s.streams <> '{}' and m.stream <> all(s.streams)

-- name: releasable_page
-- The next of those that wait, ready or not: which is the last of them, and how many they are.
select max(id), count(*) from (
    select id from set_aside
    where system = %(source)s and (released or kind not in ('data', 'ambiguous', 'suspicious', 'unreadable', 'brake')) and id > %(after)s
    order by id limit %(limit)s
) as next

-- name: releasable
-- Ready: a person released it, the row that it awaits is linked, or it only stands behind others. (Of merged rows that
-- name each other in a circle, "data", the next is named as awaited, and may well be linked.)
-- It may go once nothing before it of the same row holds it up: `ahead` are those within the page that may, and what
-- still stands before the page does, ready by now or not, for no change may overtake another of its row. Those that come
-- first go first, by their bytes as they are stored, compressed, and of these by their bytes as they are read: so that
-- few are unpacked. `last` is the last that may go. `offset 0`: looked up one by one, not in a table made of the whole
-- crosswalk.
with page as (
    select id, system, stream, key, kind, released, await_system, await_stream, await_key from set_aside
    where system = %(source)s and (released or kind not in ('data', 'ambiguous', 'suspicious', 'unreadable', 'brake'))
      and id > %(after)s and id <= %(last)s
), ahead as (
    select e.id, e.system, e.stream, e.key, e.kind, e.released, e.await_system, e.await_stream, e.await_key
    from (select system, stream, key, max(id) as last from page group by system, stream, key) as p
    cross join lateral (
        select * from set_aside e
        where (e.system, e.stream, e.key) = (p.system, p.stream, p.key) and e.id > %(after)s and e.id < p.last
          and not e.released and e.kind not in ('behind', 'unreadable')
        offset 0
    ) as e
), told as (
    select o.*, (released or kind = 'behind' or (kind <> 'data' and exists (
        select from crosswalk c where c.system = await_system and c.stream = await_stream and c.key = await_key
        offset 0
    )) or (kind in ('parent', 'excluded', 'reference', 'merge') and exists (
        with recursive later as (
            select r.key from rekeyed r
            where r.system = await_system and r.stream = await_stream and r.old_key = await_key
            union
            select r.key from later l
            join rekeyed r on r.system = await_system and r.stream = await_stream and r.old_key = l.key
        )
        select from later l join crosswalk c on c.system = await_system and c.stream = await_stream and c.key = l.key
        offset 0
    )) or (kind = 'rekey' and exists (
        select from rekeyed k where k.system = await_system and k.stream = await_stream and k.key = await_key and k.open
        offset 0
    ))) as ready
    from (select * from page union select * from ahead) as o
), held_up as (
    select system, stream, key, min(id) as first from told where not ready group by system, stream, key
), free as (
    select s.*, pg_column_size(payload) as stored from set_aside s where id = any(array(
        select t.id from told t left join held_up h using (system, stream, key)
        where t.ready and t.id < coalesce(h.first, t.id + 1) and not exists (
            select from set_aside e
            where (e.system, e.stream, e.key) = (t.system, t.stream, t.key) and e.id <= %(after)s
              and e.kind <> 'unreadable'
            offset 0
        )
    ))
), few as (
    select f.*, octet_length(payload::text) as size
    from (select *, sum(stored) over (order by id) - stored as before from free) as f where before < %(bytes)s
)
select id, system, stream, key, entity, kind, reason, position, payload::text, candidates::text[], released,
    await_system, await_stream, await_key, (select max(id) from free) as last
from (select *, sum(size) over (order by id) - size as ahead from few) as f where ahead < %(bytes)s
order by id

-- the parts of a source ----------------------------------------------------------------------------------------

-- name: take
insert into partition as p (source, name, epoch, holder) select %s, n, 1, %s from unnest(%s::text[]) as n order by n
on conflict (source, name) do update set epoch = p.epoch + 1, holder = excluded.holder
returning name, epoch, position, baseline

-- name: begin_reading
insert into source as s (name, system, state, read_at, streams)
values (%(source)s, %(source)s, 'streaming', clock_timestamp(), %(streams)s::text[])
on conflict (name) do update set read_at = excluded.read_at, streams = excluded.streams
where s.read_at is null and s.baseline = %(baseline)s
returning name

-- name: note_streams
update source set streams = %(streams)s::text[] where name = %(source)s and baseline = %(baseline)s and streams = '{}'

-- name: forget_until
update partition set until = null where source = %s and until is not null

-- name: baseline
select baseline, read_at is not null, swept, read_at is not null and not exists (
    select from partition p where p.source = s.name and p.until > coalesce(p.position, '')
), streams, array(select p.name from partition p where p.source = s.name and p.position > '' order by p.name),
    array(select p.baseline from partition p where p.source = s.name and p.position > '' order by p.name)
from source s where name = %s

-- name: begin_again
-- `itself`: its source reads its rows by itself, and looks then for those that are gone. Of rows that the parts tell, that
-- is done apart.
insert into source as s (name, system, baseline, swept, began_at, began_why)
values (%(source)s, %(source)s, %(baseline)s, %(itself)s, clock_timestamp(), %(why)s)
on conflict (name) do update set baseline = excluded.baseline, swept = excluded.swept, read_at = null,
    streams = case when %(itself)s then '{}' else s.streams end, leased_at = clock_timestamp(),
    began_at = excluded.began_at, began_why = excluded.began_why
where s.baseline < excluded.baseline
returning name

-- name: fence_lanes
-- Whoever works in one of them has to begin anew, and learns of the baseline then.
update source set epoch = epoch + 1 where system = %s

-- name: forget_other_parts
-- Of whoever read the system otherwise before, and such as are no more: they would be read from the beginning.
update partition set position = null, message = '' where source = %(source)s and name <> all(%(names)s::text[])
  and position is not null

-- name: begin_parts_again
insert into partition as p (source, name, epoch, position, baseline)
select %(source)s, n.name, 1, n.position, %(baseline)s
from unnest(%(names)s::text[], %(positions)s::text[]) as n (name, position) order by 2
on conflict (source, name) do update set epoch = p.epoch + 1, position = excluded.position,
    baseline = excluded.baseline, message = ''

-- name: swept
-- What was seen is forgotten with it: whoever is still looking must find nothing missing.
update source set swept = true, leased_at = '-infinity' where name = %s and baseline = %s and not swept returning name

-- name: vacated
-- Rows that wait for a steward because another row stood for the record that they may be: it is gone. They may name the
-- record as it was called before it was joined to another.
update set_aside set released = true
where kind in ('ambiguous', 'suspicious') and not released
  and candidates && (%(ids)s::uuid[] || array(select id from joined where record = any(%(ids)s::uuid[])))

-- name: reconsider
update set_aside set released = true where system = %s and kind in ('ambiguous', 'suspicious') and not released

-- name: read_until
insert into partition as p (source, name, until) select %s, n.name, n.until
from unnest(%s::text[], %s::text[]) as n (name, until) order by 2
on conflict (source, name) do update set until = excluded.until

-- name: announce
insert into announced as a (system, transaction, at) values (%s, %s, %s)
on conflict (system, transaction) do update set at = excluded.at

-- name: forget_announced
delete from announced where system = %s and at < %s

-- name: announced
select transaction, at from announced where system = %s and transaction = any(%s::text[])

-- name: still_aside
select id from set_aside where id = any(%s::bigint[]) order by id for update

-- name: rekey
insert into rekeyed (system, stream, old_key, key, position, open)
values (%s, %s, %s, %s, %s, %s)
on conflict (system, stream, old_key) do update set key = excluded.key, position = excluded.position,
    open = excluded.open

-- name: arrived
update rekeyed set open = false where system = %s and stream = %s and key = any(%s::text[]) and open

-- name: rekeyed
select key from rekeyed where system = %s and stream = %s and key = any(%s::text[]) and open

-- name: next_keys
select old_key, key from rekeyed where system = %s and stream = %s and old_key = any(%s::text[])

-- name: departed
select old_key, position from rekeyed where system = %s and stream = %s and old_key = any(%s::text[])

-- delivery --------------------------------------------------------------------------------------------------------

-- name: claim_marked
-- The oldest marks, as many as it takes; bounded, so that a claim costs the same however long the backlog is: 64 beside
-- those of records that are under way, each of which may have a mark of its own.
select mark, records::text from (
    select mark, records, sum(number) over (order by mark) - number as before
    from (
        select mark, number, records from marked where target = %s and shard = any(%s::smallint[])
        order by mark limit 64 + %s
    ) as oldest
) as m where before < %s order by mark

-- name: claim_dirty
select record::text, mark, attempts, result from dirty
where target = %s and shard = any(%s::smallint[]) and status = 'due' and due <= clock_timestamp() order by due limit %s

-- name: read_records
select id::text, entity, version, golden::text, contributions, retired, revision from record where id = any(%s::uuid[])

-- name: read_plain_records
-- The same; of those too large to come as one row only that they are there (`large_record`).
select id::text, entity, version, case when octet_length(contributions) <= 262144 then golden::text end,
    case when octet_length(contributions) <= 262144 then contributions end, retired, revision
from record where id = any(%s::uuid[])

-- name: rows_of_records
select id::text, contributions from record where id = any(%s::uuid[])

-- name: copy_settled
copy settled (record, revision, mark, status, delay, awaits, reason, result, contributions) from stdin

-- name: settle_records
-- Only where the record still is as the delivery knew it.
update record r set contributions = s.contributions, revision = r.revision + 1
from settled s
where r.id = any(%s::uuid[]) and s.contributions is not null and r.id = s.record and r.revision = s.revision
returning r.id::text

-- name: changed
-- Which of these records are not as this process committed them.
select c.id::text from unnest(%(ids)s::uuid[], %(revisions)s::bigint[]) as c (id, revision)
left join (select id, revision from record where id = any(%(ids)s::uuid[])) as r
    on r.id = c.id and r.revision = c.revision
where r.id is null

-- name: moved
-- Which of these records are not as the delivery knew them; the others stay so until this transaction ends.
select c.id::text from unnest(%(ids)s::uuid[], %(revisions)s::bigint[]) as c (id, revision)
left join (select id, revision from record where id = any(%(ids)s::uuid[]) order by id for key share) as r
    on r.id = c.id and r.revision = c.revision
where r.id is null

-- name: moved_locked
-- The same, where some of them are to be rewritten.
select c.id::text from unnest(%(ids)s::uuid[], %(revisions)s::bigint[]) as c (id, revision)
left join (select id, revision from record where id = any(%(ids)s::uuid[]) order by id for no key update) as r
    on r.id = c.id and r.revision = c.revision
where r.id is null

-- name: other_rules
select 1 from live_rulebook where hash <> %s

-- name: settle_done
-- Also what an older claim has left there, which a newer mark has overtaken. Mostly there is nothing at all to look at.
delete from dirty d using unnest(%(ids)s::uuid[], %(marks)s::bigint[]) as s (record, mark)
where d.target = %(target)s and d.record = any(%(ids)s::uuid[]) and d.record = s.record and d.mark <= s.mark
  and exists (select from dirty where target = %(target)s)

-- name: settle_open
update dirty d set
    mark = s.mark,
    status = case s.status when 'wait' then 'waiting' when 'park' then 'parked' else 'due' end,
    due = clock_timestamp() + s.delay * interval '1 second',
    -- Equal attempts in a row; those of an older mark are no more.
    attempts = case when s.status not in ('retry', 'park') then case when d.mark < s.mark then 0 else d.attempts end
                    when s.result = d.result and d.mark = s.mark then d.attempts + 1 else 1 end,
    awaits = s.awaits,
    reason = s.reason,
    result = case when s.status <> 'again' then s.result when d.mark < s.mark then '' else d.result end
from settled s
where s.status <> 'done' and d.target = %s and d.record = any(%s::uuid[]) and d.record = s.record and d.mark <= s.mark

-- name: settle_marked_open
-- What was claimed by its commit's mark and is not done goes on with a row of its own.
insert into dirty (target, record, mark, due, since, attempts, status, awaits, result, reason)
select m.target, s.record, s.mark, clock_timestamp() + s.delay * interval '1 second', m.since,
    case when s.status in ('retry', 'park') then 1 else 0 end,
    case s.status when 'wait' then 'waiting' when 'park' then 'parked' else 'due' end,
    s.awaits, case when s.status = 'again' then '' else s.result end, s.reason
from (select target, mark, since, unnest(records) as record from marked where target = %s and mark = any(%s::bigint[])) as m
join settled s on s.record = m.record and s.mark = m.mark
where s.status <> 'done'
on conflict (target, record) do nothing

-- name: shrink_marked
update marked m set (number, records) = (
    select count(*), coalesce(array_agg(r order by n), '{}') from unnest(m.records) with ordinality as f (r, n)
    where not exists (select from settled s where s.record = f.r and s.mark >= m.mark)
) where target = %s and mark = any(%s::bigint[])

-- name: drop_empty_marks
delete from marked where target = %s and mark = any(%s::bigint[]) and number = 0

-- name: drop_marks
delete from marked where target = %s and mark = any(%s::bigint[])

-- name: intend
-- Before the call; where it is made again, what it brings now.
insert into intent (key, target, record, stream, operation, row, parent, version, sent)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (key) do update set record = excluded.record, version = excluded.version, sent = excluded.sent,
    row = excluded.row, parent = excluded.parent

-- name: intents
-- Those of these records and of what was joined to them, with the record as it is called now. Mostly there are none.
select coalesce(j.record, i.record)::text, i.key, i.record::text, i.stream, i.operation, i.row, i.parent, i.version, i.sent
from intent i left join joined j on j.id = i.record
where i.target = %(target)s and i.record = any(
    %(ids)s::uuid[] || array(select id from joined where record = any(%(ids)s::uuid[]))
)
order by i.since, i.key

-- name: forget_intents
delete from intent where key = any(%s)

-- name: link_noted
-- Rows that were created, with what was written into them. Gives back those that nobody had linked.
insert into crosswalk (system, stream, key, record, sent)
select %s, %s, r.* from unnest(%s::text[], %s::uuid[], %s::text[]) as r on conflict do nothing returning key

-- name: link_created
-- Gives back whom the row belongs to: a row that a source's change linked meanwhile stays where it is.
insert into crosswalk as c (system, stream, key, record)
select r.* from unnest(%s::text[], %s::text[], %s::text[], %s::uuid[]) as r (system, stream, key, record)
on conflict (system, stream, key) do update set record = c.record
returning system, stream, key, record::text

-- for people --------------------------------------------------------------------------------------------------------

-- name: sources
select system, name, state, message, changes, echoes, updated_at from source order by system, name

-- name: rebaselined
select name, baseline, began_at, began_why, read_at is not null and swept from source where began_at is not null order by name

-- name: targets
-- A record that several commits marked counts once, but in a long backlog once for each: it is asked for all the time.
with backlog as (
    select target, sum(number) as number, min(since) as since from marked group by target
), few as (
    select m.target, count(distinct r) as number from marked m, unnest(m.records) as r
    where m.target in (select target from backlog where number <= 50000) group by m.target
)
select target, sum(due)::bigint, sum(waiting)::bigint, sum(parked)::bigint, min(since), min(due_since) from (
    select target, count(*) filter (where status = 'due'), count(*) filter (where status = 'waiting'),
        count(*) filter (where status = 'parked'), min(since) filter (where status <> 'parked'),
        min(since) filter (where status = 'due' and due <= clock_timestamp())
    from dirty group by target
    union all
    select target, coalesce(f.number, b.number), 0, 0, since, since from backlog b left join few f using (target)
) as counts (target, due, waiting, parked, since, due_since) group by target order by target

-- name: put_off
-- Deliveries that have been tried, and are to be tried again, by target and reason: a busy target's are among them.
select target, reason, count(*), min(since) from dirty where status = 'due' and reason <> ''
group by target, reason order by target, count(*) desc, reason

-- name: unanswered
-- Writes without a result: under way, or in doubt.
select target, count(*), min(since) from intent group by target order by target

-- name: due
select (
    select count(*) from dirty d where d.target = asked.target and d.shard = any(asked.shards) and d.status = 'due'
) + (
    select coalesce(sum(number), 0) from marked m where m.target = asked.target and m.shard = any(asked.shards)
) from (select %s::text as target, %s::smallint[] as shards) as asked

-- name: set_aside_counts
-- Without what is excluded with its parent: that is no trouble.
select system, kind, count(*), min(since) from set_aside where kind <> 'excluded'
group by system, kind order by system, kind

-- name: ambiguous_counts
-- Rows that wait for a steward, by stream and reason, each reason with the first keys; the most frequent first.
select system, stream, reason, count(*), (array_agg(key order by key))[1:3] from set_aside where kind in ('ambiguous', 'suspicious')
group by system, stream, reason order by count(*) desc, system, stream, reason limit %s

-- name: refused
-- Few entries hold the word, and these have an index (migration "bounds"); whether as an outcome, the body says.
select count(*) from ledger_block b cross join lateral (
    select e.body from ledger_entry e
    where e.lane = b.lane and e.height = b.height and strpos(e.body, ',"refused",') > 0
) as e, lateral jsonb_array_elements(e.body::jsonb -> 'decisions') as decision
where b.at >= clock_timestamp() - make_interval(hours => %s) and decision ->> 1 = 'refused'

-- name: held
-- As refused, of those that wait for an approval.
select count(*) from ledger_block b cross join lateral (
    select e.body from ledger_entry e
    where e.lane = b.lane and e.height = b.height and strpos(e.body, ',"held",') > 0
) as e, lateral jsonb_array_elements(e.body::jsonb -> 'decisions') as decision
where b.at >= clock_timestamp() - make_interval(hours => %s) and decision ->> 1 = 'held'

-- name: record_counts
select entity, count(*) filter (where not retired), count(*) filter (where retired)
from record group by entity order by entity

-- name: dead_letters
-- Changes set aside, and deliveries parked (or, asked for by that kind, what is excluded or waits), oldest first.
select * from (
    select id::text, kind, system, stream, key, entity, reason, since, released, coalesce(payload ->> 'place', ''),
        await_system, await_stream, await_key, candidates::text[], null::text as record
    from set_aside
    union all
    select d.target || ':' || d.record, case d.status when 'parked' then 'delivery' else 'waiting' end, d.target, '', '',
        r.entity, d.reason, d.since, false, '', null, null, null, '{}', d.record::text
    from dirty d join record r on r.id = d.record where d.status in ('parked', 'waiting')
) as letter (id, kind, system, stream, key, entity, reason, since, released, place,
    await_system, await_stream, await_key, candidates, record)
where case when %(kind)s::text is null then kind not in ('waiting', 'excluded') else kind = %(kind)s end
  and (%(system)s::text is null or system = %(system)s) and (%(entity)s::text is null or entity = %(entity)s)
  and (%(ids)s::text[] is null or id = any(%(ids)s::text[]))
  and (%(place)s::text is null or starts_with(place, %(place)s))
order by since, id limit %(limit)s

-- name: row_name_key
select key from row_name_key

-- name: rows_named
-- Rows whose key has this digest: HMAC-SHA256, of which `inner` and `outer` are what goes before.
select key from (
    select key from crosswalk where system = %(system)s and stream = %(stream)s
    union
    select key from set_aside where system = %(system)s and stream = %(stream)s
) as known
where starts_with(encode(sha256(%(outer)s || sha256(%(inner)s || convert_to(key, 'UTF8'))), 'hex'), %(digest)s)

-- name: payload
select payload::text from set_aside where id = %s

-- name: delivery_result
select result from dirty where target = %s and record = %s::uuid and status = 'parked'

-- name: release_changes
update set_aside set released = true where id = any(%s::bigint[])

-- name: release_delivery
-- `engine.habits` knows by the result that a person asked.
update dirty set status = 'due', attempts = 0, result = 'asked', awaits = null, due = clock_timestamp()
where target = %s and record = %s::uuid and status in ('parked', 'waiting')

-- name: discard_delivery
delete from dirty where target = %s and record = %s::uuid and status in ('parked', 'waiting')

-- the live rulebook ------------------------------------------------------------------------------------------------

-- name: lock_rules
-- Nobody ingests meanwhile (`fence` shares this).
select pg_advisory_xact_lock(1718183270, hashtext(current_schema()))

-- name: hold_applying
select pg_try_advisory_xact_lock(1718183271, hashtext(current_schema()))

-- name: live_rules
-- Also of a hub that is not brought up to date yet, where nothing ever waited for an onboarding.
select l.hash, (select body from rulebook r where r.hash = l.hash), l.since, l.former, l.done, l.total, l.worker,
    case when to_jsonb(l) ? 'onboarded' then (to_jsonb(l) ->> 'onboarded')::timestamptz else l.since end,
    coalesce(to_jsonb(l) ->> 'onboarded_by', '')
from live_rulebook l

-- name: begin_rules
insert into live_rulebook (hash, onboarded) values (%s, case when %s then clock_timestamp() end) on conflict do nothing

-- name: end_onboarding
update live_rulebook set onboarded = clock_timestamp(), onboarded_by = %s where onboarded is null

-- name: rename_rules
update live_rulebook set hash = %s where hash = %s

-- name: switch_rules
-- Where records are still under way to the former one, they come from more than one.
update live_rulebook set hash = %s, since = clock_timestamp(), worker = %s, after = null, done = 0,
    former = case when former is null then hash else '' end, total = (select count(*) from record)
where hash = %s

-- name: position
select position from partition where source = %s and name = %s

-- name: positions_of
select name, position from partition where source = %s and position > '' order by name for update

-- name: read_part_again
update partition set position = nullif(%s, '') where source = %s and name = %s

-- name: read_streams_again
update source set read_at = null where name = %s

-- name: lock_progress
select hash, after from live_rulebook for update

-- name: next_records
select id::text, entity from record where id > coalesce(%s, '00000000-0000-0000-0000-000000000000'::uuid)
order by record.id limit %s

-- name: note_progress
update live_rulebook set after = %s::uuid, done = done + %s

-- name: end_applying
update live_rulebook set former = null, after = null, worker = ''

-- name: live_hash
select hash, onboarded is not null from live_rulebook

-- name: remember_rulebook
insert into rulebook (hash, body) values (%s, %s) on conflict do nothing
