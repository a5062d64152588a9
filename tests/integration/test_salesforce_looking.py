"""Rows of an org are read over its REST API: all of them, in order, and with the texts that its events have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.decoding import amounts, json_values, times
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.looking import rows
from fieldwarden.connectors.salesforce.looking.rows import RowShape, all_rows, some_rows
from fieldwarden.connectors.wire.unreadable import Unreadable
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import DecodeError, SchemaDrift
from fieldwarden.engine.wanted import Wanted
from tests.integration.salesforce_org import RestOrg, logged_in

WANTED = Wanted("account", ("Id",), frozenset({"Id", "Name", "AnnualRevenue", "LastModifiedDate", "Active__c"}))


@dataclass
class Scene:
    org: RestOrg
    session: SalesforceSession

    async def shape(self) -> RowShape:
        return RowShape(WANTED, await self.session.described("Account"))

    async def all(self, after: str = "") -> list[RawChange]:
        shape = await self.shape()
        return [each async for page in all_rows(self.session, shape, shape.relation, "p", after) for each in page]


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    async with RestOrg() as org, logged_in(org) as session:
        yield Scene(org, session)


async def test_all_rows_come_in_pages_in_the_order_of_their_ids(at: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAGE", 3)
    ids = [at.org.org.create("Account", {"Name": f"n{number}"}) for number in range(10)]
    found = await at.all()
    assert [each.values[found[0].relation.columns.index("Id")] for each in found] == ids
    assert at.org.requests.count(("GET", "/query")) == 4
    assert len(await at.all(ids[3])) == 6


async def test_a_row_has_the_columns_and_texts_that_its_events_have(at: Scene) -> None:
    id = at.org.org.create("Account", {"Name": "Ann", "AnnualRevenue": 12.5, "LastModifiedDate": 1, "Active__c": True})
    (row,) = await at.all()
    assert (row.operation, row.position, row.at) == ("observe", "p", None)
    assert dict(zip(row.relation.columns, row.values, strict=True)) == {
        "Id": id,
        "Name": "Ann",
        "AnnualRevenue": "12.5",
        "LastModifiedDate": "2026-02-25 06:13:20+00",
        "Active__c": "t",
    }


async def test_rows_that_are_gone_are_left_out(at: Scene) -> None:
    kept, gone = (at.org.org.create("Account", {"Name": name}) for name in ("Ann", "Bob"))
    at.org.org.delete(gone)
    shape = await at.shape()
    found = await some_rows(at.session, shape, shape.relation, [kept, gone])
    assert [each.values[shape.relation.columns.index("Id")] for each in found] == [kept]


async def test_an_answer_out_of_order_is_not_believed(at: Scene) -> None:
    shape = await at.shape()
    records = [{"Id": id, "Name": None} for id in ("001B", "001A")]
    at.org.answers = [(200, {"done": True, "records": records})]
    with pytest.raises(DecodeError, match="does not come in the order of its ids"):
        [page async for page in all_rows(at.session, shape, shape.relation)]


async def test_a_value_that_is_not_as_described_spoils_its_row_only(at: Scene) -> None:
    id = at.org.org.create("Account", {"Name": "Ann"})
    at.org.org.records[id]["AnnualRevenue"] = "much"
    at.org.org.create("Account", {"Name": "Bob"})
    spoiled, read = await at.all()
    assert spoiled.undecoded is not None
    known = dict(zip(spoiled.relation.columns, spoiled.values, strict=True))
    assert (known.pop("Id"), {*known.values()}) == (id, {UNKNOWN})
    assert "much" not in spoiled.undecoded.reason
    assert read.undecoded is None


async def test_a_field_that_is_gone_stops_the_stream(at: Scene) -> None:
    at.org.described["Name"] = {"gone": True}
    with pytest.raises(SchemaDrift, match="Salesforce describes no field Name"):
        await at.shape()


@given(st.integers(-(1 << 40), 1 << 42))
def test_a_moment_has_one_text_whether_an_event_or_a_query_tells_it(millis: int) -> None:
    told = times.moment(millis)
    day, clock = told.removesuffix("+00").split(" ")
    whole, _, fraction = clock.partition(".")
    rest = f"{day}T{whole}.{fraction:0<3}+0000"
    assert json_values.text(Described("datetime"))(rest) == told


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_an_amount_has_one_text_whether_an_event_or_a_query_tells_it(digits: int, scale: int) -> None:
    value = float(Decimal(digits).scaleb(-scale))
    assert json_values.text(Described("currency", scale))(Decimal(repr(value))) == amounts.text(value, scale)


@pytest.mark.parametrize(
    ("kind", "value"), [("datetime", "soon"), ("currency", "much"), ("string", 7), ("string", "a\0"), ("int", "x")]
)
def test_what_is_no_value_of_its_type_is_refused(kind: str, value: object) -> None:
    with pytest.raises(Unreadable):
        json_values.text(Described(kind))(value)


def test_dates_and_times_of_day() -> None:
    assert json_values.text(Described("date"))("2024-02-29") == "2024-02-29"
    assert json_values.text(Described("time"))("10:30:00.000Z") == "10:30:00.000Z"
    assert json_values.text(Described("boolean"))(False) == "f"
