"""Generated histories of three systems, and the naive oracle that says what they must end in.

The oracle shares no code with the engine: it sorts every row's changes, walks them one by one, and applies the rules
of `tests.builders.CUSTOMER` as if they were written out by hand.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from fieldwarden.engine.change import Change, RowRef, Value

ROOTS = {"crm": "public.account", "billing": "public.customer", "erp": "public.party"}
FLAT = ("name", "phone", "segment", "credit_limit", "terms")
ADDRESS = ("street", "city")
WORDS = {
    "name": ("Acme", "ACME Ltd", "Acme SA", None),
    "phone": ("1", "2", "3", None),
    "segment": ("smb", "mid", "big", None),
    "credit_limit": ("100.00", "250.50", None),
    "terms": ("NET30", "NET60", None),
    "street": ("Main St", "High St", None),
    "city": ("Paris", "Rome", None),
}


@dataclass
class History:
    """Changes per system, in the system's own order."""

    changes: dict[str, list[Change]] = field(default_factory=lambda: {"crm": [], "billing": [], "erp": []})

    @property
    def all(self) -> list[Change]:
        return [change for changes in self.changes.values() for change in changes]


def generate(rng: random.Random, customers: int = 3, length: int = 24) -> History:
    """Inserts, partial and full updates, deletes, re-inserts, and address rows that move to other parties.

    Every change names the fields it changed, as a source does that knows (`Change.changed`).
    """
    history = History()
    state: dict[RowRef, dict[str, Value] | None] = {}
    parents: dict[RowRef, RowRef] = {}
    for step in range(length):
        system = rng.choice(("crm", "billing", "erp"))
        position, at = f"{step:08}", rng.choice((None, step * 10, step * 10, rng.randrange(length * 10)))
        if system == "erp" and rng.random() < 0.4:
            _address(rng, history, state, parents, customers, position, at)
            continue
        customer = rng.randrange(customers)
        row = RowRef(system, ROOTS[system], f"{customer}")
        fields = FLAT if system == "erp" else FLAT + ADDRESS
        _root(rng, history, state, row, fields, customer, position, at)
    return history


def _root(
    rng: random.Random,
    history: History,
    state: dict[RowRef, dict[str, Value] | None],
    row: RowRef,
    names: Iterable[str],
    customer: int,
    position: str,
    at: int | None,
) -> None:
    known = state.get(row)
    if known is None:
        values = {name: rng.choice(WORDS[name]) for name in names} | {"tax_id": f"T{customer}"}
        _tell(history, state, row, values, frozenset(values), position, at)
    elif rng.random() < 0.15 and row.system != "erp":
        state[row] = None
        history.changes[row.system].append(Change(row, "customer", "delete", position, at))
    else:
        _edit(rng, history, state, row, known, position, at)


def _address(
    rng: random.Random,
    history: History,
    state: dict[RowRef, dict[str, Value] | None],
    parents: dict[RowRef, RowRef],
    customers: int,
    position: str,
    at: int | None,
) -> None:
    parties = [row for row, known in state.items() if row.stream == ROOTS["erp"] and known is not None]
    if not parties:
        return
    row = RowRef("erp", "public.address", f"{rng.randrange(customers)}")
    known = state.get(row)
    parent = parents.get(row)
    if known is None or parent is None:
        parents[row] = rng.choice(parties)
        values = {name: rng.choice(WORDS[name]) for name in ADDRESS}
        _tell(history, state, row, values, frozenset(values), position, at, parents[row])
    elif rng.random() < 0.2:
        state[row] = None
        history.changes["erp"].append(Change(row, "customer", "delete", position, at))
    elif rng.random() < 0.4:
        parents[row] = rng.choice(parties)
        _tell(history, state, row, dict(known), frozenset(), position, at, parents[row])
    else:
        _edit(rng, history, state, row, known, position, at, parent)


def _edit(
    rng: random.Random,
    history: History,
    state: dict[RowRef, dict[str, Value] | None],
    row: RowRef,
    known: dict[str, Value],
    position: str,
    at: int | None,
    parent: RowRef | None = None,
) -> None:
    editable = [name for name in known if name != "tax_id"]
    name = rng.choice(editable)
    value = rng.choice([word for word in WORDS[name] if word != known[name]])
    image = known | {name: value}
    if rng.random() < 0.3:
        # An unchanged TOAST value: the image leaves it out.
        image = {key: text for key, text in image.items() if key in (name, "tax_id") or rng.random() < 0.5}
    _tell(history, state, row, image, frozenset({name}), position, at, parent, full=known | {name: value})


def _tell(
    history: History,
    state: dict[RowRef, dict[str, Value] | None],
    row: RowRef,
    image: dict[str, Value],
    changed: frozenset[str],
    position: str,
    at: int | None,
    parent: RowRef | None = None,
    full: dict[str, Value] | None = None,
) -> None:
    state[row] = dict(full if full is not None else image)
    change = Change(row, "customer", "upsert", position, at, dict(image), parent=parent, changed=changed)
    history.changes[row.system].append(change)


# --- the oracle ----------------------------------------------------------------------------------------------


@dataclass
class Row:
    system: str
    stream: str
    key: str
    values: dict[str, Value]
    times: dict[str, int | None]
    positions: dict[str, str]
    live: bool
    parent: str | None
    tax: str | None


def oracle(history: History) -> dict[str, dict[str, Value]]:
    """Tax id -> golden values, for every customer that any row speaks of."""
    rows = _final_rows(history)
    customers: dict[str, list[Row]] = {}
    roots: dict[str, str] = {row.key: row.tax for row in rows if row.stream == ROOTS["erp"] and row.tax}
    for row in rows:
        tax = row.tax if row.stream != "public.address" else roots.get(row.parent or "")
        if tax:
            customers.setdefault(tax, []).append(row)
    return {tax: _golden(mine) for tax, mine in customers.items()}


def _final_rows(history: History) -> list[Row]:
    rows: dict[RowRef, Row] = {}
    for change in sorted(history.all, key=lambda change: change.position):
        row = rows.get(change.row)
        if change.operation == "delete":
            if row is not None:
                row.live = False
            continue
        if row is None or not row.live:
            row = rows[change.row] = Row(
                *change.row, values={}, times={}, positions={}, live=True, parent=None, tax=None
            )
        for name, value in change.fields.items():
            if name not in row.values or row.values[name] != value or name in (change.changed or ()):
                row.times[name], row.positions[name] = change.at, change.position
            row.values[name] = value
        row.tax = row.values.get("tax_id") or row.tax
        row.parent = change.parent.key if change.parent else row.parent
    return list(rows.values())


def _golden(rows: list[Row]) -> dict[str, Value]:
    live = [row for row in rows if row.live]
    golden: dict[str, Value] = {}

    def put(names: tuple[str, ...], winner: Row | None) -> None:
        for name in names:
            if winner is not None:
                golden[name] = winner.values[name]

    def by_system(names: tuple[str, ...], order: list[str], nulls: tuple[str, ...]) -> Row | None:
        for system, cleared in [(s, False) for s in order] + [(s, True) for s in order]:
            mine = [
                row
                for row in live
                if row.system == system
                and all(n in row.values and (row.values[n] is not None or system in nulls or cleared) for n in names)
            ]
            if mine:
                return max(
                    mine,
                    key=lambda row: (
                        max(-1 if row.times[n] is None else row.times[n] or 0 for n in names),
                        max(row.positions[n] for n in names),
                        row.key,
                    ),
                )
        return None

    put(("tax_id",), by_system(("tax_id",), ["erp", "billing", "crm"], ("billing",)))
    put(("name",), by_system(("name",), ["erp", "crm", "billing"], ("erp", "billing")))
    put(("segment",), by_system(("segment",), ["crm", "billing", "erp"], ()))
    put(("street", "city"), by_system(("street", "city"), ["billing", "erp", "crm"], ("billing",)))
    phones = [
        row
        for row in live
        if row.system in ("crm", "billing")
        and "phone" in row.values
        and (row.values["phone"] is not None or row.system == "billing")
    ]
    phones = phones or [row for row in live if row.system == "crm" and "phone" in row.values]
    if phones:
        newest = max(
            phones,
            key=lambda row: (-1 if row.times["phone"] is None else row.times["phone"] or 0, row.system == "crm"),
        )
        put(("phone",), newest)
    for name, seeds in (("credit_limit", ["billing"]), ("terms", [])):
        owners = [row for row in rows if row.system == "erp" and name in row.values]
        put((name,), owners[0] if owners else by_system((name,), seeds, ()))
    return golden
