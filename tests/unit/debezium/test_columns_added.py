"""Records written before a column was added: what they lack is unknown, once the table is known to have it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldwarden.connectors.debezium.decoding.changes import Decoder
from fieldwarden.connectors.debezium.decoding.plain import field_types
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import SchemaDrift
from tests.integration.kafka_world import ACCOUNT, entities, event, key, system
from tests.unit.debezium.records import record

NOW = {"id": "integer", "name": "text", "credit": "numeric"}
WITH, WITHOUT = {"id": 1, "name": "Ada", "credit": "1.00"}, {"id": 1, "name": "Ada"}


def with_schema(row: dict[str, Any]) -> bytes:
    return event(ACCOUNT, "c", row)


def without_schema(row: dict[str, Any]) -> bytes:
    return json.dumps({"before": None, "after": row, "source": {"ts_ms": 1, "snapshot": "false"}, "op": "c"}).encode()


@pytest.fixture
def decoder() -> Decoder:
    described = system("crm")
    return Decoder(described, schema_of=lambda _: None, types=field_types(described, entities()))


def decoded(decoder: Decoder, value: bytes) -> RawChange:
    change = decoder.decode(record(key(1), value, topic=f"crm.{ACCOUNT}"), "0")
    assert isinstance(change, RawChange)
    return change


@pytest.mark.parametrize("written", [with_schema, without_schema])
def test_a_missing_column_is_drift_until_the_table_is_known_to_have_it(decoder: Decoder, written: Any) -> None:
    topic = f"crm.{ACCOUNT}"
    with pytest.raises(SchemaDrift, match="credit"):
        decoded(decoder, written(WITHOUT))
    decoder.tell_columns(topic, NOW)
    before, after = decoded(decoder, written(WITHOUT)), decoded(decoder, written(WITH))
    assert before.values[before.relation.columns.index("credit")] is UNKNOWN
    assert before.relation is not after.relation, "or one could not tell them apart"
    assert decoder.is_partial(topic, before.relation)
    assert not decoder.is_partial(topic, after.relation)
    assert decoded(decoder, written(WITHOUT)).relation is before.relation

    decoder.tell_columns(topic, {name: kind for name, kind in NOW.items() if name != "credit"})
    with pytest.raises(SchemaDrift, match="credit"):
        decoded(decoder, written(WITHOUT))
    assert decoded(decoder, written(WITH)).values == after.values
