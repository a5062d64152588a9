-- A row says what it holds: a word that our own write has replaced is gone, and the row carries another's value there.

-- Until now a contribution kept the replaced word among its `fields`, beside what the row `held`. Golden values stay what
-- they are; only what could come back with a later change of rules goes.
update record r set contributions = n.contributions, revision = r.revision + 1
from (
    select id, json_agg(
        case when jsonb_typeof(c -> 'held') = 'object' then
            (c - 'held') || jsonb_build_object(
                'fields', (c -> 'fields') - array(select jsonb_object_keys(c -> 'held')),
                'stamps', coalesce(c -> 'stamps', '{}') - array(select jsonb_object_keys(c -> 'held')),
                'carried', c -> 'held'
            )
        else c end order by number
    )::text as contributions
    from record cross join lateral jsonb_array_elements(contributions::jsonb) with ordinality as e (c, number)
    where contributions like '%"held":%'
    group by id
) as n
where r.id = n.id;
