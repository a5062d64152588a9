-- Even finance does not own everything: an invoice is as billing wrote it.
update receivable set amount = amount - 500.00 where document_no = 'INV-2025-0058';
update receivable set state = 'cleared' where document_no = 'INV-2025-0067';

-- What finance does own goes everywhere.
update credit_limit set amount = 9000.00, approved_on = date '2025-09-16'
    where party_id = (select id from party where customer_no = 'C-1042');
update party set payment_term_code = 'N45' where customer_no = 'C-1017';
update party set credit_hold = true where customer_no = 'C-1047';
