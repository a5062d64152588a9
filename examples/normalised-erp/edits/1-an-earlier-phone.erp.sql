-- A second phone that comes before the first: it is the customer's from now on.
insert into contact_mechanism (party_id, type, value, sequence) values (1003, 'phone', '+49 30 7770003', 1);
