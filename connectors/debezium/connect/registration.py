"""What a connector is registered with: defaults under which nothing is lost or falsified, and the files' own options.

Facts: Debezium's references for its PostgreSQL and MySQL connectors; Kafka Connect's for converters, topics it makes
(KIP-158) and client overrides (KIP-458).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from fieldwarden.connectors.debezium.kafka.access import KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.engine.dsn import read, unclear
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.connections import debezium_names, debezium_settings
from fieldwarden.rules.debezium_options import disguised
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.scrubbing import scrub
from fieldwarden.rules.secret import Secretive, revealed

POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
MYSQL = "io.debezium.connector.mysql.MySqlConnector"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_LOGIN = "org.apache.kafka.common.security.{0}LoginModule required username={1} password={2};"
_TLS = {
    "sslmode": "database.sslmode",
    "sslrootcert": "database.sslrootcert",
    "sslcert": "database.sslcert",
    "sslkey": "database.sslkey",
    "sslpassword": "database.sslpassword",
}

TOLD_TYPES = (
    r"(?i).+\._?(?:bpchar|numeric|decimal|money|bit|varbit|oid|inet|cidr|macaddr8?|hstore|[a-z0-9]+range"
    r"|bigint unsigned.*)"
)
"""Database types that Connect's schemas do not tell from others, so that their columns' own types go along."""

_SAFE = {
    "tasks.max": "1",
    # Exact decimals in every converter; times in the column's own precision, told by the schema.
    "decimal.handling.mode": "string",
    "time.precision.mode": "adaptive",
    "datatype.propagate.source.type": TOLD_TYPES,
    "interval.handling.mode": "string",
    "event.converting.failure.handling.mode": "fail",
    # Everything that happens to a row, in a form that log compaction cannot turn into something else.
    "skipped.operations": "none",
    "tombstones.on.delete": "true",
    "provide.transaction.metadata": "false",
    # An idle table must not keep the server's log, and a read-only snapshot needs heartbeats to end.
    "heartbeat.interval.ms": "5000",
    # Backfills: asked for over Kafka, no table of ours in the database, and the outcome told.
    "read.only": "true",
    "signal.enabled.channels": "source,kafka",
    "signal.poll.interval.ms": "1000",
    "signal.kafka.poll.timeout.ms": "500",
    "notification.enabled.channels": "sink",
    "topic.creation.default.partitions": "1",
    "topic.creation.default.replication.factor": "-1",
    "producer.override.compression.type": "lz4",
    "errors.log.enable": "true",
    "errors.log.include.messages": "false",
}

# Debezium writes its options to Connect's log, without what looks like a secret; private keys it does not know for
# such. What is given here stands in the place of its own list (Configuration.PASSWORD_PATTERN).
_KEYS_UNSAID = {
    "custom.sanitize.pattern": r".*(?:keystore\.key|secret|password|passphrase|token|jaas\.config|user\.info"
    r"|client-secret|credentials\.json|connection\.?string)$"
}

_CONVERTERS = {
    half: {
        f"{half}.converter": _JSON,
        f"{half}.converter.schemas.enable": "true",
        f"{half}.converter.replace.null.with.default": "false",
    }
    for half in ("key", "value")
}


def signals_topic(prefix: str) -> str:
    return f"{prefix}.fieldwarden-signals"


def configuration(system: System, dsn: Secretive, kafka: KafkaAccess) -> dict[str, Secretive]:
    """All that Kafka Connect is told of a system's connector, its secrets as such; the files' options come last.

    `dsn` is the database as Connect reaches it. Raises EnvironmentUnfit if Debezium cannot use it."""
    settings = debezium_settings(system)
    options = settings.options
    topics = Topics(system)
    tables = sorted(map(topics.table, topics.streams))
    found = {
        **_SAFE,
        **(_mysql(dsn, topics.prefix, kafka) if not settings.is_postgres else _postgres(system, dsn)),
        "topic.prefix": topics.prefix,
        "table.include.list": ",".join(map(_pattern, tables)),
        "notification.sink.topic.name": topics.notifications,
        "signal.kafka.topic": signals_topic(topics.prefix),
        "signal.kafka.groupId": f"{kafka.group}.{topics.prefix}.signals",
        "signal.kafka.bootstrap.servers": _servers(kafka),
        **{f"signal.consumer.{name}": value for name, value in _security(kafka.brokers).items()},
        **(_KEYS_UNSAID if kafka.brokers.key_file is not None else {}),
    }
    for half, converter in _CONVERTERS.items():
        found |= converter if options.get(f"{half}.converter", _JSON) == _JSON else {}
    return disguised({**found, **options})


def masked(configuration: Mapping[str, Secretive]) -> dict[str, str]:
    """For people: secrets blotted out, also those in an address, but not what only refers to one (`${file:...}`)."""
    return {name: scrub(str(value)) for name, value in sorted(disguised(configuration).items())}


def _pattern(name: str) -> str:
    """A regular expression for one name, in a list that commas divide."""
    return re.escape(name).replace(",", r"\x2c")


def _servers(kafka: KafkaAccess) -> str:
    there = kafka.connect.servers if kafka.connect is not None else None
    return there or kafka.brokers.servers


# --- the database --------------------------------------------------------------------------------------------


def _postgres(system: System, dsn: Secretive) -> dict[str, str]:
    return {
        "connector.class": POSTGRES,
        **dict(_postgres_address(system.name, dsn)),
        "plugin.name": "pgoutput",
        "slot.name": debezium_names(system).slot,
        "publication.name": debezium_names(system).publication,
        "publication.autocreate.mode": "filtered",
    }


def _postgres_address(system: str, dsn: Secretive) -> Iterator[tuple[str, str]]:
    given = read(dsn, conninfo_to_dict, f" of {system}")
    host = given.get("host") or given.get("hostaddr") or ""
    if not host or "," in host or host.startswith("/"):
        raise _not_for_debezium(system, "one host name, which Kafka Connect reaches over TCP")
    for name in ("user", "dbname"):
        if name not in given:
            raise _not_for_debezium(system, f"{'a' if name == 'user' else 'the'} {name}")
    yield "database.hostname", host
    yield "database.port", given.get("port", "5432")
    yield "database.user", given["user"]
    yield "database.dbname", given["dbname"]
    if "password" in given:
        yield "database.password", given["password"]
    yield from ((_TLS[name], value) for name, value in given.items() if name in _TLS)


def _not_for_debezium(system: str, what: str) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"the connection string of {system} does not name {what}",
        suggestion="write it out in dsn:, or in connect_dsn: if Kafka Connect reaches the database by another name",
        path=system,
    )


def _mysql(dsn: Secretive, prefix: str, kafka: KafkaAccess) -> dict[str, str]:
    """`mysql://user:password@host:3306/database?ssl-mode=...`; the schema history is kept in a topic of its own."""
    parts, port = _mysql_address(dsn)
    history = {
        "kafka.topic": f"{prefix}.fieldwarden-schema-history",
        "kafka.bootstrap.servers": _servers(kafka),
    }
    for client in ("producer", "consumer"):
        history |= {f"{client}.{name}": value for name, value in _security(kafka.brokers).items()}
    found = {
        "connector.class": MYSQL,
        "database.hostname": parts.hostname or "",
        "database.port": str(port),
        "database.user": unquote(parts.username or ""),
        # A replica's number must be its own; the prefix is, so a number made of it very nearly is.
        "database.server.id": str(zlib.crc32(prefix.encode()) % 2**31 + 1),
        "bigint.unsigned.handling.mode": "precise",
        "include.schema.changes": "false",
        **{f"schema.history.internal.{name}": value for name, value in history.items()},
    }
    if parts.password is not None:
        found["database.password"] = unquote(parts.password)
    if database := parts.path.strip("/"):
        found["database.include.list"] = _pattern(unquote(database))
    if mode := dict(parse_qsl(parts.query)).get("ssl-mode"):
        found["database.ssl.mode"] = mode.lower()
    return found


def _mysql_address(dsn: Secretive) -> tuple[SplitResult, int]:
    """Raises EnvironmentUnfit, which quotes nothing of it."""
    text = revealed(dsn)
    try:
        parts = urlsplit(text)
        port = parts.port or 3306
        known = parts.scheme == "mysql" and bool(parts.hostname and parts.username) and not unclear(text)
    except ValueError:  # its words quote what is no port
        known = False
    if not known:
        raise EnvironmentUnfit(
            "the connection string of a MySQL system is not one",
            suggestion="write mysql://user:${env:PASSWORD}@host:3306/database, odd characters percent-encoded",
        ) from None
    return parts, port


# --- Kafka, for the clients inside the connector ---------------------------------------------------------------


def _security(brokers: Brokers) -> dict[str, str]:
    """Java's names for how the brokers are reached. Certificates go along as text: files of ours are not there."""
    if brokers.security == "plaintext":
        return {}
    found = {"security.protocol": brokers.security.upper()}
    if brokers.security.startswith("sasl_"):
        kind = "plain.Plain" if brokers.mechanism == "PLAIN" else "scram.Scram"
        found["sasl.mechanism"] = brokers.mechanism or "PLAIN"
        found["sasl.jaas.config"] = _LOGIN.format(
            kind, *map(json.dumps, (brokers.username, revealed(brokers.password or "")))
        )
    if brokers.ca_file is not None:
        found["ssl.truststore.type"] = "PEM"
        found["ssl.truststore.certificates"] = _pem(brokers.ca_file)
    if brokers.cert_file is not None and brokers.key_file is not None:
        found["ssl.keystore.type"] = "PEM"
        found["ssl.keystore.certificate.chain"] = _pem(brokers.cert_file)
        found["ssl.keystore.key"] = _pem(brokers.key_file)
    return found


def _pem(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM text"
        raise EnvironmentUnfit(
            f"{path} cannot be read: {reason}", suggestion="mend the files under kafka: in fieldwarden.yaml", path=path
        ) from None
