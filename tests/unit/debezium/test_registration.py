"""What a connector is registered with: from connection strings, the project's Kafka, and options that come last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fieldwarden.connectors.debezium.connect.registration import configuration, masked
from fieldwarden.connectors.debezium.connect.signals import Notification, snapshot_of
from fieldwarden.connectors.debezium.connect.snapshots import rows_so_far
from fieldwarden.connectors.debezium.kafka.access import Endpoint, KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.connectors.debezium.looking.probe import captured
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.rules.debezium_options import contradictions, in_force, is_secret
from fieldwarden.rules.loading import rulebook_from_documents
from fieldwarden.rules.rulebook import System
from fieldwarden.rules.secret import Secret, revealed
from tests.builders import CUSTOMER

KAFKA = KafkaAccess(Brokers("a:9092,b:9092"), "fieldwarden.shop", Endpoint("http://connect:8083"))
DSN = "postgresql://app:p%40ss@db.example:5433/crm?sslmode=require"
STREAM = {"entity": "customer", "key": "id", "fields": {"name": "name", "credit_limit": "credit"}}


def system(streams: dict[str, Any] | None = None, mode: str = "source", **connector: Any) -> System:
    document = {
        "system": "crm",
        "connector": {"kind": "debezium", "dsn": "x", **connector},
        "mode": mode,
        "streams": streams or {"account": STREAM},
    }
    others = [
        {"system": name, "connector": {"kind": "postgres", "dsn": "x"}, "streams": {"t": _ALL}}
        for name in ("erp", "billing")
    ]
    return rulebook_from_documents([CUSTOMER], [document, *others]).systems["crm"]


_ALL = {"entity": "customer", "key": "id", "external_id": "ext", "fields": {name: name for name in CUSTOMER["fields"]}}


def test_the_safe_defaults_contradict_nothing_and_leave_nothing_to_silence() -> None:
    made = configuration(system(), DSN, KAFKA)
    assert list(contradictions(in_force(made), "customer.credit_limit")) == []


def test_a_connection_string_becomes_debeziums_properties() -> None:
    made = configuration(system(), DSN, KAFKA)
    assert {name: made[name] for name in made if name.startswith("database.")} == {
        "database.hostname": "db.example",
        "database.port": "5433",
        "database.user": "app",
        "database.password": Secret("p@ss"),
        "database.dbname": "crm",
        "database.sslmode": "require",
    }


def test_names_follow_from_the_files() -> None:
    made = configuration(system({"account": STREAM}, prefix="eu.crm", slot="s", publication="p"), DSN, KAFKA)
    wanted = {
        "topic.prefix": "eu.crm",
        "slot.name": "s",
        "publication.name": "p",
        "table.include.list": r"public\.account",
        "signal.kafka.topic": "eu.crm.fieldwarden-signals",
        "signal.kafka.groupId": "fieldwarden.shop.eu.crm.signals",
        "signal.kafka.bootstrap.servers": "a:9092,b:9092",
        "notification.sink.topic.name": "eu.crm.fieldwarden-notifications",
    }
    assert wanted.items() <= made.items()


def test_only_streams_that_are_read_are_captured() -> None:
    note = {"entity": "customer", "key": "id", "parent": {"account": "account_id"}, "fields": {"phone": "phone"}}
    made = configuration(system({"account": STREAM, "sales.note": {**note, "mode": "target"}}, mode="both"), DSN, KAFKA)
    assert made["table.include.list"] == r"public\.account"


def test_options_come_last_and_leave_connects_own_references_alone() -> None:
    options = {"database.password": "${file:/run/secrets/crm:password}", "heartbeat.interval.ms": 1000}
    made = configuration(system(options=options), DSN, KAFKA)
    assert made["database.password"] == "${file:/run/secrets/crm:password}"
    assert made["heartbeat.interval.ms"] == "1000"


def test_another_converter_takes_its_own_options_only() -> None:
    made = configuration(system(options={"value.converter": "io.confluent.connect.avro.AvroConverter"}), DSN, KAFKA)
    assert "value.converter.schemas.enable" not in made
    assert made["key.converter.schemas.enable"] == "true"


def test_connect_may_reach_the_brokers_by_other_names() -> None:
    kafka = KafkaAccess(Brokers("localhost:29092"), "g", Endpoint("http://c", servers="kafka:9092"))
    assert configuration(system(), DSN, kafka)["signal.kafka.bootstrap.servers"] == "kafka:9092"


@pytest.mark.parametrize(("mechanism", "module"), [("PLAIN", "plain.Plain"), ("SCRAM-SHA-512", "scram.Scram")], ids=str)
def test_the_signal_consumer_logs_in_as_we_do(mechanism: str, module: str) -> None:
    brokers = Brokers("a:1", "sasl_plaintext", mechanism, "me", 'hunter"2')
    made = configuration(system(), DSN, KafkaAccess(brokers, "g"))
    assert made["signal.consumer.security.protocol"] == "SASL_PLAINTEXT"
    assert made["signal.consumer.sasl.mechanism"] == mechanism
    assert revealed(made["signal.consumer.sasl.jaas.config"]) == (
        f'org.apache.kafka.common.security.{module}LoginModule required username="me" password="hunter\\"2";'
    )
    assert "hunter" not in str(masked(made))


def test_certificates_go_along_as_text(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(f"PEM of {name}")
    brokers = Brokers("a:1", "ssl", **{f"{name}_file": str(tmp_path / name) for name in ("ca", "cert", "key")})
    made = configuration(system(), DSN, KafkaAccess(brokers, "g"))
    assert made["signal.consumer.ssl.truststore.certificates"] == "PEM of ca"
    assert made["signal.consumer.ssl.keystore.certificate.chain"] == "PEM of cert"
    assert masked(made)["signal.consumer.ssl.keystore.key"] == "***"
    in_no_log = re.compile(revealed(made["custom.sanitize.pattern"]), re.IGNORECASE)
    assert all(in_no_log.fullmatch(option) for option in made if is_secret(option))
    assert "custom.sanitize.pattern" not in configuration(system(), DSN, KAFKA), "Debezium knows passwords"
    (tmp_path / "key").unlink()
    with pytest.raises(EnvironmentUnfit, match="cannot be read"):
        configuration(system(), DSN, KafkaAccess(brokers, "g"))


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("host=/run/postgresql user=u dbname=d", "does not name one host name"),
        ("user=u dbname=d", "does not name one host name"),
        ("host=a,b user=u dbname=d", "does not name one host name"),
        ("host=a dbname=d", "does not name a user"),
        ("host=a user=u", "does not name the dbname"),
        ("what is this", "is not one that libpq understands"),
    ],
)
def test_a_connection_string_that_debezium_cannot_use(dsn: str, message: str) -> None:
    with pytest.raises(EnvironmentUnfit, match=message):
        configuration(system(), dsn, KAFKA)


def test_mysql() -> None:
    streams = {"shop.customer": STREAM}
    brokers = Brokers("a:1", "sasl_plaintext", "PLAIN", "me", "hunter2")
    made = configuration(
        system(streams, database="mysql"), "mysql://app:p%40ss@db/shop?ssl-mode=REQUIRED", KafkaAccess(brokers, "g")
    )
    wanted = {
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "database.hostname": "db",
        "database.port": "3306",
        "database.user": "app",
        "database.password": Secret("p@ss"),
        "database.include.list": "shop",
        "database.ssl.mode": "required",
        "table.include.list": r"shop\.customer",
        "bigint.unsigned.handling.mode": "precise",
        "schema.history.internal.kafka.topic": "crm.fieldwarden-schema-history",
        "schema.history.internal.kafka.bootstrap.servers": "a:1",
        "schema.history.internal.producer.security.protocol": "SASL_PLAINTEXT",
    }
    assert wanted.items() <= made.items()
    assert "slot.name" not in made
    assert "hunter2" not in str(masked(made))
    again = configuration(system(streams, database="mysql"), "mysql://app@db/shop", KafkaAccess(brokers, "g"))
    assert again["database.server.id"] == made["database.server.id"]
    with pytest.raises(EnvironmentUnfit, match="MySQL"):
        configuration(system(streams, database="mysql"), "host=db user=u", KAFKA)


def test_masking_blots_out_values_not_references() -> None:
    shown = masked({"database.password": "${file:/x:y}", "sslpassword": "p", "a.token": "", "snapshot.mode": "initial"})
    assert shown == {
        "a.token": "",
        "database.password": "${file:/x:y}",
        "snapshot.mode": "initial",
        "sslpassword": "***",
    }


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ({}, True),
        ({"table.include.list": r"public\.account,public\.note"}, True),
        ({"table.include.list": r"public\.note"}, False),
        ({"table.include.list": "PUBLIC.ACCOUNT"}, True),
        ({"table.include.list": "account"}, False),
        ({"schema.include.list": "sales"}, False),
        ({"table.exclude.list": ".*account"}, False),
        ({"table.include.list": r"\p{Alpha}+.*"}, True),
    ],
)
def test_which_tables_a_connector_captures(live: dict[str, str], expected: bool) -> None:
    assert captured(live, "public.account") is expected


def test_a_signal_names_its_table_as_a_regular_expression() -> None:
    assert snapshot_of("public.account", "id > 7") == {
        "type": "INCREMENTAL",
        "data-collections": [r"public\.account"],
        "additional-conditions": [{"data-collection": r"public\.account", "filter": "id > 7"}],
    }


@pytest.mark.parametrize(
    ("details", "rows"),
    [
        ({"chunk_index": "1", "total_chunks": "3", "total_rows": "3000"}, 1000),
        ({"chunk_index": "3", "total_chunks": "3", "total_rows": "2500"}, 2500),
        ({"chunk_index": "1", "total_chunks": "3"}, None),
        ({}, None),
    ],
)
def test_progress_is_told_only_where_it_is_known(details: dict[str, str], rows: int | None) -> None:
    assert rows_so_far(Notification("x", "IN_PROGRESS", "Incremental Snapshot", details)) == rows
