-- Any number of processes work on one project.

-- A process that works, under the lowest number that was free: it holds an advisory lock on the number, which ends with
-- its connection, and says again and again that it still works.
create table worker (
    number   integer primary key,
    token    text not null unique,             -- of the process; the names of its sessions end with it
    name     text not null,                    -- host:pid
    rulebook text not null,
    since    timestamptz not null default clock_timestamp(),
    until    timestamptz not null              -- it hangs if it has said nothing by then
);

-- What one worker does at a time: "source:erp" reads a source that only one can read, "target:crm" writes to a target.
create table duty (
    name   text collate "C" primary key,
    holder text,                               -- the worker's token
    since  timestamptz not null default clock_timestamp(),
    until  timestamptz                         -- anybody may take it after that
);

-- The worker that took a partition last.
alter table partition add column holder text;
