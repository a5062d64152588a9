"""What a Debezium connector's options may not say, if Fieldwarden is to read its topics without losing anything.

One table for two moments: `validate` holds it against the options in the files, `doctor` against the configuration
of the live connector, which somebody else may have made. Facts: Debezium's connector reference (PostgreSQL, MySQL).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fieldwarden.rules.secret import Secret, Secretive

OURS: Mapping[str, str] = {
    "connector.class": "it follows from `database:`",
    "name": "say it as `name:`",
    "topic.prefix": "say it as `prefix:`",
    "slot.name": "say it as `slot:`",
    "publication.name": "say it as `publication:`",
    "plugin.name": "pgoutput is what `publication:` works with",
    "database.hostname": "say it in `connect_dsn:`",
    "database.port": "say it in `connect_dsn:`",
    "database.user": "say it in `connect_dsn:`",
    "database.dbname": "say it in `connect_dsn:`",
    "table.include.list": "it is the tables that `streams:` reads",
    "tasks.max": "these connectors have one task",
    "topic.delimiter": "topics are named <prefix>.<stream>",
    "topic.naming.strategy": "topics are named <prefix>.<stream>",
    "topic.heartbeat.prefix": "it is the heartbeat topic that Fieldwarden reads",
    "heartbeat.topics.prefix": "it is the heartbeat topic that Fieldwarden reads",
    "notification.sink.topic.name": "it follows from `prefix:`",
    "signal.kafka.topic": "it follows from `prefix:`",
}
"""Options that follow from other keys of the files, with where to say them."""

DEFAULTS: Mapping[str, str] = {
    "decimal.handling.mode": "precise",
    "event.converting.failure.handling.mode": "warn",
    "heartbeat.interval.ms": "0",
    "notification.enabled.channels": "",
    "signal.enabled.channels": "source",
    "skipped.operations": "t",
    "snapshot.mode": "initial",
    "time.precision.mode": "adaptive",
    "tombstones.on.delete": "true",
}
"""What Debezium does where an option is not given (of those judged here)."""

_SQL = ("heartbeat.action.query", "database.initial.statements", "snapshot.select.statement.overrides")
_SQL_FOR_TABLES = "snapshot.select.statement.overrides."
_JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
_SECRET = re.compile(
    r"(?:password|passphrase|secret|token|jaas\.config|user\.info|keystore\.key)$|credentials", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing amiss about one option, and what to set instead."""

    level: Literal["error", "warning"]
    option: str
    message: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class _Pitfall:
    """An option that loses or falsifies something if its value is `amiss`, and the value that does not."""

    level: Literal["error", "warning"]
    option: str
    amiss: Callable[[str], bool]
    message: str
    """With {option} and {value} to be filled in."""
    instead: str

    def remark(self, value: str) -> Remark:
        message = self.message.format(option=self.option, value=value)
        return Remark(self.level, self.option, message, f"{self.option}: {self.instead}")


def _is(*values: str) -> Callable[[str], bool]:
    return lambda value: value in values


def _lacks(channel: str) -> Callable[[str], bool]:
    return lambda value: channel not in value


_NULL = "{option} is {value}: a null would arrive as the column's default"
_CUT = "{option} is {value}: times are cut to milliseconds"
_UNCONVERTED = "a value that Debezium cannot convert would become null with no more than a line in Connect's log"
_COMPACTED = "{option} is {value}: a compacted topic keeps the last row of what was deleted"
_DROPPED = "{option} is {value}: what changes while the connector is stopped is lost"
_UNREAD = "{option} is {value}: rows that are there already are not read"
_UNSTREAMED = "{option} is {value}: no change is ever streamed"
_NO_HEARTBEATS = "no heartbeats: while the tables are idle the slot keeps WAL, and a backfill cannot finish"
_NO_NOTIFICATIONS = "notifications do not reach Kafka: the outcome of a backfill cannot be known"
_NO_SIGNALS = "signals through Kafka are off: `fieldwarden backfill` cannot reach the connector"
_NOT_READ, _AFTERWARDS = ("never", "no_data", "schema_only"), "initial, or `fieldwarden backfill start` afterwards"
_PITFALLS = (
    _Pitfall("error", "key.converter.replace.null.with.default", _is("true"), _NULL, "false"),
    _Pitfall("error", "value.converter.replace.null.with.default", _is("true"), _NULL, "false"),
    _Pitfall("warning", "time.precision.mode", _is("connect"), _CUT, "adaptive"),
    _Pitfall("warning", "event.converting.failure.handling.mode", _is("warn", "skip"), _UNCONVERTED, "fail"),
    _Pitfall("warning", "tombstones.on.delete", _is("false"), _COMPACTED, "true"),
    _Pitfall("warning", "slot.drop.on.stop", _is("true"), _DROPPED, "false"),
    _Pitfall("warning", "snapshot.mode", _is(*_NOT_READ), _UNREAD, _AFTERWARDS),
    _Pitfall("error", "snapshot.mode", _is("initial_only"), _UNSTREAMED, "initial"),
    _Pitfall("warning", "heartbeat.interval.ms", _is("false", "0", "no", ""), _NO_HEARTBEATS, "5000"),
    _Pitfall("warning", "notification.enabled.channels", _lacks("sink"), _NO_NOTIFICATIONS, "sink"),
    _Pitfall("warning", "signal.enabled.channels", _lacks("kafka"), _NO_SIGNALS, "source,kafka"),
)


def is_secret(option: str) -> bool:
    """Whether an option's value is never shown: passwords, tokens, SASL's JAAS lines."""
    return bool(_SECRET.search(option))


def disguised(configuration: Mapping[str, Secretive]) -> dict[str, Secretive]:
    """A connector's configuration with its secrets as such; what only refers to one (`${file:...}`) stays as it is."""
    return {
        name: Secret.of(value) if value and is_secret(name) and not str(value).startswith("${") else value
        for name, value in configuration.items()
    }


def in_force(configuration: Mapping[str, Secretive]) -> dict[str, str]:
    """A live connector's configuration with what its silence means, as far as that is judged here."""
    known = dict(DEFAULTS) | {name: str(value) for name, value in configuration.items()}
    for half in ("key", "value"):
        if known.get(f"{half}.converter") == _JSON_CONVERTER:
            known.setdefault(f"{half}.converter.schemas.enable", "true")
            known.setdefault(f"{half}.converter.replace.null.with.default", "true")
    return known


def contradictions(options: Mapping[str, str], money: str = "") -> Iterator[Remark]:
    """What the given options say that loses or falsifies something. Options that are not given are not judged.

    `money` names a mapped field of type decimal, if there is one."""
    given = {name: value.strip() for name, value in options.items()}
    yield from _decimals(given, money)
    yield from _transforms(given)
    yield from _confluent_nulls(given)
    yield from _skipped(given)
    yield from _sql(given)
    for pitfall in _PITFALLS:
        value = given.get(pitfall.option)
        if value is not None and pitfall.amiss(value):
            yield pitfall.remark(value)


def _sql(given: Mapping[str, str]) -> Iterator[Remark]:
    for option, value in given.items():
        if value and (option in _SQL or option.startswith(_SQL_FOR_TABLES)):
            message = f"{option} is SQL of its own, which Connect would run in the database with nobody to check it"
            yield Remark("error", option, message, f"leave {option} out")


def _decimals(given: Mapping[str, str], money: str) -> Iterator[Remark]:
    option, instead = "decimal.handling.mode", "decimal.handling.mode: string"
    mode = given.get(option, "")
    if mode == "double":
        carried = f"{money} would pass through binary floating point" if money else "decimals lose digits"
        yield Remark("error" if money else "warning", option, f"{option} is double: {carried}", instead)
    json = given.get("value.converter", "JsonConverter").endswith("JsonConverter")
    if mode == "precise" and json and given.get("value.converter.schemas.enable") == "false":
        message = f"{option} is precise without schemas: the scale of every decimal is lost"
        yield Remark("error", option, message, instead)


def _transforms(given: Mapping[str, str]) -> Iterator[Remark]:
    for name, value in given.items():
        if not (name.startswith("transforms.") and name.endswith(".type")):
            continue
        if "ExtractNewRecordState" in value:
            message = "ExtractNewRecordState takes the change's envelope away, which Fieldwarden reads"
            yield Remark("error", name, message, "leave the transformation out")
        elif value.endswith("Router"):
            yield Remark("warning", name, "a router may move rows to topics that nobody reads", "leave it out")


def _confluent_nulls(given: Mapping[str, str]) -> Iterator[Remark]:
    converter, option = "value.converter", "value.converter.ignore.default.for.nullables"
    if given.get(converter, "").startswith("io.confluent") and given.get(option) != "true":
        message = "a null in a nullable column that has a default would arrive as the default"
        yield Remark("warning", converter, message, f"{option}: true")


def _skipped(given: Mapping[str, str]) -> Iterator[Remark]:
    option, words = "skipped.operations", {"c": "inserts", "u": "updates", "d": "deletes"}
    skipped = {kind.strip() for kind in given.get(option, "none").split(",")}
    if lost := [words[kind] for kind in sorted(skipped & words.keys())]:
        yield Remark("error", option, f"{option} leaves out {' and '.join(lost)}", f"{option}: none")
    elif "t" in skipped:
        message = f"{option} leaves out truncates: rows would live on in the other systems"
        yield Remark("warning", option, message, f"{option}: none")
