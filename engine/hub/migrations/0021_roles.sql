-- The roles that `hub roles` made, what each is, and a digest of what it was given: by their rights they could not be told
-- from roles of other people, and by the digest a version sees that another one gave something else.
create table made_role (
    name   text collate "C",
    kind   text check (kind in ('runtime', 'reader', 'auditor')),
    rights text not null,
    primary key (name, kind)
);
