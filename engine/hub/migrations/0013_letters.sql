-- A later image of a row makes its earlier dead letters pointless, unless they are part of its going on under another key.
alter table set_aside add column moves boolean not null default false;
update set_aside set moves = true
where payload ->> 'operation' = 'rekey' or payload -> 'old_values' is not null or payload ->> 'follows_rekey' = 'true';

-- A change of which only single values cannot be read is decided, and kept beside ("unreadable"). What was set aside whole
-- for such a value is tried once more, and lets go what waits behind it.
update set_aside set released = true where kind = 'data';

drop index set_aside_open;
create index set_aside_open on set_aside (system, id) where released or kind not in ('data', 'ambiguous', 'unreadable');
