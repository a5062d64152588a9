"""The stack's Java programs, each with the settings that make it start and rebalance at once on one machine."""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from stack.artefacts import CONVERTERS, KAFKA, PLUGINS, REGISTRY, StackUnfit, java
from stack.process import JavaProcess
from stack.security import Keys, listener_settings

_CLUSTER = "fieldwardenstackcluste"  # 22 characters of base64url: a cluster's id is a UUID
_JSON = "org.apache.kafka.connect.json.JsonConverter"


class Broker(JavaProcess):
    """Kafka: broker and controller in one node (KRaft), open to all on 127.0.0.1. A later start finds its data.

    `secure_ports`: further listeners, by protocol; their addresses are in `secured`, their keys in `keys`."""

    def __init__(
        self,
        folder: Path,
        port: int,
        controller_port: int,
        *,
        heap: str,
        quick: bool,
        secure_ports: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(folder, heap=heap, quick=quick)
        self.port = port
        self._controller_port = controller_port
        self._secure_ports = secure_ports or {}
        self.address = f"127.0.0.1:{port}"
        self.secured = {protocol: f"127.0.0.1:{number}" for protocol, number in self._secure_ports.items()}
        self.keys = Keys(folder / "keys")

    def arguments(self) -> list[str]:
        data, settings = self.folder / "data", self.folder / "server.properties"
        addresses = {"plaintext": self.address, **self.secured}
        listeners = ",".join(f"{protocol.upper()}://{address}" for protocol, address in addresses.items())
        protocols = ",".join(f"{protocol.upper()}:{protocol.upper()}" for protocol in addresses)
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
            "log.dirs": str(data),
            "auto.create.topics.enable": "true",
            "num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A killed broker may come back only after its session is over.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }
        if self._secure_ports:
            self.keys.make()
            lines |= listener_settings(self.keys, self._secure_ports)
        _write(settings, lines)
        self._format(data)
        return ["-cp", f"{KAFKA}/*", "kafka.Kafka", str(settings)]

    def answers(self) -> bool:
        """Ask for the versions of its requests, the first thing every client asks (protocol guide, ApiVersions v0)."""
        header = struct.pack(">hhih", 18, 0, 1, -1)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(struct.pack(">i", len(header)) + header)
                return len(connection.recv(4)) > 0
        except OSError:
            return False

    def add_scram_user(self, name: str, password: str) -> None:
        """Let somebody in by SCRAM-SHA-256. Takes the start of a Java program. Raises StackUnfit."""
        words = ["--bootstrap-server", self.address, "--alter", "--entity-type", "users", "--entity-name", name]
        command = [java(), "-XX:TieredStopAtLevel=1", "-cp", f"{KAFKA}/*", "kafka.admin.ConfigCommand", *words]
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as config:  # arguments stand in the list of processes
            config.write(f"SCRAM-SHA-256=iterations=4096,password={password}\n")
            config.flush()
            more = ["--add-config-file", config.name]
            done = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackUnfit(f"Kafka took no user {name}: {done.stdout}{done.stderr}")

    def _format(self, data: Path) -> None:
        """What `kafka-storage format` writes, less the start of a Java program for it: without a checkpoint of its own
        the first controller begins with the newest metadata version it knows."""
        data.mkdir(exist_ok=True)
        properties = data / "meta.properties"
        if not properties.exists():
            _write(properties, {"version": "1", "cluster.id": _CLUSTER, "node.id": "1"})


class Connect(JavaProcess):
    """Kafka Connect in distributed mode: a worker with Debezium and an Avro converter. Kafka keeps its connectors."""

    def __init__(self, folder: Path, port: int, bootstrap: str, *, heap: str, quick: bool) -> None:
        super().__init__(folder, heap=heap, quick=quick)
        self.address = f"http://127.0.0.1:{port}"
        self._bootstrap = bootstrap

    def arguments(self) -> list[str]:
        settings = self.folder / "connect.properties"
        lines = {
            "bootstrap.servers": self._bootstrap,
            "group.id": "connect",
            "listeners": self.address,
            "rest.advertised.host.name": "127.0.0.1",
            "key.converter": _JSON,
            "value.converter": _JSON,
            "offset.flush.interval.ms": "1000",
            "scheduled.rebalance.max.delay.ms": "0",
            "session.timeout.ms": "6000",  # for so long a killed worker's tasks stay with it
            "heartbeat.interval.ms": "1000",
            "connector.client.config.override.policy": "All",
            "plugin.path": f"{PLUGINS},{CONVERTERS}",
            "plugin.discovery": "service_load",
        }
        for topic in ("config", "offset", "status"):
            lines[f"{topic}.storage.topic"] = f"connect-{topic}"
            lines[f"{topic}.storage.replication.factor"] = "1"
            if topic != "config":
                lines[f"{topic}.storage.partitions"] = "1"
        _write(settings, lines)
        return ["-cp", f"{KAFKA}/*", "org.apache.kafka.connect.cli.ConnectDistributed", str(settings)]

    def answers(self) -> bool:
        return _found(f"{self.address}/connectors")


class Registry(JavaProcess):
    """Apicurio Registry, its schemas in memory only; `address` is its interface in Confluent's words."""

    def __init__(self, folder: Path, port: int, *, heap: str, quick: bool) -> None:
        super().__init__(folder, heap=heap, quick=quick)
        self._port = port
        self.native_address = f"http://127.0.0.1:{port}/apis/registry/v2"
        self.address = f"http://127.0.0.1:{port}/apis/ccompat/v7"

    def arguments(self) -> list[str]:
        (jar,) = REGISTRY.glob("*-runner.jar")
        return ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}", "-jar", str(jar)]

    def answers(self) -> bool:
        return _found(f"{self.address}/subjects")


def _write(path: Path, lines: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))


def _found(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
