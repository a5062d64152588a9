-- Every source is a source of parts: what is read as one stream has one, called `log`, and its position stands where those
-- of a topic's partitions stand.
alter table partition add column baseline integer not null default 1;  -- that the position is of

update partition set baseline = ('x' || left(position, 4))::bit(16)::integer where position ~ '^[0-9a-f]{4}[.]';

-- Where a new baseline has begun and nothing of it is durable, the position is of the one before.
insert into partition (source, name, epoch, position, baseline, updated_at)
select name, 'log', 1, position, case when anew then baseline - 1 else baseline end, updated_at from source
where name = system and position > '';

-- One that was read by partitions before kept what was noted of them.
update source set swept = true, streams = '{}' where name = system and position > '';
update partition p set until = null
where until is not null and exists (select from source s where s.name = p.source and s.position > '');

alter table source drop column position, drop column anew;
