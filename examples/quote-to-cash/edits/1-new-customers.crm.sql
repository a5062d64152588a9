-- Sales wins three customers. Nobody types them into billing or the ERP.
begin;
insert into account (name, vat_number, website, email, phone, language, billing_street, billing_city,
                     billing_postal_code, billing_country, segment, owner_name, payment_terms, credit_limit, currency)
values
    ('Lindner Kältetechnik GmbH', 'DE318405772', 'https://www.lindner-kaelte.example', 'buchhaltung@lindner-kaelte.example',
     '+49 911 4402210', 'de', 'Allersberger Straße 130', 'Nürnberg', '90461', 'DE', 'Mid-Market', 'Priya Raman',
     'Net 30', 20000.00, 'EUR'),
    ('Pennine Rail Components Ltd', 'GB417720938', 'https://www.penninerail.example', 'ledger@penninerail.example',
     '+44 114 2960071', 'en', '40 Savile Street East', 'Sheffield', 'S4 7UQ', 'GB', 'Enterprise', 'Tom Whitfield',
     'Net 60', 120000.00, 'GBP'),
    ('Bodegas Ribera Alta SL', 'ESB09447213', null, 'administracion@riberaalta.example',
     '+34 947 551208', 'es', 'Calle del Vino 3', 'Aranda de Duero', '09400', 'ES', 'SMB', 'Sofia Lindgren',
     'Prepaid', null, null);
commit;

begin;
insert into contact (account_id, first_name, last_name, email, phone, title)
select account.id, person.first_name, person.last_name, person.email, person.phone, person.title
from (values
    ('DE318405772', 'Sabine', 'Lindner', 'sabine.lindner@lindner-kaelte.example', '+49 911 4402211', 'Managing Director'),
    ('DE318405772', 'Georg', 'Haas', 'georg.haas@lindner-kaelte.example', null, 'Accounts Payable'),
    ('GB417720938', 'Philippa', 'Stead', 'philippa.stead@penninerail.example', '+44 114 2960090', 'Head of Purchasing'),
    ('ESB09447213', 'Rosario', 'Calvo', 'rosario.calvo@riberaalta.example', null, 'Managing Director')
) as person (vat_number, first_name, last_name, email, phone, title)
join account using (vat_number);
commit;

-- And closes a deal that has been open for a while.
update opportunity set stage = 'Closed Won', close_date = date '2025-09-15' where id = 'O-5047';
