"""What a Debezium connector's options may not say, if Fieldwarden is to read its topics without losing anything.

One table for two moments: `validate` holds it against the options in the files, `doctor` against the configuration
of the live connector, which somebody else may have made. Facts: Debezium's connector reference (PostgreSQL, MySQL).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

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

_JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"
_SECRET = re.compile(
    r"(?:password|passphrase|secret|token|jaas\.config|user\.info|keystore\.key)$|credentials", re.IGNORECASE
)
_OFF = ("false", "0", "no", "")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing amiss about one option, and what to set instead."""

    level: Literal["error", "warning"]
    option: str
    message: str
    suggestion: str


def is_secret(option: str) -> bool:
    """Whether an option's value is never shown: passwords, tokens, SASL's JAAS lines."""
    return bool(_SECRET.search(option))


def in_force(configuration: Mapping[str, str]) -> dict[str, str]:
    """A live connector's configuration with what its silence means, as far as that is judged here."""
    known = {**DEFAULTS, **configuration}
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
    yield from _envelope(given)
    yield from _events(given)
    yield from _channels(given)


def _decimals(given: Mapping[str, str], money: str) -> Iterator[Remark]:
    mode = given.get("decimal.handling.mode", "")
    if mode == "double":
        carried = f"{money} would pass through binary floating point" if money else "decimals lose digits"
        yield Remark(
            "error" if money else "warning",
            "decimal.handling.mode",
            f"decimal.handling.mode is double: {carried}",
            "decimal.handling.mode: string",
        )
    json = given.get("value.converter", "JsonConverter").endswith("JsonConverter")
    if mode == "precise" and json and given.get("value.converter.schemas.enable") == "false":
        yield Remark(
            "error",
            "decimal.handling.mode",
            "decimal.handling.mode is precise without schemas: the scale of every decimal is lost",
            "decimal.handling.mode: string",
        )


def _envelope(given: Mapping[str, str]) -> Iterator[Remark]:
    for name, value in given.items():
        if name.startswith("transforms.") and name.endswith(".type") and "ExtractNewRecordState" in value:
            yield Remark(
                "error",
                name,
                "ExtractNewRecordState takes the change's envelope away, which Fieldwarden reads",
                "leave the transformation out",
            )
        elif name.startswith("transforms.") and name.endswith(".type") and re.search("Router$", value):
            yield Remark("warning", name, "a router may move rows to topics that nobody reads", "leave it out")
    for option in ("key.converter.replace.null.with.default", "value.converter.replace.null.with.default"):
        if given.get(option) == "true":
            yield Remark(
                "error",
                option,
                f"{option} is true: a null would arrive as the column's default",
                f"{option}: false",
            )
    if (
        given.get("value.converter", "").startswith("io.confluent")
        and given.get("value.converter.ignore.default.for.nullables") != "true"
    ):
        yield Remark(
            "warning",
            "value.converter",
            "a null in a nullable column that has a default would arrive as the default",
            "value.converter.ignore.default.for.nullables: true",
        )
    if given.get("time.precision.mode") == "connect":
        yield Remark(
            "warning",
            "time.precision.mode",
            "time.precision.mode is connect: times are cut to milliseconds",
            "time.precision.mode: adaptive",
        )
    if given.get("event.converting.failure.handling.mode") in ("warn", "skip"):
        yield Remark(
            "warning",
            "event.converting.failure.handling.mode",
            "a value that Debezium cannot convert would become null with no more than a line in Connect's log",
            "event.converting.failure.handling.mode: fail",
        )


def _events(given: Mapping[str, str]) -> Iterator[Remark]:
    skipped = {kind.strip() for kind in given.get("skipped.operations", "none").split(",")}
    if lost := sorted(skipped & {"c", "u", "d"}):
        words = {"c": "inserts", "u": "updates", "d": "deletes"}
        yield Remark(
            "error",
            "skipped.operations",
            f"skipped.operations leaves out {' and '.join(words[kind] for kind in lost)}",
            "skipped.operations: none",
        )
    elif "t" in skipped:
        yield Remark(
            "warning",
            "skipped.operations",
            "skipped.operations leaves out truncates: rows would live on in the other systems",
            "skipped.operations: none",
        )
    if given.get("tombstones.on.delete") == "false":
        yield Remark(
            "warning",
            "tombstones.on.delete",
            "tombstones.on.delete is false: a compacted topic keeps the last row of what was deleted",
            "tombstones.on.delete: true",
        )
    if given.get("slot.drop.on.stop") == "true":
        yield Remark(
            "warning",
            "slot.drop.on.stop",
            "slot.drop.on.stop is true: what changes while the connector is stopped is lost",
            "slot.drop.on.stop: false",
        )
    if given.get("snapshot.mode") in ("never", "no_data", "schema_only"):
        yield Remark(
            "warning",
            "snapshot.mode",
            f"snapshot.mode is {given['snapshot.mode']}: rows that are there already are not read",
            "snapshot.mode: initial, or `fieldwarden backfill start` afterwards",
        )
    if given.get("snapshot.mode") == "initial_only":
        yield Remark(
            "error",
            "snapshot.mode",
            "snapshot.mode is initial_only: no change is ever streamed",
            "snapshot.mode: initial",
        )


def _channels(given: Mapping[str, str]) -> Iterator[Remark]:
    if given.get("heartbeat.interval.ms", "1") in _OFF:
        yield Remark(
            "warning",
            "heartbeat.interval.ms",
            "no heartbeats: while the tables are idle the slot keeps WAL, and a backfill cannot finish",
            "heartbeat.interval.ms: 5000",
        )
    if "sink" not in given.get("notification.enabled.channels", "sink"):
        yield Remark(
            "warning",
            "notification.enabled.channels",
            "notifications do not reach Kafka: the outcome of a backfill cannot be known",
            "notification.enabled.channels: sink",
        )
    if "kafka" not in given.get("signal.enabled.channels", "kafka"):
        yield Remark(
            "warning",
            "signal.enabled.channels",
            "signals through Kafka are off: `fieldwarden backfill` cannot reach the connector",
            "signal.enabled.channels: source,kafka",
        )
