-- Sources of many partitions, read by many workers at once.

-- A row of `source` is a lane: what one worker commits in. Where one worker reads the whole source, the lane is the source
-- itself; where many share its partitions, each has a lane of its own (`crm#2`) besides the source's own row, which then
-- says only when its rows had all been told for the first time.
alter table source add column system text;
update source set system = name;
alter table source alter column system set not null;

create table partition (
    source     text collate "C" not null,
    name       text collate "C" not null,      -- topic/number
    epoch      bigint not null default 0,      -- raised by whoever takes it over
    position   text collate "C",
    until      text collate "C",               -- where the rows that it had to begin with end
    message    text not null default '',       -- why it stands still, if it does
    updated_at timestamptz not null default clock_timestamp(),
    primary key (source, name)
);

-- Our own writes to systems whose streams cannot carry a mark: known here before they are committed there.
create table announced (
    system      text collate "C" not null,
    transaction text collate "C" not null,
    at          bigint not null,               -- by that system's clock, microseconds since 1970 UTC
    primary key (system, transaction)
);
create index announced_at on announced (system, at);

-- Rows that went on under another key: what the old key said up to `position` is past, and news under the new key that
-- stand in another partition wait until this is known (`open`: none has come yet).
create table rekeyed (
    system     text collate "C" not null,
    stream     text collate "C" not null,
    old_key    text collate "C" not null,
    key        text collate "C" not null,
    position   text collate "C" not null,
    open       boolean not null,
    primary key (system, stream, old_key)
);
create index rekeyed_key on rekeyed (system, stream, key) where open;
