-- What billing holds, field by field, in the words all three systems share. Written by hand from billing's tables:
-- it knows nothing of the replication's mapping or of its memory. Columns: entity, key, field, value.
with customer_ as (
    select customer.*, regexp_replace(upper(tax_id), '[^A-Z0-9]', '', 'g') as tax_key from customer
)
select 'customer' as entity, tax_key as key, field, value
from customer_, lateral (values
    ('account_number', account_number),
    ('legal_name', name),
    ('tax_id', tax_id),
    ('email', email),
    ('phone', phone),
    ('language', split_part(preferred_locale, '-', 1)),
    ('payment_terms', case terms when 'due_on_receipt' then 'Prepaid' else initcap(replace(terms, '_', ' ')) end),
    ('credit_limit', credit_limit::text),
    ('currency', upper(currency)),
    ('credit_hold', collection_paused::text),
    ('street', address_line1),
    ('city', address_city),
    ('postal_code', address_postal_code),
    ('country', upper(address_country))
) as said (field, value)

union all
select 'item', sku, field, value
from product, lateral (values
    ('name', name),
    ('unit', unit_label),
    ('list_price', unit_price::text),
    ('tax_code', replace(tax_code, 'txcd_', '')),
    ('active', active::text)
) as said (field, value)

union all
-- Subscriptions bought without a deal in the CRM are billing's alone.
select 'subscription', crm_opportunity_id, field, value
from subscription join customer_ on customer_.id = subscription.customer_id, lateral (values
    ('customer', tax_key),
    ('item', product_sku),
    ('quantity', quantity::text),
    ('unit_price', unit_amount::text),
    ('currency', upper(subscription.currency)),
    ('started_on', start_date::text),
    ('status', replace(status, 'canceled', 'cancelled'))
) as said (field, value)
where crm_opportunity_id is not null

union all
-- A draft is not owed yet.
select 'invoice', number, field, value
from invoice join customer_ on customer_.id = invoice.customer_id, lateral (values
    ('customer', tax_key),
    ('status', status),
    ('issued_on', issued_on::text),
    ('due_on', due_on::text),
    ('total', total::text),
    ('currency', upper(invoice.currency)),
    ('dunning_level', dunning_level::text)
) as said (field, value)
where status <> 'draft'

union all
select 'payment', reference, field, value
from payment join invoice on invoice.id = payment.invoice_id, lateral (values
    ('invoice', number),
    ('received_on', received_on::text),
    ('method', method),
    ('amount', amount::text),
    ('currency', upper(payment.currency)),
    ('reconciled', reconciled::text)
) as said (field, value)
