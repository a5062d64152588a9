-- Since when deliveries may be made, and who said so; null: all is read, and nothing is delivered before somebody has
-- looked at the first meeting of the systems.

alter table live_rulebook add column onboarded timestamptz, add column onboarded_by text not null default '';

-- A hub of before delivers already.
update live_rulebook set onboarded = since;
