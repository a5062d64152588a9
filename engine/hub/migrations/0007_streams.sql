-- A table that comes into the mapping of a system that Debezium reads is read by nobody: Debezium read all tables that it
-- had to when it began. So a source of partitions notes its streams once it is known where their first rows end; empty:
-- noted by the first reader that finds it so.
alter table source add column streams text[] collate "C" not null default '{}';
