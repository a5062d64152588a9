"""The vendors' files that come along, held against the sandbox: all rows, then what people change and delete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fieldwarden.connectors.rest.asking.logins import Client, Fixed, Login, Refreshed
from fieldwarden.connectors.rest.asking.opening import CLOCKS
from fieldwarden.connectors.rest.asking.session import RestSession
from fieldwarden.connectors.rest.asking.token_file import TokenFile
from fieldwarden.connectors.rest.asking.transport import Wire
from fieldwarden.connectors.rest.progress import begun
from fieldwarden.connectors.rest.reading.feed import Feed
from fieldwarden.connectors.rest.rows import Shape
from fieldwarden.connectors.rest.vendors import shipped_vendor
from fieldwarden.rules.secret import Secret
from tests.sandbox.playing import Played


class Copy:
    """Rows as they were told last, by key."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.rows: dict[str, tuple[Any, ...]] = {}
        self.told = 0

    async def all(self, session: RestSession) -> None:
        async for told in self.feed.all(begun(1, self.feed.spec, await session.now())):
            self._take(told.rows)
            self.progress = told.progress

    async def news(self) -> None:
        await self.feed.look([("999999999",)])  # the vendor's clock was moved: the next answer tells
        async for told in self.feed.news(self.progress):
            self._take(told.rows)
            self.progress = told.progress

    def _take(self, rows: Any) -> None:
        for row in rows:
            assert row.trouble == ""
            self.told += 1
            if row.gone:
                self.rows.pop(row.key[0], None)
            else:
                self.rows[row.key[0]] = row.values


@asynccontextmanager
async def reading(
    played: Played,
    vendor: str,
    token: str | Callable[[Wire], Login],
    object: str,
    *columns: str,
    values: dict[str, str] | None = None,
) -> AsyncIterator[Copy]:
    described = shipped_vendor(vendor)
    assert described is not None
    described = described.model_copy(update={"limits": described.limits.model_copy(update={"rates": ()})})
    wire = Wire(vendor, played.url, seconds=60, answer_bytes=10_000_000)
    login = Fixed("Authorization", Secret(f"Bearer {token}")) if isinstance(token, str) else token(wire)
    session = RestSession(wire, described, values or {}, login, CLOCKS)
    try:
        copy = Copy(Feed(session, object, Shape(described.objects[object], columns)))
        await copy.all(session)
        yield copy
    finally:
        await session.close()


async def test_stripes_customers(stripe_sandbox: Played) -> None:
    stripe_sandbox.admin("POST", "make", {"table": "customers", "count": 230, "quiet": True})
    async with reading(stripe_sandbox, "stripe", "sk_test_one", "customer", "id", "name", "email", "city") as copy:
        there = {each["id"]: each for each in stripe_sandbox.records("customers")}
        assert copy.rows.keys() == there.keys()
        assert len(there) > 230
        one, other, gone, *_ = sorted(there)
        stripe_sandbox.admin("PATCH", f"records/customers/{one}", {"name": "Renamed"})
        stripe_sandbox.admin("PATCH", f"records/customers/{one}", {"name": "Renamed again"})
        stripe_sandbox.admin("DELETE", f"records/customers/{gone}")
        stripe_sandbox.pass_by(60)
        await copy.news()
        assert copy.rows[one][1] == "Renamed again"
        assert gone not in copy.rows
        assert copy.rows[other] == (other, there[other]["name"], there[other]["email"], copy.rows[other][3])


async def test_hubspots_contacts(hubspot_sandbox: Played) -> None:
    hubspot_sandbox.admin("POST", "make", {"table": "contacts", "count": 250, "quiet": True})
    async with reading(hubspot_sandbox, "hubspot", "pat-one", "contact", "id", "email", "last_name") as copy:
        there = {each["hs_object_id"]: each for each in hubspot_sandbox.records("contacts")}
        assert copy.rows.keys() == there.keys()
        one = min(there)
        hubspot_sandbox.admin("PATCH", f"records/contacts/{one}", {"lastname": "Renamed"})
        hubspot_sandbox.pass_by(120)
        await copy.news()
        assert copy.rows[one][2] == "Renamed"


COMPANY = "9130350000000001"


def quickbooks_login(file: Path) -> Callable[[Wire], Login]:
    file.write_text('{"refresh_token": "refresh"}')
    path = "/oauth2/v1/tokens/bearer"
    return lambda wire: Refreshed(
        "quickbooks",
        Client(wire, path, "client", Secret("secret"), in_body=False),
        TokenFile("quickbooks", file),
        lambda: CLOCKS.micros() / 1e6,
    )


async def test_quickbooks_customers_and_invoices(quickbooks_sandbox: Played, tmp_path: Path) -> None:
    login, values = quickbooks_login(tmp_path / "token.json"), {"realm": COMPANY}
    columns = ("id", "display_name", "email", "city")
    quickbooks_sandbox.admin("POST", "make", {"table": "Customer", "count": 1100, "quiet": True})
    async with reading(quickbooks_sandbox, "quickbooks", login, "customer", *columns, values=values) as copy:
        assert len(copy.rows) > 1100
        one = min(copy.rows, key=int)
        quickbooks_sandbox.admin("PATCH", f"records/Customer/{one}", {"DisplayName": "Renamed"})
        quickbooks_sandbox.pass_by(300)
        await copy.news()
        assert copy.rows[one][1] == "Renamed"


async def test_deleted_invoices_of_quickbooks(quickbooks_sandbox: Played, tmp_path: Path) -> None:
    login, values = quickbooks_login(tmp_path / "token.json"), {"realm": COMPANY}
    async with reading(quickbooks_sandbox, "quickbooks", login, "invoice", "id", "total", values=values) as copy:
        there = {each["Id"]: each for each in quickbooks_sandbox.records("Invoice")}
        assert copy.rows.keys() == there.keys() != set()
        gone = min(there, key=int)
        quickbooks_sandbox.admin("DELETE", f"records/Invoice/{gone}")
        quickbooks_sandbox.pass_by(300)
        await copy.news()
        assert copy.rows.keys() == there.keys() - {gone}
