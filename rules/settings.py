"""What stands under `connector:`: each kind of connector has a model of its own, made from this one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, StrictInt

from fieldwarden.rules.shapes import Strict, Text


class Webhooks(Strict):
    """What a system's webhooks are known by, and what they may cost. A kind whose systems send any has it in its
    settings, as `webhooks: Annotated[Webhooks | None, GIVEN] = None`, or a model made from it."""

    secrets: tuple[Text, ...] = Field(
        default=(),
        repr=False,
        description="What they are signed with, or the token that they carry, as ${env:NAME} or ${file:path}; the new"
        " and the old one while it is changed.",
    )
    limit: Annotated[StrictInt, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        default=1024 * 1024, description="Bytes of one request; a larger one is not read."
    )
    unread: Annotated[StrictInt, Field(ge=1)] = Field(
        default=10_000, description="Items that may wait to be read; then the system is told to come again later."
    )


class Settings(Strict):
    """How one system is reached, as its file says: immutable, and with `${...}` not followed.

    A kind adds its keys, and gives `kind` as the literal that its files write: `kind: Literal["shop"]`. What it says
    of itself below is all that the rules and the engine ask; nothing else depends on which kind it is."""

    kind: Text

    connections: ClassVar[tuple[str, ...]] = ()
    """The keys that are addresses with `${...}` in them, of which only the password must not stand in the open."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """The keys that are secret as a whole: a token, a password."""
    partitioned: ClassVar[bool] = False
    """Whether its tables come on topics, each in an order of its own, which any number of workers share."""
    polled: ClassVar[bool] = False
    """Whether it may be long until a position shows that what has changed was told: the system is asked now and then,
    or tells when it likes. (The log of a database shows it at once.)"""
    needs_kafka: ClassVar[bool] = False
    """Whether the project has to say where Kafka is."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Without what may hold a secret in the open."""
        shown = type(self).model_fields.keys() - {*self.connections, *self.secrets}
        return [(key, value) for key, value in super().__repr_args__() if key in shown]

    @property
    def place(self) -> str:
        """The connection string by which two systems may turn out to be one database; empty: it is nobody else's."""
        return ""

    @property
    def settle_seconds(self) -> float:
        """How long a new row of a partitioned system waits for child rows that may say whose it is."""
        return 0.0

    def table(self, name: str) -> tuple[str, ...]:
        """A table's name in its parts: two names of one table are equal, those of two tables are not."""
        return (name,)

    @property
    def hooks(self) -> Webhooks | None:
        """What webhooks of the system are known by; None: it sends none, or its kind takes none."""
        found = getattr(self, "webhooks", None)
        return found if isinstance(found, Webhooks) else None

    def texts(self) -> list[str]:
        """All texts in which `${...}` may stand."""
        given = (getattr(self, key) for key in (*self.connections, *self.secrets))
        hooks = self.hooks.secrets if self.hooks is not None else ()
        return [text for text in given if text is not None] + list(hooks)


class UnknownSettings(Settings):
    """Those of a kind that is not installed here, kept as they were written: rules can be read, nothing is reached."""

    model_config = ConfigDict(extra="allow")
