"""Identity that comes late, in two real systems: a tax id in a table of its own, or entered long after the customer."""

from __future__ import annotations

import pytest

from tests.integration.cli_project import Shop
from tests.patience import eventually

IDENTIFIER = """  vat_number:
    table: public.identifier
    entity: customer
    parent: {public.party: party_id}
    key: id
    where: type = 'vat'
    set: {type: vat}
    create: true
    unique: [party_id, type]
    fields: {tax_id: code}
"""
TABLE = """create table identifier (
    id bigint generated always as identity primary key, party_id bigint not null, type text not null, code text,
    unique (party_id, type)
)"""
VAT = "insert into identifier (party_id, type, code) select id, 'vat', '{}' from party where name = '{}'"


@pytest.fixture
def late(shop: Shop) -> Shop:
    """The starter project, where the ERP keeps tax ids in rows below its parties."""
    with (shop.folder / "systems/erp.yaml").open("a") as file:
        file.write(IDENTIFIER)
    shop.edit("systems/erp.yaml", "      tax_id: tax_number\n", "")
    shop.sql("erp", TABLE)
    shop.sql("erp", "insert into identifier (party_id, type, code) select id, 'vat', tax_number from party"
                    " where tax_number is not null")  # fmt: skip
    return shop


def counts(shop: Shop) -> list[int]:
    live = "select count(*) from fieldwarden.record where entity = 'customer' and not retired"
    asked = (("hub", live), ("crm", "select count(*) from account"), ("erp", "select count(*) from party"))
    return [shop.sql(system, query)[0][0] for system, query in asked]


def two_of_one(shop: Shop) -> tuple[str, str]:
    """Elm is in both systems and no tax id says that it is one: its two records, the CRM's and the ERP's."""
    for system in ("crm", "erp"):
        path = shop.folder / f"systems/{system}.yaml"
        path.write_text(path.read_text().replace("    create: true", "    create: false", 1))
    shop.sql("crm", "insert into account (name) values ('Elm')")
    shop.sql("erp", "insert into party (name) values ('Elm Ltd')")
    shop.settle()
    ((crm, erp),) = shop.sql("hub", """select max(record::text) filter (where system = 'crm'),
        max(record::text) filter (where system = 'erp') from fieldwarden.crosswalk c
        join fieldwarden.record r on r.id = c.record where r.golden ->> 'name' like 'Elm%'""")  # fmt: skip
    assert crm != erp
    return crm, erp


def test_one_record_whichever_row_states_the_tax_id(late: Shop) -> None:
    late.settle()
    before = counts(late)
    assert before[0] == before[1] == before[2]
    late.holds_what_is_golden()


@pytest.mark.long
def test_a_customer_entered_in_both_while_run_was_stopped_is_one(late: Shop) -> None:
    late.settle()
    before = counts(late)
    late.sql("crm", "insert into account (name, vat_number) values ('Elm', 'GB1')")
    late.sql("erp", "with made as (insert into party (name) values ('Elm') returning id)"
                    " insert into identifier (party_id, type, code) select id, 'vat', 'GB1' from made")  # fmt: skip
    late.settle()
    assert counts(late) == [number + 1 for number in before]
    late.holds_what_is_golden()


@pytest.mark.long
def test_a_transaction_longer_than_a_batch_is_read_whole_before_anything_of_it_is_created(late: Shop) -> None:
    """All parties first, all tax ids last: the customers are in the CRM already, and stay one each."""
    path = late.folder / "systems/erp.yaml"
    path.write_text(path.read_text().replace("    create: true", "    create: false", 1))
    numbers = "generate_series(1000, 3999) n"
    late.sql("crm", f"insert into account (name, vat_number) select 'C' || n, 'DE' || n from {numbers}")
    late.settle()
    before = counts(late)
    with late.running() as run:
        run.await_ready()
        parties = f"insert into party (name) select 'C' || n from {numbers}"
        taxes = "insert into identifier (party_id, type, code) select id, 'vat', 'DE' || substr(name, 2) from party"
        late.sql("erp", f"{parties}; {taxes} where name ~ '^C[0-9]+$'")  # one transaction
        linked = "select count(*) from fieldwarden.crosswalk where system = 'erp' and stream = 'vat_number'"
        eventually(lambda: late.sql("hub", linked)[0][0] > 3000, "all tax ids are read")
        run.end()
    late.settle()
    assert counts(late) == [before[0], before[1], before[2] + 3000]
    late.holds_what_is_golden()


@pytest.mark.long
def test_two_records_become_one_by_a_tax_id_entered_later_and_two_again_by_a_split(late: Shop) -> None:
    crm, erp = two_of_one(late)
    before = counts(late)
    late.sql("crm", "update account set vat_number = 'GB 1' where name = 'Elm'")
    late.sql("erp", VAT.format("GB1", "Elm Ltd"))
    late.settle()
    older, younger = sorted([crm, erp])
    assert counts(late) == [before[0] - 1, before[1], before[2]]
    assert f"record {younger}" not in late.invoke("status").stdout
    told = late.invoke("trail", "customer", older).stdout
    assert "turned out to be this one" in told
    assert "goes on" in late.invoke("trail", "customer", younger).stdout
    late.holds_what_is_golden()
    assert late.call_here("audit", "verify")[0] == 0

    code, body = late.call_here("record", "split", older, "--reason", "two branches")
    assert (code, body["result"]) == (0, {"record": older, "other": younger})
    late.settle()
    assert counts(late) == before, "they share a tax id, and are kept apart all the same"
    assert "rows were given back" in late.invoke("trail", "customer", older).stdout
    assert late.call_here("match", "list")[1]["result"] == {"duplicates": []}
    late.holds_what_is_golden()
    assert late.call_here("audit", "verify")[0] == 0
    acts = late.sql("hub", "select body from fieldwarden.ledger_entry where lane = '#people'")
    assert any('"act":"split"' in body and "two branches" in body for (body,) in acts)


@pytest.mark.long
def test_a_steward_joins_what_contradicts_itself_and_keeps_apart_what_is_alike(late: Shop) -> None:
    crm, erp = two_of_one(late)
    late.sql("crm", "update account set vat_number = 'GB1' where name = 'Elm'")
    late.sql("erp", VAT.format("GB2", "Elm Ltd"))
    late.settle()
    before = counts(late)
    assert "they differ in tax_id" in late.invoke("match", "show", crm, erp).stdout
    assert late.call_here("match", "join", crm, erp, "--reason", "a typing error")[0] == 0
    late.settle()
    assert counts(late)[0] == before[0] - 1
    assert late.sql("erp", "select code from identifier where code like 'GB%'") == [("GB1",)], "the crm comes first"
    late.holds_what_is_golden()
    assert late.call_here("audit", "verify")[0] == 0


@pytest.mark.long
def test_what_one_system_holds_twice_is_named_and_never_joined(late: Shop) -> None:
    late.settle()
    late.sql("crm", "insert into account (name, vat_number) values ('Elm', 'GB1'), ('Elm & Co', 'GB7')")
    late.settle()
    before = counts(late)
    late.sql("crm", "update account set vat_number = 'GB 1' where name = 'Elm & Co'")
    late.settle()
    assert counts(late) == before
    (one,) = late.call_here("match", "list")[1]["result"]["duplicates"]
    assert one["why"].endswith("has a row of its own in each")
    code, body = late.call_here("match", "join", *one["records"], "--reason", "x")
    assert (code, body["error"]["code"]) == (1, "cannot_decide")
    assert late.call_here("match", "keep-apart", *one["records"], "--reason", "two shops")[0] == 0
    assert late.call_here("match", "list")[1]["result"] == {"duplicates": []}


@pytest.mark.long
def test_a_steward_says_which_of_two_records_a_row_stands_for(late: Shop) -> None:
    """Two records carry the tax id of a new party of the ERP: it waits, with its children, until somebody chooses."""
    for system in ("crm", "erp"):
        path = late.folder / f"systems/{system}.yaml"
        path.write_text(path.read_text().replace("    create: true", "    create: false", 1))
    late.sql("crm", "insert into account (name, vat_number) values ('Elm', 'GB1'), ('Elm & Co', 'GB 1')")
    late.settle()
    records = dict(
        late.sql(
            "hub",
            """select r.golden ->> 'name', r.id::text from fieldwarden.record r
        join fieldwarden.crosswalk c on c.record = r.id where c.system = 'crm' and r.golden ->> 'name' like 'Elm%'""",
        )
    )
    waiting = "select key from fieldwarden.set_aside where system = 'crm' and kind = 'ambiguous'"
    ((key,),) = late.sql("hub", waiting)
    (record,) = records.values()
    code, body = late.call_here("record", "link", "crm", "public.account", key, record, "--reason", "r")
    assert (code, body["error"]["code"]) == (1, "cannot_decide"), "the crm holds it twice"

    late.sql("crm", "update account set vat_number = 'GB7' where name = 'Elm & Co'")
    late.settle()
    late.sql("crm", "update account set vat_number = 'GB 1' where name = 'Elm & Co'")
    late.settle()
    late.sql("erp", "with made as (insert into party (name) values ('Elm Ltd') returning id)"
                    " insert into identifier (party_id, type, code) select id, 'vat', 'GB1' from made")  # fmt: skip
    late.settle()
    ((key,),) = late.sql("hub", waiting.replace("crm", "erp"))
    assert late.call_here("record", "link", "erp", "public.party", key, record, "--reason", "the older firm")[0] == 0
    late.settle()
    linked = "select record::text from fieldwarden.crosswalk where system = 'erp' and stream = 'public.party'"
    assert late.sql("hub", f"{linked} and key = '{key}'") == [(record,)]
    assert late.sql("hub", "select count(*) from fieldwarden.set_aside") == [(0,)]
    late.holds_what_is_golden()


def test_a_tax_id_that_moves_to_another_party_finds_that_ones_record(late: Shop) -> None:
    for system in ("crm", "erp"):
        path = late.folder / f"systems/{system}.yaml"
        path.write_text(path.read_text().replace("    create: true", "    create: false", 1))
    late.sql("erp", "insert into party (name) values ('Elm'), ('Oak')")
    late.sql("erp", VAT.format("GB1", "Elm"))
    late.settle()
    late.sql("erp", "update identifier set party_id = (select id from party where name = 'Oak') where code = 'GB1'")
    late.settle()
    found = """select r.golden ->> 'name' from fieldwarden.match_key m join fieldwarden.record r on r.id = m.record
        where m.name = 'tax_id' and lower(m.value) like '%gb1'"""
    assert late.sql("hub", found) == [("Oak",)]
    late.sql("crm", "insert into account (name, vat_number) values ('Oak', 'GB 1')")
    late.settle()
    both = "select count(distinct c.record) from fieldwarden.crosswalk c join fieldwarden.record r on r.id = c.record"
    assert late.sql("hub", f"{both} where r.golden ->> 'name' = 'Oak'") == [(1,)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("match", "join", "x", "y", "--reason", "r"), 2, "not the id of a record"),
        (("match", "show", "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000001"), 2, "same"),
        (("record", "split", "01900000-0000-7000-8000-000000000001", "--reason", "r"), 1, "there is no record"),
        (("record", "unlink", "crm", "nowhere", "1", "--reason", "r"), 2, "not a stream of crm"),
        (("record", "link", "crm", "public.account", "1", "01900000-0000-7000-8000-000000000001"), 2, "say why"),
    ],
)
def test_what_cannot_be_is_said(late: Shop, words: tuple[str, ...], code: int, said: str) -> None:
    late.settle()
    found, body = late.call_here(*words)
    assert found == code
    assert said in body["error"]["message"]


@pytest.mark.long
def test_a_split_of_what_was_never_joined_and_a_row_alone(late: Shop) -> None:
    late.settle()
    ((record, key),) = late.sql(
        "hub", "select record::text, key from fieldwarden.crosswalk where system = 'crm' limit 1"
    )
    assert "nothing was joined" in late.call_here("record", "split", record, "--reason", "r")[1]["error"]["message"]
    code, body = late.call_here("record", "unlink", "crm", "public.account", key, "--reason", "another firm")
    assert code == 0
    assert late.sql("hub", f"select record::text from fieldwarden.crosswalk where system='crm' and key='{key}'") == [
        (body["result"]["record"],)
    ]
    late.settle()
    late.holds_what_is_golden()
    assert late.call_here("audit", "verify")[0] == 0
