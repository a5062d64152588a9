"""A record that cannot be read says what is wrong with it in words that hold nothing of what it says itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from fieldwarden.engine.change import Undecoded
from tests.faults.leaks import leaks
from tests.unit.debezium.records import ID, TEXT, change, decoder, envelope, key, payload, struct, value, wrapped

PERSON = "odalinde.planted@planted.example"
ROW = {"id": 1, "v": PERSON}
SOUND = value("c", {**ID, "v": TEXT}, None, ROW)


def of(schema: dict[str, Any], held: Any = PERSON) -> bytes:
    return value("c", {**ID, "v": schema}, None, {"id": 1, "v": held})


def kind(name: str, base: str = "string", **parameters: str) -> dict[str, Any]:
    return {"type": base, "name": name, "parameters": parameters}


VALUES = {
    "no JSON": SOUND[:-3],
    "no JSON but the value": PERSON.encode(),
    "JSON of no envelope": json.dumps(PERSON).encode(),
    "an unknown operation": wrapped(envelope({**ID, "v": TEXT}), payload(PERSON, None, ROW)),
    "no row": wrapped(envelope({**ID, "v": TEXT}), payload("c", None, PERSON)),
    "a text for a number": of({"type": "int64"}),
    "a text for a truth": of({"type": "boolean"}),
    "a text for bytes": of({"type": "bytes"}),
    "a text for a decimal": of(kind("org.apache.kafka.connect.data.Decimal", "bytes", scale="2")),
    "a text for a day": of(kind("io.debezium.time.Date", "int32")),
    "a text for a time": of(kind("io.debezium.time.MicroTimestamp", "int64")),
    "a text that cannot be stored": of(TEXT, f"{PERSON}\0"),
    "a time that is a text": value("c", {**ID, "v": TEXT}, None, ROW, ts_us=PERSON),
    "a transaction that is a text": value("c", {**ID, "v": TEXT}, None, ROW, txId=[PERSON]),
}
KEYS = {
    "no JSON": key(id=PERSON)[:-3],
    "no JSON but the value": PERSON.encode(),
    "JSON of no object": json.dumps(PERSON).encode(),
    "an object in the column": wrapped(struct({"id": TEXT}), {"id": {PERSON: PERSON}}),
}


def undecoded(data: bytes, record_key: bytes | None = None) -> Undecoded:
    with capture_logs() as logs:
        said = change(decoder(), data, record_key)
    assert said.undecoded is not None, said
    assert leaks({"its reason": said.undecoded.reason, "the log": str(logs)}, [PERSON]) == []
    return said.undecoded


@pytest.mark.parametrize("what", VALUES)
def test_what_is_said_of_a_value_that_cannot_be_read_quotes_nothing_of_it(what: str) -> None:
    kept = undecoded(VALUES[what])
    assert leaks({"what is kept": str(kept.value)}, [PERSON]), "which does hold it"


@pytest.mark.parametrize("what", KEYS)
def test_what_is_said_of_a_key_that_cannot_be_read_quotes_nothing_of_it(what: str) -> None:
    kept = undecoded(SOUND, KEYS[what])
    assert leaks({"what is kept": str(kept.key)}, [PERSON]), "which does hold it"
