"""How systems are reached: the kinds of connector, and the Kafka that those of kind debezium are read from."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, StrictStr, WithJsonSchema

from fieldwarden.rules.names import qualified, table_parts
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.shapes import GIVEN, Constant, Duration, Name, Strict, Text

Database = Literal["postgres", "mysql"]
Security = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_PREFIX = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_])?")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")


def _prefix(value: str) -> str:
    """What Kafka and Debezium both allow, and short enough for a table's name behind it."""
    if not _PREFIX.fullmatch(value):
        raise ValueError("a topic prefix is letters, digits, _ . and -, at most 100")
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("it is letters, digits, . _ and -, beginning with a letter or digit")
    return value


Prefix = Annotated[
    StrictStr, AfterValidator(_prefix), WithJsonSchema({"type": "string", "pattern": f"^{_PREFIX.pattern}$"})
]
Label = Annotated[
    StrictStr, AfterValidator(_label), WithJsonSchema({"type": "string", "pattern": f"^{_LABEL.pattern}$"})
]


_TARGET_DSN = "The same database as the role that writes to it, where that is not the one that reads (default: dsn)."


class DatabaseSettings(Settings):
    """A database by its connection string, read by whom ever and written to by us."""

    connections: ClassVar[tuple[str, ...]] = ("dsn", "target_dsn")
    read_directly: ClassVar[bool] = True
    """Whether we read its log ourselves: the slot and the publication are ours, and our marks stand in the stream."""

    dsn: Text
    target_dsn: Annotated[Text | None, GIVEN] = Field(default=None, description=_TARGET_DSN)
    slot: Annotated[Name | None, GIVEN] = None
    publication: Annotated[Text | None, GIVEN] = None

    @property
    def product(self) -> Database:
        """What database it is."""
        return "postgres"

    @property
    def is_postgres(self) -> bool:
        """Whether it can be asked and written to by us."""
        return self.product == "postgres"

    @property
    def written_by(self) -> str:
        """The connection string by which it is written to."""
        return self.target_dsn or self.dsn

    @property
    def place(self) -> str:
        return self.dsn

    def publication_for(self, system: str) -> str | None:  # noqa: ARG002 - some kinds name it after the system
        """The publication that a system's tables stand in; None: one that is named after the project."""
        return self.publication

    def table(self, name: str) -> tuple[str, ...]:
        return qualified(name) if self.is_postgres else table_parts(name)


class PostgresConnector(DatabaseSettings):
    """PostgreSQL, read directly by logical replication."""

    kind: Literal["postgres"] = Field(description="PostgreSQL, read directly by logical replication.")
    dsn: Text = Field(description="Connection string; secrets as ${env:NAME} or ${file:path}, never in the open.")
    slot: Annotated[Name | None, GIVEN] = Field(
        default=None, description="Replication slot (default fieldwarden_<project id>_<system>)."
    )
    publication: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Publication (default fieldwarden_<project id>_<system>)."
    )


class DebeziumNames(NamedTuple):
    """What belongs to one system in Kafka, in Connect and in its database."""

    prefix: str
    connector: str
    slot: str
    publication: str


class DebeziumConnector(DatabaseSettings):
    """A database whose changes Debezium writes to Kafka."""

    connections: ClassVar[tuple[str, ...]] = ("dsn", "target_dsn", "connect_dsn")
    partitioned: ClassVar[bool] = True
    needs_kafka: ClassVar[bool] = True
    read_directly: ClassVar[bool] = False

    kind: Literal["debezium"] = Field(description="A database whose changes Debezium writes to Kafka.")
    database: Database = Field(default="postgres", description="postgres, or mysql (read only: `mode: source`).")
    dsn: Text = Field(
        description="Connection string of the database itself: registered with Debezium, and where Fieldwarden writes."
    )
    connect_dsn: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The same database as Kafka Connect reaches it, where that differs (default: dsn)."
    )
    prefix: Annotated[Prefix | None, GIVEN] = Field(
        default=None, description="topic.prefix: topics are <prefix>.<stream> (default: the system's name)."
    )
    name: Annotated[Label | None, GIVEN] = Field(
        default=None, description="The connector's name in Kafka Connect (default fieldwarden_<system>)."
    )
    slot: Annotated[Name | None, GIVEN] = Field(
        default=None, description="Replication slot that Debezium keeps (default fieldwarden_<system>)."
    )
    publication: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Publication that Debezium keeps (default fieldwarden_<system>)."
    )
    settle: Annotated[Duration | None, GIVEN] = Field(
        default=None,
        description="How long a new row whose match keys stand in child rows, which come on topics of their own, waits"
        " for them before other systems are given it (default 5s).",
    )
    options: dict[Text, Constant] = Field(
        default={},
        repr=False,
        description="Further connector properties, passed on as they are; a ${...} is for Connect's config providers.",
    )

    @property
    def product(self) -> Database:
        return self.database

    @property
    def connected_by(self) -> str:
        """The connection string by which Kafka Connect reaches the database."""
        return self.connect_dsn or self.dsn

    @property
    def settle_seconds(self) -> float:
        return 5.0 if self.settle is None else self.settle.total_seconds()

    def publication_for(self, system: str) -> str:
        return self.names(system).publication

    def names(self, system: str) -> DebeziumNames:
        """Those of a system. They do not hold the project's id: a connector is registered before any hub is there."""
        own = f"fieldwarden_{system}"
        return DebeziumNames(self.prefix or system, self.name or own, self.slot or own, self.publication or own)


def database_settings(system: System) -> DatabaseSettings:
    """The settings of a system that is a database."""
    assert isinstance(system.settings, DatabaseSettings), f"{system.name} is of kind {system.kind}"
    return system.settings


def in_postgres(system: System) -> bool:
    """Whether its rows are in a PostgreSQL that we can ask."""
    return isinstance(system.settings, DatabaseSettings) and system.settings.is_postgres


def debezium_settings(system: System) -> DebeziumConnector:
    """The settings of a system that Debezium reads."""
    assert isinstance(system.settings, DebeziumConnector), f"{system.name} is of kind {system.kind}"
    return system.settings


def debezium_names(system: System) -> DebeziumNames:
    return debezium_settings(system).names(system.name)


Connector: TypeAlias = Annotated[PostgresConnector | DebeziumConnector, Field(discriminator="kind")]


class Endpoint(Strict):
    """A server that speaks HTTP."""

    url: Annotated[Text, GIVEN] = Field(description="Its base address, http:// or https://.")
    username: Annotated[Text | None, GIVEN] = Field(default=None, description="For basic authentication.")
    password: Annotated[Text | None, GIVEN] = Field(
        default=None, repr=False, description="As ${env:NAME} or ${file:path}, never in the open."
    )
    ca_file: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Certificates (PEM) that sign the server's, if no public authority does."
    )


class ConnectEndpoint(Endpoint):
    """Kafka Connect's REST interface."""

    servers: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The brokers as Kafka Connect reaches them, where that differs (default: servers)."
    )


class Kafka(Strict):
    """The Kafka that systems of kind debezium are read from."""

    servers: Annotated[Text, GIVEN] = Field(description="Bootstrap servers: host:port[,host:port].")
    security: Security = Field(default="plaintext", description="The brokers' protocol.")
    mechanism: Annotated[Mechanism | None, GIVEN] = Field(default=None, description="For sasl_plaintext and sasl_ssl.")
    username: Annotated[Text | None, GIVEN] = Field(default=None, description="For sasl_plaintext and sasl_ssl.")
    password: Annotated[Text | None, GIVEN] = Field(
        default=None, repr=False, description="As ${env:NAME} or ${file:path}, never in the open."
    )
    ca_file: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Certificates (PEM) that sign the brokers', if no public authority does."
    )
    cert_file: Annotated[Text | None, GIVEN] = Field(default=None, description="Our own certificate (PEM), for mTLS.")
    key_file: Annotated[Text | None, GIVEN] = Field(default=None, description="Its private key (PEM, not encrypted).")
    group: Annotated[Label | None, GIVEN] = Field(
        default=None, description="Consumer group; each system adds its name (default fieldwarden.<project>)."
    )
    connect: Annotated[ConnectEndpoint | None, GIVEN] = Field(
        default=None, description="Kafka Connect, to register and watch connectors."
    )
    registry: Annotated[Endpoint | None, GIVEN] = Field(
        default=None, description="The schema registry, for Avro (Confluent's interface: /schemas/ids/N)."
    )
