"""Whether a row can be in two streams of one table, as far as their `where` tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.rules.expressions import Expression, parse
from fieldwarden.rules.tables import overlap
from tests.unit.rules import projects

FAX = """\
  fax:
    table: party_address
    entity: customer
    parent: {public.party: party_id}
    key: id
    where: WHERE
    fields: {email: mail}
"""


def where(text: str) -> Expression | None:
    return parse(text) if text else None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("type = 'email'", "type = 'phone'", "never"),
        ("type = 'email' and active", "'phone' = type", "never"),
        ("type in ('a', 'b')", "type in ('c', 'd')", "never"),
        ("active", "not active", "never"),
        ("ended is null", "ended = 'x'", "never"),
        ("n = 1", "n = -1", "never"),
        ("type = 'email'", "", "always"),
        ("type = 'email'", "type = 'email'", "always"),
        ("type = 'email'", "active and type = 'email'", "always"),
        ("type = 'email'", "type <> 'phone'", "perhaps"),
        ("type = 'email'", "kind = 'phone'", "perhaps"),
        ("type = 'email'", "type = 'EMAIL'", "perhaps"),  # a column may be of a type without case
        ("n = '01'", "n = '1'", "perhaps"),
        ("active = 't'", "active = 'true'", "perhaps"),
        ("day = '2026-01-02'", "day = '2026-1-2'", "perhaps"),
        ("upper(type) = 'A'", "upper(type) = 'B'", "perhaps"),
        ("type = 'a' or active", "type = 'b' or active", "perhaps"),
    ],
)
def test_rows_of_two_streams(one: str, other: str, expected: str) -> None:
    assert overlap(where(one), where(other)) == expected
    assert overlap(where(other), where(one)) == expected


def with_fax(condition: str) -> dict[str, str]:
    return {**projects.FILES, "systems/erp.yaml": projects.FILES["systems/erp.yaml"] + FAX.replace("WHERE", condition)}


@pytest.mark.parametrize(("condition", "rivals"), [("kind = 'fax'", ()), ("note = 'fax'", ("public.party_address",))])
def test_a_stream_knows_those_of_which_only_a_row_can_tell(
    condition: str, rivals: tuple[str, ...], tmp_path: Path
) -> None:
    streams = projects.load(projects.write(tmp_path, with_fax(condition))).rulebook.systems["erp"].streams
    assert tuple(name for name, _ in streams["fax"].rivals) == rivals
    assert streams["fax"].table == "party_address"


def test_streams_that_share_every_row_are_refused(tmp_path: Path) -> None:
    (problem,) = projects.said(tmp_path, with_fax("kind = 'invoice' and active"))
    assert problem.message == "public.party_address and fax read one table, and a row can be in both by their `where`"


def test_a_dot_within_a_name_tells_two_tables_apart(tmp_path: Path) -> None:
    files = with_fax("kind = 'invoice' and active")
    erp = files["systems/erp.yaml"].replace("table: party_address", "table: '\"public.party\".address'")
    erp = erp.replace("  public.party_address:\n", "  public.party_address:\n    table: '\"party.address\"'\n")
    assert projects.said(tmp_path, {**files, "systems/erp.yaml": erp}) == []


def test_two_streams_of_an_entity_do_not_carry_the_records_id_in_one_column(tmp_path: Path) -> None:
    files = with_fax("kind = 'fax'\n    external_id: ext")
    files["systems/erp.yaml"] = files["systems/erp.yaml"].replace(
        "    set: {kind", "    external_id: ext\n    set: {kind"
    )
    (problem,) = projects.said(tmp_path, files)
    assert problem.message.startswith("public.party_address and fax both carry the record's id in ext")
    files["systems/erp.yaml"] += "    unique: [ext, kind]\n"
    assert projects.said(tmp_path, files) == []


def test_streams_of_two_entities_may_share_rows_but_write_no_column_both(tmp_path: Path) -> None:
    site = "entity: site\nidentity: none\nfields: {street: {type: text}}\n"
    stream = "  site: {table: public.party_address, entity: site, key: id, fields: {street: COLUMN}}\n"
    erp = projects.FILES["systems/erp.yaml"]
    files = {**projects.FILES, "entities/site.yaml": site}
    files["systems/erp.yaml"] = erp + stream.replace("COLUMN", "{column: street, write: false}")
    assert projects.said(tmp_path, files) == []
    files["systems/erp.yaml"] = erp + stream.replace("COLUMN", "street")
    (problem,) = projects.said(tmp_path, files)
    assert problem.message.endswith("; both write street")
