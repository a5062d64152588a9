-- What holds up later changes of its row is found beside any number of those that only stand behind it.

create index set_aside_ahead on set_aside (system, stream, key, id)
    where not released and kind not in ('behind', 'unreadable');
