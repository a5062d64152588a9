"""The Kafka brokers: how any client of ours reaches them, and what its failures mean for the engine.

The one place where aiokafka's exceptions become ours; the cause is kept, and no secret is in a message.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn

from engine.errors import EngineError, EnvironmentUnfit, TransientError

_REACH_SECONDS = 10.0

_REFUSED = (
    errors.AuthenticationFailedError,
    errors.SaslAuthenticationFailed,
    errors.AuthenticationMethodNotSupported,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
_NOT_OUR_GROUP = (
    errors.InconsistentGroupProtocolError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
)
_FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)


@dataclass(frozen=True, slots=True)
class Brokers:
    """`servers` as host:port[,host:port]; the files are PEM. Secrets are plain here: never log this."""

    servers: str
    security: str = "plaintext"
    mechanism: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client. Raises EnvironmentUnfit for certificates that cannot be read."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.servers,
            "security_protocol": self.security.upper(),
            "ssl_context": self._context(),
        }
        if self.security.startswith("sasl"):
            options |= {
                "sasl_mechanism": self.mechanism or "PLAIN",
                "sasl_plain_username": self.username or "",
                "sasl_plain_password": self.password or "",
            }
        return options

    def _context(self) -> ssl.SSLContext | None:
        if not self.security.endswith("ssl"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:  # ssl.SSLError is one
            raise EnvironmentUnfit(
                f"the certificates for Kafka cannot be read: {error}",
                suggestion="mend kafka: ca_file, cert_file, key_file in fieldwarden.yaml (PEM, the key not encrypted)",
            ) from error
        return context


async def reach(brokers: Brokers) -> None:
    """Connect to one of the brokers, as every client first does.

    Raises EnvironmentUnfit (refused: credentials, TLS), TransientError (nobody answers), saying which address."""
    options = brokers.options()
    hosts = collect_hosts(options.pop("bootstrap_servers"), randomize=False)
    problem: Exception = TransientError("kafka: no servers are named")
    for host, port, _ in hosts:
        address = f"{host}:{port}"
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                connection = await create_conn(host, port, client_id="fieldwarden", **options)
        except (OSError, errors.KafkaError, TimeoutError) as error:
            problem = _said(address, error)
            problem.__cause__ = error
        else:
            await connection.close()
            return
    raise problem


def _said(address: str, error: Exception) -> EngineError:
    if isinstance(error, ssl.SSLError):
        return EnvironmentUnfit(
            f"Kafka at {address}: TLS failed ({error.reason or type(error).__name__})",
            suggestion="check kafka: security and ca_file in fieldwarden.yaml against the broker's listener",
        )
    if isinstance(error, _REFUSED):
        return EnvironmentUnfit(
            f"Kafka at {address} refuses the credentials",
            suggestion="check kafka: mechanism, username and password in fieldwarden.yaml",
        )
    if isinstance(error, TimeoutError):
        return TransientError(
            f"Kafka at {address} does not answer in {_REACH_SECONDS:.0f} s",
            suggestion="is kafka: security in fieldwarden.yaml what the broker's listener speaks?",
        )
    broken = isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
    if broken or isinstance(error, errors.KafkaError):
        return TransientError(
            f"Kafka at {address} breaks the connection ({type(error).__name__})",
            suggestion="is kafka: security in fieldwarden.yaml what the broker's listener speaks?",
        )
    return TransientError(
        f"Kafka at {address} cannot be reached ({type(error).__name__})",
        suggestion="is the broker up, and kafka: servers in fieldwarden.yaml right?",
    )


@contextmanager
def translated(brokers: Brokers, system: str) -> Iterator[None]:
    """aiokafka's errors as ours. Raises EnvironmentUnfit, TransientError."""
    try:
        yield
    except _REFUSED as error:
        raise EnvironmentUnfit(
            f"{system}: Kafka at {brokers.servers} refuses the credentials",
            suggestion="check kafka: mechanism, username and password in fieldwarden.yaml",
        ) from error
    except _FORBIDDEN as error:
        raise EnvironmentUnfit(
            f"{system}: Kafka does not allow {_forbidden(error)}",
            suggestion="grant Fieldwarden's user READ and DESCRIBE on the connector's topics, READ on its group",
        ) from error
    except _NOT_OUR_GROUP as error:
        raise EnvironmentUnfit(
            f"{system}: Kafka does not let us join the consumer group ({type(error).__name__})",
            suggestion="does another program use it (kafka: group)? Does the broker allow our session (run: lease)?",
        ) from error
    except errors.UnsupportedCodecError as error:
        raise EnvironmentUnfit(
            f"{system}: the topic's records are compressed in a way that this installation cannot read ({error})",
            suggestion="set the producer's compression to none, gzip, snappy, lz4 or zstd",
        ) from error
    except errors.KafkaError as error:
        raise TransientError(
            f"{system}: Kafka at {brokers.servers} fails: {type(error).__name__}", suggestion="it is tried again"
        ) from error
    except (OSError, TimeoutError) as error:
        raise TransientError(
            f"{system}: Kafka at {brokers.servers} cannot be reached ({type(error).__name__})",
            suggestion="is the broker up, and kafka: servers in fieldwarden.yaml right?",
        ) from error


def _forbidden(error: errors.KafkaError) -> str:
    what = ", ".join(sorted(map(str, error.args[0] if isinstance(error.args[:1], set) else error.args)))
    if isinstance(error, errors.TopicAuthorizationFailedError):
        return f"us to read the topic {what}"
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return f"us to join the consumer group {what}"
    return "us to ask about the cluster"
