-- Less to write per change.

-- What one commit marked for a target, as one row: deliveries take them as they come. What is to be tried again, waits or
-- is parked moves on into `dirty`, where each record has a row of its own.
create table marked (
    target     text collate "C" not null,
    mark       bigint not null,
    number     integer not null,               -- of records
    records    uuid[] not null,
    since      timestamptz not null default clock_timestamp(),
    primary key (target, mark)
);
alter table marked alter column records set storage external;

create view pending as
select target, record, mark, due, since, attempts, status, awaits, result, reason from dirty
union all
select target, unnest(records), mark, since, since, 0, 'due', null, '', '' from marked;

-- A row that we created is known by its link alone, with what we wrote into it (JSON, field -> value), until the record
-- is next rewritten and takes it over into its contributions.
alter table crosswalk add column sent text;
create index crosswalk_sent on crosswalk (record) where sent is not null;

-- Ledger entries no longer repeat the rule of every field (their block's rulebook says it), and say a change that was
-- accepted whole in one short object; those written before stay.

-- One row per decision, whichever way its entry says it, for looking by hand.
create view decision as
select lane, height, ordinal, record, version, said ->> 'entity' as entity, said -> 'row' ->> 0 as system,
    said ->> 'event' as event, field, outcome, proposed, before, after, winner
from ledger_entry cross join lateral (select body::json) as entry (said) cross join lateral (
    select d ->> 0, d ->> 1, d ->> 2, d ->> 3, d ->> 4, d ->> 5 from json_array_elements(said -> 'decisions') as d
    union all
    select key, 'accepted', value, said -> 'before' ->> key, value, said -> 'row' ->> 0
    from json_each_text(said -> 'accepted')
) as decided (field, outcome, proposed, before, after, winner);
