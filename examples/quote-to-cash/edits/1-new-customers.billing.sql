-- Two customers sign up at the checkout, and are invoiced at once: the ERP has never heard of them.
begin;
insert into customer (name, tax_id, email, phone, preferred_locale, address_line1, address_city, address_postal_code,
                      address_country, terms, currency)
values
    ('Kiosk & Krone ApS', 'DK30551904', 'hello@kioskogkrone.example', '+45 3312 7740', 'en-GB',
     'Istedgade 44', 'København', '1650', 'DK', 'due_on_receipt', 'eur'),
    ('Studio Fenn LLC', '83-4417620', 'office@studiofenn.example', '+1 207 5550143', 'en-US',
     '18 Exchange Street', 'Portland', '04101', 'US', 'net_14', 'usd');
insert into invoice (number, customer_id, status, currency, total, issued_on, due_on)
select 'INV-2025-01' || (row_number() over (order by name))::text, id, 'open', currency, 290.00,
       date '2025-09-12', date '2025-09-26'
from customer where tax_id in ('DK30551904', '83-4417620');
insert into invoice_line (invoice_id, product_sku, description, quantity, unit_amount, amount)
select id, 'FW-SEAT-Y', 'Team seat, yearly', 1, 290.00, 290.00
from invoice where number in ('INV-2025-011', 'INV-2025-012');
commit;
