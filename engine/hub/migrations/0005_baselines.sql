-- A new baseline of a source of partitions, in the source's own row: everything since has a position at or above `floor`,
-- and rows that are not told of are swept away once all have been told again.
alter table source add column floor text collate "C" not null default '';
alter table source add column swept boolean not null default true;
