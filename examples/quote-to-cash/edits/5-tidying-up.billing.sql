-- One invoice was wrong and is void, one was a test and is deleted, one draft becomes real.
update invoice set status = 'void' where number = 'INV-2025-0025';
delete from invoice where number = 'INV-2025-0028';
update invoice set status = 'open' where number = 'INV-2025-0046';
