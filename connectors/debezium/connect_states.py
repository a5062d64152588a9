"""What Kafka Connect says, read: how a connector and its tasks fare, what is wrong with a configuration, and why.

Stack traces and messages are another program's words: they are cut to the line that tells, and lose their passwords.
Facts: Kafka's documentation, "Kafka Connect / REST API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SECRETS = re.compile(r"(?i)((?:password|secret|token|jaas[.\w]*)\s*[=:]\s*)\S+|(://[^:/@\s]*:)[^@\s]*(?=@)")


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """What Connect says of one key of a configuration, in its own words."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Task:
    """`error` is why it failed, in one line and without secrets; empty while it has not."""

    id: int
    state: str
    worker: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How a connector fares. It may be RUNNING while its tasks have failed, and then nothing flows."""

    name: str
    state: str
    worker: str
    error: str = ""
    tasks: tuple[Task, ...] = ()

    @property
    def failed(self) -> bool:
        return "FAILED" in (self.state, *(task.state for task in self.tasks))

    @property
    def running(self) -> bool:
        """Whether changes flow."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def errors(self) -> list[str]:
        return [error for error in (self.error, *(task.error for task in self.tasks)) if error]


def scrubbed(text: str) -> str:
    """Text of another program's without what looks like a password."""
    return _SECRETS.sub(lambda match: f"{match[1] or match[2]}***", text)


def cause(trace: str) -> str:
    """A Java stack trace in one line: what failed, and what it failed of. The values of rows stay out."""
    lines = [line.strip() for line in trace.splitlines()]
    first = lines[0] if lines else ""
    roots = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    said = [_without_class(line) for line in (first, roots[-1] if roots else first)]
    return scrubbed(said[0] if said[0] == said[1] else f"{said[0]} <- {said[1]}")


def _without_class(line: str) -> str:
    """`org.x.ConnectException: it broke` as `ConnectException: it broke`."""
    return re.sub(r"^(?:[\w$]+\.)+(?=[A-Z])", "", line)


def read_texts(configuration: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as Connect gives it back."""
    return {name: "" if value is None else str(value) for name, value in configuration.items()}


def read_problems(found: Mapping[str, Any]) -> list[KeyProblem]:
    """Of the answer to `PUT /connector-plugins/{class}/config/validate`."""
    values = [entry["value"] for entry in found["configs"]]
    return [KeyProblem(value["name"], scrubbed(error)) for value in values for error in value["errors"]]


def read_state(status: Mapping[str, Any]) -> State:
    """Of the answer to `GET /connectors/{name}/status`."""
    connector = status["connector"]
    tasks = (
        Task(task["id"], task["state"], task["worker_id"], cause(task.get("trace", ""))) for task in status["tasks"]
    )
    return State(
        status["name"], connector["state"], connector["worker_id"], cause(connector.get("trace", "")), tuple(tasks)
    )
