"""Registering the systems' connectors with Kafka Connect, and seeing how they fare.

A connector that Connect calls RUNNING may have failed tasks, and then nothing flows: it is not running here. Passwords
are sent, never given back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fieldwarden.connectors.debezium.connect.client import Connect, UnknownConnector
from fieldwarden.connectors.debezium.connect.registration import configuration, masked
from fieldwarden.connectors.debezium.connect.signals import Signals
from fieldwarden.connectors.debezium.connect.states import KeyProblem
from fieldwarden.operations.connector_state import Registered, alive, chosen, connected, missing, named, registered
from fieldwarden.operations.project import Opened
from fieldwarden.operations.words import count
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.secret import Secretive

T = TypeVar("T")
_START_SECONDS = 30.0


class ConnectorInvalid(FieldwardenError):
    """Kafka Connect finds a configuration wrong; nothing was changed."""

    code = "connector_invalid"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Differing:
    """An option as it is registered and as the files have it, secrets blotted out; None where it is not there."""

    option: str
    registered: str | None
    files: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    connector: str
    system: str
    configuration: Mapping[str, str]
    differences: Sequence[Differing]


@dataclass(frozen=True, slots=True)
class Made:
    """A connector that was created, or given another configuration; `state` is None if nobody waited for it."""

    connector: str
    system: str
    created: bool
    state: Registered | None


# --- looking -------------------------------------------------------------------------------------------------


async def listed(project: Opened) -> list[Registered]:
    """Every connector of the Connect cluster, ours by their system, and our systems that have none."""
    chosen(project, None)
    ours = {named(project, system): system for system in project.debezium_systems}
    states = await _ask(project, lambda connect: connect.states())
    found = [registered(state, ours.get(name)) for name, state in states.items()]
    return found + [missing(name, system) for name, system in ours.items() if name not in states]


async def shown(project: Opened, system: str) -> Shown:
    """A system's connector as it is registered, and where that differs from what the files say."""
    chosen(project, system)
    name, wanted = named(project, system), _configuration(project, system)
    live = await _about(project, system, lambda connect: connect.configuration(name))
    differing = sorted(key for key in wanted.keys() | live.keys() if wanted.get(key) != live.get(key) and key != "name")
    there, ours = masked(live), masked(wanted)
    return Shown(name, system, there, [Differing(key, there.get(key), ours.get(key)) for key in differing])


async def states(project: Opened, system: str | None = None) -> list[Registered]:
    """How the connector of one of our systems, or of all, fares."""
    systems = {named(project, each): each for each in chosen(project, system)}
    found, silent = await _ask(project, lambda connect: alive(project, connect))
    return [
        registered(found[name], each, silent.get(each, "")) if name in found else missing(name, each)
        for name, each in systems.items()
    ]


def configurations(project: Opened, system: str | None = None) -> dict[str, dict[str, str]]:
    """What `register` would send, by system, secrets blotted out. Raises UnknownSystem."""
    return {each: masked(_configuration(project, each)) for each in chosen(project, system)}


# --- changing ------------------------------------------------------------------------------------------------


async def register(
    project: Opened, system: str | None = None, *, wait: bool = True, say: Callable[[str], None] = lambda _line: None
) -> list[Made]:
    """Validate, then create or replace: one system's connector, or every system's.

    Raises ConnectorInvalid with what Connect says of each key, before anything is changed."""
    wanted = {each: _configuration(project, each) for each in chosen(project, system)}
    return await _ask(project, lambda connect: _register(project, connect, wanted, wait, say))


async def restart(project: Opened, system: str, *, everything: bool) -> str:
    """Restart what has failed of a connector, or all of it; its name, as of the three below."""
    return await _tell(project, system, lambda connect, name: connect.restart(name, everything=everything))


async def pause(project: Opened, system: str) -> str:
    """Let a connector rest; it goes on where it stopped."""
    return await _tell(project, system, lambda connect, name: connect.pause(name))


async def resume(project: Opened, system: str) -> str:
    return await _tell(project, system, lambda connect, name: connect.resume(name))


async def delete(project: Opened, system: str) -> str:
    """Remove a connector from Connect. Its offsets, slot, publication and topics stay."""
    return await _tell(project, system, lambda connect, name: connect.delete(name))


# --- parts ---------------------------------------------------------------------------------------------------


async def _ask(project: Opened, question: Callable[[Connect], Awaitable[T]]) -> T:
    async with connected(project) as connect:
        return await question(connect)


async def _about(project: Opened, system: str, question: Callable[[Connect], Awaitable[T]]) -> T:
    try:
        return await _ask(project, question)
    except UnknownConnector as error:
        error.suggestion = f"fieldwarden connector register {system}"
        raise


async def _tell(project: Opened, system: str, word: Callable[[Connect, str], Awaitable[None]]) -> str:
    chosen(project, system)
    name = named(project, system)
    await _about(project, system, lambda connect: word(connect, name))
    return name


def _configuration(project: Opened, system: str) -> dict[str, Secretive]:
    return configuration(project.rulebook.systems[system], project.connect_dsn(system), project.kafka())


async def _register(
    project: Opened, connect: Connect, wanted: dict[str, dict[str, Secretive]], wait: bool, say: Callable[[str], None]
) -> list[Made]:
    wrong: dict[str, Sequence[KeyProblem]] = {
        system: found
        for system, each in wanted.items()
        if (found := await connect.problems(named(project, system), each))
    }
    if wrong:
        raise _invalid(project, wrong)
    done = []
    for system, each in wanted.items():
        name = named(project, system)
        await Signals(project.rulebook.systems[system], project.kafka().brokers).prepare()
        new = await connect.register(name, each)
        say(f"  {name}: {'created' if new else 'replaced'}")
        state = await connect.started(name, _START_SECONDS) if wait else None
        outcome = registered(state, system) if state is not None else missing(name, system)
        done.append(Made(name, system, new, outcome if wait else None))
    return done


def _invalid(project: Opened, wrong: dict[str, Sequence[KeyProblem]]) -> ConnectorInvalid:
    lines = [
        f"{project.project.locate(system, part=_part(problem.key))}: {problem.key}: {problem.message}"
        for system, found in wrong.items()
        for problem in found
    ]
    number = count(len(lines), "problem")
    return ConnectorInvalid(
        f"Kafka Connect finds {number}; nothing was changed\n" + "\n".join(lines),
        suggestion="mend the connector's keys or options, then register again",
        path=lines[0].split(": ")[0],
    )


def _part(option: str) -> str:
    """The key of the files that an option follows from, or the option itself."""
    if option in ("database.hostname", "database.port", "database.user", "database.password", "database.dbname"):
        return "connect_dsn"
    return {"slot.name": "slot", "publication.name": "publication", "topic.prefix": "prefix"}.get(option, option)
