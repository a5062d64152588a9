"""The hub as operations ask it: where it is, and the rules that everything in it is decided by.

A value: whoever serves many people at once makes one, hands it to any number of operations side by side, and makes a
new one when other rules are live.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.hub.asking import Mask, UnknownName, closest, entity_named
from fieldwarden.engine.hub.names import RowNames, mask_by
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.loading import PROJECT_FILE
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive


class Part(Protocol):
    """A part of the hub, on a connection of its own."""

    async def close(self) -> None: ...


P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True)
class LiveHub:
    """`names` are what rows are called whose keys are personal; without them such keys are only hidden."""

    dsn: Secretive
    schema: str
    rulebook: Rulebook
    names: RowNames | None = None

    def mask(self, *, unmask: bool = False) -> Mask:
        """What a reader may see, by the rules in force."""
        return mask_by(self.names, self.rulebook, unmask=unmask)

    @asynccontextmanager
    async def part(self, kind: Callable[[Secretive, str], P]) -> AsyncIterator[P]:
        """A part of the hub while it is asked, as in `async with hub.part(Overview) as overview`. Raises
        EnvironmentUnfit if the hub fails meanwhile."""
        part = kind(self.dsn, self.schema)
        try:
            yield part
        except TransientError as error:
            raise no_hub(error) from error
        finally:
            await part.close()


def check_names(
    rulebook: Rulebook, entity: str | None = None, system: str | None = None, stream: str | None = None
) -> None:
    """Raises UnknownName for a filter that can match nothing."""
    if entity is not None:
        entity_named(rulebook, entity)
    if system is not None and system not in rulebook.systems:
        raise UnknownName(f"there is no system {system!r}", suggestion=closest(system, rulebook.systems))
    named = [each for each in rulebook.systems.values() if system in (None, each.name)]
    streams = sorted({name for each in named for name in each.streams})
    if stream is not None and stream not in streams:
        of = f" of {system}" if system else ""
        raise UnknownName(f"{stream!r} is not a stream{of}", suggestion=closest(stream, streams))


def no_hub(error: FieldwardenError) -> EnvironmentUnfit:
    """The hub failed an operation that only asks: there is nothing to try again by itself."""
    return EnvironmentUnfit(
        f"the hub cannot be asked: {error.message}",
        suggestion="is its server up, and has `fieldwarden run` ever worked on this project?",
        path=f"{PROJECT_FILE}: hub",
    )
