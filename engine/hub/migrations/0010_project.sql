-- A project has an id of its own: it stands in the marks on our writes and in the names of our replication slots, so that
-- two projects on one server (a copy of this one with a hub of its own, say) take neither each other's writes for echoes
-- nor each other's slots.
create table project (
    single     boolean primary key default true check (single),
    id         text collate "C" not null check (id ~ '^[a-z0-9]{1,16}$'),
    created_at timestamptz not null default clock_timestamp()
);
insert into project (id)
select left(replace(gen_random_uuid()::text, '-', ''), 8);

-- The slot and the publication that a source read by us follows, noted before they are made. Empty: they are those of
-- before there were ids (fieldwarden_<system>, or what the files say), and marks without an id are ours there.
create table followed (
    source      text collate "C" primary key,
    slot        text collate "C" not null,
    publication text collate "C" not null
);
insert into followed
select name, '', '' from source
where position is not null and name = system and not exists (select from partition p where p.source = source.name);
