-- The tax id says who it is: a customer that the ERP and the CRM have known for long. Two records become one.
update customer set vat_id = '300000005', updated_at = now() where id = 'cus_80';
