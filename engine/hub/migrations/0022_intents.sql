-- Writes that are about to be made, or were, and whose result is not known: only to targets that could make a row twice, or
-- carry a call out after nobody waits for it any more. The settlement that knows the result forgets them.
create table intent (
    key       text collate "C" primary key,
    target    text not null,
    record    uuid not null,
    stream    text not null,
    operation text not null check (operation in ('create', 'update', 'delete')),
    row       text collate "C",
    parent    text collate "C",
    version   bigint not null,
    sent      text not null,
    since     timestamptz not null default clock_timestamp()
);

create index intent_record on intent (record);
