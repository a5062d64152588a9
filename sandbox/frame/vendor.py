"""What a vendor is to the frame around it: its endpoints, its words for what goes wrong, its records for people."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fieldwarden.sandbox.frame.clock import Clock
from fieldwarden.sandbox.frame.exchange import Answer, Call, Endpoint, NotPossible
from fieldwarden.sandbox.frame.faults import Faults
from fieldwarden.sandbox.frame.hooks import Hooks
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.records import Json, Table


@dataclass(slots=True)
class World:
    """What a vendor lives in. `random` begins anew with the seed whenever the sandbox does."""

    clock: Clock
    faults: Faults
    hooks: Hooks
    random: random.Random
    quiet: bool = False
    """While what is made is no event: what a sandbox begins with, and what is made in bulk on request."""


class Vendor(ABC):
    """One vendor's books and their rules. Work on a request is never interrupted by another one."""

    name: ClassVar[str]
    title: ClassVar[str]
    faults: ClassVar[Mapping[str, str]]
    """Those that are this vendor's own, with what each does."""
    rate: ClassVar[Rate]
    retries: ClassVar[Sequence[float]] = ()
    """Seconds after which a webhook that was not taken is sent again."""
    notes: ClassVar[Sequence[str]] = ()
    """What one has to know to talk to it: keys, secrets, tenants."""
    secret: ClassVar[str] = ""
    """By which webhooks are signed, unless another is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tables: dict[str, Table] = {}

    @abstractmethod
    def begin(self) -> None:
        """Forget everything, and make what a sandbox of that seed begins with."""

    @abstractmethod
    def endpoints(self) -> Sequence[Endpoint]:
        """What it answers. The first that fits a path counts."""

    @abstractmethod
    def carried_out(self, endpoint: Endpoint, call: Call) -> Answer:
        """Know the caller, do the work, answer. Raises Refused."""

    @abstractmethod
    def refusal(self, why: str, call: Call, wait: float = 0.0) -> Answer:
        """The vendor's words for `throttle`, `server_error`, `revoked_token` and `no_such_path`."""

    @abstractmethod
    def create(self, table: str, data: Json) -> str:
        """A person makes a record; its key. Raises NotPossible."""

    @abstractmethod
    def edit(self, table: str, key: str, changes: Json) -> None:
        """A person changes fields of a record. Raises NotPossible."""

    @abstractmethod
    def remove(self, table: str, key: str) -> None:
        """A person deletes a record. Raises NotPossible."""

    @abstractmethod
    def sample(self, table: str, number: int) -> Json:
        """What record number `number` of a table may be made of, the same whenever it is asked. Raises NotPossible."""

    def actions(self, table: str) -> Sequence[str]:
        """What a person can do with its records beside editing them."""
        del table
        return ()

    def act(self, table: str, key: str, action: str) -> None:
        """A person does something with a record that is no edit: `pay`, `void`. Raises NotPossible."""
        raise NotPossible(f"{self.name} has no action {action!r} on {table} {key}")

    def table(self, name: str) -> Table:
        """Raises NotPossible."""
        if name not in self.tables:
            raise NotPossible(f"there is no table {name!r}; there are {', '.join(self.tables)}")
        return self.tables[name]

    def code(self, length: int, letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") -> str:
        """A new piece of an id, by the seed."""
        return "".join(self.world.random.choice(letters) for _ in range(length))
