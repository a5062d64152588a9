-- The statements about mass deletion: what a stream stands to lose, and a person's answer about what is held of it.

-- name: live_rows
-- Asked where a stream was truncated, or more of it deleted than goes through unseen.
select count(*) from crosswalk c join record r on r.id = c.record
where c.system = %s and c.stream = %s and not r.retired

-- name: held_deletions
-- Those that nobody has answered, by stream.
select system, stream, entity, count(*), min(since) from set_aside where kind = 'brake' and not released
group by system, stream, entity order by system, stream, entity

-- name: held_deletions_of
-- Of a system, a stream, or by their ids, with no answer yet; oldest first.
select id, system, stream, key, entity, since from set_aside
where kind = 'brake' and not released and (%(ids)s::bigint[] is null or id = any(%(ids)s::bigint[]))
  and (%(system)s::text is null or system = %(system)s) and (%(stream)s::text is null or stream = %(stream)s)
order by id limit %(limit)s

-- name: approve_deletions
-- What was set aside of a row before its deletion has nothing left to say, as where the deletion had gone through at once.
with approved as (
    update set_aside set released = true where id = any(%s::bigint[]) and kind = 'brake' and not released
    returning id, system, stream, key
), outdated as (
    delete from set_aside e using approved a
    where (e.system, e.stream, e.key) = (a.system, a.stream, a.key) and e.id < a.id and not e.moves
)
select id from approved

-- name: discard_deletions
delete from set_aside where id = any(%s::bigint[]) and kind = 'brake' and not released
