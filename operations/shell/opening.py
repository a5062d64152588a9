"""The event loop and the opened project in which a command carries out its operation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from fieldwarden.operations.hub import LiveHub
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.rules import prepare_hub

T = TypeVar("T")


def carried_out(work: Coroutine[Any, Any, T]) -> T:
    """What comes of an operation, in an event loop of its own."""
    return asyncio.run(work)


def in_project(folder: Path | None, operation: Callable[[Opened], Coroutine[Any, Any, T]]) -> T:
    """Open the project and carry out the operation in it.

    Raises what the operation does, and NoProject, ConfigurationError, EnvironmentUnfit."""
    with opened(folder) as project:
        return carried_out(operation(project))


def asked(folder: Path | None, operation: Callable[[Opened], Awaitable[T]]) -> T:
    """The same, in a project whose hub is there and whose live rules are known: EnvironmentUnfit if there is none."""

    async def ask(project: Opened) -> T:
        await prepare_hub(project)
        return await operation(project)

    return in_project(folder, ask)


def asked_of_hub(folder: Path | None, operation: Callable[[LiveHub], Awaitable[T]]) -> T:
    """The same, of an operation that needs the hub only."""
    return asked(folder, lambda project: operation(project.live_hub))
