"""JSON Schema of the three kinds of file, for editors that complete and check YAML."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from fieldwarden.rules.models import BuiltInSystemFile, EntityFile, ProjectFile, system_file
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.shapes import Strict

Kind = Literal["entity", "system", "project"]
KINDS: tuple[str, ...] = get_args(Kind)

_MODELS: dict[str, type[Strict]] = {"entity": EntityFile, "system": BuiltInSystemFile, "project": ProjectFile}


def json_schema(kind: str, connectors: Sequence[type[Settings]] = ()) -> dict[str, Any]:
    """The schema (draft 2020-12) of one kind of file. `connectors`: the settings of the kinds of connector that a
    system may have, two or more; those that are built in if none are given. Raises KeyError for a kind that is not in
    KINDS."""
    model = _system(connectors) if kind == "system" and connectors else _MODELS[kind]
    return schema_of(model, kind)


def schema_of(model: type[Strict], kind: str) -> dict[str, Any]:
    """The schema of the files that a model says the shape of."""
    schema = _plain(model.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"Fieldwarden {kind}"}


def _system(connectors: Sequence[type[Settings]]) -> type[Strict]:
    one_of: Any = reduce(or_, connectors)
    return system_file(Annotated[one_of, Field(discriminator="kind")])


def _plain(node: Any) -> Any:
    """Without what pydantic adds for Python's sake: titles made from names, null for a key that may be left out."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _plain(item) for key, item in node.items() if key != "title" or not isinstance(item, str)}
    if "default" in result and result["default"] is None and "anyOf" in result:
        del result["default"]
        (only,) = (choice for choice in result.pop("anyOf") if choice != {"type": "null"})
        result = {**only, **result}
    if "patternProperties" in result:
        result["additionalProperties"] = False
    return result
