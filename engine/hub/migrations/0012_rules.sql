-- The live rulebook: what everything is decided by, whatever files a process has.

create table live_rulebook (
    one        boolean primary key default true check (one),
    hash       text not null references rulebook,
    since      timestamptz not null default clock_timestamp(),
    -- While records are resolved again: the rulebook that the others were resolved under (empty: not one alone); null
    -- when all are. Those up to `after` have been; `total` were there when it began.
    former     text,
    after      uuid,
    done       bigint not null default 0,
    total      bigint not null default 0,
    -- Who applies it now, or did when it was last heard of.
    worker     text not null default ''
);

-- A hub of before: its rules are those that it decided by last.
insert into live_rulebook (hash)
select r.hash from rulebook r left join (select rulebook, max(at) as at from ledger_block group by rulebook) b
on b.rulebook = r.hash order by b.at desc nulls last, r.since desc limit 1;
