-- Several workers deliver to one target: each record belongs to one shard of its deliveries, for ever, so that no two
-- workers ever have it in hand at once.

-- By the random end of its id; `engine.sharing` says the same.
create function shard_of(record uuid) returns smallint language sql immutable strict parallel safe
    return (get_byte(uuid_send(record), 15) & 3)::smallint;

alter table dirty add column shard smallint not null generated always as (shard_of(record)) stored;

alter table marked add column shard smallint;
with whole as (
    delete from marked returning target, mark, records, since
)
insert into marked (target, mark, number, records, since, shard)
select target, nextval('mark'), cardinality(records), records, since, shard from (
    select target, array_agg(r order by r) as records, since, shard_of(r) as shard
    from whole cross join lateral unnest(records) as r group by target, mark, since, shard_of(r) order by mark
) as split;
alter table marked alter column shard set not null;
