"""A column that a protected field's owner reads is written for nothing else, whatever it is called in the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.rules.protecting import database
from fieldwarden.rules.rulebook import System
from tests.builders import postgres
from tests.unit.rules.projects import FILES, load, said, write

ERP, PROJECT = "systems/erp.yaml", "fieldwarden.yaml"
CRM = "systems/crm.yaml"
VENDOR = """\
entity: vendor
fields: {credit: {type: text, strategy: source_priority, order: [crm, erp]}}
"""
SUPPLIER = "  public.vendor: {entity: vendor, key: id, fields: {credit: credit}}\n"
SOUND = {**FILES, "entities/vendor.yaml": VENDOR, CRM: FILES[CRM] + SUPPLIER}


def arranged(table: str, fields: str, *, where: str = "", more: str = "", party: str = "") -> dict[str, str]:
    """A second stream `vendor` of the erp, beside public.party whose credit_limit is protected there."""
    stream = f"  vendor:\n    table: {table}\n    entity: vendor\n    key: id\n    fields: {fields}\n"
    stream += f"    where: {where}\n" if where else ""
    erp = FILES[ERP] + stream + more
    if party:
        erp = erp.replace("  public.party:\n", f"  public.party:\n    where: {party}\n", 1)
    return {**SOUND, ERP: erp}


def refused(folder: Path, files: dict[str, str]) -> list[str]:
    """What is said, all of it of the erp's file, about the protected column."""
    problems = said(folder, files)
    assert {each.file for each in problems} <= {ERP}, problems
    return [each.message for each in problems if "credit_limit" in each.message]


@pytest.mark.parametrize("table", ["public.party", "party", '\'"public"."party"\'', "'public.\"party\"'"])
@pytest.mark.parametrize("where", ["", "is_vendor"])
def test_another_stream_over_the_same_table_does_not_write_it(table: str, where: str, tmp_path: Path) -> None:
    party = where and "is_customer"
    files = arranged(table, "{credit: credit_limit}", where=where, party=party, more="    mode: target\n")
    assert refused(tmp_path, files)


def test_both_places_are_named_and_what_to_do(tmp_path: Path) -> None:
    """A condition that tells nothing apart is not enough where nobody looks: the vendors' stream is only written."""
    files = arranged(
        "party", "{credit: credit_limit}", where="is_vendor", party="is_customer", more="    mode: target\n"
    )
    [problem] = said(tmp_path, files)
    lines = files[ERP].splitlines()
    owner = next(number for number, text in enumerate(lines, 1) if "credit_limit: credit_limit" in text)
    assert "fields: {credit: credit_limit}" in lines[problem.line - 1]
    assert "vendor: 'credit' writes column 'credit_limit'" in problem.message
    assert "erp public.party reads the protected field 'credit_limit' from" in problem.message
    assert f"({ERP}:{owner}:" in problem.message
    assert problem.suggestion.startswith("write: false on credit; or, where their rows are different things")


@pytest.mark.parametrize(
    "more",
    [
        "    create: true\n    set: {credit_limit: '1'}\n    external_id: xid\n",
        "    create: true\n    external_id: credit_limit\n",
        "    on_write: {credit_limit: '1'}\n",
    ],
)
def test_nor_by_what_it_sets_beside_its_fields(more: str, tmp_path: Path) -> None:
    assert refused(tmp_path, arranged("party", "{credit: rating}", more=more + "    mode: target\n"))


def test_a_column_that_the_owner_only_reads_is_protected_all_the_same(tmp_path: Path) -> None:
    for mapping in ("{column: credit_limit, write: false}", "coalesce(credit_limit, 0)"):
        files = arranged("party", "{credit: credit_limit}", more="    mode: target\n")
        erp = files[ERP].replace(
            "credit_limit: credit_limit,",
            f'credit_limit: "{mapping}",' if "(" in mapping else f"credit_limit: {mapping},",
        )
        assert refused(tmp_path, {**files, ERP: erp})


def test_a_name_in_another_case_is_warned_of(tmp_path: Path) -> None:
    """Names are exact: PARTY is another table than party. Where the two were never meant to be two, it is said."""
    files = arranged("PARTY", "{credit: credit_limit}", more="    mode: target\n")
    warnings = [str(each) for each in load(write(tmp_path, files)).warnings]
    assert any("credit_limit" in each and "the case of their names" in each for each in warnings), warnings


@pytest.mark.parametrize(
    ("where", "party", "mode"),
    [
        ("kind = 'vendor'", "kind = 'customer'", "target"),
        ("kind = 'vendor'", "kind in ('a', 'b')", "both"),
        ("is_vendor", "is_customer", "both"),
    ],
)
def test_streams_that_share_no_row_may(where: str, party: str, mode: str, tmp_path: Path) -> None:
    """By `where`; or since both are read, and a row that is in both is refused as it comes."""
    files = arranged("party", "{credit: credit_limit}", where=where, party=party, more=f"    mode: {mode}\n")
    assert not [each for each in load(write(tmp_path, files)).warnings if "protected" in each.message]


def test_the_same_column_may_be_read_by_several(tmp_path: Path) -> None:
    for mapping in ("{column: credit_limit, write: false}", "upper(credit_limit)"):
        files = arranged("party", f"{{credit: {mapping}}}", where="is_vendor", party="is_customer")
        load(write(tmp_path, files))


SECOND = """\
system: erp2
connector: {kind: postgres, dsn: DSN}
mode: target
streams:
  party:
    entity: customer
    key: id
    fields: {credit_limit: credit_limit, currency: currency, legal_name: name}
"""


def second(erp: str, erp2: str) -> dict[str, str]:
    files = {
        **FILES,
        ERP: FILES[ERP].replace('"service=erp"', f'"{erp}"'),
        "systems/erp2.yaml": SECOND.replace("DSN", f'"{erp2}"'),
    }
    return {**files, PROJECT: FILES[PROJECT].replace("[erp, billing, crm]", "[erp, billing, crm, erp2]")}


@pytest.mark.parametrize(
    ("erp", "erp2"),
    [
        ("service=erp", "service=erp"),
        ("postgresql://a@localhost/erp", "postgresql://b:${env:PW}@127.0.0.1:5432/erp?sslmode=require"),
        ("postgresql://a@DB.example/erp", "host=db.example dbname=erp user=x"),
        ("host='db' port=6432 dbname=erp", "postgres://db:6432/erp"),
    ],
)
def test_a_second_system_with_the_same_database_is_seen_through(erp: str, erp2: str, tmp_path: Path) -> None:
    problems = said(tmp_path, second(erp, erp2))
    messages = [each.message for each in problems]
    assert any("erp2 party: 'credit_limit' writes column 'credit_limit'" in each for each in messages), problems
    assert {each.file for each in problems} == {"systems/erp2.yaml"}


def test_another_database_is_another(tmp_path: Path) -> None:
    load(write(tmp_path, second("postgresql://db/erp", "postgresql://db/erp_copy")))
    load(write(tmp_path, second("postgresql://db:5432/erp", "postgresql://db:5433/erp")))


def test_what_a_connection_string_names() -> None:
    def place(dsn: str) -> object:
        return database(System("s", 0, postgres(dsn), {}))

    assert place("postgresql://u:p@[::1]:5432/x") == place("host=localhost dbname=x")
    assert place("${embedded:crm}") == "${embedded:crm}"
    assert place("postgresql://u@h") == "postgresql://u@h", "no database is named: only the same text is the same"
    assert place("host=a dbname=x") != place("host=b dbname=x")


@pytest.mark.parametrize(
    "fields",
    [
        "credit_limit: {column: credit_limit, write: false}, x: credit_limit",
        'credit_limit: {column: kept, write: false, read: "coalesce(kept, credit_limit)"}, x: credit_limit',
    ],
)
def test_another_field_of_the_very_stream_does_not_write_it(fields: str, tmp_path: Path) -> None:
    """A field that is only read, or read through an expression, is still read from that column."""
    files = {
        **FILES,
        "entities/customer.yaml": FILES["entities/customer.yaml"].replace(
            "  street:", "  x: {type: text}\n  street:", 1
        ),
        ERP: FILES[ERP].replace("credit_limit: credit_limit", fields),
    }
    assert any(
        "'credit_limit' is protected, since 'credit_limit' is read from it; 'x' writes it" in each.message
        for each in said(tmp_path, files)
    )
