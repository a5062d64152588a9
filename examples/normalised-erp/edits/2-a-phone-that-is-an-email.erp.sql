-- The only phone of a party turns out to be an e-mail: the row becomes one, before the e-mail that is there.
update contact_mechanism set type = 'email', value = 'desk@oak-feinkost.example', sequence = 1, write_date = localtimestamp
where party_id = 1038 and type = 'phone' and sequence = 10;
