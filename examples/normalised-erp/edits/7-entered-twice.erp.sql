-- A party is entered a second time, with a phone; somebody sees it at once and merges it into the first.
insert into party (id, role, name) values (1090, 'customer', 'Hazel Bau');
insert into contact_mechanism (party_id, type, value) values (1090, 'phone', '+49 30 9090');
update party set replaced_by = 1005, write_date = localtimestamp where id = 1090;
