"""Where one rule is written twice, once plainly and once for speed, both say the same of anything."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fieldwarden.engine import large
from fieldwarden.engine.change import UNKNOWN, Change, RawChange, RawValue, Relation, RowRef, Value
from fieldwarden.engine.deciding.contribution import begin, hear
from fieldwarden.engine.deciding.identity import match_pairs, record_pairs
from fieldwarden.engine.deciding.mapping import StreamMapper
from fieldwarden.engine.deciding.meant import wanted
from fieldwarden.engine.deciding.plan import TargetPlan
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.resolve import choose, decide, is_spoken_for
from fieldwarden.engine.deciding.unrivalled import Unrivalled
from fieldwarden.engine.errors import ValueRefused
from fieldwarden.engine.ledger.entries import Decision, EntryBody, encode, encode_accepted, encode_large
from fieldwarden.engine.record import Contribution, Record, Stamp
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import Rulebook, Stream
from tests.builders import ALL, CRM, CUSTOMER, ERP, FLAT, rulebook

PLURAL: dict[str, Any] = copy.deepcopy(ERP)
PLURAL["streams"]["public.address"]["first_by"] = ["sequence", "id"]
BELOW: dict[str, Any] = copy.deepcopy(ERP)
BELOW["streams"]["public.party"]["where"] = "kind = 'customer'"
LEAVING: dict[str, Any] = copy.deepcopy(CUSTOMER)
LEAVING["fields"]["terms"]["on_reject"] = "leave"
LEAVING["fields"]["name"]["owner"] = "crm"
LEAVING["fields"]["name"]["seed_from"] = ["billing"]
PLAIN: dict[str, Any] = copy.deepcopy(CUSTOMER)
PLAIN["fields"]["terms"] = {"type": "text"}
RULES = {
    "as they are": rulebook(),
    "several rows": rulebook(erp=PLURAL),
    "excluded parents": rulebook(erp=BELOW),
    "refused and left": rulebook(LEAVING),
    "little protected": rulebook(
        PLAIN, erp={"system": "erp", "connector": ERP["connector"], "streams": {"public.party": FLAT}}
    ),
}
NAMES = list(ALL)
ROOTS = [("crm", "public.account"), ("billing", "public.customer"), ("erp", "public.party")]

values = ["A", "B", None]
rulebooks = st.sampled_from(list(RULES))
seeds = st.integers(0, 2**32)


def once_in(rng: random.Random, times: int) -> bool:
    return rng.randrange(times) == 0


def contribution(rng: random.Random, rules: Rulebook, place: tuple[str, str], key: str) -> Contribution:
    """Anything that a row may say, carry, and hold without its being anybody's word."""
    system, stream = place
    row = Contribution(system, stream, key, "5", Stamp("1", rng.choice([None, 1, 2, 3])), {})
    for name in rules.systems[system].streams[stream].fields:
        kept = rng.choice(["", "", "fields", "fields", "carried", "void"])
        if kept:
            getattr(row, kept)[name] = rng.choice(values)
        if kept == "fields" and once_in(rng, 2):
            row.stamps[name] = Stamp(str(rng.randrange(1, 6)), rng.choice([None, 1, 2, 3]))
        if kept and once_in(rng, 5):
            row.sent = {**row.sent, name: rng.choice(values)}
        if kept != "fields" and once_in(rng, 3):
            row.restore = {**row.restore, name: rng.choice(values)}
        if kept in ("fields", "carried") and once_in(rng, 7):
            row.still = {**row.still, name: rng.choice(values)}
        if once_in(rng, 10):
            row.unreadable = {**row.unreadable, name: "no such thing"}
    if once_in(rng, 5):
        row.deleted = "6"
    if stream == "public.address":
        row.under, row.order = "P", (rng.choice(["n1", "n2", None]), f"t{key}")
    return row


def some_record(rng: random.Random, rules: Rulebook) -> Record:
    """A record of at most one row of each root stream and two of the child stream, below a party that was known."""
    rows = [contribution(rng, rules, place, place[0]) for place in ROOTS if once_in(rng, 2)]
    if "public.address" in rules.systems["erp"].streams and any(row.stream == "public.party" for row in rows):
        rows += [contribution(rng, rules, ("erp", "public.address"), key) for key in ("1", "2") if once_in(rng, 2)]
    golden = {name: rng.choice(values) for name in NAMES if once_in(rng, 2)}
    return Record("0190", "customer", 3, golden, rows, retired=once_in(rng, 6))


@given(rulebooks, seeds)
def test_the_only_row_of_a_record_stands_as_it_does_beside_one_that_says_nothing(which: str, seed: int) -> None:
    rules, rng = RULES[which], random.Random(seed)
    row = contribution(rng, rules, rng.choice(ROOTS), "1")
    silent = Contribution("crm", "public.account", "silent", "1", Stamp("1", 1), {})
    for unit in rules.entities["customer"].units:
        assert choose(unit, [row]) is choose(unit, [row, silent])


@given(rulebooks, seeds)
def test_where_somebody_speaks_for_certain_an_own_word_or_an_owners_row_is_chosen(which: str, seed: int) -> None:
    rules = RULES[which]
    rows = some_record(random.Random(seed), rules).rows
    for unit in rules.entities["customer"].units:
        if is_spoken_for(unit, rows):
            winner = choose(unit, rows)
            assert winner is not None
            assert winner.system == unit.policy.owner or any(map(winner.own, unit.fields))


@settings(max_examples=300)
@given(rulebooks, seeds)
def test_what_is_accepted_without_rivals_is_what_deciding_accepts(which: str, seed: int) -> None:
    rules, rng = RULES[which], random.Random(seed)
    customer = rules.entities["customer"]
    place = rng.choice(ROOTS)
    others = [contribution(rng, rules, each, "2") for each in ROOTS if each != place and once_in(rng, 2)]
    for other in others if not once_in(rng, 4) else ():
        other.fields = {}
    row = contribution(rng, rules, place, "1")
    row.sent, row.still, row.deleted = {}, {}, None  # as after a change that told of all these fields
    heard = [
        name
        for unit in customer.units
        if row.system in ((unit.policy.owner, *unit.policy.seed_from) if unit.policy.protected else unit.policy.order)
        for name in unit.fields
    ]
    row.fields = {name: rng.choice("ABCDEFGHI") if rng.randrange(6) else None for name in heard if once_in(rng, 2)}
    row.carried = {name: "A" for name in row.carried if name not in row.fields and once_in(rng, 4)}
    row.void = {}
    changed = list(row.fields)[once_in(rng, 2) :] if once_in(rng, 2) else row.names()
    plain = Record(
        "0190", "customer", 3, {name: rng.choice("XYZ") for name in NAMES if once_in(rng, 3)}, [row, *others]
    )
    plain.golden |= {name: row.fields[name] for name in list(row.fields) if once_in(rng, 40)}
    short = copy.deepcopy(plain)
    before_all = copy.deepcopy(plain)
    taken = Unrivalled(customer, row.system).accept(short, short.rows[0], changed)
    if taken is None:
        assert short == before_all
        return
    decisions = decide(customer, plain, row, changed)
    accepted, before = taken
    assert {each.field: each for each in decisions} == {
        name: Decision(name, "accepted", value, before.get(name), value, row.system) for name, value in accepted.items()
    }
    assert None not in before.values()
    assert short.golden == plain.golden


def test_most_plain_changes_are_accepted_without_rivals() -> None:
    """The test above is about something."""
    for name, owner in (("tax_id", "billing"), ("name", "erp"), ("phone", "crm")):
        row = Contribution(owner, dict(ROOTS)[owner], "1", "1", Stamp("1", 1), {name: "A"})
        assert Unrivalled(RULES["as they are"].entities["customer"], owner).accept(
            Record("0190", "customer", 1, {}, [row]), row, [name]
        ) == ({name: "A"}, {})


def differing(rules: Rulebook, record: Record, stream: Stream, row: Contribution) -> tuple[str, ...]:
    """The fields of a row that are to be written, by the plainest description of what that means."""
    customer, names = rules.entities["customer"], []
    for name in stream.update_fields:
        unit, value, holds = customer.unit_of[name], wanted(record, row, name), row.holds(name)
        policy = unit.policy
        winner = choose(unit, record.rows)
        if name not in record.golden and name not in row.restore:
            continue
        if holds == value or (value is None and name not in {*row.names(), *row.sent}):
            continue
        if name in row.still:
            names.append(name)
        elif name in row.sent or name in row.carried:
            if winner is not row:
                names.append(name)
        elif policy.protected and policy.on_reject == "leave" and policy.owner != stream.system:
            if winner is not None and winner.system == policy.owner and any(map(winner.own, unit.fields)):
                said, stands = row.changed_at(unit.fields), winner.changed_at(unit.fields)
                if stands is not None and (said is None or said < stands):
                    names.append(name)
        else:
            names.append(name)
    return tuple(names)


@settings(max_examples=300)
@given(rulebooks, seeds)
def test_the_fields_of_a_row_that_are_written_are_found_by_a_short_way(which: str, seed: int) -> None:
    rules = RULES[which]
    record = some_record(random.Random(seed), rules)
    record.retired = False
    for row in record.rows:
        row.unreadable = {}
    for system in rules.systems.values():
        found = {each.row.ref: each for each in TargetPlan(rules, system.name).differences(record) if each.row}
        for row in record.rows:
            stream = system.streams.get(row.stream)
            if row.system == system.name and row.deleted is None and stream is not None and stream.parent is None:
                expected = differing(rules, record, stream, row)
                assert (found[row.ref].fields if row.ref in found else ()) == expected


@given(rulebooks, seeds)
def test_whether_anything_is_to_be_done_is_known_before_it_is_planned(which: str, seed: int) -> None:
    rules = RULES[which]
    record = some_record(random.Random(seed), rules)
    for system in rules.systems:
        plan = TargetPlan(rules, system)
        assert plan.pending(record) == bool(plan.differences(record))


@given(rulebooks, seeds)
def test_a_row_that_is_plainly_created_is_what_would_be_planned(which: str, seed: int) -> None:
    rules = RULES[which]
    record = some_record(random.Random(seed), rules)
    for system in rules.systems:
        plan = TargetPlan(rules, system)
        created, planned = plan.creation(record), plan.plan(record, {})
        if created is not None:
            assert not planned.awaits
            assert not planned.problem
            assert [(write.operation, write.values) for write in planned.writes] == [("create", created)]
            assert plan.writes_golden(plan.root("customer"))
            assert not plan.follows(plan.root("customer"))


def test_a_row_is_plainly_created_where_its_system_has_none() -> None:
    """The test above is about something."""
    record = Record("0190", "customer", 1, {"name": "A", "phone": None}, [])
    assert TargetPlan(RULES["as they are"], "crm").creation(record) == {"name": "A"}
    assert TargetPlan(RULES["as they are"], "erp").creation(record) is None


MATCHING = rulebook({**CUSTOMER, "identity": {"match": ["tax_id", ["name", "city"], {"phone": "digits"}]}})
stated = st.dictionaries(
    st.sampled_from(["tax_id", "name", "city", "phone"]),
    st.sampled_from(["A", "B", "1", "a-1", "sha256:1", "x" * 501, " ", "", None]),
)


@example(golden={}, said=[({"name": "A"}, {"tax_id": "A"})], same=True)
@given(stated, st.lists(st.tuples(stated, stated), max_size=3), st.booleans())
def test_a_record_is_found_by_what_its_golden_values_and_each_of_its_rows_state(
    golden: dict[str, Value], said: list[tuple[dict[str, Value], dict[str, Value]]], same: bool
) -> None:
    customer = MATCHING.entities["customer"]
    rows = [
        Contribution("crm", "public.account", str(number), "1", Stamp("1", 1), own, carried=carried)
        for number, (own, carried) in enumerate(said)
    ]
    record = Record("0190", "customer", 1, dict(rows[0].fields) if same and rows else golden, rows)
    found = set(match_pairs(customer, record.golden))
    for row in rows:
        # What a row only carries finds its record where it says anything at all itself.
        found |= set(match_pairs(customer, {**row.carried, **row.fields})) if row.fields else set()
    assert record_pairs(customer, record) == sorted(found)


@settings(max_examples=300)
@example(seed=99, number=4)  # our own write of what the row says anyway comes back
@given(seeds, st.integers(1, 9))
def test_a_row_hears_the_same_by_its_short_ways(seed: int, number: int) -> None:
    """A field beside the others that only stands there, with a former word given back, closes every short way."""
    rng, ref, owned, golden = (
        random.Random(seed),
        RowRef("crm", "public.account", "1"),
        {"name"},
        {"name": "A", "phone": "B"},
    )
    changes = [
        Change(ref, "customer", "upsert", str(rng.randrange(1, 6)), rng.randrange(1, 4), echo=once_in(rng, 2))
        for _ in range(number)
    ]
    if once_in(rng, 2):
        changes.sort(key=lambda change: change.position)
    for change in changes:
        change.fields = {name: rng.choice(values) for name in NAMES if once_in(rng, 2)} or {"name": "A"}
    short, plain = begin(changes[0]), begin(changes[0])
    plain.carried, plain.still = {"beside": "x"}, {"beside": "y"}
    for change in changes:
        assert hear(short, change, owned, golden) == hear(plain, change, owned, golden)
        plain.lag.pop("beside", None)
        if once_in(rng, 2):  # we write what is golden, or was
            name = rng.choice([*short.fields, *NAMES[:2]])
            short.sent = {**short.sent, name: rng.choice([*values, *short.fields.values()])}
            plain.sent = dict(short.sent)
    del plain.carried["beside"], plain.still["beside"]
    assert short == plain


TYPED = rulebook_from_documents(
    [
        {
            "entity": "customer",
            "identity": "none",
            "fields": {
                "number": {"type": "integer", "strategy": "source_priority", "order": ["crm"]},
                "limit": {"type": "decimal(6,2)", "strategy": "source_priority", "order": ["crm"]},
                "since": {"type": "date", "strategy": "source_priority", "order": ["crm"]},
                "note": {"type": "text", "strategy": "source_priority", "order": ["crm"]},
                "loud": {"type": "text", "strategy": "source_priority", "order": ["crm"]},
            },
        }
    ],
    [
        {
            "system": "crm",
            "connector": CRM["connector"],
            "streams": {
                "public.account": {
                    "entity": "customer",
                    "key": "id",
                    "fields": {name: name for name in ("number", "limit", "since", "note")} | {"loud": "upper(note)"},
                }
            },
        }
    ],
    {},
    ["crm"],
)
raw_values = st.sampled_from(["1", "01", "1.5", "2026-01-31", "x", None, UNKNOWN])


@given(st.lists(raw_values, min_size=4, max_size=4))
def test_a_row_is_mapped_field_by_field_as_it_is_at_once(row: list[RawValue]) -> None:
    customer, stream = TYPED.entities["customer"], TYPED.systems["crm"].streams["public.account"]
    relation = Relation("public.account", ("id", "number", "limit", "since", "note"), ("text",) * 5)
    raw = RawChange(relation, "insert", ("1", *row), "1", 1)
    at_once = StreamMapper(stream, customer, relation)(raw)
    note = row[3]
    fields: dict[str, Value] = {} if note is UNKNOWN else {"note": note, "loud": note and note.upper()}
    unreadable = set()
    for name, value in zip(("number", "limit", "since"), row, strict=False):
        canonical = customer.fields[name].type.canonical()
        assert canonical is not None
        try:
            if value is not UNKNOWN:
                fields[name] = value and canonical(value)
        except ValueRefused:
            unreadable.add(name)
    assert (at_once.fields, set(at_once.unreadable)) == (fields, unreadable)


texts = st.text(max_size=12)
accepted_ones = st.builds(lambda name, old, new: Decision(name, "accepted", new, old, new, "crm"), texts, texts, texts)
others = st.builds(Decision, texts, st.sampled_from(["accepted", "refused"]), texts, st.none() | texts, texts, texts)


@given(st.lists(accepted_ones, max_size=3) | st.lists(others, max_size=3), st.integers(0, 9), st.integers(1, 5))
def test_an_entry_in_pieces_is_the_entry(made: list[Decision], limit: int, piece: int) -> None:
    body = EntryBody("customer", ("crm", "public.account", "1"), "said", "7", 1, made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "LARGE", limit)
        patch.setattr(large, "PIECE", piece)
        assert bytes(encode_large(body)) == encode(body)


@given(st.dictionaries(texts, st.none() | texts, min_size=1, max_size=4), st.data())
def test_an_entry_that_accepts_all_is_encoded_as_its_decisions_are(
    accepted: dict[str, Value], data: st.DataObject
) -> None:
    before = {name: data.draw(texts) for name in accepted if data.draw(st.booleans())}
    linked = data.draw(st.sampled_from(["", "new", "match"]))
    row = ("crm", "public.account", "1")
    made = [Decision(name, "accepted", value, before.get(name), value, "crm") for name, value in accepted.items()]
    body = EntryBody("customer", row, "said", "7", 1, made, "tx", linked)
    assert encode_accepted("customer", row, "said", "7", 1, accepted, before, "tx", linked) == encode(body)


@given(rulebooks, rulebooks, seeds)
def test_only_what_new_rules_say_otherwise_need_be_looked_at(former: str, newer: str, seed: int) -> None:
    old, new = RULES[former], RULES[newer]
    record = some_record(random.Random(seed), old)
    Reresolver(old)(record)
    some, whole = copy.deepcopy(record), copy.deepcopy(record)
    looked, seen = Reresolver(new, old)(some), Reresolver(new)(whole)
    assert sorted(looked.decisions) == sorted(seen.decisions)
    assert (looked.retired, looked.dropped) == (seen.retired, seen.dropped)
    assert some == whole
