"""A request and its answer as vendors see them: values, whatever serves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec

JSON = "application/json"
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Call:
    """`parts` are the pieces of the path that its endpoint names; `base` is where the sandbox is, without a slash at
    the end; names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> dict[str, str]:
        """The query, the last of each name."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


class Refused(Exception):
    """Ends the work on a request with an answer of the vendor's. Nothing was changed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class NotPossible(Exception):
    """What a person wants to do with a record cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` as Starlette writes it: `/v1/customers/{id}`."""

    method: str
    path: str
    handle: Callable[[Call], Answer]


def told(value: Any, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = JSON) -> Answer:
    """An answer in JSON. Decimals keep their places: `Decimal("1.50")` is written 1.50."""
    return Answer(status, written(value), headers or {}, content_type)


def written(value: Any) -> bytes:
    return _encoder.encode(value)


def read_json(body: bytes) -> Any:
    """Fractions become Decimal. Raises ValueError."""
    return json.loads(body, parse_float=Decimal)
