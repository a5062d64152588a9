"""The world that faults are let loose on, and what must hold of it afterwards.

`World` is the landscape laid out on real servers, with `fieldwarden` as real processes in it. `World.check` compares
it with the naive model of what people did:

    I1  nothing lost: every row and every edit is accounted for
    I2  every effect once: no row made twice, nothing written without need, no decision taken twice
    I3  what a system owns and protects was changed there by its own people alone
    I4  the ledger verifies, and replays to the golden records
    I7  no slot was ever told of more than the hub holds (asked at the moment of death)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psycopg

from fieldwarden.engine.ledger.entries import decode
from fieldwarden.operations.audit import verify
from fieldwarden.operations.shell.audit import text
from tests.faults import landscape
from tests.faults.naive import COLUMNS, Cells, Expected, Touch, expected
from tests.faults.people import PERSON, People
from tests.integration.cli_project import Run, Shop

SCHEMA = "fieldwarden"
CUSTOMERS = {
    "crm": "select tax, name, phone, segment, credit_limit::text from account",
    "billing": "select vat, label, phone, segment, credit::text, street, city from customer",
    "erp": "select tax, name, segment, credit_limit::text, street, city from party"
    " left join party_address on party_id = party.id",
}
FIELDS = {
    "crm": ("tax_id", "name", "phone", "segment", "credit_limit"),
    "billing": ("tax_id", "name", "phone", "segment", "credit_limit", "street", "city"),
    "erp": ("tax_id", "name", "segment", "credit_limit", "street", "city"),
}
INVOICES = {
    "billing": "select number, vat, amount::text from invoice join customer on customer.id = customer_id",
    "erp": "select number, tax, amount::text from receivable join party on party.id = party_id",
}
PRODUCTS = {"billing": "select sku, title from product", "erp": "select sku, title from item"}
PROTECTED = {"party": "credit_limit", "invoice": "amount"}
"""Table -> the column that only its own people may change."""

W = TypeVar("W", bound="World")
Effect = tuple[str, str, str, str, str | None]
"""System, table, row, column or field, value."""


@dataclass
class World(Shop):
    billing: str = ""
    direct: ClassVar[tuple[str, ...]] = landscape.SYSTEMS
    """The systems that are read without anybody between."""

    @property
    def dsns(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in landscape.SYSTEMS}

    # --- letting things happen -------------------------------------------------------------------------------

    def people(self, seed: int = 1, pause: float = 0.02) -> People:
        return People(self.dsns, seed, pause)

    @contextlib.contextmanager
    def armed(self, failpoint: str) -> Iterator[Run]:
        """A `run` that dies at a failpoint."""
        self.environment["FIELDWARDEN_FAILPOINT"] = failpoint
        with contextlib.ExitStack() as stack:
            try:
                run = stack.enter_context(self.running())
            finally:
                del self.environment["FIELDWARDEN_FAILPOINT"]
            yield run

    def rest(self) -> dict[str, Any]:
        """A new process brings everything to rest."""
        code, body = self.call("run", "--until-idle", "--port", "0")
        assert code == 0, body
        result: dict[str, Any] = body["result"]
        return result

    def by_hand(self, system: str, statement: str) -> None:
        """One edit, by one of the system's people."""
        with psycopg.connect(self.dsns[system], application_name=PERSON) as person:
            person.execute(statement.encode())

    # --- what must hold --------------------------------------------------------------------------------------

    def check(self) -> None:
        """Everything that must hold once all is at rest."""
        touches = {system: self.touches(system) for system in landscape.SYSTEMS}
        people = {system: [t for t in mine if t.who == PERSON] for system, mine in touches.items()}
        ours = [t for mine in touches.values() for t in mine if t.who != PERSON]
        self.check_agreement()
        self._nothing_waits()
        every_effect_once(ours, Counter(effect for touch in flat(people) for effect in cells(touch)))
        protected_untouched(ours)
        self._every_edit_decided_once(flat(people))
        self.ledger_is_whole()
        self.holds_what_is_golden()

    def check_agreement(self) -> None:
        """I1: each system holds every customer, invoice and product, once, as the naive model says."""
        touches = flat({system: self.touches(system) for system in landscape.SYSTEMS})
        self._agree(expected(touches, [touch for touch in touches if touch.who == PERSON]))

    def agrees(self) -> bool:
        """The same, to be asked again and again."""
        try:
            self.check_agreement()
        except (AssertionError, psycopg.OperationalError):
            return False
        return True

    def acknowledged_is_durable(self) -> None:
        """I7: each slot has been told of nothing that the hub lacks. (A baseline under way makes a new slot.)"""
        positions: list[tuple[str, str]] = []
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            positions = self.sql(
                "hub", f"select source, position from {SCHEMA}.partition where name = 'log' and position is not null"
            )
        for system, position in positions:
            if system not in self.direct:
                continue
            token = json.loads(position)
            if token["phase"] == "stream":
                ((durable, slot),) = self.sql(
                    system,
                    f"select confirmed_flush_lsn <= '{token['end']}', confirmed_flush_lsn from pg_replication_slots"
                    f" where database = current_database() and slot_name ~ '^fieldwarden_[0-9a-f]+_{system}$'",
                )
                assert durable, f"{system}: the slot is at {slot}, the hub at {position}"

    def is_read(self) -> bool:
        """Whether every source's baseline is done."""
        rows = self.sql("hub", f"select 1 from {SCHEMA}.source where name = system and read_at is not null")
        return len(rows) == len(landscape.SYSTEMS)

    def read_until(self) -> dict[str, int]:
        """By system, up to where in its log what people did may have been read as it then stood. For those that are
        read directly the ledger's own observations say it."""
        return dict.fromkeys(landscape.SYSTEMS, 0)

    def ledger_is_whole(self) -> None:
        """I4, and no entry twice."""
        report = asyncio.run(verify(self.hub, SCHEMA))
        assert report.ok, text(report)
        twice = self.sql(
            "hub",
            "select record, said->'row', said->>'position', said->>'event', count(*)"
            f" from {SCHEMA}.ledger_entry, lateral (select body::jsonb) as entry (said)"
            " where lane <> '#people'"  # an act is about no row
            " group by 1, 2, 3, 4 having count(*) > 1",
        )
        assert not twice, f"decided twice: {twice[:5]}"

    def touches(self, system: str) -> list[Touch]:
        rows = self.sql(
            system,
            "select who, (lsn - '0/0'::pg_lsn)::bigint, place, op, coalesce(was::text, '{}'),"
            " coalesce(now::text, '{}') from touched order by n",
        )
        return [Touch.read(system, *row) for row in rows]

    def _agree(self, must: Expected) -> None:
        for system, query in CUSTOMERS.items():
            rows = self.sql(system, query)
            found = {row[0]: dict(zip(FIELDS[system], row, strict=True)) for row in rows}
            assert len(found) == len(rows), f"{system} holds a customer twice"
            kept = found.keys() & must.removed if system == "erp" else set()
            found = {tax: row for tax, row in found.items() if tax not in kept}
            same(system, found, {tax: pick(row, FIELDS[system]) for tax, row in must.customers.items()})
        for system, query in INVOICES.items():
            held = {number: {"customer": tax, "amount": amount} for number, tax, amount in self.sql(system, query)}
            same(system, held, {n: pick(row, ("customer", "amount")) for n, row in must.invoices.items()})
        for system, query in PRODUCTS.items():
            same(system, {sku: {"title": title} for sku, title in self.sql(system, query)},
                 {sku: pick(row, ("title",)) for sku, row in must.products.items()})  # fmt: skip

    def _nothing_waits(self) -> None:
        """I1 in the hub: every row is linked to one record with its like, and nothing is left over."""
        for table in ("pending", "set_aside"):
            assert self.sql("hub", f"select * from {SCHEMA}.{table}") == []
        for queries in ({"crm": "account:tax", "billing": "customer:vat", "erp": "party:tax"},
                        {"billing": "invoice:number", "erp": "receivable:number"},
                        {"billing": "product:sku", "erp": "item:sku"}):  # fmt: skip
            records: dict[str, set[str]] = {}
            for system, place in queries.items():
                table, column = place.split(":")
                key = "sku" if column == "sku" else "id::text"
                linked = dict(
                    self.sql(
                        "hub",
                        f"select key, record::text from {SCHEMA}.crosswalk"
                        f" where system = '{system}' and stream = 'public.{table}'",
                    )
                )
                for id, name in self.sql(system, f"select {key}, {column} from {table}"):
                    assert id in linked, f"{system}.{table} {id} is not known"
                    records.setdefault(name, set()).add(linked[id])
            split = {name: ids for name, ids in records.items() if len(ids) > 1}
            assert not split, f"one thing, several records: {split}"

    def _every_edit_decided_once(self, people: list[Touch]) -> None:
        """I1 and I2 in the ledger. What was there when a baseline began is only observed as it then stood."""
        decided: dict[Effect, list[str]] = defaultdict(list)
        read_until = self.read_until()
        for (body,) in self.sql("hub", f"select body from {SCHEMA}.ledger_entry order by record, version"):
            entry = decode(body)
            system, stream, key = entry.row
            if entry.event == "observed" and system in self.direct:
                read_until[system] = max(read_until[system], int(entry.position.split(".")[-2], 16))
            if entry.event in ("observed", "said"):
                for name, *decision in entry.decisions:
                    effect = system, stream.removeprefix("public."), key, name, decision[1]
                    decided[effect].append(f"{entry.event} at {entry.position}: {decision}")
        for touch in people:
            for name, value in touch.said().items():
                if value is None:
                    continue
                found = decided[touch.system, touch.table, touch.key, name, value]
                least = 1 if touch.lsn > read_until[touch.system] else 0
                assert least <= len(found) <= 1, (
                    f"{name} = {value} decided {len(found)} times: {found}, {touch}, after {read_until}"
                )


def flat(touches: dict[str, list[Touch]]) -> list[Touch]:
    return [touch for mine in touches.values() for touch in mine]


def pick(row: Cells, names: tuple[str, ...]) -> Cells:
    return {name: row.get(name) for name in names}


def same(system: str, found: dict[str, Cells], must: dict[str, Cells]) -> None:
    absent, strange = must.keys() - found.keys(), found.keys() - must.keys()
    assert not absent, f"{system} lacks {sorted(absent)}"
    assert not strange, f"{system} should not hold {sorted(strange)}"
    wrong = [
        f"{key}.{name} is {value!r}, not {must[key][name]!r}"
        for key, row in found.items()
        for name, value in row.items()
        if value != must[key][name]
    ]
    assert not wrong, f"{system}: " + "; ".join(wrong[:12])


def cells(touch: Touch) -> Iterator[Effect]:
    for column in touch.changed().keys() & COLUMNS[touch.system, touch.table].keys():
        yield touch.system, touch.table, touch.key, column, touch.changed()[column]


def every_effect_once(ours: list[Touch], edits: Counter[Effect]) -> None:
    """I2: no row is made twice, no write is without need, and no value is written to a cell more often than people
    changed that cell (and once more)."""
    made = Counter((t.system, t.table, t.row.get("ext") or t.row.get("sku") or t.row["party_id"])
                   for t in ours if t.operation == "INSERT")  # fmt: skip
    assert not (twice := [place for place, times in made.items() if times > 1]), f"made twice: {twice}"
    idle = [t for t in ours if t.operation == "UPDATE" and not t.changed()]
    assert not idle, f"written without need: {idle[:3]}"
    changed: Counter[tuple[str, ...]] = Counter()
    for effect, times in edits.items():
        changed[effect[:4]] += times
    written = Counter(effect for touch in ours for effect in cells(touch))
    often = [effect for effect, times in written.items() if times > 1 + changed[effect[:4]]]
    story = [touch for touch in ours if often and (touch.system, touch.table, touch.key) == often[0][:3]]
    asked = {effect: times for effect, times in edits.items() if often and effect[:3] == often[0][:3]}
    assert not often, f"written again and again: {often[:5]}; the first row: {story}, edited: {asked}"


def protected_untouched(ours: list[Touch]) -> None:
    """I3, in the owners: nobody but their people."""
    for touch in ours:
        column = PROTECTED.get(touch.table)
        broken = column in touch.changed() and touch.row[column] is not None
        assert not broken, f"a protected field was written: {touch}"


def make_world(
    folder: Path, make_database: Callable[[], str], given: Mapping[str, str] | None = None, items: int = landscape.ITEMS
) -> World:
    """`given`: databases that are elsewhere, of hub, crm, billing or erp."""
    return make(World, folder, make_database, given, items)


def make(
    kind: type[W],
    folder: Path,
    make_database: Callable[[], str],
    given: Mapping[str, str] | None = None,
    items: int = landscape.ITEMS,
) -> W:
    """A world of some kind."""
    dsns = {name: (given or {}).get(name) or make_database() for name in ("hub", *landscape.SYSTEMS)}
    landscape.lay_out(folder)
    world = kind(folder, **dsns, environment={f"{name.upper()}_DSN": dsn for name, dsn in dsns.items()})
    for system in landscape.SYSTEMS:
        with psycopg.connect(dsns[system], application_name=PERSON) as person:
            person.execute(landscape.ddl(system, items).encode())
    return world
