-- A row whose key is personal is named by a short digest of it, sealed with this: whoever has seen a listing, but may not
-- ask the hub, cannot try out whose row it is. Whoever may ask the hub reads it.
create table row_name_key (
    single boolean primary key default true check (single),
    key    bytea not null check (length(key) = 32)
);
insert into row_name_key (key)
select sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) from generate_series(1, 8);
