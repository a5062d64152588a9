"""How Kafka, Kafka Connect and the schema registry are reached: the project's `kafka:` with its secrets in place."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EnvironmentUnfit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks HTTP. `servers` (Connect only): the brokers as it reaches them."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    servers: str | None = None


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """`rules.connections.Kafka` with references followed and paths made absolute. To be kept no longer than needed."""

    servers: str
    security: str = "plaintext"
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    group: str = "fieldwarden"
    connect: Endpoint | None = None
    registry: Endpoint | None = None

    def client(self) -> dict[str, Any]:
        """The keyword arguments that every aiokafka client takes. Raises EnvironmentUnfit for unreadable files."""
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.servers.split(",")],
            "security_protocol": self.security.upper(),
        }
        if self.security.endswith("ssl"):
            options["ssl_context"] = ssl_context(self.ca_file, self.cert_file, self.key_file)
        if self.security.startswith("sasl_"):
            options["sasl_mechanism"] = self.mechanism
            options["sasl_plain_username"] = self.username
            options["sasl_plain_password"] = self.password
        return options


def ssl_context(ca_file: str | None, cert_file: str | None = None, key_file: str | None = None) -> ssl.SSLContext:
    """Server certificates are always checked. Raises EnvironmentUnfit for a file that is none of these."""
    for path in filter(None, (ca_file, cert_file, key_file)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise EnvironmentUnfit(
                f"file {path} cannot be read: {error.strerror}", suggestion="see kafka: in fieldwarden.yaml", path=path
            ) from None
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (ssl.SSLError, OSError):
        raise EnvironmentUnfit(
            "the certificate files of kafka: are not what they should be",
            suggestion="ca_file and cert_file hold PEM certificates, key_file the certificate's PEM key, not encrypted",
            path=cert_file or ca_file or "",
        ) from None
    return context
