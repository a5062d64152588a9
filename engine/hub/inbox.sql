-- The inbox: what systems told us by webhook (engine.hub.inbox).

-- name: open_inbox
-- Locks the system's row until the commit, so that numbers are given in the order of the commits.
insert into hook as h (system) values (%s) on conflict (system) do update set system = excluded.system
returning last, taken, unread

-- name: receive_events
-- Events whose id is not known, numbered behind the last; gives back one row for each.
insert into inbox (system, number, event, payload, arrived)
select %(system)s, %(last)s::bigint + n, event, payload, to_timestamp(%(now)s / 1e6)
from unnest(%(events)s::text[], %(payloads)s::bytea[]) with ordinality as e (event, payload, n)
on conflict (system, event) where event is not null do nothing
returning number

-- name: receive_hints
-- One that is there already goes to the end; tells of each whether it was not.
insert into inbox (system, number, stream, key, arrived)
select %(system)s, %(last)s::bigint + n, stream, key, to_timestamp(%(now)s / 1e6)
from unnest(%(streams)s::text[], %(keys)s::text[]) with ordinality as h (stream, key, n)
on conflict (system, stream, key) where event is null do update set number = excluded.number
returning xmax = 0

-- name: received
update hook set last = last + %(number)s, unread = unread + %(new)s, received = received + %(new)s,
    repeated = repeated + %(known)s, arrived = to_timestamp(%(now)s / 1e6)
where system = %(system)s

-- name: inbox_after
-- The next ones, no further than their payloads may be large together. (The size of a payload is known without reading it.)
select number, event, stream, key, payload from (
    select number, event, stream, key, payload, sum(octet_length(payload)) over (
        order by number rows between unbounded preceding and 1 preceding
    ) as ahead
    from (
        select * from inbox where system = %(system)s and number > %(after)s and taken_at is null
        order by number limit %(limit)s
    ) as next
) as page
where coalesce(ahead, 0) < %(bytes)s order by number

-- name: take_hints
delete from inbox where system = %(system)s and number > %(taken)s and number <= %(number)s and event is null

-- name: take_events
-- Their ids stay, to know their repeats by.
update inbox set payload = null, taken_at = to_timestamp(%(now)s / 1e6)
where system = %(system)s and number > %(taken)s and number <= %(number)s and event is not null and taken_at is null

-- name: inbox_taken
update hook set taken = greatest(taken, %(number)s), unread = unread - %(gone)s where system = %(system)s

-- name: forget_events
-- Of the first ones those that were taken before then: what stands behind them was taken later.
delete from inbox where system = %(system)s and number = any(array(
    select number from inbox where system = %(system)s order by number limit %(limit)s
)) and taken_at < to_timestamp(%(before)s / 1e6)

-- name: hooks_refused
insert into hook as h (system, refused) values (%s, %s)
on conflict (system) do update set refused = h.refused + excluded.refused

-- name: hooks
-- Each inbox, and since when the first item in it waits.
select system, unread, (
    select (extract(epoch from i.arrived) * 1e6)::bigint from inbox i
    where i.system = h.system and i.number > h.taken order by i.number limit 1
), (extract(epoch from arrived) * 1e6)::bigint, received, repeated, refused from hook h order by system
