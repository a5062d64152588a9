"""The kind `salesforce`: how an org is reached, and what `validate` says of its systems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictStr

from fieldwarden.rules.files import Files, writes
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.models import StreamModel
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.shapes import Text

PUBSUB = "api.pubsub.salesforce.com:7443"
"""The address of the Pub/Sub API, the same for every org outside the European Union's own."""

_ADDRESS = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}")
_OBJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_LOOPBACK = ("127.0.0.1:", "localhost:")
_KEY = "Id"


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("it is HOST:PORT")
    return value


class SalesforceConnector(Settings):
    """An org, read by its event bus and queries, and written to by its REST API."""

    connections: ClassVar[tuple[str, ...]] = ("url",)
    secrets: ClassVar[tuple[str, ...]] = ("client_secret",)
    polled: ClassVar[bool] = True

    kind: Literal["salesforce"] = Field(description="An org of Salesforce.")
    url: Text = Field(description="The org's own address (My Domain): https://example.my.salesforce.com.")
    client_id: Text = Field(description="The consumer key of the connected app.")
    client_secret: Text = Field(description="Its consumer secret, as ${env:NAME} or ${file:path}, never in the open.")
    pubsub: Annotated[StrictStr, AfterValidator(_address)] = Field(
        default=PUBSUB, description=f"The address of the Pub/Sub API (default {PUBSUB})."
    )

    @property
    def place(self) -> str:
        return self.url

    @property
    def plain(self) -> bool:
        """Whether the event bus is a sandbox on this machine, without TLS."""
        return self.pubsub.startswith(_LOOPBACK)


def salesforce_settings(system: System) -> SalesforceConnector:
    """The settings of a system that is an org."""
    assert isinstance(system.settings, SalesforceConnector), f"{system.name} is of kind {system.kind}"
    return system.settings


def check_salesforce(files: Files, systems: Sequence[str], findings: CheckResults) -> None:
    """The systems of kind salesforce: that their streams are objects, and say of them what an org can do."""
    for name in systems:
        model, page = files.systems[name].model, Page(files.systems[name].document, findings)
        for stream, each in model.streams.items():
            _check(page, stream, each, written=writes(model, each))


def _check(page: Page, name: str, stream: StreamModel, *, written: bool) -> None:
    where = ("streams", name)
    table = stream.table or name
    if not _OBJECT.fullmatch(table):
        page.error((*where, "table"), f"{table!r} is no object of Salesforce's", "write its API name, as Invoice__c")
    if tuple(stream.key) != (_KEY,):
        page.error((*where, "key"), "a record of Salesforce is known by its Id", "write key: Id")
    if stream.on_write:
        page.error_at_key((*where, "on_write"), "Salesforce itself says when a record was changed", "remove it")
    if written and stream.create and not stream.external_id:
        page.error(
            (*where, "external_id"),
            "a record that is created has to carry its id, or it would be created again",
            "name a field that is an External ID and Unique in Salesforce",
        )
