-- What the ERP holds, field by field, in the words all three systems share. Written by hand from the ERP's tables:
-- it knows nothing of the replication's mapping or of its memory. Columns: entity, key, field, value.
with customer as (
    select party.*, identifier, regexp_replace(upper(identifier), '[^A-Z0-9]', '', 'g') as tax_key
    from party
    left join party_tax_identifier on party_tax_identifier.party_id = party.id and scheme = 'VAT'
    where party_type = 'customer'
)
select 'customer' as entity, tax_key as key, field, value
from customer
left join party_address as address on address.party_id = customer.id and address.kind = 'invoice'
left join credit_limit on credit_limit.party_id = customer.id
left join payment_term as term on term.code = customer.payment_term_code, lateral (values
    ('account_number', customer_no),
    ('legal_name', name),
    ('tax_id', identifier),
    ('email', email),
    ('phone', phone),
    ('website', website),
    ('language', language),
    ('segment', case customer_group when '10' then 'Enterprise' when '20' then 'Mid-Market' when '30' then 'SMB' end),
    ('account_manager', salesperson),
    ('payment_terms', case term.days when 0 then 'Prepaid' else 'Net ' || term.days end),
    ('credit_limit', credit_limit.amount::text),
    ('currency', credit_limit.currency),
    ('credit_hold', credit_hold::text),
    ('street', street),
    ('city', city),
    ('postal_code', zip),
    ('country', upper(country_code))
) as said (field, value)

union all
select 'contact', lower(person.email), field, value
from contact_person as person join customer on customer.id = person.party_id, lateral (values
    ('customer', tax_key),
    ('first_name', first_name),
    ('last_name', last_name),
    ('phone', person.phone)
) as said (field, value)

union all
select 'item', sku, field, value
from item, lateral (values
    ('name', description),
    ('unit', unit),
    ('list_price', list_price::text),
    ('tax_code', case tax_code when 'V1' then 'standard' when 'V2' then 'reduced' when 'V0' then 'exempt' end),
    ('active', active::text)
) as said (field, value)

union all
select 'invoice', document_no, field, value
from receivable join customer on customer.id = receivable.party_id, lateral (values
    ('customer', tax_key),
    ('status', case state when 'cleared' then 'paid' when 'cancelled' then 'void'
                          when 'written_off' then 'uncollectible' else state end),
    ('issued_on', posting_date::text),
    ('due_on', due_date::text),
    ('total', amount::text),
    ('currency', receivable.currency),
    ('dunning_level', dunning_level::text)
) as said (field, value)

union all
select 'payment', reference, field, value
from receipt join receivable on receivable.id = receipt.receivable_id, lateral (values
    ('invoice', document_no),
    ('received_on', value_date::text),
    ('method', case channel when 'SDD' then 'sepa_debit' when 'CC' then 'card' when 'TRF' then 'bank_transfer' end),
    ('amount', receipt.amount::text),
    ('currency', receipt.currency),
    ('reconciled', reconciled::text)
) as said (field, value)
