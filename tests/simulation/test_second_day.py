"""Generated second days: rules change, fields leave them and come again, people say again what was refused once, rows
are deleted and come again, values are spoiled and mended.

Every value is unlike any other, so that one which comes back is found out. At rest the systems agree with the golden
records, what was refused is neither golden nor anywhere in a system, and the ledger folds to the records.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from fieldwarden.engine.change import Value
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.ledger.entries import EntryBody, decode, encode
from fieldwarden.engine.ledger.replay import Fold
from fieldwarden.engine.ports.durable import Entry, IngestOutcome
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.running.ingest import second_tries as secondtry
from fieldwarden.rules.changes import compare
from fieldwarden.rules.rulebook import Rulebook
from tests.builders import BEGUN, BILLING, CRM, CUSTOMER, ERP, rulebook
from tests.parts import first
from tests.simulation.test_whole_runs import RULES, World
from tests.simulation.virtual_time import simulate

FIELDS = CUSTOMER["fields"]
_FIRST = 1000
"""The first number that makes a value unlike any other."""


def variant(**fields: dict[str, Any]) -> Rulebook:
    return rulebook({**CUSTOMER, "fields": FIELDS | fields})


def without(name: str) -> Rulebook:
    """Nobody maps the field any more, though every table has it still."""
    entity = copy.deepcopy(CUSTOMER)
    del entity["fields"][name]
    systems = {document["system"]: copy.deepcopy(document) for document in (CRM, BILLING, ERP)}
    for document in systems.values():
        for stream in document["streams"].values():
            stream["fields"] = {field: column for field, column in stream["fields"].items() if field != name}
    return rulebook(entity, **systems)


RULEBOOKS = {
    "as they were": RULES,
    "the limit is the crm's": variant(credit_limit={"type": "decimal(14,2)", "owner": "crm", "protected": True}),
    "terms by recency": variant(terms={"type": "text", "strategy": "recency", "among": ["erp", "crm", "billing"]}),
    "the erp comes first": variant(segment={"type": "text", "strategy": "source_priority", "order": ["erp", "crm"]}),
    "the name is finance's": variant(name={"type": "text", "owner": "erp", "protected": True}),
    "the phone is billing's": variant(phone={"type": "text", "owner": "billing", "protected": True}),
    "no segments": without("segment"),
    "no phones": without("phone"),
    "no terms": without("terms"),
}
SPOILED = "about "
"""No number: what begins so cannot be read as a credit limit."""


class Days(World):
    """A world whose people never say the same thing twice."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, faults=0.0 if seed % 3 == 0 else 0.06)
        self.said = _FIRST
        self.forgotten: dict[str, int] = {}
        """Field -> the last number said when it left the rules: what was refused before is known no more."""
        self._faults = self.faults

    def act(self, step: int) -> None:
        choice = self.rng.random()
        system = self.systems[self.rng.choice(sorted(self.systems))]
        if choice < 0.08:
            self.systems["crm"].insert(f"N{self._next()}")
        elif choice < 0.16 and system.name == "billing":
            system.delete()
        elif choice < 0.22:
            system.spell(self._next(), SPOILED)
        else:
            system.edit(self._next())

    def mend(self) -> None:
        for system in self.systems.values():
            while system.spell(self._next(), "", SPOILED):
                pass

    def _next(self) -> int:
        self.said += 1
        return self.said

    async def apply(self, rules: Rulebook, former: Rulebook) -> None:
        """The new rules, to every record; nothing else goes on meanwhile. What they map anew is read next."""
        self.forgotten |= dict.fromkeys(
            former.entities["customer"].fields.keys() - rules.entities["customer"].fields, self.said
        )
        for name in sorted({each.system for each in compare(former, rules).reading}):
            if self.systems[name].read_again():
                await self.hub.begin_again(name, (await self.hub.baseline(name)).number + 1, None, BEGUN)
        reresolve, whole = Reresolver(rules, former), Reresolver(rules)
        plans = {name: TargetPlan(rules, name) for name in rules.systems}
        lease = await self.hub.lease(Lane("rules"))
        for id in list(self.hub.records):
            record = self.hub.record(id)
            unhurried = copy.deepcopy(record)
            applied = reresolve(record)
            slowly = whole(unhurried)._replace(chosen=applied.chosen)
            assert (slowly, unhurried) == (applied, record), "what both say in the same way need no look"
            outcome = IngestOutcome(records=[record])
            if applied.news:
                record.version += 1
                body = EntryBody(record.entity, ("", "", ""), "applied", "", None, applied.decisions)
                body.retired = applied.retired
                outcome.entries = [Entry(id, record.version, encode(body))]
            outcome.dirty = [(name, id) for name, plan in plans.items() if plan.pending(record)]
            self.hub.apply(lease, outcome, rules.hash)

    async def day(self, rules: Rulebook, steps: int, *, deliver: bool = True) -> None:
        self.faults = self._faults
        for system in self.systems.values():
            system.faults = self._faults
        await self.period(rules, steps, deliver=deliver)


def refused(world: Days) -> dict[tuple[str, Value], str]:
    """(field, value) -> the record, of every edit that was refused or held and not accepted later."""
    said = {f"{n}.00" for n in range(_FIRST, world.said + 1)} | {
        f"{name} {n}" for n in range(_FIRST, world.said + 1) for name in FIELDS
    }
    found: dict[tuple[str, Value], str] = {}
    for entry in world.hub.entries:
        body = decode(entry.body)
        for decision in body.decisions:
            place = (decision.field, decision.proposed)
            if decision.outcome in ("refused", "held") and decision.proposed in said:
                if _number(decision.proposed) <= world.forgotten.get(decision.field, 0):
                    continue
                found[place] = entry.record
            elif decision.outcome == "accepted":
                found.pop(place, None)
    return found


def _number(value: str) -> int:
    return int(value.removesuffix(".00").rpartition(" ")[2])


def assert_at_rest(world: Days, rules: Rulebook) -> None:
    assert not world.hub.set_aside
    places = refused(world)
    stands = {(name, value) for record, _ in world.hub.records.values() for name, value in record.golden.items()}
    assert not places.keys() & stands, "a refused value is golden"
    for id, (record, _) in world.hub.records.items():
        for row in record.rows:
            there = world.systems[row.system].target.rows.get(row.stream, {}).get(row.key)
            assert (there is not None) == row.live, row.ref
            if there is None or record.retired:
                continue
            assert not (there.values.get("credit_limit") or "").startswith(SPOILED)
            for name in rules.systems[row.system].streams[row.stream].fields:
                holds = there.values.get(name)
                if name in row.void and rules.entities["customer"].unit_of[name].policy.owner == row.system:
                    continue  # refused before its system became the owner, whose field nobody may correct
                assert (name, holds) not in places or places[name, holds] != id, f"{row.ref} holds a refused {name}"
                if name in record.golden:
                    assert holds == record.golden[name], f"{row.ref} {name}"
    folds: dict[str, Fold] = {}
    for entry in sorted(world.hub.entries, key=lambda entry: (entry.record, entry.version)):
        assert not list(folds.setdefault(entry.record, Fold()).apply(entry.version, decode(entry.body)))
    for id, (record, _) in world.hub.records.items():
        folded = {name: value for name, value in folds[id].golden.items() if value is not None}
        assert folded == {name: value for name, value in record.golden.items() if value is not None}


@pytest.mark.parametrize("seed", first(20, range(200)))
def test_after_any_change_of_rules_the_systems_agree_and_nothing_refused_comes_back(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secondtry, "PAGE", (2000, 1, 2, 3)[seed % 4])
    simulate(_days(Days(seed), random.Random(seed)))


async def _days(world: Days, rng: random.Random) -> None:
    await world.live(steps=25)
    assert_at_rest(world, RULES)
    rules = RULES
    for _ in range(3):
        await world.day(rules, steps=rng.choice((0, 6)), deliver=False)  # heard and decided, but not corrected yet
        former, rules = rules, RULEBOOKS[rng.choice(sorted(RULEBOOKS))]
        await world.apply(rules, former)
        await world.day(rules, steps=20)
        assert_at_rest(world, rules)
