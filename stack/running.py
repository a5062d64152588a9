"""The whole stack as one thing: where each part is, started as they need one another, stopped by their ids."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fieldwarden.engine.hub.server import private
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from stack.artefacts import fetch
from stack.parts import Broker, Connect, Registry
from stack.process import free_port
from stack.security import PROTOCOLS

_TURN_SECONDS = 2 * 3600.0  # as long as the first fetch of another process may take
_THROW_AWAY = {"fsync": "off", "full_page_writes": "off"}
_PORTS = ("broker", "controller", "connect", "registry", "postgres")


class Stack:
    """The stack that a state file describes; where there is no such file, one is made, with a folder and free ports.

    Any number of processes may hold one for the same file: each part is started once, whoever asks first. `heap` and
    `quick` (start fast, run slow) are for a new one, and `secure` (its broker has listeners that ask for passwords and
    certificates as well); one that exists keeps what it was made with.
    """

    def __init__(self, state: Path, *, heap: str = "512m", quick: bool = True, secure: bool = False) -> None:
        self.state = state.absolute()
        self.state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._turn():
            if not self.state.exists():
                folder = tempfile.mkdtemp(prefix="fieldwarden-stack-")
                ports = {name: free_port() for name in (*_PORTS, *(PROTOCOLS if secure else ()))}
                made = {"folder": folder, "heap": heap, "quick": quick, "ports": ports}
                private.write(self.state, json.dumps(made))
        made = json.loads(self.state.read_text())
        self.folder, ports = Path(made["folder"]), made["ports"]
        size = {"heap": made["heap"], "quick": made["quick"]}
        secure_ports = {name: ports[name] for name in PROTOCOLS if name in ports}
        self.broker = Broker(
            self.folder / "broker", ports["broker"], ports["controller"], **size, secure_ports=secure_ports
        )
        self.connect = Connect(self.folder / "connect", ports["connect"], self.broker.address, **size)
        self.registry = Registry(self.folder / "registry", ports["registry"], **size)
        self.postgres = EmbeddedServer(self.folder / "postgres", port=ports["postgres"], settings=_THROW_AWAY)

    @property
    def bootstrap(self) -> str:
        """HOST:PORT for a Kafka client."""
        return self.broker.address

    @property
    def connect_url(self) -> str:
        return self.connect.address

    @property
    def registry_url(self) -> str:
        """The schema registry as a Confluent client addresses it. Nobody answers there before `start_registry`."""
        return self.registry.address

    def start_broker(self) -> None:
        """Fetch what is missing, start Kafka, return when it answers. Raises StackUnfit."""
        with self._turn():
            fetch("kafka", "avro")
            self.broker.start()

    def start(self) -> None:
        """Kafka and Kafka Connect, side by side. Raises StackUnfit."""
        with self._turn():
            fetch("kafka", "avro")
            self.broker.launch()
            self.connect.launch()
            self.broker.start()
            self.connect.start()

    def start_registry(self) -> None:
        """The schema registry. Raises StackUnfit."""
        with self._turn():
            fetch("registry")
            self.registry.start()

    def start_postgres(self) -> None:
        """A PostgreSQL for those who have none of their own, over TCP with a password as Debezium needs it."""
        self.postgres.start()

    def stop(self) -> None:
        """End every part, and remove the data and the state file."""
        with self._turn():
            for part in (self.connect, self.registry, self.broker):
                part.kill()
            self.postgres.stop("immediate")
            shutil.rmtree(self.folder, ignore_errors=True)
            self.state.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with private.locked(self.state.with_suffix(".lock"), seconds=_TURN_SECONDS):
            yield
