"""Limits that a system keeps per company: one company's rows, or an entity of its own with the company in its key."""

from __future__ import annotations

import pytest

from tests.integration.cli_project import Shop

pytestmark = pytest.mark.long

TERMS = """
entity: customer_terms
identity: {match: [[customer, company]]}
defaults: {strategy: source_priority, order: [erp, crm]}
fields:
  customer:     {type: ref(customer)}
  company:      {type: text}
  credit_limit: {type: "decimal(14,2)", owner: erp, protected: true}
"""
STREAM = """\
  public.terms:
    entity: customer_terms
    key: [owner, company]
    fields: {customer: owner, company: company, credit_limit: credit_limit}
"""


def test_each_companys_limit_is_a_record_of_its_own(shop: Shop) -> None:
    for system, table in (("erp", "party"), ("crm", "account")):
        shop.sql(
            system,
            f"create table terms (owner bigint references {table}, company text, credit_limit numeric(14,2),"
            " primary key (owner, company))",
        )
        path = shop.folder / f"systems/{system}.yaml"
        path.write_text(path.read_text().rstrip("\n") + "\n" + STREAM)
    (shop.folder / "entities/customer_terms.yaml").write_text(TERMS)
    shop.sql("erp", "insert into terms values (4000, 'EU', 10), (4000, 'US', 20)")
    shop.sql("crm", "insert into terms select id, 'US', 1 from account where vat_number = 'DE811907980'")
    shop.sql("crm", "insert into terms select id, 'EU', 2 from account where vat_number = 'DE811907980'")
    shop.settle()
    assert shop.sql("crm", "select company, credit_limit::int from terms order by 1") == [("EU", 10), ("US", 20)]
    shop.sql("erp", "update terms set credit_limit = 11 where company = 'EU'")
    shop.settle()
    assert shop.sql("crm", "select company, credit_limit::int from terms order by 1") == [("EU", 11), ("US", 20)]
    shop.holds_what_is_golden()


def test_a_stream_that_names_its_company_leaves_the_others_alone(shop: Shop) -> None:
    shop.sql("erp", "alter table party rename credit_limit to unused")
    shop.sql(
        "erp",
        "create table terms (party bigint references party, company int, credit_limit numeric(14,2),"
        " primary key (party, company))",
    )
    shop.sql("erp", "insert into terms values (4000, 1, 10), (4000, 2, 99)")
    shop.edit("systems/erp.yaml", "      credit_limit: credit_limit\n", "")
    path = shop.folder / "systems/erp.yaml"
    path.write_text(
        path.read_text().rstrip("\n")
        + "\n  public.terms:\n    entity: customer\n    parent: {public.party: party}\n    key: [party, company]\n"
        "    where: company = 1\n    fields: {credit_limit: credit_limit}\n"
    )
    shop.settle()
    limit = "select credit_limit::int from account where vat_number = 'DE811907980'"
    assert shop.sql("crm", limit) == [(10,)]
    shop.sql("erp", "update terms set credit_limit = credit_limit + 1")
    shop.settle()
    assert shop.sql("crm", limit) == [(11,)]
    assert shop.sql("erp", "select credit_limit::int from terms order by company") == [(11,), (100,)]
