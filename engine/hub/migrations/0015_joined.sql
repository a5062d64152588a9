-- Records that turned out to be one: which became which, with the rows that came along, and which a steward keeps apart.

create table joined (
    id      uuid primary key,
    entity  text not null,
    record  uuid not null,
    rows    json not null,
    at      timestamptz not null default clock_timestamp()
);
create index joined_record on joined (record);

-- Of two records the lower id comes first.
create table kept_apart (
    one     uuid not null,
    other   uuid not null,
    primary key (one, other),
    check (one < other)
);
create index kept_apart_other on kept_apart (other);

-- Records that are found by the id of one that was joined to another, until they are found by that one's.
create table following (
    record  uuid primary key
);

-- Whether somebody has looked into a pair since it was told; all that stand there today are to be looked into.
alter table duplicate add column considered boolean not null default false;
create index duplicate_unconsidered on duplicate (entity, name, value) where not considered;
