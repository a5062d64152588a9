"""`fieldwarden connector`: registering the systems' connectors with Kafka Connect, and seeing how they fare.

A connector that Connect calls RUNNING may have failed tasks, and then nothing flows: that is a failure here. Passwords
are sent, never shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fieldwarden.connectors.debezium.connect.client import Connect, UnknownConnector
from fieldwarden.connectors.debezium.connect.registration import configuration, masked
from fieldwarden.connectors.debezium.connect.signals import Signals
from fieldwarden.connectors.debezium.connect.states import KeyProblem
from fieldwarden.operations.connector_state import (
    ailment,
    alive,
    chosen,
    connected,
    lines,
    missing,
    named,
    plain,
    tasks,
)
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.shell.report import Failure, Report, table
from fieldwarden.operations.words import count
from fieldwarden.rules.connections import debezium_settings
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.secret import Secretive

T = TypeVar("T")
_START_SECONDS = 30.0


class ConnectorInvalid(FieldwardenError):
    """Kafka Connect finds a configuration wrong; nothing was changed."""

    code = "connector_invalid"
    exit_code = 2


# --- looking -------------------------------------------------------------------------------------------------


def list_them(folder: Path | None) -> Report:
    """Every connector of the Connect cluster, ours by their system, and our systems that have none."""
    with opened(folder) as project:
        chosen(project, None)
        states = asyncio.run(_ask(project, lambda connect: connect.states()))
        ours = {named(project, system): system for system in project.debezium_systems}
    found = [plain(state, ours.get(name)) for name, state in states.items()]
    found += [missing(name, system) for name, system in ours.items() if name not in states]
    rows = [[each["connector"], each["system"] or "-", each["state"], tasks(each)] for each in found]
    return Report({"connectors": found}, table(["connector", "system", "state", "tasks"], rows, indent=""))


def show(folder: Path | None, system: str) -> Report:
    """A system's connector as it is registered, and where that differs from what the files say."""
    with opened(folder) as project:
        chosen(project, system)
        name, wanted = named(project, system), _configuration(project, system)
        live = asyncio.run(_about(project, system, lambda connect: connect.configuration(name)))
    differing = sorted(key for key in wanted.keys() | live.keys() if wanted.get(key) != live.get(key) and key != "name")
    shown, ours = masked(live), masked(wanted)
    differences = [{"option": key, "registered": shown.get(key), "files": ours.get(key)} for key in differing]
    lines = [f"{key}: {value}" for key, value in shown.items()]
    if differences:
        rows = [[each["option"], each["registered"] or "-", each["files"] or "-"] for each in differences]
        lines += ["", "differs from the files:", table(["option", "registered", "files"], rows)]
        lines.append(f"`fieldwarden connector register {system}` makes it what the files say")
    result = {"connector": name, "system": system, "configuration": shown, "differences": differences}
    return Report(result, "\n".join(lines))


def status(folder: Path | None, system: str | None) -> Report:
    """How the connectors of our systems fare; a failure (exit code 1) unless all run, with all their tasks."""
    with opened(folder) as project:
        systems = {named(project, each): each for each in chosen(project, system)}
        states, silent = asyncio.run(_ask(project, lambda connect: alive(project, connect)))
    found = [
        plain(states[name], each, silent.get(each, "")) if name in states else missing(name, each)
        for name, each in systems.items()
    ]
    text = "\n".join(line for each in found for line in lines(each))
    ill = [each for each in found if not each["running"]]
    if not ill:
        return Report({"connectors": found}, text)
    message = "; ".join(f"{each['system']}: {ailment(each)}" for each in ill)
    failure = Failure("connector_failed", message, ill[0]["suggestion"], str(ill[0]["system"]))
    return Report({"connectors": found}, text, failure, 1)


# --- changing ------------------------------------------------------------------------------------------------


def register(
    folder: Path | None, system: str | None, *, dry_run: bool, wait: bool, say: Callable[[str], None]
) -> Report:
    """Validate, then create or replace: one system's connector, or every system's.

    Raises ConnectorInvalid with what Connect says of each key, before anything is changed."""
    with opened(folder) as project:
        wanted = {each: _configuration(project, each) for each in chosen(project, system)}
        if dry_run:
            shown = {each: masked(configuration) for each, configuration in wanted.items()}
            text = "\n\n".join(
                "\n".join([f"# {named(project, each)}", *(f"{key}: {value}" for key, value in configuration.items())])
                for each, configuration in shown.items()
            )
            return Report({"dry_run": True, "configurations": shown}, text)
        return asyncio.run(_ask(project, lambda connect: _register(project, connect, wanted, wait, say)))


def restart(folder: Path | None, system: str, *, everything: bool) -> Report:
    """Restart what has failed of a connector, or all of it."""
    what = "the connector and its tasks restart" if everything else "what had failed restarts"
    return _tell(folder, system, lambda connect, name: connect.restart(name, everything=everything), "restarted", what)


def pause(folder: Path | None, system: str) -> Report:
    """Let a connector rest; it goes on where it stopped."""
    what = "pauses; the database keeps its log meanwhile, so do not leave it so for long"
    return _tell(folder, system, lambda connect, name: connect.pause(name), "paused", what)


def resume(folder: Path | None, system: str) -> Report:
    return _tell(folder, system, lambda connect, name: connect.resume(name), "resumed", "goes on")


def delete(folder: Path | None, system: str) -> Report:
    """Remove a connector from Connect. Its offsets, slot, publication and topics stay; the report says how to drop
    them."""
    report = _tell(folder, system, lambda connect, name: connect.delete(name), "deleted", "is gone from Kafka Connect")
    with opened(folder) as project:
        settings = debezium_settings(project.rulebook.systems[system])
    report.notes.append("its offsets and topics stay in Kafka: registered again, it goes on where it stopped")
    if settings.is_postgres:
        names = settings.names(system)
        report.notes.append(
            "its replication slot stays too and keeps the database's log: if it is not to come back, there:\n"
            f"  select pg_drop_replication_slot('{names.slot}'); drop publication {names.publication};"
        )
    return report


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


def _tell(
    folder: Path | None,
    system: str,
    word: Callable[[Connect, str], Awaitable[None]],
    done: str,
    what: str,
) -> Report:
    with opened(folder) as project:
        chosen(project, system)
        name = named(project, system)
        asyncio.run(_about(project, system, lambda connect: word(connect, name)))
    return Report({"connector": name, "system": system, done: True}, f"{name}: {what}")


def _configuration(project: Opened, system: str) -> dict[str, Secretive]:
    return configuration(project.rulebook.systems[system], project.connect_dsn(system), project.kafka())


async def _register(
    project: Opened, connect: Connect, wanted: dict[str, dict[str, Secretive]], wait: bool, say: Callable[[str], None]
) -> Report:
    wrong: dict[str, Sequence[KeyProblem]] = {
        system: found
        for system, each in wanted.items()
        if (found := await connect.problems(named(project, system), each))
    }
    if wrong:
        raise _invalid(project, wrong)
    done: list[dict[str, Any]] = []
    for system, each in wanted.items():
        name = named(project, system)
        await Signals(project.rulebook.systems[system], project.kafka().brokers).prepare()
        new = await connect.register(name, each)
        say(f"  {name}: {'created' if new else 'replaced'}")
        state = await connect.started(name, _START_SECONDS) if wait else None
        outcome = plain(state, system) if state is not None else missing(name, system)
        done.append(outcome | {"created": new})
    return _registered(done, wait)


def _registered(done: list[dict[str, Any]], wait: bool) -> Report:
    if not wait:
        done = [{key: each[key] for key in ("connector", "system", "created")} for each in done]
    text = "\n".join(
        f"{each['connector']}: {'created' if each['created'] else 'its configuration was replaced'}" for each in done
    )
    ill = [each for each in done if wait and not each["running"]]
    if not ill:
        return Report({"connectors": done}, text)
    message = "; ".join(f"{each['connector']} is registered, but {ailment(each)}" for each in ill)
    return Report({"connectors": done}, text, Failure("connector_failed", message, ill[0]["suggestion"]), 1)


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
