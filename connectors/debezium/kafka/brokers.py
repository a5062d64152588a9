"""The Kafka brokers: how any client of ours reaches them, and what its failures mean for the engine.

The one place where aiokafka's exceptions become ours; the cause is kept, and no secret is in a message.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, errors
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import collect_hosts, create_conn

from fieldwarden.engine.errors import EngineError, EnvironmentUnfit, TransientError
from fieldwarden.rules.references import holds_login
from fieldwarden.rules.secret import Secret, Secretive, revealed

# Whatever it has to say reaches the log of `run` alone, which takes all loggers' words; but not, at every connection,
# that PLAIN without TLS sends the password in the clear: that is for `doctor` to say.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())
logging.getLogger("aiokafka.conn").setLevel(logging.ERROR)

T = TypeVar("T")

_REACH_SECONDS = 10.0
_FINISH_SECONDS = 2.0

_REFUSED = (errors.AuthenticationFailedError, errors.SaslAuthenticationFailed)
_NO_MECHANISM = (errors.AuthenticationMethodNotSupported, errors.UnsupportedSaslMechanismError)
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
    """`servers` as host:port[,host:port]; the files are PEM. Raises EnvironmentUnfit where `servers` hold a login."""

    servers: str
    security: str = "plaintext"
    mechanism: str | None = None
    username: str | None = field(default=None, repr=False)
    password: Secretive | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if self.password is not None:
            object.__setattr__(self, "password", Secret.of(self.password))
        if holds_login(self.servers):
            raise EnvironmentUnfit(
                "kafka: servers names a user or a password",
                suggestion="write host:port[,host:port] there, and username and password beside it",
            )

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
                "sasl_plain_password": revealed(self.password or ""),
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
    """Connect to one of the brokers, as every client first does, and ask it something.

    Raises EnvironmentUnfit (refused: credentials, TLS), TransientError (nobody answers), saying which address."""
    options = brokers.options()
    hosts = collect_hosts(options.pop("bootstrap_servers"), randomize=False)
    problem: EngineError = TransientError("kafka: no servers are named")
    for host, port, _ in hosts:
        try:
            async with asyncio.timeout(_REACH_SECONDS):
                connection = await create_conn(host, port, client_id="fieldwarden", **options)
                await connection.close()
                await _ask(f"{host}:{port}", options)
        except (OSError, errors.KafkaError, TimeoutError) as error:
            said = _said(brokers, f"{host}:{port}", error)
            said.__cause__ = error
            if isinstance(said, EnvironmentUnfit) or not isinstance(problem, EnvironmentUnfit):
                problem = said  # the others need not be up for this to be mended
        else:
            return
    raise problem


async def _ask(address: str, options: dict[str, Any]) -> None:
    """A listener that wants a password lets anybody connect, and hangs up at the first question."""
    client = AIOKafkaClient(bootstrap_servers=address, client_id="fieldwarden", **options)
    try:
        await client.bootstrap()
    finally:
        await client.close()


async def start(client: Any, brokers: Brokers) -> None:
    """Start any client of aiokafka's. Where it finds no broker it does not say why: raises as `reach` does, then."""
    try:
        await undisturbed(client.start())
    except errors.KafkaConnectionError:
        await reach(brokers)
        raise


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """The start or the end of a client, or a question for which it may open a connection. Whoever is cancelled
    meanwhile waits a moment for it: an interrupted client forgets a connection and leaves it open (aiokafka 0.14,
    `AIOKafkaClient.bootstrap`, `_get_conn` and `close`)."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_FINISH_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


@asynccontextmanager
async def looking(brokers: Brokers, system: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group, for a look at topics. Raises EnvironmentUnfit, TransientError."""
    with translated(brokers, system):
        consumer = AIOKafkaConsumer(**brokers.options(), enable_auto_commit=False)
        try:
            await start(consumer, brokers)
            yield consumer
        finally:
            await undisturbed(consumer.stop())


async def metadata(consumer: AIOKafkaConsumer) -> ClusterMetadata:
    """Of all topics that there are: to ask for one by its name would make it."""
    return await consumer._client.fetch_all_metadata()


def _said(brokers: Brokers, address: str, error: Exception) -> EngineError:
    where = f"Kafka at {address}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_believed(where, error)
    if isinstance(error, ssl.SSLError):
        return EnvironmentUnfit(
            f"{where}: TLS failed ({error.reason or type(error).__name__})",
            suggestion="check kafka: security and ca_file in fieldwarden.yaml against the broker's listener",
        )
    if isinstance(error, _REFUSED):
        return _refused(where)
    if isinstance(error, _NO_MECHANISM):
        return EnvironmentUnfit(
            f"{where} does not offer {brokers.mechanism or 'PLAIN'}",
            suggestion="set kafka: mechanism in fieldwarden.yaml to one that the broker's listener offers",
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return EnvironmentUnfit(f"{where} wants no user name and password", suggestion=_speaks(brokers))
    if isinstance(error, TimeoutError):
        return TransientError(f"{where} does not answer in {_REACH_SECONDS:.0f} s", suggestion=_speaks(brokers))
    broken = isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
    if broken or isinstance(error, errors.KafkaError):
        return TransientError(f"{where} breaks the connection ({type(error).__name__})", suggestion=_speaks(brokers))
    return TransientError(
        f"{where} cannot be reached ({type(error).__name__})",
        suggestion="is the broker up, and kafka: servers in fieldwarden.yaml right?",
    )


def _not_believed(where: str, error: ssl.SSLCertVerificationError) -> EnvironmentUnfit:
    """Codes: OpenSSL's X509_V_ERR_*, x509_vfy.h."""
    if error.verify_code in (62, 64):  # of another host name, of another address
        return EnvironmentUnfit(
            f"{where}: its certificate is another host's",
            suggestion="name the brokers under kafka: servers in fieldwarden.yaml as their certificates do",
        )
    if error.verify_code in (2, 18, 19, 20, 21):  # signed by nobody that we know
        return EnvironmentUnfit(
            f"{where}: its certificate is signed by nobody we trust ({error.verify_message})",
            suggestion="put the certificates that sign the brokers' into kafka: ca_file in fieldwarden.yaml",
        )
    return EnvironmentUnfit(
        f"{where}: its certificate is not valid ({error.verify_message})",
        suggestion="mend the broker's certificate, or kafka: ca_file in fieldwarden.yaml",
    )


def _refused(where: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"{where} refuses the credentials",
        suggestion="check kafka: mechanism, username and password in fieldwarden.yaml",
    )


def _speaks(brokers: Brokers) -> str:
    """What to look at when a listener hangs up without a word."""
    question = f"is kafka: security in fieldwarden.yaml ({brokers.security}) what the broker's listener speaks?"
    if not brokers.security.endswith("ssl"):
        return question
    if brokers.cert_file is None:
        return f"{question} It may also want a certificate of ours: cert_file, key_file"
    return f"{question} It may also not trust our certificate (cert_file)"


@contextmanager
def translated(brokers: Brokers, system: str) -> Iterator[None]:
    """aiokafka's errors as ours. Raises EnvironmentUnfit, TransientError."""
    try:
        yield
    except _REFUSED as error:
        raise _refused(f"{system}: Kafka at {brokers.servers}") from error
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
