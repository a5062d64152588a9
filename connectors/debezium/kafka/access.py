"""How Kafka, Kafka Connect and the schema registry are reached: the project's `kafka:` with its secrets in place."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.registry import Registry
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.references import holds_login
from fieldwarden.rules.secret import Secret, Secretive


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks HTTP. `servers` (Connect only): the brokers as it reaches them.

    `url` is shown in messages. Raises EnvironmentUnfit where it holds a login."""

    url: str
    username: str | None = None
    password: Secretive | None = None
    ca_file: str | None = None
    servers: str | None = None

    def __post_init__(self) -> None:
        if self.password is not None:
            object.__setattr__(self, "password", Secret.of(self.password))
        if holds_login(self.url):
            raise EnvironmentUnfit(
                "an address under kafka: (connect: or registry:) holds a user name or a password",
                suggestion="take them out of what url: refers to, and give them beside it, as username and password",
            )

    def trust(self) -> ssl.SSLContext | bool:
        """Whose certificates are believed. Raises EnvironmentUnfit for a `ca_file` that is none."""
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise EnvironmentUnfit(
                f"the certificates in {self.ca_file} cannot be read: {error.strerror or error}",
                suggestion="mend ca_file under kafka: in fieldwarden.yaml (PEM)",
                path=self.ca_file,
            ) from error


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """`rules.connections.Kafka` with references followed and paths made absolute. To be kept no longer than needed."""

    brokers: Brokers
    group: str
    connect: Endpoint | None = None
    registry: Endpoint | None = None

    def open_registry(self) -> Registry | None:
        """A client of the schema registry, if the project names one. Raises EnvironmentUnfit."""
        end = self.registry
        if end is None:
            return None
        return Registry(end.url, username=end.username, password=end.password, tls=end.trust())
