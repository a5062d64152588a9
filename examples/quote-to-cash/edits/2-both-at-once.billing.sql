-- Billing hears of the same customers.
update customer set email = 'pay@brightwater.example', phone = '+44 1947 820100' where account_number = 'C-1042';
update customer set phone = '+49 40 3005 1717' where account_number = 'C-1004';
update customer set address_line1 = 'Place du Molard 4', address_postal_code = '1204' where account_number = 'C-1044';
update customer set tax_id = 'NL244327878B02' where account_number = 'C-1006';
