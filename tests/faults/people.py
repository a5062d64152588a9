"""People at work in three systems at once, with ordinary SQL, whether or not Fieldwarden or a server is up.

One thread per system. What they try next is drawn by a seed; what they really did stands in the systems' own
`touched` tables. Every value they write is new, so that it can be told apart wherever it turns up; and every edit of
a phone number states a time of its own, so that the newest one is the same whoever reads it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import psycopg
from psycopg.conninfo import make_conninfo

from tests.faults.landscape import CUSTOMERS, DOOMED, INVOICES, ITEMS

PERSON = "a person"
_NEW = 6
"""Customers that each system's people add: C-1.. in the CRM, B-1.. in billing, E-1.. in the ERP."""
_SHARE = 10
"""People wait so many times as long as their edit took: where the machine is busy, they are no faster than we are."""
_CALM = 0.5
"""Seconds between two edits of one person while the others wait for what is under way."""
_AT = "timestamptz '2020-01-01' + %s * interval '1 second'"

Edit = tuple[str, tuple[object, ...]]


class Person:
    """What one system's people do next: a statement that is a transaction of its own."""

    def __init__(self, system: str, seed: int, numbers: Iterator[int]) -> None:
        self._rng = random.Random(f"{seed} {system}")
        self._numbers = numbers
        self._new = itertools.chain(range(1, _NEW + 1), itertools.repeat(0))
        self._habits: list[Callable[[], Edit | None]] = {
            "crm": [*[self._crm_field] * 6, self._crm_add, self._crm_everybody, self._crm_remove],
            "billing": [*[self._billing_field] * 4, self._billing_add, self._invoice, self._amount, self._product],
            "erp": [*[self._erp_field] * 4, self._address, self._address, self._erp_add, self._receivable, self._item],
        }[system]

    def next(self) -> Edit:
        while True:
            edit = self._rng.choice(self._habits)()
            if edit is not None:
                return edit

    def _customer(self, letters: str) -> str:
        letter = self._rng.choice(letters)
        return f"{letter}-{self._rng.randint(1, CUSTOMERS if letter == 'T' else _NEW)}"

    def _news(self, column: str) -> str:
        """A value never written before."""
        n = next(self._numbers)
        return f"{n}.{self._rng.randint(1, 99):02}" if column.startswith("credit") else f"{column} {n}"

    def _field(self, table: str, column: str, where: str, customer: str) -> Edit:
        """One field; of a phone number it is also noted when."""
        if column != "phone":
            return f"update {table} set {column} = %s where {where} = %s", (self._news(column), customer)
        n = next(self._numbers)
        return f"update {table} set phone = %s, phoned_at = {_AT} where {where} = %s", (f"phone {n}", n, customer)

    def _crm_field(self) -> Edit:
        column = self._rng.choice(["phone", "phone", "segment", "name", "credit_limit"])
        # A name only where the ERP's own people gave one: else its word is whatever we brought there first.
        return self._field("account", column, "tax", self._customer("TE" if column == "name" else "TCBE"))

    def _crm_add(self) -> Edit | None:
        if not (n := next(self._new)):
            return None
        at = next(self._numbers)
        return (
            "insert into account (tax, name, segment, credit_limit, phone, phoned_at)"
            f" values (%s, %s, %s, %s, %s, {_AT})"
        ), (f"C-{n}", f"name {at}", f"segment {at}", f"{at}.50", f"phone {at}", at)

    def _crm_everybody(self) -> Edit:
        return "update account set segment = %s || ' of ' || tax", (self._news("segment"),)

    def _crm_remove(self) -> Edit:
        # Not before Fieldwarden has brought a row: a delete that no baseline saw is nobody's word.
        known = "exists (select from account where ext is not null)"
        return f"delete from account where tax = %s and {known}", (f"D-{self._rng.randint(1, DOOMED)}",)

    def _billing_field(self) -> Edit:
        column = self._rng.choice(["phone", "phone", "segment", "label", "credit", "address"])
        customer = self._customer("TE" if column == "label" else "TCBE")
        if column != "address":
            return self._field("customer", column, "vat", customer)
        address = (self._news("street"), self._news("city"), customer)
        return "update customer set street = %s, city = %s where vat = %s", address

    def _billing_add(self) -> Edit | None:
        if not (n := next(self._new)):
            return None
        at = next(self._numbers)
        return (
            "insert into customer (vat, label, segment, phone, street, city, phoned_at)"
            f" values (%s, %s, %s, %s, %s, %s, {_AT})"
        ), (f"B-{n}", f"name {at}", f"segment {at}", f"phone {at}", f"street {at}", f"city {at}", at)

    def _invoice(self) -> Edit:
        n = next(self._numbers)
        return (
            "insert into invoice (number, customer_id, amount) select %s, id, %s from customer where vat = %s",
            (f"J-{n}", f"{n}.10", self._customer("TCBE")),
        )

    def _amount(self) -> Edit:
        number = f"I-{self._rng.randint(1, INVOICES)}"
        return "update invoice set amount = %s where number = %s", (f"{next(self._numbers)}.20", number)

    def _product(self) -> Edit:
        sku = f"P-{self._rng.randint(1, ITEMS)}"
        return "update product set title = %s where sku = %s", (self._news("not theirs"), sku)

    def _erp_field(self) -> Edit:
        column = self._rng.choice(["name", "name", "segment", "credit_limit"])
        return self._field("party", column, "tax", self._customer("TCBE"))

    def _address(self) -> Edit:
        address = (self._news("street"), self._news("city"), self._customer("TCBE"))
        mine = "party_id = (select id from party where tax = %s)"
        return f"update party_address set street = %s, city = %s where {mine}", address

    def _erp_add(self) -> Edit | None:
        if not (n := next(self._new)):
            return None
        at = next(self._numbers)
        return (
            "with born as (insert into party (tax, name, segment, credit_limit) values (%s, %s, %s, %s) returning id)"
            " insert into party_address (party_id, street, city) select id, %s, %s from born"
        ), (f"E-{n}", f"name {at}", f"segment {at}", f"{at}.30", f"street {at}", f"city {at}")

    def _receivable(self) -> Edit:
        number = f"I-{self._rng.randint(1, INVOICES)}"
        return "update receivable set amount = %s where number = %s", (f"{next(self._numbers)}.40", number)

    def _item(self) -> Edit:
        sku = f"P-{self._rng.randint(1, ITEMS)}"
        return "update item set title = %s where sku = %s", (self._news("title"), sku)


class People:
    """Everybody at work, until told to stop. A server that is down is tried again; an edit it refuses is dropped."""

    def __init__(self, dsns: Mapping[str, str], seed: int, pause: float) -> None:
        self._over = threading.Event()
        self._pause = pause
        self._edits = itertools.count(1)
        self.edits = 0
        """Edits that were confirmed so far."""
        self.failure: BaseException | None = None
        self._calm = threading.Event()
        numbers = itertools.count(1)
        self._threads = [
            threading.Thread(target=self._work, args=(Person(system, seed, numbers), dsn), name=f"people of {system}")
            for system, dsn in dsns.items()
        ]

    def __enter__(self) -> People:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    @contextlib.contextmanager
    def calm(self) -> Iterator[None]:
        """They go on, but slowly: what they did meanwhile does not hide for ever behind what they do now."""
        self._calm.set()
        try:
            yield
        finally:
            self._calm.clear()

    def _work(self, person: Person, dsn: str) -> None:
        try:
            while not self._over.is_set():
                with contextlib.suppress(psycopg.OperationalError), self._session(dsn) as session:
                    self._edit(person, session)
                self._over.wait(0.05)
        except BaseException as error:
            self.failure = error

    def _session(self, dsn: str) -> psycopg.Connection:
        return psycopg.connect(make_conninfo(dsn, application_name=PERSON), autocommit=True)

    def _edit(self, person: Person, session: psycopg.Connection) -> None:
        while not self._over.is_set():
            statement, values = person.next()
            began = time.monotonic()
            session.execute(statement.encode(), values)
            took = time.monotonic() - began
            self.edits = next(self._edits)
            self._over.wait(max(self._pause, _SHARE * took, _CALM if self._calm.is_set() else 0.0))
