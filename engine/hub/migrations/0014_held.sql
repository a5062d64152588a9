-- Edits that wait for an approval are counted like those that were refused: by an index of their own.

create index ledger_entry_held on ledger_entry (lane, height) where strpos(body, ',"held",') > 0;
