-- What the CRM holds, field by field, in the words all three systems share. Written by hand from the CRM's tables:
-- it knows nothing of the replication's mapping or of its memory. Columns: entity, key, field, value.
with customer as (
    select account.*, regexp_replace(upper(vat_number), '[^A-Z0-9]', '', 'g') as tax_key from account
)
select 'customer' as entity, tax_key as key, field, value
from customer, lateral (values
    ('account_number', id),
    ('legal_name', name),
    ('tax_id', vat_number),
    ('email', email),
    ('phone', phone),
    ('website', website),
    ('language', language),
    ('segment', segment),
    ('account_manager', owner_name),
    ('payment_terms', payment_terms),
    ('credit_limit', credit_limit::text),
    ('currency', currency),
    ('credit_hold', credit_hold::text),
    ('street', billing_street),
    ('city', billing_city),
    ('postal_code', billing_postal_code),
    ('country', upper(billing_country))
) as said (field, value)

union all
select 'contact', lower(contact.email), field, value
from contact join customer on customer.id = contact.account_id, lateral (values
    ('customer', tax_key),
    ('first_name', contact.first_name),
    ('last_name', contact.last_name),
    ('phone', contact.phone)
) as said (field, value)

union all
-- Not the name: the rules let sales keep its own wording.
select 'item', sku, field, value
from product, lateral (values
    ('unit', unit),
    ('list_price', list_price::text),
    ('active', active::text)
) as said (field, value)

union all
select 'subscription', opportunity.id, field, value
from opportunity join customer on customer.id = opportunity.account_id, lateral (values
    ('customer', tax_key),
    ('item', product_sku),
    ('quantity', quantity::text),
    ('unit_price', unit_price::text),
    ('currency', opportunity.currency),
    ('started_on', close_date::text),
    ('status', subscription_status)
) as said (field, value)
where stage = 'Closed Won'
