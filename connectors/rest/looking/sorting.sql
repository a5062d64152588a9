-- A file of SQLite in which rows are put into the order of their keys' bytes.

-- name: make_sorted
-- One row a key; what it tells is ours.
create table row (key blob primary key, told blob) without rowid

-- name: keep_sorted
-- A row that is told twice is as it was told last.
insert or replace into row values (?, ?)

-- name: read_sorted
-- All of them, in the order of the keys' bytes.
select key, told from row order by key
