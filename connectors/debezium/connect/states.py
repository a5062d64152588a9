"""What Kafka Connect says, read: how a connector and its tasks fare, what is wrong with a configuration, and why.

Stack traces and messages are another program's words: they are cut to the line that tells, lose their passwords, and
end where a value of a row may begin. Facts: Kafka's documentation, "Kafka Connect / REST API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fieldwarden.rules.debezium_options import disguised
from fieldwarden.rules.scrubbing import scrub, without_values
from fieldwarden.rules.secret import Secretive

_TORN = re.compile(
    r"(?:Caused by: )?java\.(?:lang\.NullPointer|util\.ConcurrentModification|util\.NoSuchElement"
    r"|lang\.(?:Array)?IndexOutOfBounds|lang\.ClassCast)Exception\b"
)
"""What Java says when a thread finds the state it works on changed by another."""
_INCREMENTAL = re.compile(r"at io\.debezium\.[\w.$]*(?:\.snapshot\.incremental\.|IncrementalSnapshot)")
_CONFIGURATION = "org.apache.kafka.common.config.ConfigException"
"""Speaks of settings, never of rows."""


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """What Connect says of one key of a configuration, in its own words."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Task:
    """`error` is why it failed, in one line and without secrets; empty while it has not. `stumbled`: it failed of two
    of Debezium's threads meeting in an incremental snapshot, so that it may simply begin anew."""

    id: int
    state: str
    worker: str
    error: str = ""
    stumbled: bool = False


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
    def stumbled(self) -> bool:
        """Whether it has failed, and of nothing but Debezium's stumbling over itself."""
        failed = [task for task in self.tasks if task.state == "FAILED"]
        return self.state != "FAILED" and bool(failed) and all(task.stumbled for task in failed)

    @property
    def errors(self) -> list[str]:
        return [error for error in (self.error, *(task.error for task in self.tasks)) if error]


def cause(trace: str) -> str:
    """A Java stack trace in one line: what failed, and what it failed of.

    The values of rows stay out: a message ends where one may begin. The whole of it is in the log of Kafka Connect."""
    lines = [line.strip() for line in trace.splitlines()]
    first = lines[0] if lines else ""
    roots = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    said = [
        _without_class(line if line.startswith(_CONFIGURATION) else without_values(line))
        for line in (first, roots[-1] if roots else first)
    ]
    return scrub(said[0] if said[0] == said[1] else f"{said[0]} <- {said[1]}")


def stumbled(trace: str) -> bool:
    """Whether this is the end of a task whose thread that streams and whose thread that takes signals worked on one
    incremental snapshot at a time: state torn under Debezium's own code for those."""
    lines = [line.strip() for line in trace.splitlines()]
    begins = [number for number, line in enumerate(lines) if number == 0 or line.startswith("Caused by: ")]
    if not begins or not _TORN.match(lines[begins[-1]]):
        return False
    root = lines[begins[-1] + 1 :]
    return bool(_INCREMENTAL.match(next((line for line in root if line.startswith("at io.debezium.")), "")))


def _without_class(line: str) -> str:
    """`org.x.ConnectException: it broke` as `ConnectException: it broke`."""
    return re.sub(r"^(?:[\w$]+\.)+(?=[A-Z])", "", line)


def read_texts(configuration: Mapping[str, Any]) -> dict[str, Secretive]:
    """A configuration as Connect gives it back."""
    return disguised({name: "" if value is None else str(value) for name, value in configuration.items()})


def read_problems(found: Mapping[str, Any]) -> list[KeyProblem]:
    """Of the answer to `PUT /connector-plugins/{class}/config/validate`."""
    values = [entry["value"] for entry in found["configs"]]
    return [KeyProblem(value["name"], scrub(error)) for value in values for error in value["errors"]]


def read_state(status: Mapping[str, Any]) -> State:
    """Of the answer to `GET /connectors/{name}/status`."""
    connector = status["connector"]
    tasks = (
        Task(
            task["id"],
            task["state"],
            task["worker_id"],
            cause(task.get("trace", "")),
            task["state"] == "FAILED" and stumbled(task.get("trace", "")),
        )
        for task in status["tasks"]
    )
    return State(
        status["name"], connector["state"], connector["worker_id"], cause(connector.get("trace", "")), tuple(tasks)
    )
