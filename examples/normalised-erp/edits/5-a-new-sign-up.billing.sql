-- Somebody pays online and leaves only a phone: a record that no other system can hold yet, for it has no name.
insert into customer (id, phone) values ('cus_80', '+49 171 8880005');
