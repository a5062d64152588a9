"""A worker's place among the others: its number, and the duties it holds for a while.

Every process of a project is a worker. It holds an advisory lock on its number, which ends with its connection: what a
dead worker held is free at once. Its duties (a source, or a shard of a target) are leases by the hub's clock, renewed
at each `beat`: what belongs to a worker that only hangs is free when its lease has run out, and its sessions are ended,
lest an open transaction of its hold everybody up. Who should hold what, `engine.ports.duties` says.

A lease is no fence: a worker that was stopped in the midst of something may do one more thing when it goes on. Sources
are fenced by their epochs, deliveries by comparing before setting; `holds` is asked before each write besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg import sql

from fieldwarden.engine.errors import TransientError
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.hub.session import translated
from fieldwarden.engine.ports.duties import Duty, share
from fieldwarden.engine.process import PROCESS, session_mark
from fieldwarden.rules.secret import Secretive

LEASE = 15.0
"""Seconds after which a worker that says nothing is taken to hang."""
_SLOWEST_BEAT = 1.0


def lock_class(schema: str) -> int:
    """The first half of the advisory locks' names; the second is the worker's number. 31 bits."""
    digest = hashlib.sha256(f"fieldwarden worker\0{schema}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


class Duties:
    """Call `beat` again and again, every `period` seconds; `number` and `mine` are as the last one found them.

    `all_duties` are the project's, `keep` those of them that this worker takes from whoever has them and then does
    not give up. `process` is what the names of the worker's sessions end with."""

    def __init__(
        self,
        dsn: Secretive,
        schema: str,
        all_duties: Sequence[Duty],
        *,
        rulebook: str = "",
        keep: Collection[Duty] = (),
        lease: float = LEASE,
        process: str = PROCESS,
    ) -> None:
        self.number = 0
        self.mine: frozenset[Duty] = frozenset()
        self.former: dict[Duty, str] = {}
        """Of duties that another worker did not give up: its process."""
        self.live = ""
        """The hash of the live rulebook; empty: there is none."""
        self.onboarded = False
        """Whether deliveries may be made: once they may, they always may."""
        self.period = min(_SLOWEST_BEAT, lease / 5)
        self._dsn = dsn
        self._schema = schema
        self._all = sorted(all_duties)
        self._rulebook = rulebook
        self._keep = frozenset(keep)
        self._wanted = set(keep)
        self._lease = lease
        self._process = process
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._good_until = 0.0
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    def holds(self, duty: Duty) -> bool:
        """Whether a duty is still ours, as far as can be told without asking."""
        return duty in self.mine and time.monotonic() < self._good_until

    def want(self, duties: Collection[Duty]) -> None:
        """Take these from whoever has them with the next beats, until they are ours."""
        self._wanted.update(duties)

    async def beat(self, *, leaving: Collection[Duty] = (), taking: bool = True) -> list[Duty]:
        """Renew what is held, and take what is due to this worker (unless not `taking`); gives what it should give up.

        `leaving` are duties that it is giving up already. Raises TransientError; then all is as it was, until the lease
        runs out."""
        try:
            with translated():
                async with asyncio.timeout(max(1.0, self._lease / 2)):
                    return await self._beat(leaving, taking)
        except (TransientError, TimeoutError) as error:
            await self._hang_up()
            if isinstance(error, TransientError):
                raise
            raise TransientError("the hub's database does not answer") from error

    async def give(self, duty: Duty) -> None:
        """Let another worker have a duty; its loop has ended. Raises TransientError: then the lease has to run out."""
        self.mine -= {duty}
        if self._connection is not None:
            with translated():
                await self._run("give_duty", {"name": str(duty), "token": self._process})

    async def leave(self) -> None:
        """Give up everything; raises nothing, since what is not given up runs out."""
        self.mine = frozenset()
        with contextlib.suppress(TransientError, TimeoutError):
            if self._connection is not None:
                with translated():
                    async with asyncio.timeout(_SLOWEST_BEAT):
                        await self._run("give_all", {"token": self._process})
                        await self._run("forget_worker", {"token": self._process, "number": None})
        await self._hang_up()

    # --- one beat --------------------------------------------------------------------------------------------

    async def _beat(self, leaving: Collection[Duty], taking: bool) -> list[Duty]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._enrolled()
        began = time.monotonic()
        self.mine = frozenset(Duty.parse(name) for (name,) in await self._run("renew", self._self()))
        self._good_until = began + self._lease
        live = await self._run("live_hash", None)
        self.live, self.onboarded = live[0] if live else ("", False)
        workers = await self._run("workers", [lock_class(self._schema)])
        await self._end_hanging(workers)
        holders = await self._holders({row[1]: row[0] for row in workers})
        if not taking:
            return []
        alive = {row[1] for row in workers}
        await self._take_wanted(holders)
        awake = [row[0] for row in workers if row[5]]
        plain = {duty: number for duty, (_, number) in holders.items()}
        plan = share(self.number, awake, plain, keep=self._keep, leaving=leaving)
        for duty in plan.take:
            seen = holders[duty][0]
            await self._claim(duty, seen, free=seen not in alive)
        return plan.give

    async def _holders(self, numbers: dict[str, int]) -> dict[Duty, tuple[str | None, int | None]]:
        """Duty -> the token noted with it, and the number of the worker that really has it."""
        holders: dict[Duty, tuple[str | None, int | None]] = {}
        for name, token, expired in await self._run("duties", None):
            if (duty := Duty.parse(name)) in self._all:
                holders[duty] = token, (None if expired else numbers.get(token or ""))
        return holders

    async def _take_wanted(self, holders: dict[Duty, tuple[str | None, int | None]]) -> None:
        for duty in sorted(self._wanted):
            if duty in self.mine or await self._claim(duty, holders[duty][0], free=True):
                self._wanted.discard(duty)
                holders[duty] = self._process, self.number

    async def _claim(self, duty: Duty, seen: str | None, *, free: bool) -> bool:
        """Take a duty, unless it has changed hands since it was looked at, or (if not `free`) was renewed."""
        if not await self._run("claim_duty", {**self._self(), "name": str(duty), "seen": seen, "free": free}):
            return False
        self.mine |= {duty}
        if seen and seen != self._process:
            self.former[duty] = seen
        return True

    async def _end_hanging(self, workers: Sequence[tuple[Any, ...]]) -> None:
        for number, token, *_, awake in workers:
            if not awake and number != self.number:
                await self._run("end_sessions", {"mark": session_mark(token)})

    # --- the connection --------------------------------------------------------------------------------------

    async def _enrolled(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        connection = self._connection = await psycopg.AsyncConnection.connect(
            lasting(self._dsn, "worker", self._process), autocommit=True
        )
        await connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(self._schema)))
        await self._run("notice_silence", None)
        self.number = await self._lowest_free_number()
        await self._run("forget_worker", {"token": self._process, "number": self.number})
        await self._run(
            "enrol", {**self._self(), "number": self.number, "name": self._name, "rulebook": self._rulebook}
        )
        await self._run("add_duties", [[str(duty) for duty in self._all]])
        return connection

    async def _lowest_free_number(self) -> int:
        """The one it had, if that is free: then nothing has to begin anew."""
        for number in itertools.chain([self.number] if self.number else [], itertools.count(1)):
            ((locked,),) = await self._run("lock_number", [lock_class(self._schema), number])
            if locked:
                return number
        raise AssertionError("numbers do not end")

    def _self(self) -> dict[str, object]:
        return {"token": self._process, "lease": self._lease}

    async def _run(self, name: str, values: Any) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        cursor = await self._connection.execute(QUERIES[name], values)
        return await cursor.fetchall() if cursor.description else []

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
