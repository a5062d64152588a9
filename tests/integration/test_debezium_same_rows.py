"""One table with every type, read by both connectors at once: they must tell the very same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fieldwarden.connectors.debezium.connect.registration import TOLD_TYPES
from fieldwarden.connectors.debezium.decoding.changes import Decoder
from fieldwarden.engine.change import RawChange
from fieldwarden.rules.rulebook import System
from stack import Stack
from stack.topics import read
from tests.builders import debezium
from tests.golden.record_debezium import ROWS, SETUP, insertion
from tests.integration.reading import ask, reading, run, stream, system
from tests.integration.reading import source as by_us

COLUMNS = """
    select string_agg(attname, ',' order by attnum)
    from pg_attribute where attrelid = 'types'::regclass and attnum > 0"""
OPTIONS = {
    "decimal.handling.mode": "string",
    "interval.handling.mode": "string",
    "datatype.propagate.source.type": TOLD_TYPES,
    "value.converter.replace.null.with.default": "false",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
}
DOMAIN = {"public.types": {"nd": "numeric"}}
"""A column of a domain is the one whose type Debezium does not tell; the caller says it."""


def told(records: list[Any], prefix: str, mapped: Any) -> list[RawChange]:
    decoder = Decoder(
        System("crm", 0, debezium(prefix=prefix), {mapped.name: mapped}), schema_of=lambda _: None, types=DOMAIN
    )
    said = [decoder.decode(record, "p") for record in records]
    return [each for each in said if isinstance(each, RawChange)]


def by_id(changes: list[RawChange]) -> dict[str, dict[str, Any]]:
    return {str(c.values[0]): dict(zip(c.relation.columns, c.values, strict=True)) for c in changes}


async def test_debezium_and_the_direct_connector_tell_the_same_rows(
    stack: Stack, database: str, debezium: Callable[..., str]
) -> None:
    run(database, SETUP, *(insertion(number, values) for number, values in ROWS.items()))
    mapped = stream("public.types", ("id",), tuple(ask(database, COLUMNS).split(",")))
    prefix = debezium(database, "public.types", OPTIONS)
    topic = f"{prefix}.public.types"
    await read(stack.bootstrap, topic, count=len(ROWS))
    async with reading(by_us(system(mapped), database)) as reader:
        await reader.baseline()
        run(database, *(insertion(10 + number, values) for number, values in ROWS.items()))
        direct = await reader.count(2 * len(ROWS))
    indirect = told(await read(stack.bootstrap, topic, count=2 * len(ROWS)), prefix, mapped)
    assert [each.undecoded for each in indirect if each.undecoded] == []
    assert [each.operation for each in indirect] == [each.operation for each in direct]
    assert indirect[0].relation.columns == direct[0].relation.columns
    assert indirect[0].relation.types == direct[0].relation.types
    expected = by_id(direct)
    expected["5"]["d"] = expected["5"]["d"].removesuffix(" BC")  # an era that Debezium's snapshot loses
    assert by_id(indirect) == expected
