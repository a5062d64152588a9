"""A target that a process writes to only while it has the duty to do so."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from fieldwarden.engine.errors import TransientError

if TYPE_CHECKING:
    from fieldwarden.engine.hub.duties import Duties
    from fieldwarden.engine.ports.duties import Duty
    from fieldwarden.engine.ports.target import Found, Intent, Target, Write, WriteResult


class WhileHeld:
    """A target that is written to only as long as the duties to do so have not run out."""

    def __init__(self, target: Target, duties: Duties, needed: frozenset[Duty]) -> None:
        self.system = target.system
        self.capabilities = target.capabilities
        self._target = target
        self._duties = duties
        self._needed = needed

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        """Where a call may take effect late, none is begun either once the duties have run out in the midst: whoever
        has them by now counts from when it saw the intents."""
        self._held()
        async with contextlib.aclosing(self._target.write(writes)) as results:
            async for result in results:
                yield result
                if self.capabilities.leaves_doubt:
                    self._held()

    def _held(self) -> None:
        if not all(map(self._duties.holds, self._needed)):
            raise TransientError(
                f"{self.system}: the right to write there ran out before the hub could be asked for it again"
            )

    async def look_up(self, intents: Sequence[Intent]) -> Sequence[Found]:
        return await self._target.look_up(intents)

    async def close(self) -> None:
        await self._target.close()
