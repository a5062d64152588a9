"""The JSON Schemas that editors use say what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fieldwarden.rules.models import POLICY_KEYS
from fieldwarden.rules.schema import KINDS, json_schema


def objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for item in node.values():
            yield from objects(item)
    elif isinstance(node, list):
        for item in node:
            yield from objects(item)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_are_errors_and_every_key_is_described(kind: str) -> None:
    schema = json_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"Fieldwarden {kind}"
    for part in objects(schema):
        if "properties" in part and isinstance(part.get("type"), str):
            assert part["additionalProperties"] is False
            assert all("description" in described for described in part["properties"].values())


def test_a_field_may_carry_every_policy_key() -> None:
    keys = json_schema("entity")["$defs"]["FieldModel"]["properties"].keys()
    assert {*POLICY_KEYS, "type", "class", "optional", "check", "on_invalid"} == set(keys)


def test_a_mapping_is_text_or_a_form_and_a_key_one_column_or_a_list() -> None:
    stream = json_schema("system")["$defs"]["StreamModel"]["properties"]
    assert "set" in stream
    assert [choice.get("type") for choice in stream["key"]["oneOf"]] == ["string", "array"]
    (fields,) = stream["fields"]["patternProperties"].values()
    assert len(fields["oneOf"]) == 2


def test_a_length_of_time_is_shown_as_it_is_written() -> None:
    limits = json_schema("project")["$defs"]["Limits"]["properties"]
    assert limits["future_tolerance"]["default"] == "5m"
