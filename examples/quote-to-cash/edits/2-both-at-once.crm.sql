-- Sales edits fields that others edit at the same moment.
update account set email = 'reception@brightwater.example' where id = 'C-1042';
update account set name = 'Nordwind Logistik' where id = 'C-1004';
update account set billing_street = 'Rue du Rhône 82' where id = 'C-1044';
update account set website = 'https://dubreuil.example', phone = '+33 4 72 61 08 08' where id = 'C-1003';
update account set segment = 'Mid-Market', owner_name = 'Sofia Lindgren' where id = 'C-1018';
update contact set phone = '+44 1947 820113' where email = 'imogen.lowe@brightwater.example';
update account set language = 'de' where id = 'C-1004';
