-- And so does the ERP.
update party set name = 'Nordwind Logistik SE' where customer_no = 'C-1004';
update party set website = 'https://www.brightwater-aquatics.example' where customer_no = 'C-1042';
update party_address set street = 'Rue de la Confédération 8', zip = '1204'
    where kind = 'invoice' and party_id = (select id from party where customer_no = 'C-1044');
update contact_person set email = 'i.lowe@brightwater.example' where email = 'imogen.lowe@brightwater.example';
update item set list_price = 31.00 where sku = 'FW-SEAT';
