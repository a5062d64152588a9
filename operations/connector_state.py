"""How a connector fares, as people and machines are told of it; and which connector, of which Connect, is meant.

RUNNING says little: tasks may have failed under it, and while its database is away a task goes on trying in silence.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fieldwarden.connectors.debezium.connect.client import Connect
from fieldwarden.connectors.debezium.connect.heartbeat import SILENT, silent_for
from fieldwarden.connectors.debezium.connect.states import State
from fieldwarden.connectors.postgres.session import connect as connect_database
from fieldwarden.operations.project import Opened, UnknownSystem
from fieldwarden.operations.words import age
from fieldwarden.rules.connections import database_settings, debezium_names
from fieldwarden.rules.errors import FieldwardenError


class NoConnect(FieldwardenError):
    """The files do not say where Kafka Connect is."""

    code = "no_connect"
    exit_code = 2


def chosen(project: Opened, system: str | None) -> list[str]:
    """The named system, or all that Debezium reads. Raises UnknownSystem."""
    known = project.debezium_systems
    if system is not None and system not in known:
        there = f"there is {', '.join(known)}" if known else "connector: {kind: debezium, ...} makes one"
        raise UnknownSystem(f"no system that Debezium reads is named {system!r}", suggestion=there)
    if not known:
        raise UnknownSystem("no system of this project is read by Debezium", suggestion="kind: debezium makes one")
    return known if system is None else [system]


def named(project: Opened, system: str) -> str:
    """The name of a system's connector in Connect."""
    return debezium_names(project.rulebook.systems[system]).connector


@contextlib.asynccontextmanager
async def connected(project: Opened) -> AsyncIterator[Connect]:
    """Raises NoConnect, NoKafka, ReferenceUnresolved."""
    endpoint = project.kafka().connect
    if endpoint is None:
        raise NoConnect(
            "fieldwarden.yaml does not say where Kafka Connect is",
            suggestion="add connect: {url: http://HOST:8083} under kafka:",
            path="fieldwarden.yaml: kafka",
        )
    async with Connect.open(endpoint) as connect:
        yield connect


async def alive(project: Opened, connect: Connect) -> tuple[dict[str, State], dict[str, str]]:
    """Every connector's state, and of our systems those whose connector runs, but in silence: for how long, and why
    if the database tells."""
    states, silent = await connect.states(), {}
    for system in project.debezium_systems:
        state = states.get(named(project, system))
        if state is None or not state.running:
            continue
        configuration = await connect.configuration(state.name)
        try:
            seconds = await silent_for(project.rulebook.systems[system], project.kafka().brokers, configuration)
        except FieldwardenError as error:
            silent[system] = f"cannot be heard: {error.message}"
            continue
        if seconds is not None:
            silent[system] = f"says nothing for {age(seconds)}{await _database(project, system)}"
    return states, silent


async def _database(project: Opened, system: str) -> str:
    """What keeps us from a system's database, if anything does: then Debezium is kept from it too, most likely."""
    if not database_settings(project.rulebook.systems[system]).is_postgres:
        return ""
    try:
        await (await connect_database(system, project.dsn(system))).close()
    except FieldwardenError as error:
        return f"; {error.message}"
    return ""


@dataclass(frozen=True, slots=True)
class Task:
    id: int
    state: str
    worker: str
    error: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A connector, of a system of ours or (None) of somebody else's. `state` is what Connect says, or "missing" where
    it is not registered; `running`: it lives, with all its tasks; `error`: why not, and `suggestion`: what to do."""

    connector: str
    system: str | None
    state: str
    running: bool
    worker: str
    error: str
    tasks: Sequence[Task]
    suggestion: str


def registered(state: State, system: str | None, silent: str = "") -> Registered:
    """`silent`: why it does not live although it runs."""
    running = state.running and not silent
    return Registered(
        connector=state.name,
        system=system,
        state=state.state,
        running=running,
        worker=state.worker,
        error=silent or state.error,
        tasks=[Task(task.id, task.state, task.worker, task.error) for task in state.tasks],
        suggestion="" if running else SILENT if silent else advice(state, system),
    )


def missing(name: str, system: str) -> Registered:
    """A system's connector that is not registered."""
    return Registered(name, system, "missing", False, "", "", [], f"fieldwarden connector register {system}")


def advice(state: State, system: str | None) -> str:
    """What to do about a connector that does not run."""
    if state.failed:
        return f"mend what the error names, then: fieldwarden connector restart {system}"
    if state.state in ("PAUSED", "STOPPED"):
        return f"fieldwarden connector resume {system}"
    return "look again in a moment: Kafka Connect is giving its work to its workers"


def ailment(each: Registered) -> str:
    """What is wrong with it, in a sentence."""
    failed = [task for task in each.tasks if task.state == "FAILED"]
    if each.state == "missing":
        return f"connector {each.connector} is not registered"
    if failed and each.state == "RUNNING":
        return f"the connector is RUNNING, but {_which(failed, each)} failed: {failed[0].error}"
    if "FAILED" in (each.state, *(task.state for task in each.tasks)):
        return f"the connector has failed: {each.error or failed[0].error}"
    if each.state == "RUNNING" and each.error:
        return f"the connector is RUNNING, but {each.error}"
    return f"the connector is {each.state}, {tasks(each)}"


def _which(failed: Sequence[Task], each: Registered) -> str:
    return "its task has" if len(each.tasks) == 1 else f"{len(failed)} of its {len(each.tasks)} tasks have"


def tasks(each: Registered) -> str:
    """`1 RUNNING, 1 FAILED`."""
    states = [task.state for task in each.tasks]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "no task"
