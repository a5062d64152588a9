"""Shape errors in plain words: what pydantic found, said as a person would, at its line and column."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fieldwarden.rules.documents import Document, Path
from fieldwarden.rules.errors import Problem

Model = TypeVar("Model", bound=BaseModel)

_NAME_RULE = "lower-case letters, digits and _, beginning with a letter"
_PLAIN = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_short": "must not be empty",
    "too_long": "may hold only one entry",
}


def closest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A suggestion: the known word that `word` was probably meant to be, else what there is."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return otherwise or (f"there is {', '.join(sorted(known))}" if known else "")


def validate(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """The file as a model, with its problems. A file with problems still gives what is left of it without the
    wrong parts, where that makes sense, so that other files can be checked against it in the same run."""
    data: Any = document.data
    problems: list[Problem] = []
    for attempt in range(6):
        try:
            return model.model_validate(data), problems
        except ValidationError as error:
            details = error.errors(include_url=False)
            if attempt == 0:
                problems = [_problem(model, document, detail) for detail in details]
            data = _without(data, [_culprit(document, detail) for detail in details])
    return None, problems


def _culprit(document: Document, detail: ErrorDetails) -> Path:
    return document.nearest(detail["loc"]) if document.values else tuple(detail["loc"])


def _without(data: Any, culprits: Iterable[Path], at: Path = ()) -> Any:
    gone = set(culprits)
    if isinstance(data, Mapping):
        return {key: _without(item, gone, (*at, key)) for key, item in data.items() if (*at, key) not in gone}
    if isinstance(data, list):
        return [_without(item, gone, (*at, i)) for i, item in enumerate(data) if (*at, i) not in gone]
    return data


def _problem(model: type[BaseModel], document: Document, detail: ErrorDetails) -> Problem:
    location, kind, given = detail["loc"], detail["type"], detail["input"]
    *parents, last = location or ("",)
    if last == "[key]":
        key = str(parents[-1])
        return document.key_at(*parents).problem(f"{key!r} is not a name", f"a name is {_NAME_RULE}")
    if kind == "extra_forbidden":
        names = _keys_of(model, tuple(parents))
        return document.key_at(*location).problem(f"unknown key {str(last)!r}", closest(str(last), names))
    if kind == "missing":
        names = _keys_of(model, tuple(parents))
        return document.key_at(*parents).problem(f"{str(last)!r} is missing", _like_missing(str(last), given, names))
    if kind == "union_tag_not_found":
        return document.key_at(*location).problem(f"'{_tag(detail)}' is missing", f"add {_tag(detail)}:")
    if kind == "union_tag_invalid":
        location = (*location, _tag(detail))
    message, suggestion = _words(detail, _what(document, location))
    return document.at(*location).problem(message, suggestion)


def _tag(detail: ErrorDetails) -> str:
    """The key that tells which kind of thing a mapping is."""
    return str(detail["ctx"]["discriminator"]).strip("'")


def _like_missing(key: str, given: object, known: Iterable[str]) -> str:
    extra = set(map(str, given)) - set(known) if isinstance(given, Mapping) else set()
    near = difflib.get_close_matches(key, extra, n=1)
    return f"{near[0]!r} stands there: is it meant?" if near else f"add {key}:"


def _what(document: Document, location: Path) -> str:
    path = document.nearest(location) if document.values else tuple(location)
    words = [part for part in path if isinstance(part, str)]
    if path and isinstance(path[-1], int):
        return f"item {path[-1] + 1} of {words[-1]!r}" if words else f"item {path[-1] + 1}"
    return repr(words[-1]) if words else "the file"


def _words(detail: ErrorDetails, what: str) -> tuple[str, str]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if given is None:
        return f"{what} has no value", "give it one, or remove the key"
    if kind == "value_error":
        return f"{what}: {context['error']}", ""
    if kind == "string_pattern_mismatch":
        return f"{what} is not a name", f"a name is {_NAME_RULE}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context["expected" if kind == "literal_error" else "expected_tags"].replace(" or ", ",")
        choices = [choice.strip().strip("'") for choice in expected.split(",")]
        wrong = str(given) if kind == "literal_error" else str(context["tag"])
        return f"{what} must be {' or '.join(choices)}", closest(wrong, choices, " ")[:200].strip()
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        return f"{what} must be {'at least' if 'ge' in context else 'at most'} {bound}", ""
    return f"{what} {_PLAIN.get(kind, detail['msg'].lower())}", ""


def _keys_of(model: type[BaseModel], location: Path) -> list[str]:
    """The keys that may stand at `location`, found by walking the models."""
    current: Any = model
    for part in location:
        current = _step(current, part)
    found = _model_in(current)
    return [info.alias or name for name, info in found.model_fields.items()] if found else []


def _step(current: Any, part: str | int) -> Any:
    found = _model_in(current)
    if found is not None:
        for name, info in found.model_fields.items():
            if part in (info.alias, name):
                return info.annotation
        return _alternative(current, part)
    for option in _options(current):
        if typing.get_origin(option) is dict:
            return typing.get_args(option)[1]
        if typing.get_origin(option) is tuple:
            return typing.get_args(option)[0]
    return current


def _alternative(current: Any, tag: str | int) -> Any:
    """The model among several whose `kind` is `tag`; else what there was."""
    for option in _options(current):
        kind = getattr(option, "model_fields", {}).get("kind")
        if kind is not None and tag in typing.get_args(kind.annotation):
            return option
    return current


def _options(annotation: Any) -> list[Any]:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _options(arguments[0])
    if origin in (dict, tuple) or not arguments or origin is typing.Literal:
        return [annotation]
    return [option for argument in arguments for option in _options(argument)]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
