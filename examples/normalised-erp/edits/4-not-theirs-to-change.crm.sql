-- Sales raises a limit and lengthens the terms; both are finance's and are put back. So is an e-mail that is none.
update account set credit_limit = 999999.00, payment_terms = 'Net 60', updated_at = now() where tax_id like '%300%000%033';
update account set email = 'ask Jana', updated_at = now() where tax_id like '%300%000%034';
