-- An address moves to another party: Harbour & Finch take over Whitcombe Joinery's building. Whitcombe has given no
-- new address yet, so the one that billing knows stands for it.
begin;
delete from party_address where kind = 'invoice' and party_id = (select id from party where customer_no = 'C-1002');
update party_address set party_id = (select id from party where customer_no = 'C-1002')
    where kind = 'invoice' and party_id = (select id from party where customer_no = 'C-1022');
commit;

-- The month's last word on a name and on a salesperson (which is the CRM's to say).
update party set name = 'Whitcombe & Daughters Joinery Ltd' where customer_no = 'C-1022';
update party set salesperson = 'Nobody' where customer_no = 'C-1022';
