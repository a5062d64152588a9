-- What billing holds, in the words all three systems share, read from its own table.
select 'subscriber' as entity, right(regexp_replace(vat_id, '\D', '', 'g'), 9) as key, field, value
from customer
cross join lateral (values
    ('legal_name', name),
    ('billing_number', id),
    ('email', email),
    ('phone', phone),
    ('payment_terms', replace(terms, 'net_', '')),
    ('street', street),
    ('city', city),
    ('postal_code', postal_code)
) as said (field, value)
