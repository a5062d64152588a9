"""What `doctor` asks of Kafka, Kafka Connect and the topics of a system that Debezium reads, changing nothing.

The connector may be anybody's, made before Fieldwarden came: so its live configuration is held against the same table
of contradictions as the files' options, and the last records of each topic are decoded as `run` would decode them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from fieldwarden.connectors.debezium.connect.client import Connect, UnknownConnector
from fieldwarden.connectors.debezium.connect.heartbeat import SILENT, silent_for
from fieldwarden.connectors.debezium.connect.states import State
from fieldwarden.connectors.debezium.kafka.access import KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers, reach
from fieldwarden.connectors.debezium.kafka.topics import Topics
from fieldwarden.connectors.debezium.looking.sampling import Sample, sample
from fieldwarden.engine.errors import EngineError
from fieldwarden.engine.ports.finding import Finding, bad, good, note, warning
from fieldwarden.rules.connections import debezium_names
from fieldwarden.rules.debezium_options import contradictions, in_force
from fieldwarden.rules.rulebook import Entity, System
from fieldwarden.rules.secret import Secretive

_PATIENCE = 5.0


async def probe(system: System, entities: Mapping[str, Entity], kafka: KafkaAccess) -> list[Finding]:
    """Everything about one system's way through Kafka, good and bad."""
    return [*await _connector(system, entities, kafka), *await _topics(system, entities, kafka)]


# --- Kafka Connect -------------------------------------------------------------------------------------------


async def _connector(system: System, entities: Mapping[str, Entity], kafka: KafkaAccess) -> list[Finding]:
    endpoint = kafka.connect
    if endpoint is None:
        return [
            warning(
                "connect",
                "fieldwarden.yaml does not say where Kafka Connect is, so the connector is not looked at",
                "add connect: {url: http://HOST:8083} under kafka:",
            )
        ]
    name, register = debezium_names(system).connector, f"fieldwarden connector register {system.name}"
    try:
        async with Connect.open(endpoint, patience=_PATIENCE) as connect:
            live = await connect.configuration(name)
            state = await connect.state(name)
    except UnknownConnector as error:
        return [bad("connector", error.message, register)]
    except EngineError as error:
        return [bad("connect", error.message, error.suggestion)]
    configured = list(_configuration(system, entities, live, register))
    if state.running and (silence := await _silence(system, kafka.brokers, live)) is not None:
        return [silence, *configured]
    return [_state(system, state), *configured]


async def _silence(system: System, brokers: Brokers, live: Mapping[str, Secretive]) -> Finding | None:
    try:
        seconds = await silent_for(system, brokers, live)
    except EngineError:
        return None  # the topics' half says what is wrong with Kafka
    if seconds is None:
        return None
    return bad(
        "connector",
        f"{debezium_names(system).connector} is RUNNING, but has said nothing for {seconds:.0f} s",
        SILENT,
    )


def _state(system: System, state: State) -> Finding:
    if state.running:
        return good("connector", f"{state.name} runs")
    if state.failed:
        which = "RUNNING, but its task has failed" if state.state == "RUNNING" else "FAILED"
        said = "; ".join(state.errors) or "it does not say why"
        return bad(
            "connector",
            f"{state.name} is {which}: {said}",
            f"mend what the error names, then: fieldwarden connector restart {system.name}",
        )
    resume = f"fieldwarden connector resume {system.name}"
    paused = state.state in ("PAUSED", "STOPPED")
    what = state.state if state.state != "RUNNING" else "RUNNING without a running task"
    return warning(
        "connector", f"{state.name} is {what}: nothing flows", resume if paused else "look again in a moment"
    )


def _configuration(
    system: System, entities: Mapping[str, Entity], live: Mapping[str, Secretive], register: str
) -> Iterator[Finding]:
    topics = Topics(system)
    if live.get("topic.prefix") != topics.prefix:
        yield _said(
            bad, "topic.prefix", f"its topics begin with {live.get('topic.prefix')}, not {topics.prefix}", register
        )
    for remark in contradictions(in_force(live), _money(system, entities)):
        level = bad if remark.level == "error" else warning
        yield _said(
            level,
            remark.option,
            f"the registered connector: {remark.message}",
            f"set {remark.suggestion}, or {register}",
        )
    for topic, streams in topics.streams.items():
        table = topics.table(topic)
        if not captured(live, table):
            yield bad("connector", f"the registered connector leaves {table} out", register, streams[0].name)


def _said(level: Callable[[str, str, str], Finding], option: str, message: str, suggestion: str) -> Finding:
    return replace(level("option", message, suggestion), part=option)


def _money(system: System, entities: Mapping[str, Entity]) -> str:
    """A field of type decimal that the system maps, as entity.field."""
    for stream in system.streams.values():
        for name in stream.fields:
            if entities[stream.entity].fields[name].type.kind == "decimal":
                return f"{stream.entity}.{name}"
    return ""


def captured(live: Mapping[str, Secretive], table: str) -> bool:
    """Whether the include and exclude lists let a table through: whole names, case left aside, commas between."""
    schema = table.partition(".")[0]
    for option, name in (("schema", schema), ("database", schema), ("table", table)):
        included, excluded = (str(live.get(f"{option}.{which}.list", "")) for which in ("include", "exclude"))
        if (included and not _matches(included, name)) or (excluded and _matches(excluded, name)):
            return False
    return True


def _matches(patterns: str, name: str) -> bool:
    for pattern in patterns.split(","):
        try:
            if re.fullmatch(pattern.strip(), name, re.IGNORECASE):
                return True
        except re.error:
            return True  # Java's, not ours: it is not for us to say that it leaves something out
    return False


# --- topics --------------------------------------------------------------------------------------------------


async def _topics(system: System, entities: Mapping[str, Entity], kafka: KafkaAccess) -> list[Finding]:
    brokers: Brokers = kafka.brokers
    try:
        await reach(brokers)
        found = await sample(system, entities, kafka)
    except EngineError as error:
        return [bad("kafka", error.message, error.suggestion)]
    topics = Topics(system)
    result = [good("kafka", f"Kafka at {brokers.servers} answers")]
    if brokers.security == "sasl_plaintext" and brokers.mechanism in (None, "PLAIN"):
        result.append(
            warning(
                "kafka",
                "whoever listens on the way to Kafka reads our password (sasl_plaintext with PLAIN)",
                "kafka: security: sasl_ssl, or one of the mechanisms SCRAM-SHA-256, SCRAM-SHA-512",
            )
        )
    if not found.samples and not found.heartbeat:
        near = f"; there are {', '.join(found.prefixes)}" if found.prefixes else ""
        return [
            *result,
            bad(
                "topics",
                f"no topic begins with {topics.prefix}.",
                f"is prefix: right{near}? A connector that is registered and has read a row makes them",
            ),
        ]
    for topic, streams in topics.streams.items():
        seen = found.samples.get(topic)
        result += [_absent(topic, streams[0].name)] if seen is None else _seen(seen)
    return result


def _absent(topic: str, stream: str) -> Finding:
    return warning(
        "topic",
        f"there is no topic {topic}: no row of the table has been told yet",
        "right if the table is empty; else look at `fieldwarden connector status`",
        stream,
    )


def _seen(seen: Sample) -> Sequence[Finding]:
    found: list[Finding] = []
    for message, suggestion in seen.wrong:
        found.append(bad("topic", message, suggestion, seen.stream))
    for message in seen.doubtful:
        found.append(warning("topic", message, "see `fieldwarden deadletter list` after a run", seen.stream))
    if seen.partitions > 1:
        found.append(
            note(
                "topic",
                f"{seen.topic} has {seen.partitions} partitions: a TRUNCATE of its table would hold the stream",
                "",
                seen.stream,
            )
        )
    if not found:
        found.append(good("topic", f"{seen.topic} fits its mapping", seen.stream))
    return found
