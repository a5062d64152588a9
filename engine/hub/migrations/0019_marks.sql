-- What the marks on our writes are sealed with: whoever knows it can pass his edits off as ours. It is made here, stays
-- here, and only processes of `run` read it. In a table of its own, since whoever may read the hub must not read this.
create table mark_key (
    single boolean primary key default true check (single),
    key    bytea not null check (length(key) = 32)
);
insert into mark_key (key)
select sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) from generate_series(1, 8);

-- Up to this place in a system's log our marks were not sealed: null until the source is opened, which notes the log's end.
alter table followed add column sealed_from bigint default 0;
update followed set sealed_from = null;

-- Transactions that carried a mark which says that it is ours, and is not. One line a system, however many there are:
-- `position` is the last one's, `told` how many the ledger has spoken of, `told_at` (µs since 1970 UTC) when.
create table forged_mark (
    system      text collate "C" primary key,
    number      bigint not null,
    position    text collate "C" not null,
    transaction text not null,
    at          bigint not null,
    told        bigint not null default 0,
    told_at     bigint
);
