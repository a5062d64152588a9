"""How a project's Kafka is reached: what its file says, with references followed and paths made absolute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fieldwarden.connectors.debezium.kafka.access import Endpoint, KafkaAccess
from fieldwarden.connectors.debezium.kafka.brokers import Brokers
from fieldwarden.rules.connections import Kafka
from fieldwarden.rules.loading import PROJECT_FILE
from fieldwarden.rules.secret import Secret


def access(
    given: Kafka,
    project: str,
    folder: Path,
    secret: Callable[[str, str], Secret],
    shown: Callable[[str, str], str],
) -> KafkaAccess:
    """How Kafka is reached, as the files of a project (by its slug) say. `secret` and `shown` resolve the references in
    a text, of which they are told where it stands. Raises ReferenceUnresolved."""

    def resolved(model: BaseModel, prefix: str) -> dict[str, Any]:
        """The texts of one model, followed and, where they name files, relative to the project's folder. All but the
        password are shown in messages: addresses, a user, files."""
        texts = {name: value for name, value in model if isinstance(value, str)}
        found: dict[str, Any] = {}
        for name, text in texts.items():
            where = f"{PROJECT_FILE}: {prefix}{name}"
            value = secret(text, where) if name == "password" else shown(text, where)
            found[name] = str(folder / value) if isinstance(value, str) and name.endswith("_file") else value
        return found

    connect, registry = (
        Endpoint(**resolved(endpoint, f"kafka.{name}.")) if endpoint is not None else None
        for name, endpoint in (("connect", given.connect), ("registry", given.registry))
    )
    words = resolved(given, "kafka.")
    group = words.pop("group", f"fieldwarden.{project}")
    return KafkaAccess(Brokers(**words), group, connect, registry)
