-- The invoice run: two invoices with two lines each for every customer that has a currency, in one transaction ...
begin;
create temporary table run on commit drop as
select 'INV-2025-' || (1000 + row_number() over (order by customer.id, month))::text as number,
       customer.id as customer_id, customer.currency, month, seats, terabytes,
       row_number() over (order by customer.id, month) as nth
from customer, (values (date '2025-08-31'), (date '2025-09-30')) as months (month),
     lateral (select 1 + length(customer.name) % 9 as seats, 1 + length(customer.id || coalesce(email, '')) % 5 as terabytes) as use
where customer.currency is not null;

insert into invoice (number, customer_id, status, currency, total, issued_on, due_on)
select number, customer_id, 'open', currency, seats * 29.00 + terabytes * 18.50, month, month + 30 from run;

insert into invoice_line (invoice_id, product_sku, description, quantity, unit_amount, amount)
select invoice.id, line.sku, line.description, line.quantity, line.price, line.quantity * line.price
from run join invoice using (number), lateral (values
    ('FW-SEAT', 'Team seat, monthly', seats, 29.00),
    ('FW-STORE', 'Storage, per TB and month', terabytes, 18.50)
) as line (sku, description, quantity, price);
commit;

-- ... and the bank's file: most of August is paid.
begin;
insert into payment (invoice_id, reference, amount, currency, method, received_on)
select id, 'RF' || 60 + right(number, 4)::int % 39 || right(number, 4), total, currency, 'sepa_debit', issued_on + 14
from invoice where number >= 'INV-2025-1000' and issued_on = date '2025-08-31' and right(number, 1) <> '9';
update invoice set status = 'paid'
where id in (select invoice_id from payment) and status = 'open';
commit;
