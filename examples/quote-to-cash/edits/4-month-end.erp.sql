-- Accounts receivable reconciles last month's receipts, and reminds who has not paid.
update receipt set reconciled = true where not reconciled;
update receivable set dunning_level = dunning_level + 1 where state = 'open' and due_date < date '2025-07-01';
