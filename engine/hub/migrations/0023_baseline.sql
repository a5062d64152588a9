-- How many times a source's rows have been read from the beginning: one number, in place of the epoch in the position of a
-- system that is read directly, and of the generation of one that is read by partitions, which its floor began with.
alter table source add column baseline integer not null default 1;
-- The present one has begun, and nothing of it is durable: `position` is that of the one before.
alter table source add column anew boolean not null default false;
-- When the present one was begun, and why; of the first reading of a source neither is known.
alter table source add column began_at timestamptz;
alter table source add column began_why text not null default '';

-- One that was read by partitions and directly since has both, and the greater one stands in front of what it said last.
update source s set baseline = greatest(
    case when floor <> '' then ('x' || left(floor, 4))::bit(16)::integer end,
    case
        when position like '{%' then coalesce(substring(position from '"epoch":([0-9]+)')::integer, 1)
        -- Nobody knows what a position says that cannot be read: far above what counting ever comes to.
        when position <> '' then 20000
        when floor <> '' or exists (select from partition p where p.source = s.name) then 0
        else 1
    end
)
where name = system;
-- One whose first rows nobody has told the end of has lanes and partitions, and no row of its own.
insert into source (name, system, baseline)
select distinct p.source, p.source, 0 from partition p where p.position is not null
on conflict (name) do nothing;
alter table source drop column floor;
