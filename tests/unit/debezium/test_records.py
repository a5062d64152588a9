"""Records that could not be read: tried again, and told again."""

from __future__ import annotations

import json
from typing import Any

from fieldwarden.connectors.debezium.kafka.parts import NOWHERE
from fieldwarden.connectors.debezium.kafka.repeats import is_repeat, newer
from fieldwarden.connectors.debezium.reading.records import Records
from fieldwarden.engine.change import RawChange, Relation, Undecoded
from fieldwarden.rules.rulebook import System
from tests.builders import debezium
from tests.unit.debezium import test_avro
from tests.unit.debezium.records import ID, TEXT, TOPIC, change, decoder, key, stream, value

COLUMNS = {**ID, "v": TEXT}


def records(**settings: Any) -> Records:
    system = System("crm", 0, debezium(**settings), {"public.account": stream("id", "v")})
    return Records(system, {}, None)


def kept(record_key: bytes, record_value: bytes) -> RawChange:
    """A dead letter, of an older version or of options that have been mended since."""
    relation = Relation("public.account", ("id",), ("text",))
    undecoded = Undecoded("it could not be read", record_key, record_value)
    return RawChange(relation, "update", ("1",), "0001.29", None, place=f"{TOPIC}/3@41", undecoded=undecoded)


async def test_what_can_be_read_now_is_without_a_registry_too() -> None:
    again = await records().again(kept(key(id=1), value("u", COLUMNS, None, {"id": 1, "v": "a"})))
    assert again.undecoded is None
    assert (again.operation, again.values) == ("update", ("1", "a"))
    assert (again.place, again.position) == (f"{TOPIC}/3@41", "0001.29")


async def test_an_option_that_was_mended_counts() -> None:
    undecided = value("u", COLUMNS, None, {"id": 1, "v": "__none__"})
    options = {"unavailable.value.placeholder": "__none__"}
    again = await records(options=options).again(kept(key(id=1), undecided))
    assert again.undecoded is None
    assert not isinstance(again.values[1], str)


async def test_what_needs_a_registry_stays_as_it_is_without_one() -> None:
    avro = kept(
        test_avro.framed(8, test_avro.KEY, {"id": 1}), test_avro.framed(7, test_avro.ENVELOPE, test_avro.CHANGE)
    )
    broken = kept(key(id=1), b"\xff")
    assert await records().again(avro) is avro
    assert await records().again(broken) is broken


def test_a_record_of_which_a_value_cannot_be_read_is_no_news_when_it_is_told_again() -> None:
    """Where it stands in the database's log is read before its values are."""
    made, heard = decoder(), NOWHERE

    def told(v: str, lsn: int) -> str | None:
        nonlocal heard
        said = change(made, value("u", COLUMNS, None, {"id": 1, "v": v}, sequence=json.dumps(["30", str(lsn)])))
        if is_repeat(made.mark, heard):
            return None
        heard = newer(heard, made.mark)
        return "poison" if said.undecoded else str(said.values[1])

    assert [told("a", 40), told("b\0", 41), told("c", 42)] == ["a", "poison", "c"]
    assert [told("a", 40), told("b\0", 41), told("c", 42)] == [None, None, "c"]
