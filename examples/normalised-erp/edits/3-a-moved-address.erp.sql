-- A delivery address was entered for the wrong party.
update party_address set party_id = 1005, write_date = localtimestamp where party_id = 1004 and kind = 'delivery';
