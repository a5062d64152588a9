-- The questions of `check` (`engine.hub.linked`), all asked in one snapshot, each for a page of rows or records.

-- name: linked_page
-- The rows of a stream that stand for records, in the order of their keys' bytes.
select key, record::text from crosswalk where system = %s and stream = %s and key > %s order by key limit %s

-- name: known_records
select id::text, entity, version, golden::text, contributions, retired from record where id = any(%s::uuid[])

-- name: record_page
-- All live records of some entities; the last one's id goes on.
select id::text, entity, version, golden::text, contributions, retired from record
where id > %s::uuid and entity = any(%s::text[]) and not retired order by record.id limit %s

-- name: marks_of
-- A record marked twice is due if one of its marks is.
select distinct on (record) record::text, status, reason from pending
where target = %s and record = any(%s::uuid[]) order by record, status <> 'due', reason desc

-- name: aside_of
-- The first change of each row that is set aside: the others wait behind it.
select distinct on (key) key, reason, kind from set_aside
where system = %s and stream = %s and key = any(%s::text[]) order by key, id
