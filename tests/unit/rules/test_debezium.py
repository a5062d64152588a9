"""Systems that Debezium reads, and the project's Kafka: what the files fold into, and every mistake in them."""

# ruff: noqa: E501 - one mistake a line reads best

from __future__ import annotations

from pathlib import Path

import pytest

from fieldwarden.rules.connections import DebeziumNames, debezium_names, debezium_settings
from fieldwarden.rules.debezium_options import contradictions, in_force, is_secret
from fieldwarden.rules.errors import ConfigurationError
from fieldwarden.rules.loading import load_rulebook_source
from tests.builders import debezium
from tests.unit.rules.projects import FILES, MARK, load, said, write

PROJECT, CRM = "fieldwarden.yaml", "systems/crm.yaml"
KAFKA = """\
kafka:
  servers: "${env:KAFKA}"
  security: sasl_ssl
  mechanism: SCRAM-SHA-512
  username: fieldwarden
  password: "${env:KAFKA_PASSWORD}"
  connect: {url: "http://connect:8083"}
  registry: {url: "${env:REGISTRY}"}
"""
CONNECTOR = """\
connector:
  kind: debezium
  dsn: "postgresql://app:${env:PW}@db/crm"
  options: {snapshot.mode: initial, max.batch.size: 500}
"""
SOUND = {
    **FILES,
    PROJECT: FILES[PROJECT] + KAFKA,
    CRM: FILES[CRM].replace('connector: {kind: postgres, dsn: "${embedded:crm}"}\n', CONNECTOR),
}


def marked(file: str, old: str, new: str) -> tuple[dict[str, str], str]:
    """The files with one replacement, and the place at which the mark stood."""
    assert SOUND[file].count(old) == 1, f"{old!r} must stand once in {file}"
    text = SOUND[file].replace(old, new)
    before = text[: text.index(MARK)]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return {**SOUND, file: text.replace(MARK, "")}, f"{file}:{line}:{column}: "


def test_a_debezium_system_keeps_its_settings_and_has_names_of_its_own(tmp_path: Path) -> None:
    project = load(write(tmp_path, SOUND))
    system = project.rulebook.systems["crm"]
    assert system.kind == "debezium"
    options = {"snapshot.mode": "initial", "max.batch.size": "500"}
    assert system.settings == debezium("postgresql://app:${env:PW}@db/crm", options=options)
    assert debezium_settings(system).connected_by == debezium_settings(system).dsn
    own = "fieldwarden_crm"
    assert debezium_names(system) == DebeziumNames("crm", own, slot=own, publication=own)
    assert load_rulebook_source(project.rulebook.source).systems["crm"] == system
    assert project.warnings == ()


def test_names_may_be_chosen(tmp_path: Path) -> None:
    files = {
        **SOUND,
        CRM: SOUND[CRM].replace("  options:", "  prefix: eu.crm-1\n  name: Crm.One\n  slot: s\n  options:"),
    }
    crm = load(write(tmp_path, files)).rulebook.systems["crm"]
    assert debezium_names(crm) == DebeziumNames("eu.crm-1", "Crm.One", "s", "fieldwarden_crm")


LOGIN = "'url' holds a user name or a password (give them as username: and password:)"
MISTAKES = [
    (CRM, "kind: debezium\n", "kind: debezium\n  database: ▸mysql\n", "crm is MySQL, which Fieldwarden reads but does not write (add mode: source to the system)"),
    (CRM, "kind: debezium\n", "kind: debezium\n  database: mysql\n  ▸slot: s\n", "MySQL has no slot (remove it)"),
    (CRM, "kind: debezium\n", "kind: debezium\n  connect_dsn: ▸postgresql://app:hunter2@db/crm\n", "a password stands here in the open"),
    (CRM, "max.batch.size: 500", "▸topic.prefix: x", "topic.prefix is not an option to choose: say it as `prefix:` (remove it here)"),
    (CRM, "max.batch.size: 500", "▸table.exclude.list: x", "table.exclude.list is not an option to choose: it is the tables that `streams:` reads"),
    (CRM, "max.batch.size: 500", "database.password: ▸hunter2", "a password stands here in the open (write ${file:/path:key} for a config provider of Connect's)"),
    (CRM, "max.batch.size: 500", "signal.consumer.sasl.jaas.config: ▸x", "a password stands here in the open"),
    (CRM, "max.batch.size: 500", "decimal.handling.mode: ▸double", "decimal.handling.mode is double: customer.credit_limit would pass through binary floating point (decimal.handling.mode: string)"),
    (CRM, "max.batch.size: 500", "value.converter.schemas.enable: false, decimal.handling.mode: ▸precise", "decimal.handling.mode is precise without schemas: the scale of every decimal is lost"),
    (CRM, "max.batch.size: 500", "transforms.u.type: ▸io.debezium.transforms.ExtractNewRecordState", "ExtractNewRecordState takes the change's envelope away"),
    (CRM, "max.batch.size: 500", "skipped.operations: ▸'d,t'", "skipped.operations leaves out deletes"),
    (CRM, "max.batch.size: 500", "value.converter.replace.null.with.default: ▸true", "value.converter.replace.null.with.default is true: a null would arrive as the column's default"),
    (CRM, "snapshot.mode: initial", "snapshot.mode: ▸initial_only", "snapshot.mode is initial_only: no change is ever streamed"),
    (CRM, "max.batch.size: 500", "message.key.columns: ▸'public.account:name,id'", "message.key.columns gives the rows of public.account the key name,id, not id (the key of public.account and its topic must be one)"),
    (CRM, "max.batch.size: 500", "max.batch.size: ▸[1]", "'max.batch.size': a constant is text, a number, true or false"),
    (PROJECT, 'servers: "${env:KAFKA}"', "servers: ▸http://kafka", "'servers' is not a list of host:port (write host:9092 or a:9092,b:9092)"),
    (PROJECT, 'servers: "${env:KAFKA}"', "servers: ▸a:9092,b", "'servers' is not a list of host:port"),
    (PROJECT, 'servers: "${env:KAFKA}"', 'servers: ▸"${var:KAFKA}"', "'${var:KAFKA}' is not a reference"),
    (PROJECT, "security: sasl_ssl", "security: ▸tls", "'security' must be plaintext or ssl or sasl_plaintext or sasl_ssl"),
    (PROJECT, "  mechanism: SCRAM-SHA-512\n", "", "sasl_ssl needs mechanism (add mechanism:)"),
    (PROJECT, "SCRAM-SHA-512", "▸SCRAM", "'mechanism' must be PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512"),
    (PROJECT, '"${env:KAFKA_PASSWORD}"', "▸hunter2", "a password stands here in the open (write ${env:NAME} or ${file:path} instead)"),
    (PROJECT, "  connect:", "  ca_file: ▸ca.pem\n  connect:", "there is no file ca.pem (a path is relative to this folder)"),
    (PROJECT, "  connect:", "  ▸cert_file: sql/crm.sql\n  connect:", "a certificate and its key go together (name both files)"),
    (PROJECT, '"http://connect:8083"', "▸connect:8083", "'url' is not an address (write http://host:port or https://...)"),
    (PROJECT, '"http://connect:8083"', "▸http://admin:hunter2@connect:8083", LOGIN),
    (PROJECT, '"http://connect:8083"', '▸"http://admin:${env:PW}@connect:8083"', LOGIN),
    (PROJECT, '"http://connect:8083"', '▸"http://${file:/run/secrets/login}@connect:8083"', LOGIN),
    (PROJECT, '"${env:REGISTRY}"', '▸"${env:SCHEME}://me@registry"', LOGIN),
    (PROJECT, '"http://connect:8083"}', '"http://connect:8083", ▸username: me}', "a user name and its password go together (give both)"),
    (PROJECT, "  registry:", "  ▸registy:", "unknown key 'registy' (did you mean 'registry'?)"),
    (PROJECT, "  registry:", "  group: ▸a b\n  registry:", "'group': it is letters, digits, . _ and -"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), MISTAKES)
def test_a_mistake_is_named_where_it_stands(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    if MARK not in new:  # something is left out: said where the need for it stands
        files, place = {**SOUND, file: SOUND[file].replace(old, new)}, f"{file}:8:13: "
    else:
        files, place = marked(file, old, new)
    everything = [str(problem) for problem in said(tmp_path, files)]
    assert any(text.startswith(place + message) for text in everything), "\n".join([place + message, *everything])
    assert "hunter2" not in "\n".join(everything)


def test_rows_can_be_told_again_only_by_a_connector_that_can_be_asked(tmp_path: Path) -> None:
    files = {**SOUND, CRM: SOUND[CRM].replace("streams:", "on_gap: rebaseline\nstreams:")}
    assert load(write(tmp_path, files)).rulebook.systems["crm"].mends_gaps
    files[PROJECT] = "".join(line for line in SOUND[PROJECT].splitlines(True) if not line.startswith("  connect:"))
    [problem] = said(tmp_path, files)
    line = 1 + files[CRM].splitlines().index("on_gap: rebaseline")
    assert str(problem).startswith(
        f"{CRM}:{line}:9: to have all rows of crm told again, its connector in Kafka Connect"
    )
    assert "kafka: {connect: {url: ...}}" in problem.suggestion


@pytest.mark.parametrize("key", ["mechanism", "username", "password"])
def test_credentials_without_sasl_mean_nothing(tmp_path: Path, key: str) -> None:
    files = {**SOUND, PROJECT: SOUND[PROJECT].replace("sasl_ssl", "plaintext")}
    assert any(f"{key} has no meaning with security plaintext" in str(problem) for problem in said(tmp_path, files))


def test_kafka_is_needed_where_a_system_is_read_from_it(tmp_path: Path) -> None:
    files = {**SOUND, PROJECT: FILES[PROJECT]}
    assert [str(problem) for problem in said(tmp_path, files)] == [
        "systems/crm.yaml:3:9: crm is read from Kafka, and fieldwarden.yaml does not say where that is"
        " (add kafka: {servers: ...} there)"
    ]


def test_two_systems_do_not_share_their_topics(tmp_path: Path) -> None:
    erp = SOUND["systems/erp.yaml"].replace("{kind: postgres,", "{kind: debezium, prefix: crm,")
    assert [str(problem) for problem in said(tmp_path, {**SOUND, "systems/erp.yaml": erp})] == [
        "systems/crm.yaml:3:3: prefix 'crm' is that of system erp too: their changes would be mixed"
        " (give one of them its own prefix:)"
    ]


def test_mysql_may_be_read(tmp_path: Path) -> None:
    source = FILES[CRM].replace('{kind: postgres, dsn: "${embedded:crm}"}', "{kind: debezium, database: mysql, dsn: x}")
    source = source.replace("on_null: value", "mode: source").replace("    create: true\n", "")
    project = load(write(tmp_path, {**SOUND, CRM: source}))
    assert debezium_settings(project.rulebook.systems["crm"]).product == "mysql"


@pytest.mark.parametrize("keys", ["public.account:id", r"public\.(account|x):id;other:a,b", "public.nothing:name", "("])
def test_a_topics_key_may_be_said_if_it_is_the_streams(tmp_path: Path, keys: str) -> None:
    files = {**SOUND, CRM: SOUND[CRM].replace("max.batch.size: 500", f"message.key.columns: '{keys}'")}
    assert said(tmp_path, files) == []


def test_what_is_risky_is_a_warning_at_its_place(tmp_path: Path) -> None:
    risky = (
        "tombstones.on.delete: false, heartbeat.interval.ms: 0, notification.enabled.channels: log,"
        " slot.drop.on.stop: true, signal.enabled.channels: source, snapshot.mode: no_data, time.precision.mode: connect, skipped.operations: t"
    )
    project = load(
        write(tmp_path, {**SOUND, CRM: SOUND[CRM].replace("snapshot.mode: initial, max.batch.size: 500", risky)})
    )
    said_of = [warning.message.split(":")[0].split(" ")[0] for warning in project.warnings]
    assert sorted(said_of) == [
        "no",
        "notifications",
        "signals",
        "skipped.operations",
        "slot.drop.on.stop",
        "snapshot.mode",
        "time.precision.mode",
        "tombstones.on.delete",
    ]
    assert {(warning.file, warning.line) for warning in project.warnings} == {(CRM, 5)}


def test_double_is_only_a_warning_where_no_decimal_is_mapped() -> None:
    (remark,) = contradictions({"decimal.handling.mode": "double"})
    assert remark.level == "warning"


def test_what_a_live_connector_does_not_say_has_debeziums_meaning() -> None:
    """A connector made by hand with the least: its silence is judged too."""
    least = {"value.converter": "org.apache.kafka.connect.json.JsonConverter"}
    assert {remark.option: remark.level for remark in contradictions(in_force(least), "customer.credit_limit")} == {
        "value.converter.replace.null.with.default": "error",
        "event.converting.failure.handling.mode": "warning",
        "skipped.operations": "warning",
        "heartbeat.interval.ms": "warning",
        "notification.enabled.channels": "warning",
        "signal.enabled.channels": "warning",
    }


@pytest.mark.parametrize(
    ("option", "secret"),
    [
        ("database.password", True),
        ("signal.consumer.sasl.jaas.config", True),
        ("database.sslpassword", True),
        ("value.converter.schema.registry.basic.auth.user.info", True),
        ("value.converter.apicurio.auth.client.secret", True),
        ("schema.history.internal.consumer.ssl.keystore.password", True),
        ("table.include.list", False),
        ("snapshot.mode", False),
        ("slot.name", False),
        ("key.converter", False),
        ("message.key.columns", False),
    ],
)
def test_secrets_are_known_by_name(option: str, secret: bool) -> None:
    assert is_secret(option) is secret


def test_no_problem_repeats_a_secret(tmp_path: Path) -> None:
    text = SOUND[PROJECT].replace('"${env:KAFKA_PASSWORD}"', "hunter2")
    assert "hunter2" not in str(ConfigurationError(said(tmp_path, {**SOUND, PROJECT: text})))
