"""What stands under `connector:` and `kafka:` shows no secret, though somebody wrote one there in the open."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import BaseModel, ValidationError

from fieldwarden.rules.connections import DebeziumConnector, Kafka, PostgresConnector
from fieldwarden.rules.settings import Settings, UnknownSettings
from fieldwarden.rules.shapes import Text

PLANTED = "kX9#vQ2z"
DSN = f"postgresql://app:{PLANTED}@db/crm"


class DeskSettings(Settings):
    """A kind that a package brings."""

    secrets: ClassVar[tuple[str, ...]] = ("token",)

    token: Text
    desk: Text = "first"


GIVEN: list[tuple[type[BaseModel], dict[str, object]]] = [
    (PostgresConnector, {"kind": "postgres", "dsn": DSN, "target_dsn": DSN}),
    (DebeziumConnector, {"kind": "debezium", "dsn": DSN, "connect_dsn": DSN, "options": {"ssl.password": PLANTED}}),
    (UnknownSettings, {"kind": "shop", "token": PLANTED}),
    (DeskSettings, {"kind": "desk", "token": PLANTED}),
    (Kafka, {"servers": "k:9092", "password": PLANTED, "registry": {"url": "http://r", "password": PLANTED}}),
]


@pytest.mark.parametrize(("model", "given"), GIVEN)
def test_settings_are_shown_without_what_may_be_secret(model: type[BaseModel], given: dict[str, object]) -> None:
    read = model.model_validate(given)
    assert PLANTED in str(read.model_dump())
    assert PLANTED not in f"{read!r} {read}"


def test_what_is_no_secret_is_shown() -> None:
    assert repr(DeskSettings(kind="desk", token=PLANTED)) == "DeskSettings(kind='desk', desk='first')"


@pytest.mark.parametrize(("model", "given"), GIVEN)
def test_an_error_does_not_quote_what_was_given(model: type[BaseModel], given: dict[str, object]) -> None:
    wrong = {**given, "kind": [PLANTED], "servers": [PLANTED]}
    with pytest.raises(ValidationError) as caught:
        model.model_validate(wrong)
    assert PLANTED not in str(caught.value)
