-- Sales helps itself to better terms. Finance owns these fields: each edit is refused or held, and put back.
update account set payment_terms = 'Net 60' where id in ('C-1002', 'C-1009', 'C-1042');
update account set credit_limit = 50000.00 where id = 'C-1042';
update account set credit_limit = credit_limit * 3, payment_terms = 'Net 45' where id in ('C-1014', 'C-1020');
update account set credit_hold = false where id = 'C-1014';
update product set list_price = 199.00 where sku = 'FW-SEAT-Y';
update account set credit_limit = 99000.00 where vat_number = 'DE318405772';

-- Refused as the truth, but left where it is: sales may word an item as it likes.
update product set name = 'Edge box, one year' where sku = 'FW-EDGE';
