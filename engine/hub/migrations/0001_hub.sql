-- The engine's memory. Runs inside the hub's own schema (search_path is set); statements are plain PostgreSQL 15.

create table rulebook (
    hash       text primary key,
    body       text not null,                  -- the project's files, so that old decisions can be re-decided
    since      timestamptz not null default clock_timestamp()
);

-- One row per source: how far it is durable, who may commit for it, how it fares.
create table source (
    name       text primary key,
    epoch      bigint not null default 0,
    position   text,
    state      text not null default 'new',    -- new, snapshot, streaming, retrying, halted, stopped
    message    text not null default '',
    changes    bigint not null default 0,      -- received and durable
    echoes     bigint not null default 0,
    leased_at  timestamptz not null default clock_timestamp(),
    read_at    timestamptz,                    -- when all its rows had been read for the first time
    updated_at timestamptz not null default clock_timestamp()
);

-- One golden record: values, and the contributions they were chosen from (engine.record). Both columns are JSON as the
-- engine wrote it. The contributions are text, since PostgreSQL never looks into them on the hot path and
-- checking (json) or taking apart (jsonb) a kilobyte costs more than storing it: per record written and read back,
-- text 22 us, json 27 us, jsonb 36 us. `contributions::json` looks into them by hand. Below 8 kB nothing is compressed.
create table record (
    id         uuid primary key,
    entity     text not null,
    version    bigint not null,                -- ledger entries about it
    revision   bigint not null,                -- every rewrite of this row, deliveries' included
    retired    boolean not null default false,
    golden     json not null,
    contributions text not null
) with (fillfactor = 70, toast_tuple_target = 8160);

create table crosswalk (
    system     text collate "C" not null,
    stream     text collate "C" not null,
    key        text collate "C" not null,
    record     uuid not null,
    linked_at  timestamptz not null default clock_timestamp(),
    primary key (system, stream, key)
);

create table match_key (
    record     uuid not null,
    entity     text not null,
    name       text collate "C" not null,
    value      text collate "C" not null,
    primary key (entity, name, value, record)
);
create index match_key_record on match_key (record);

-- Pending work of a target, derived: the mark says only that this record may differ there.
create table dirty (
    target     text collate "C" not null,
    record     uuid not null,
    mark       bigint not null,                -- a later mark outlives the settling of an earlier claim
    due        timestamptz not null default clock_timestamp(),
    since      timestamptz not null default clock_timestamp(),
    attempts   integer not null default 0,
    status     text not null default 'due',    -- due, waiting, parked
    awaits     uuid,                           -- waiting: the record that needs a key in this target first
    result     text not null default '',       -- what the last attempt met, to recognise equal attempts
    reason     text not null default '',
    primary key (target, record)
) with (fillfactor = 50);
create index dirty_due on dirty (target, due) where status = 'due';
create index dirty_awaits on dirty (awaits) where awaits is not null;
create sequence mark;

-- Changes kept back, in order, per source row: dead letters, and changes that wait for something.
create table set_aside (
    id         bigint generated always as identity primary key,
    system     text collate "C" not null,
    stream     text collate "C" not null,
    key        text collate "C" not null,
    entity     text not null,
    kind       text not null,                  -- data, ambiguous, parent, reference, behind
    reason     text not null,
    position   text not null,
    payload    json not null,
    candidates uuid[] not null default '{}',
    await_system text, await_stream text, await_key text,
    released   boolean not null default false, -- a person asked for another try
    since      timestamptz not null default clock_timestamp()
);
create index set_aside_row on set_aside (system, stream, key, id);
create index set_aside_open on set_aside (system, id) where released or kind not in ('data', 'ambiguous');

-- Rows seen by a re-read that is under way. Logged: after a crash an empty table would say that all rows are gone.
create table seen (
    system     text collate "C" not null,
    stream     text collate "C" not null,
    key        text collate "C" not null,
    primary key (system, stream, key)
);

-- The ledger: per lane a chain of blocks, per block its entries. Append-only.
create table ledger_block (
    lane       text collate "C" not null,
    height     bigint not null,
    previous   bytea not null,
    root       bytea not null,                 -- Merkle root over the block's entries
    hash       bytea not null,
    rulebook   text not null,
    entries    integer not null,
    at         timestamptz not null,
    leaves     bytea not null,                 -- the entries' hashes, 32 bytes each: an altered one can be named
    primary key (lane, height)
);
alter table ledger_block alter column leaves set storage external;
create table ledger_entry (
    lane       text collate "C" not null,
    height     bigint not null,
    ordinal    integer not null,
    record     uuid not null,
    version    bigint not null,
    body       text not null,                  -- canonical JSON, exactly as hashed
    primary key (lane, height, ordinal)
);
create index ledger_entry_record on ledger_entry (record, version);
