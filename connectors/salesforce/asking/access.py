"""Who we are at Salesforce: what every call carries, and how it is made anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Access:
    """One login: its token, the org's own address, and the org's id (18 characters)."""

    token: str = field(repr=False)
    instance: str
    tenant: str


class Login(Protocol):
    """Whoever logs in for a system, once for all that reads and writes it."""

    async def access(self) -> Access:
        """The login that holds now. Raises TransientError, EnvironmentUnfit."""

    async def renew(self, refused: Access) -> Access:
        """Another in place of one that was refused; if that was replaced already, the one that holds now. Raises
        TransientError, EnvironmentUnfit."""
