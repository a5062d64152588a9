"""How a project's Kafka is reached: what its file says, with references followed and paths made absolute; and the
session of a system that is read from there."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from fieldwarden.connectors.debezium.kafka.access import Endpoint, KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.engine.ports.kinds import Reach
from fieldwarden.operations.kinds.postgres import PostgresSession
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.loading import PROJECT_FILE


class NoKafka(FieldwardenError):
    """Something asks for Kafka in a project that has none."""

    code = "no_kafka"
    exit_code = 2


class DebeziumSession(PostgresSession):
    """The database, and the Kafka that its changes come by."""

    @cached_property
    def kafka(self) -> KafkaAccess:
        """Raises ReferenceUnresolved, NoKafka."""
        return kafka_of(self.reach)


def kafka_of(reach: Reach) -> KafkaAccess:
    """How a project's Kafka is reached, secrets included. Raises ReferenceUnresolved, NoKafka."""
    given, project = reach.file.kafka, slug(reach.file.project)
    if given is None:
        raise NoKafka(
            f"{PROJECT_FILE} says nothing of Kafka", suggestion="add kafka: {servers: ...}", path=PROJECT_FILE
        )

    def resolved(model: BaseModel, prefix: str) -> dict[str, Any]:
        """The texts of one model, followed and, where they name files, relative to the project's folder. All but the
        password are shown in messages: addresses, a user, files."""
        texts = {name: value for name, value in model if isinstance(value, str)}
        found: dict[str, Any] = {}
        for name, text in texts.items():
            where = f"{PROJECT_FILE}: {prefix}{name}"
            value = reach.secret(text, where) if name == "password" else reach.shown(text, where)
            found[name] = str(reach.folder / value) if isinstance(value, str) and name.endswith("_file") else value
        return found

    connect, registry = (
        Endpoint(**resolved(endpoint, f"kafka.{name}.")) if endpoint is not None else None
        for name, endpoint in (("connect", given.connect), ("registry", given.registry))
    )
    words = resolved(given, "kafka.")
    group = words.pop("group", f"fieldwarden.{project}")
    return KafkaAccess(Brokers(**words), group, connect, registry)


def slug(name: str) -> str:
    """A project's name as part of other names: lower-case, words joined by `-`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
