"""The example `normalised-erp`: whichever system is read first, each customer is one, and no row becomes another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.operations import examples
from fieldwarden.operations.demo.project import steps, system_of
from fieldwarden.operations.demo.proof import prove
from tests.integration.cli_project import Project, execute

SYSTEMS = ("erp", "billing", "crm")
CUSTOMERS = 75
SETTINGS = """\
project: normalised
systems: [{}]
planned: [{}]
onboarding: automatic
hub: {{dsn: "${{env:HUB_DSN}}"}}
"""
COUNTED = {
    "hub": "fieldwarden.record where entity = 'customer' and not retired",
    "erp": "party where role = 'customer' and replaced_by is null",
    "billing": "customer",
    "crm": "account",
}
OTHERS = """
    select 'terms', party_id, company_id::text, term_code from party_terms where company_id <> 1
    union all select 'limit', party_id, company_id::text, amount::text from credit_limit where company_id <> 1
    union all select 'code', party_id, type, code from party_identifier where type = 'register' or party_id > 1090
    union all select 'contact', party_id, type, value from contact_mechanism where type = 'fax' or party_id > 1090
    union all select 'address', party_id, kind, street from party_address where party_id > 1090
    union all select 'merged', id, name, replaced_by::text from party where replaced_by is not null
    union all select 'merged', party_id, type, value from contact_mechanism where party_id in (1061, 1062)
    union all select 'merged', party_id, kind, street from party_address where party_id = 1063
    order by 1, 2, 3, 4
"""
"""Another company's terms and limits, register numbers, faxes, all that is a supplier's, what merged parties left."""
ONE_KIND_ALONE = "select value from contact_mechanism where (type = 'email') <> (value like '%@%')"
SHUFFLE = """
    do $$ declare places tid[]; place tid; begin
        perform setseed({seed});
        select array_agg(ctid order by random()) into places from {table};
        foreach place in array places loop update {table} set fieldwarden_id = null where ctid = place; end loop;
    end $$
"""


class Example(Project):
    """The example on databases of the tests' server."""

    def __init__(self, folder: Path, make_database: Callable[..., str]) -> None:
        super().__init__(folder, environment={f"{name.upper()}_DSN": make_database() for name in ("hub", *SYSTEMS)})
        examples.lay_out("normalised-erp", folder)
        for system in SYSTEMS:
            self.edit(f"systems/{system}.yaml", f"${{embedded:{system}}}", f"${{env:{system.upper()}_DSN}}")
            self.sql(system, (folder / f"sql/{system}.sql").read_text("utf-8"))

    def sql(self, system: str, statement: str) -> list[tuple[Any, ...]]:
        return execute(self.environment[f"{system.upper()}_DSN"], statement)

    def shuffle(self, seed: float) -> None:
        """Let the rows that stand for customers lie in another order, in which they are then read."""
        for system, table in (("erp", "party"), ("crm", "account"), ("billing", "customer")):
            self.sql(system, SHUFFLE.format(table=table, seed=seed))

    def connect(self, *systems: str) -> None:
        """Let these systems take part, and replicate until nothing is left to do."""
        planned = ", ".join(sorted(set(SYSTEMS) - set(systems)))
        (self.folder / "fieldwarden.yaml").write_text(SETTINGS.format(", ".join(systems), planned))
        if self.sql("hub", "select 1 from pg_namespace where nspname = 'fieldwarden'"):
            assert self.call_here("apply")[0] == 0
        self.settle()

    def counts(self) -> dict[str, int]:
        """Customers in each system, and records."""
        return self.counts_of(*COUNTED)

    def counts_of(self, *systems: str) -> dict[str, int]:
        return {system: self.sql(system, f"select count(*) from {COUNTED[system]}")[0][0] for system in systems}

    def account(self, number: int, columns: str) -> tuple[Any, ...]:
        """What the CRM holds of a customer."""
        (row,) = self.sql("crm", f"select {columns} from account where tax_id like '%{number:03}'")
        return row

    def values(self, party: int, kind: str) -> list[str]:
        """The ERP's phones or e-mails of a party, the first first."""
        rows = f"contact_mechanism where party_id = {party} and type = '{kind}' order by sequence, id"
        return [value for (value,) in self.sql("erp", f"select value from {rows}")]

    def is_sound(self) -> None:
        """The proof finds nothing, nor does `check` without a reason; the ledger replays to the same records."""
        dsns = {system: self.environment[f"{system.upper()}_DSN"] for system in SYSTEMS}
        proof = prove(self.folder / "proof", dsns)
        assert (proof.differences, proof.things["customer"]) == ([], self.counts()["hub"])
        assert self.sql("erp", ONE_KIND_ALONE) == []
        super().is_sound()


@pytest.fixture
def example(tmp_path: Path, make_database: Callable[..., str]) -> Example:
    return Example(tmp_path / "example", make_database)


ORDERS = [
    pytest.param(0.1, [SYSTEMS], id="all at once"),
    pytest.param(0.2, [("erp",), ("erp", "crm"), SYSTEMS], id="the erp first"),
    pytest.param(0.3, [("crm",), ("crm", "billing"), ("crm", "billing", "erp")], id="the erp last"),
]


@pytest.mark.long
@pytest.mark.parametrize(("seed", "order"), ORDERS)
def test_one_record_per_customer_whichever_system_is_read_first(
    seed: float, order: Sequence[Sequence[str]], example: Example
) -> None:
    example.shuffle(seed)
    others = example.sql("erp", OTHERS)
    for systems in order:
        example.connect(*systems)
    assert example.counts() == {"hub": CUSTOMERS, "erp": CUSTOMERS, "crm": CUSTOMERS, "billing": 30}
    assert not set(others) - set(example.sql("erp", OTHERS)), "a row that is none of the project's was changed"
    example.is_sound()


def test_every_row_that_is_created_is_of_its_kind(example: Example) -> None:
    """Of 75 customers the ERP lacked 25: of each it now has what the others know, each row as what it is, once."""
    example.connect(*SYSTEMS)
    created = "select {0}, count(*) from {1} where write_uid = 7 and party_id > 2000 group by 1 order by 1"
    assert example.sql("erp", created.format("kind", "party_address")) == [("delivery", 9), ("invoice", 25)]
    assert example.sql("erp", created.format("type", "contact_mechanism")) == [("email", 25), ("phone", 25)]
    assert example.sql("erp", created.format("type", "party_identifier")) == [("billing", 20), ("vat", 25)]
    assert example.sql("erp", created.format("company_id", "party_terms")) == [(1, 25)]
    named = "select count(*) from party where write_uid = 7 and search_name = upper(name) and id > 2000"
    assert example.sql("erp", named) == [(25,)], "the application's own columns were not set"


@pytest.mark.long
def test_what_each_edit_ends_in(example: Example) -> None:
    example.connect(*SYSTEMS)
    shipping = "shipping_street, shipping_city, shipping_postal_code"
    address, email = example.account(4, shipping), example.account(34, "email")
    finances = example.account(33, "credit_limit, payment_terms")
    expected: list[Callable[[], bool]] = [
        lambda: example.account(3, "phone") == ("+49 30 7770003",),
        lambda: example.account(38, "email") == ("desk@oak-feinkost.example",),
        lambda: [example.account(number, shipping) for number in (4, 5)] == [(None, None, None), address],
        lambda: (example.account(33, "credit_limit, payment_terms"), example.account(34, "email")) == (finances, email),
        lambda: example.counts() == {"hub": CUSTOMERS + 1, "erp": CUSTOMERS, "crm": CUSTOMERS, "billing": 31},
        *[lambda: example.counts() == {"hub": CUSTOMERS, "erp": CUSTOMERS, "crm": CUSTOMERS, "billing": 31}] * 2,
    ]
    for step, reached in zip(steps(example.folder), expected, strict=True):
        for path in step:
            example.sql(system_of(path), path.read_text("utf-8"))
        example.settle()
        assert reached(), step
    assert example.values(1003, "phone") == ["+49 30 7770003", "+49 30 5550103"]
    assert example.values(1038, "email") == ["desk@oak-feinkost.example", "info@oak-feinkost.example"]
    assert example.values(1038, "phone") == [example.account(38, "phone")[0]], "its phone has a row again, of its type"
    assert example.account(5, "billing_number, phone") == ("cus_80", "+49 171 8880005")
    assert example.sql("billing", "select name from customer where id = 'cus_80'") == [("Hazel Bau GmbH",)]
    assert example.call_here("deadletter", "list")[1]["result"]["dead_letters"] == []
    example.is_sound()


@pytest.mark.long
def test_all_edits_made_while_nothing_ran_end_in_agreement_too(example: Example) -> None:
    example.connect(*SYSTEMS)
    for step in steps(example.folder):
        for path in step:
            example.sql(system_of(path), path.read_text("utf-8"))
    example.settle()
    assert example.counts() == {"hub": CUSTOMERS, "erp": CUSTOMERS, "crm": CUSTOMERS, "billing": 31}
    example.is_sound()


@pytest.mark.long
def test_an_emptied_table_of_the_erp_retires_nobody_before_a_person_says_so(example: Example) -> None:
    example.connect(*SYSTEMS)
    accounts = example.sql("crm", "select * from account order by id")
    [(parties,)] = example.sql("erp", "select count(*) from party where role = 'customer'")
    example.sql("erp", "truncate party cascade")
    example.settle()
    assert example.counts() == {"hub": CUSTOMERS, "erp": 0, "crm": CUSTOMERS, "billing": 30}
    assert example.sql("crm", "select * from account order by id") == accounts
    told = example.invoke("status").stdout
    assert f"{parties} deleted rows of erp public.party retire no customer yet: are they meant?" in told
    assert "fieldwarden deletes approve --system erp --stream public.party" in told
    assert example.invoke("status", "--check").exit_code == 1


ENTERED = {
    "erp": """
        insert into party (id, role, name) values (1080, 'customer', 'Yew Optik GmbH');
        insert into contact_mechanism (party_id, type, value) values (1080, 'phone', '+49 30 8080');
        insert into party_identifier (party_id, type, code) values (1080, 'vat', 'DE300000080');
    """,
    "crm": """
        insert into account (id, name, email) values (80, 'Yew Optik', 'info@yew-optik.example');
        update account set tax_id = 'DE 300 000 080' where id = 80;
    """,
}


@pytest.mark.long
@pytest.mark.parametrize("order", [("erp", "crm"), ("crm", "erp")], ids=" then ".join)
def test_a_customer_entered_in_two_systems_while_nothing_ran_is_one(order: Sequence[str], example: Example) -> None:
    example.connect(*SYSTEMS)
    for system in order:
        example.sql(system, ENTERED[system])
    example.settle()
    counts = {"hub": CUSTOMERS + 1, "erp": CUSTOMERS + 1, "crm": CUSTOMERS + 1, "billing": 30}
    assert example.counts() == counts
    example.is_sound()
