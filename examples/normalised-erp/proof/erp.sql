-- What the ERP holds, in the words all three systems share, read from its own tables: the first row of each type counts.
with customer as (
    select id, name, (select right(regexp_replace(code, '\D', '', 'g'), 9) from party_identifier
                      where party_id = party.id and type = 'vat') as tax_key
    from party where role = 'customer' and replaced_by is null
),
invoice as (select distinct on (party_id) * from party_address where kind = 'invoice' order by party_id, sequence, id),
delivery as (select distinct on (party_id) * from party_address where kind = 'delivery' order by party_id, sequence, id),
email as (select distinct on (party_id) * from contact_mechanism where type = 'email' order by party_id, sequence, id),
phone as (select distinct on (party_id) * from contact_mechanism where type = 'phone' order by party_id, sequence, id)
select entity, tax_key as key, field, said.value
from customer
left join invoice on invoice.party_id = customer.id
left join delivery on delivery.party_id = customer.id
left join email on email.party_id = customer.id
left join phone on phone.party_id = customer.id
left join party_terms as terms on terms.party_id = customer.id and terms.company_id = 1
left join credit_limit on credit_limit.party_id = customer.id and credit_limit.company_id = 1
left join party_identifier as billing on billing.party_id = customer.id and billing.type = 'billing'
-- A subscriber is a customer that has a number in billing, so all three systems hold it.
cross join lateral (values ('customer'), ('subscriber')) as kind (entity)
cross join lateral (values
    ('legal_name', name),
    ('billing_number', billing.code),
    ('email', email.value),
    ('phone', phone.value),
    ('payment_terms', replace(term_code, 'N', '')),
    ('credit_limit', amount::text),
    ('street', invoice.street),
    ('city', invoice.city),
    ('postal_code', invoice.zip),
    ('delivery_street', delivery.street),
    ('delivery_city', delivery.city),
    ('delivery_postal_code', delivery.zip)
) as said (field, value)
where entity = 'customer' or billing.code is not null
