-- What the CRM holds, in the words all three systems share, read from its own table.
select entity, right(regexp_replace(tax_id, '\D', '', 'g'), 9) as key, field, value
from account
-- A subscriber is a customer that has a number in billing, so all three systems hold it.
cross join lateral (values ('customer'), ('subscriber')) as kind (entity)
cross join lateral (values
    ('legal_name', name),
    ('billing_number', billing_number),
    ('email', email),
    ('phone', phone),
    ('payment_terms', replace(payment_terms, 'Net ', '')),
    ('credit_limit', credit_limit::text),
    ('street', street),
    ('city', city),
    ('postal_code', postal_code),
    ('delivery_street', shipping_street),
    ('delivery_city', shipping_city),
    ('delivery_postal_code', shipping_postal_code)
) as said (field, value)
where entity = 'customer' or billing_number is not null
