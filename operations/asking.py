"""A question to the hub of a project, as the commands about what waits for a person ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from fieldwarden.engine.errors import TransientError
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.rules import prepare_hub


class Closable(Protocol):
    async def close(self) -> None: ...


A = TypeVar("A", bound=Closable)
T = TypeVar("T")


def answered(
    folder: Path | None,
    asked: Callable[[Opened], A],
    question: Callable[[Opened, A], Awaitable[T]],
    check: Callable[[Opened], None] = lambda _: None,
) -> T:
    """Open the project, `check` what the person named, and put the question to `asked`, a part of its hub.

    Raises what the check and the question raise, and EnvironmentUnfit if there is no hub to ask."""
    with opened(folder) as project:
        check(project)
        prepare_hub(project)

        async def ask() -> T:
            part = asked(project)
            try:
                return await question(project, part)
            except TransientError as error:
                raise project.no_hub(error) from error
            finally:
                await part.close()

        return asyncio.run(ask())
