-- Less to write per change. Entries written from here on no longer repeat the rule of every field (their block's
-- rulebook says it), and say a change that was accepted whole in one short object; those written before stay.

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
