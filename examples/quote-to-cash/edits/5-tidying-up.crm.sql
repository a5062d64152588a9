-- A contact has left, so sales deletes her: the ERP forgets her too. A colleague is entered in the same minute.
begin;
delete from contact where email = 'carmen.ortega@olivares-hermanos.example';
insert into contact (account_id, first_name, last_name, email, title)
values ('C-1035', 'Tomás', 'Ibáñez', 'tomas.ibanez@olivares-hermanos.example', 'Accounts Payable');
commit;
