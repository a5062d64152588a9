-- The billing team tries as well.
update customer set terms = 'net_60' where account_number in ('C-1042', 'C-1030');
update customer set credit_limit = 1000000.00 where account_number = 'C-1031';
update customer set currency = 'usd' where account_number = 'C-1012';
update customer set collection_paused = false where account_number = 'C-1035';
