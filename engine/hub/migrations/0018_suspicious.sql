-- What waits for a person alone is not looked through whenever somebody asks what may go on: rows that claim what is not
-- theirs, of which somebody may write very many, and deletions that are held.

drop index set_aside_open;
create index set_aside_open on set_aside (system, id)
    where released or kind not in ('data', 'ambiguous', 'suspicious', 'unreadable', 'brake');

-- They are tried again once the row is gone that stood in their way.
create index set_aside_candidates on set_aside using gin (candidates) where kind in ('ambiguous', 'suspicious');
