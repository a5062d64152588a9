-- What systems have told us by webhook, until their sources have read it: of an event the id that its system gave it, which
-- is kept for some days after, so that its repeats are known; what has no id is a hint of rows to look at.
create table inbox (
    system   text collate "C" not null,
    number   bigint not null,
    event    text collate "C",
    stream   text collate "C",
    key      text collate "C",
    payload  bytea,
    arrived  timestamptz not null,
    taken_at timestamptz,
    primary key (system, number),
    check (event is not null or (stream is not null and key is not null))
);

-- The system stands last, so that nobody looks for an inbox's next items by these two.
create unique index inbox_event on inbox (event, system) where event is not null;
-- Hints of the same rows are one, which goes to the end when it is given again.
create unique index inbox_hint on inbox (key, stream, system) where event is null;

-- One row for each system. Whoever adds to its inbox locks it until the commit: so numbers become visible in their order.
create table hook (
    system   text collate "C" primary key,
    last     bigint not null default 0,
    taken    bigint not null default 0,
    unread   bigint not null default 0,
    arrived  timestamptz,
    received bigint not null default 0,
    repeated bigint not null default 0,
    refused  bigint not null default 0
);
