"""What stands under `connector:` of a system of kind `rest`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fieldwarden.connectors.rest.description import ColumnEntry
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.shapes import GIVEN, Column, Duration, Name, Text


class RestSettings(Settings):
    connections: ClassVar[tuple[str, ...]] = ("url", "user", "client_id")
    secrets: ClassVar[tuple[str, ...]] = ("token", "password", "client_secret")
    polled: ClassVar[bool] = True

    kind: Literal["rest"] = Field(description="A vendor's API, as a vendor's file describes it.")
    vendor: Name = Field(description="The vendor: a file in vendors/, or one that comes along.")
    url: Annotated[Text | None, GIVEN] = Field(default=None, description="Its address, where the vendor has many.")
    values: dict[Name, Text] = Field(default={}, description="What the vendor's file asks for by name.")
    token: Annotated[Text | None, GIVEN] = Field(default=None, description="As ${env:NAME} or ${file:path}.")
    user: Annotated[Text | None, GIVEN] = Field(default=None, description="Who logs in with a password.")
    password: Annotated[Text | None, GIVEN] = Field(default=None, description="As ${env:NAME} or ${file:path}.")
    client_id: Annotated[Text | None, GIVEN] = Field(default=None, description="The client's id (OAuth 2.0).")
    client_secret: Annotated[Text | None, GIVEN] = Field(default=None, description="As ${env:NAME} or ${file:path}.")
    token_file: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The file of the refresh token, which Fieldwarden renews: a path in the project."
    )
    every: Duration = Field(
        default=timedelta(seconds=30),
        description="How often it is asked what is new.",
        json_schema_extra={"default": "30s"},
    )
    columns: dict[Name, dict[Column, ColumnEntry]] = Field(
        default={}, description="Columns of the vendor's objects besides those that its file names."
    )


NEEDED: dict[str, tuple[str, ...]] = {
    "token": ("token",),
    "basic": ("user", "password"),
    "client_credentials": ("client_id", "client_secret"),
    "refresh_token": ("client_id", "client_secret", "token_file"),
}
"""By kind of login, the keys that it takes."""
