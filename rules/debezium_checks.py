"""The checks of systems that Debezium reads, and of the project's Kafka: all that files alone can tell is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from fieldwarden.rules.connections import DebeziumConnector, Endpoint, Kafka
from fieldwarden.rules.debezium_options import OURS, contradictions, is_secret
from fieldwarden.rules.documents import Document
from fieldwarden.rules.errors import Problem
from fieldwarden.rules.files import Files, writes
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.folding import physical
from fieldwarden.rules.references import holds_login, reference_problems, without_references

_SERVERS = re.compile(r"\s*[^\s,:/]+:\d{1,5}\s*(?:,\s*[^\s,:/]+:\d{1,5}\s*)*$")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_OPTIONS = ("connector", "options")
_ELSEWHERE = {"table.exclude.list", "schema.include.list", "schema.exclude.list", "database.include.list"}
_PASSWORD_MESSAGE = "a password stands here in the open"  # noqa: S105 - words about one


def check_debezium(files: Files, systems: Sequence[str], findings: CheckResults) -> None:
    """The systems of kind debezium: their options, that MySQL is only read, that no two share their topics."""
    prefixes: dict[str, str] = {}
    names: dict[str, str] = {}
    for name in systems:
        connector = files.systems[name].model.connector
        assert isinstance(connector, DebeziumConnector)
        page = Page(files.systems[name].document, findings)
        _options(files, name, connector, page)
        _keys(files, name, connector, page)
        _database(files, name, connector, page)
        ours = connector.names(name)
        for key, value, known in (("prefix", ours.prefix, prefixes), ("name", ours.connector, names)):
            other = known.setdefault(value, name)
            if other != name:
                message = f"{key} {value!r} is that of system {other} too: their changes would be mixed"
                page.error(("connector", key), message, f"give one of them its own {key}:")


def _database(files: Files, name: str, connector: DebeziumConnector, page: Page) -> None:
    model = files.systems[name].model
    if connector.database == "mysql" and any(writes(model, stream) for stream in model.streams.values()):
        message = f"{name} is MySQL, which Fieldwarden reads but does not write"
        page.error(("connector", "database"), message, "add mode: source to the system")
    for key in ("slot", "publication"):
        if connector.database == "mysql" and getattr(connector, key) is not None:
            page.error_at_key(("connector", key), f"MySQL has no {key}", "remove it")


def _options(files: Files, name: str, connector: DebeziumConnector, page: Page) -> None:
    for option, value in connector.options.items():
        path = (*_OPTIONS, option)
        if option in OURS or option in _ELSEWHERE:
            why = OURS.get(option, OURS["table.include.list"])
            page.error_at_key(path, f"{option} is not an option to choose: {why}", "remove it here")
        elif is_secret(option) and without_references(value) == value:
            hint = "write ${file:/path:key} for a config provider of Connect's"
            page.error(path, _PASSWORD_MESSAGE, hint)
    for remark in contradictions(connector.options, _money(files, name)):
        say = page.error if remark.level == "error" else page.warning
        say((*_OPTIONS, remark.option), remark.message, remark.suggestion)


def _keys(files: Files, name: str, connector: DebeziumConnector, page: Page) -> None:
    """A topic's key is its stream's: rows of one key must be in one partition, in order."""
    option = "message.key.columns"
    for entry in connector.options.get(option, "").split(";"):
        pattern, _, listed = entry.strip().rpartition(":")
        columns = {column.strip() for column in listed.split(",")}
        for stream, model in files.systems[name].model.streams.items():
            table = ".".join(physical(files.systems[name].model, model.table or stream))  # as Debezium joins them
            if _names(pattern, table) and columns != set(model.key):
                message = f"{option} gives the rows of {stream} the key {listed.strip()}, not {', '.join(model.key)}"
                page.error((*_OPTIONS, option), message, f"the key of {stream} and its topic must be one")


def _names(pattern: str, table: str) -> bool:
    try:
        return bool(re.fullmatch(pattern, table, re.IGNORECASE))
    except re.error:
        return False  # Java's, not ours


def _money(files: Files, system: str) -> str:
    """A field of type decimal that the system maps, as entity.field; empty if there is none."""
    for stream in files.systems[system].model.streams.values():
        entity = files.entities.get(stream.entity)
        for field in stream.fields if entity else ():
            kind = entity.model.fields.get(field) if entity else None
            if kind is not None and kind.type.kind == "decimal":
                return f"{stream.entity}.{field}"
    return ""


# --- fieldwarden.yaml: kafka ---------------------------------------------------------------------------------


def kafka_problems(
    kafka: Kafka | None, top: Document, files: Files, databases: Mapping[str, object], exists: Callable[[str], bool]
) -> Iterator[Problem]:
    """What is wrong with `kafka:`, and where it is missing. `exists` tells whether a file of the project is there."""
    if kafka is None:
        if "kafka" in top.data:
            return  # it stands there, and what is wrong with its shape was said already
        for file in files.systems.values():
            if file.model.connector.needs_kafka:
                message = f"{file.model.system} is read from Kafka, and fieldwarden.yaml does not say where that is"
                yield file.document.at("connector", "kind").problem(message, "add kafka: {servers: ...} there")
        return
    yield from _unasked(kafka, files)
    yield from _references(kafka, top, databases)
    yield from _servers(kafka, top)
    yield from _security(kafka, top)
    for key, endpoint in (("connect", kafka.connect), ("registry", kafka.registry)):
        if endpoint is not None:
            yield from _endpoint(endpoint, key, top)
    for path, name in _paths(kafka):
        if without_references(name) == name and not exists(name):
            yield top.at(*path).problem(f"there is no file {name}", "a path is relative to this folder")


def _unasked(kafka: Kafka, files: Files) -> Iterator[Problem]:
    """Systems whose rows are to be told again by connectors that nobody can ask to."""
    for file in files.systems.values() if kafka.connect is None else ():
        if isinstance(file.model.connector, DebeziumConnector) and file.model.on_gap == "rebaseline":
            message = (
                f"to have all rows of {file.model.system} told again, its connector in Kafka Connect must be asked, "
                "and fieldwarden.yaml does not say where that is"
            )
            yield file.document.at("on_gap").problem(message, "add kafka: {connect: {url: ...}} there")


def _texts(kafka: Kafka) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in ("servers", "username", "password", "ca_file", "cert_file", "key_file"):
        if (text := getattr(kafka, key)) is not None:
            yield ("kafka", key), text
    for key, endpoint in (("connect", kafka.connect), ("registry", kafka.registry)):
        for part in ("url", "username", "password", "servers", "ca_file"):
            if (text := getattr(endpoint, part, None)) is not None:
                yield ("kafka", key, part), text


def _references(kafka: Kafka, top: Document, databases: Mapping[str, object]) -> Iterator[Problem]:
    for path, text in _texts(kafka):
        if path[-1] == "url" and holds_login(text):
            yield top.at(*path).problem("'url' holds a user name or a password", "give them as username: and password:")
            continue
        found = reference_problems(text, databases)
        if path[-1] == "password" and not found and without_references(text) == text:
            found = [(_PASSWORD_MESSAGE, "write ${env:NAME} or ${file:path} instead")]
        for words in found:
            yield top.at(*path).problem(*words)


def _paths(kafka: Kafka) -> Iterator[tuple[tuple[str, ...], str]]:
    return ((path, text) for path, text in _texts(kafka) if path[-1].endswith("_file"))


def _servers(kafka: Kafka, top: Document) -> Iterator[Problem]:
    for path, text in _texts(kafka):
        plain = without_references(text)
        if path[-1] == "servers" and plain == text and not _SERVERS.match(_IPV6.sub("host", text)):
            yield top.at(*path).problem("'servers' is not a list of host:port", "write host:9092 or a:9092,b:9092")


def _security(kafka: Kafka, top: Document) -> Iterator[Problem]:
    sasl = kafka.security.startswith("sasl_")
    for key in ("mechanism", "username", "password"):
        given = getattr(kafka, key) is not None
        if sasl and not given:
            yield top.at("kafka", "security").problem(f"{kafka.security} needs {key}", f"add {key}:")
        elif given and not sasl:
            message = f"{key} has no meaning with security {kafka.security}"
            yield top.key_at("kafka", key).problem(message, "security: sasl_ssl, or remove it")
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(kafka, key) is not None and not kafka.security.endswith("ssl"):
            message = f"{key} has no meaning with security {kafka.security}"
            yield top.key_at("kafka", key).problem(message, "security: ssl or sasl_ssl, or remove it")
    if (kafka.cert_file is None) != (kafka.key_file is None):
        alone = "cert_file" if kafka.cert_file else "key_file"
        yield top.key_at("kafka", alone).problem("a certificate and its key go together", "name both files")


def _endpoint(endpoint: Endpoint, key: str, top: Document) -> Iterator[Problem]:
    if without_references(endpoint.url) == endpoint.url and not re.match(r"https?://[^\s/]", endpoint.url):
        yield top.at("kafka", key, "url").problem("'url' is not an address", "write http://host:port or https://...")
    if (endpoint.username is None) != (endpoint.password is None):
        alone = "username" if endpoint.username else "password"
        yield top.key_at("kafka", key, alone).problem("a user name and its password go together", "give both")
