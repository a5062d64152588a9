"""`fieldwarden init --from`: a database's catalogue as a draft project that validates."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from fieldwarden.cli import cli
from fieldwarden.rules.loading import Project, load_project

NORMALISED = """
create type usage as enum ('invoice', 'delivery');
create table company (id int primary key, name text not null unique, main_party int);
create table party (
    id bigint primary key, code varchar(20) not null unique, name text not null,
    company int not null references company,
    replaced_by bigint references party, rating numeric(6,2), "Risk Class" text, photo bytea,
    shown text generated always as (upper(name)) stored, create_date timestamp not null,
    write_date timestamp, write_uid int
);
alter table company add foreign key (main_party) references party;
create table party_address (
    id bigint primary key, party bigint not null references party on delete cascade, usage usage not null,
    street text, city text, zip text, valid_from date
);
create table party_identifier (
    id bigint primary key, party bigint not null references party, type text not null, code text not null,
    unique (party, type)
);
create table contact_mechanism (
    id bigint primary key, party bigint not null references party on delete cascade, value text, sequence int,
    type text check (type in ('email', 'phone'))
);
create table party_note (id bigint primary key, party bigint not null references party, note text);
create table party_terms (
    party bigint not null references party, company int not null references company, payment_term text,
    credit_limit numeric(14,2), primary key (party, company)
);
create table "on" (id uuid primary key, party bigint references party, body jsonb);
create table log (message text);
"""


@pytest.fixture
def erp(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(NORMALISED.encode())
    return database


def init(folder: Path, *words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(cli, ["init", str(folder), *words])


def drafted(folder: Path, erp: str, *words: str) -> Project:
    result = init(folder, "--from", erp, "--system", "erp", *words)
    assert result.exit_code == 0, result.output
    return load_project(folder, {})


def test_a_draft_validates_and_says_where_to_decide(tmp_path: Path, erp: str) -> None:
    project = drafted(tmp_path / "shop", erp)
    assert project.warnings == ()
    rules = project.rulebook
    assert set(rules.entities) == {"company", "party", "on"}
    streams = rules.systems["erp"].streams
    assert {(name, stream.table) for name, stream in streams.items() if stream.parent == "public.party"} == {
        ("address_invoice", "public.party_address"),
        ("address_delivery", "public.party_address"),
        ("contact_mechanism_email", "public.contact_mechanism"),
        ("contact_mechanism_phone", "public.contact_mechanism"),
        ("public.party_identifier", "public.party_identifier"),
        ("public.party_note", "public.party_note"),
        ("public.party_terms", "public.party_terms"),
    }
    text = (tmp_path / "shop/systems/erp.yaml").read_text()
    assert text.count("DECIDE") >= 5
    assert "public.log is left out: it has no primary key and no unique index" in text


def test_keys_types_references_and_unique_constraints_are_those_of_the_catalogue(tmp_path: Path, erp: str) -> None:
    rules = drafted(tmp_path / "shop", erp).rulebook
    party = rules.entities["party"]
    types = {name: str(field.type) for name, field in party.fields.items()}
    assert types["rating"] == "decimal(6,2)"
    assert types["replaced_by"] == "ref(party)"
    assert types["address_invoice_valid_from"] == "date"
    assert types["terms_credit_limit"] == "decimal(14,2)"
    assert types["risk_class"] == "text"
    assert not types.keys() & {"shown", "photo", "write_uid", "id"}
    assert [key.fields for key in party.match] == [("code",)]
    stream = rules.systems["erp"].streams["public.party"]
    assert (stream.key, stream.fields["risk_class"].column) == (("id",), "Risk Class")
    assert stream.changed_at is not None
    assert stream.changed_at.text == "coalesce(write_date, create_date)"
    assert not stream.creates


def test_rows_of_one_parent_are_told_apart_and_none_is_taken_before_somebody_decides(tmp_path: Path, erp: str) -> None:
    streams = drafted(tmp_path / "shop", erp).rulebook.systems["erp"].streams
    conditions = {name: stream.where.text for name, stream in streams.items() if stream.where is not None}
    assert conditions == {
        "address_invoice": "usage = 'invoice'",
        "address_delivery": "usage = 'delivery'",
        "contact_mechanism_email": "type = 'email'",
        "contact_mechanism_phone": "type = 'phone'",
        "public.party_identifier": "type = 'DECIDE'",
        "public.party_terms": "company = 0",
    }
    assert {name: stream.first_by for name, stream in streams.items() if stream.first_by} == {
        "address_invoice": ("id",),
        "address_delivery": ("id",),
        "contact_mechanism_email": ("sequence", "id"),
        "contact_mechanism_phone": ("sequence", "id"),
        "public.party_note": ("id",),
    }


def test_references_in_a_circle_are_cut_and_said(tmp_path: Path, erp: str) -> None:
    rules = drafted(tmp_path / "shop", erp).rulebook
    types = [str(field.type) for entity in rules.entities.values() for field in entity.fields.values()]
    assert ("ref(company)" in types) != (types.count("ref(party)") == 3)
    assert "which refers back" in (tmp_path / "shop/systems/erp.yaml").read_text()


def test_doctor_finds_that_the_draft_fits_its_database(tmp_path: Path, erp: str) -> None:
    drafted(tmp_path / "shop", erp)
    settings = tmp_path / "shop/fieldwarden.yaml"
    settings.write_text(settings.read_text() + 'hub: {dsn: "${env:ERP_DSN}"}\n')
    result = CliRunner(env={"ERP_DSN": erp}).invoke(cli, ["doctor", "--project", str(tmp_path / "shop")])
    assert result.exit_code == 0, result.output


def test_chosen_tables_alone_are_taken(tmp_path: Path, erp: str) -> None:
    rules = drafted(tmp_path / "shop", erp, "--tables", "party,public.party_address").rulebook
    assert set(rules.systems["erp"].streams) == {"public.party", "address_invoice", "address_delivery"}
    text = (tmp_path / "shop/systems/erp.yaml").read_text()
    assert "not mapped: company refers to public.company, which is no entity here" in text


def test_no_secret_is_written(tmp_path: Path, erp: str) -> None:
    secret = f"{erp}{'&' if '?' in erp else '?'}password=hunter2"
    in_the_open = init(tmp_path / "a", "--from", secret, "--system", "erp")
    referred_to = init(tmp_path / "b", "--from", "${env:SHOP_DB}", "--system", "erp", SHOP_DB=secret)
    assert (in_the_open.exit_code, referred_to.exit_code) == (0, 0)
    assert "among the arguments, which others can list" in in_the_open.stderr
    assert "arguments" not in referred_to.stderr
    assert "hunter2" not in in_the_open.output + referred_to.output
    texts = {path: path.read_text() for path in tmp_path.rglob("*.yaml")}
    assert not any("hunter2" in text or "postgresql:" in text for text in texts.values())
    assert "${env:ERP_DSN}" in texts[tmp_path / "a/systems/erp.yaml"]
    assert "${env:SHOP_DB}" in texts[tmp_path / "b/systems/erp.yaml"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--tables", "nothing"], 3, "there is no table public.nothing"),
        (["--example", "starter"], 2, "exclude each other"),
        (["--tables", "log"], 3, "no table has a key"),
    ],
)
def test_what_cannot_be_drafted_is_said_and_leaves_nothing(
    tmp_path: Path, erp: str, words: list[str], code: int, said: str
) -> None:
    result = init(tmp_path / "shop", "--from", erp, *words)
    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert not (tmp_path / "shop").exists()


def test_a_server_that_is_not_there_is_an_environment_error(tmp_path: Path) -> None:
    result = init(tmp_path / "shop", "--from", "postgresql://nobody@127.0.0.1:1/x")
    assert result.exit_code == 3
    assert init(tmp_path / "shop", "--tables", "x").exit_code == 2
