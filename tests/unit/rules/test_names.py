"""A column is named as it stands in the table, plain or as SQL quotes it, wherever one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.rules.folding import expression
from fieldwarden.rules.rulebook import Stream
from tests.unit.rules.projects import FILES, load, write

PLAIN = """\
system: erp
connector: {kind: postgres, dsn: "service=erp"}
streams:
  public.party:
    entity: customer
    key: Party Nr
    external_id: Warden Id
    create: true
    fields: {legal_name: Firmen Name, tax_id: {column: Steuer Nr}, terms: {column: term code, read: lower("term code")},
             credit_limit: limit, currency: currency}
  public.party_address:
    entity: customer
    parent: {public.party: Party Nr}
    key: [Nr, Zeile 2]
    create: true
    set: {Art und Weise: invoice}
    unique: [Party Nr, Art und Weise]
    fields: {street: Straße und Nr, postal_code: {column: PLZ}}
"""
NAMES = ("Party Nr", "Warden Id", "Firmen Name", "Steuer Nr", "Zeile 2", "Art und Weise", "Straße und Nr")


def quoted() -> str:
    text = PLAIN.replace("column: term code", "column: '\"term code\"'")
    for name in NAMES:
        text = text.replace(name, f"'\"{name}\"'")
    return text


def streams(folder: Path, text: str) -> dict[str, Stream]:
    return dict(load(write(folder, {**FILES, "systems/erp.yaml": text})).rulebook.systems["erp"].streams)


def test_names_with_blanks_are_the_same_plain_and_quoted(tmp_path: Path) -> None:
    plain, other = streams(tmp_path / "a", PLAIN), streams(tmp_path / "b", quoted())
    assert plain == other
    party, address = plain["public.party"], plain["public.party_address"]
    assert (party.key, party.external_id) == (("Party Nr",), "Warden Id")
    assert [party.fields[name].column for name in ("legal_name", "tax_id", "terms")] == [
        "Firmen Name",
        "Steuer Nr",
        "term code",
    ]
    assert party.fields["legal_name"].read is None
    assert (address.parent_columns, address.key) == (("Party Nr",), ("Nr", "Zeile 2"))
    assert address.constants == {"Art und Weise": "invoice"}
    assert address.conflict == ("Party Nr", "Art und Weise")
    assert address.fields["street"].column == "Straße und Nr"


def test_what_is_an_expression_stays_one() -> None:
    assert expression("not active").bare_column is None
    assert expression('"not active"').bare_column == "not active"
    with pytest.raises(ValueError, match="scalar expression"):
        expression("a + ")
