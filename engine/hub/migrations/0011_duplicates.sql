-- Records of one entity that carry one and the same match pair: two that turned out alike after both had begun.

-- Kept beside match_key, whose rows it repeats, so that to name them costs what there is to name and not a look at all
-- records. A pair stays here with one record left, until that one's pairs change: whoever reads it asks for two.
create table duplicate (
    entity     text not null,
    name       text collate "C" not null,
    value      text collate "C" not null,
    record     uuid not null,
    primary key (entity, name, value, record)
);
create index duplicate_record on duplicate (record);

insert into duplicate (entity, name, value, record)
select entity, name, value, record
from (select *, count(*) over (partition by entity, name, value) as number from match_key) m
where number > 1;
