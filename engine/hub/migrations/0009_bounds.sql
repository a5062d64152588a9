-- Nothing that is asked again and again reads more the longer the hub has run.

create index ledger_block_at on ledger_block (at);
create index ledger_entry_refused on ledger_entry (lane, height) where strpos(body, ',"refused",') > 0;

-- Whoever asks for keys of a stream must not be given the whole stream: of a table that was never analysed, PostgreSQL
-- takes that for the cheaper way.
alter table rekeyed drop constraint rekeyed_pkey, add primary key (old_key, stream, system);
drop index rekeyed_key;
create index rekeyed_key on rekeyed (key, stream, system);
