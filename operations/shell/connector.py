"""`fieldwarden connector`, told to people."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from fieldwarden.operations import connector
from fieldwarden.operations.connector import Made
from fieldwarden.operations.connector_state import Registered, ailment, named, tasks
from fieldwarden.operations.project import Opened
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.report import Failure, Report, plain, table
from fieldwarden.rules.connections import debezium_settings


def list_them(folder: Path | None) -> Report:
    found = in_project(folder, connector.listed)
    rows = [[each.connector, each.system or "-", each.state, tasks(each)] for each in found]
    text = table(["connector", "system", "state", "tasks"], rows, indent="")
    return Report({"connectors": plain(found)}, text)


def show(folder: Path | None, system: str) -> Report:
    found = in_project(folder, lambda project: connector.shown(project, system))
    lines = [f"{key}: {value}" for key, value in found.configuration.items()]
    if found.differences:
        rows = [[each.option, each.registered or "-", each.files or "-"] for each in found.differences]
        lines += ["", "differs from the files:", table(["option", "registered", "files"], rows)]
        lines.append(f"`fieldwarden connector register {system}` makes it what the files say")
    return Report(plain(found), "\n".join(lines))


def status(folder: Path | None, system: str | None) -> Report:
    """A failure (exit code 1) unless all run, with all their tasks."""
    found = in_project(folder, lambda project: connector.states(project, system))
    result, text = {"connectors": plain(found)}, "\n".join(line for each in found for line in _lines(each))
    ill = [each for each in found if not each.running]
    if not ill:
        return Report(result, text)
    message = "; ".join(f"{each.system}: {ailment(each)}" for each in ill)
    return Report(result, text, Failure("connector_failed", message, ill[0].suggestion, str(ill[0].system)), 1)


def register(
    folder: Path | None, system: str | None, *, dry_run: bool, wait: bool, say: Callable[[str], None]
) -> Report:
    """A failure (exit code 1) if one that was waited for does not run."""

    async def work(project: Opened) -> Report:
        if not dry_run:
            return _registered(await connector.register(project, system, wait=wait, say=say))
        shown = connector.configurations(project, system)
        text = "\n\n".join(
            "\n".join([f"# {named(project, each)}", *(f"{key}: {value}" for key, value in options.items())])
            for each, options in shown.items()
        )
        return Report({"dry_run": True, "configurations": shown}, text)

    return in_project(folder, work)


def restart(folder: Path | None, system: str, *, everything: bool) -> Report:
    what = "the connector and its tasks restart" if everything else "what had failed restarts"

    def word(project: Opened, system: str) -> Coroutine[Any, Any, str]:
        return connector.restart(project, system, everything=everything)

    return _told(folder, system, word, "restarted", what)


def pause(folder: Path | None, system: str) -> Report:
    what = "pauses; the database keeps its log meanwhile, so do not leave it so for long"
    return _told(folder, system, connector.pause, "paused", what)


def resume(folder: Path | None, system: str) -> Report:
    return _told(folder, system, connector.resume, "resumed", "goes on")


def delete(folder: Path | None, system: str) -> Report:
    """The report says how to drop what stays."""

    async def work(project: Opened) -> Report:
        name = await connector.delete(project, system)
        report = _done(name, system, "deleted", "is gone from Kafka Connect")
        report.notes.append("its offsets and topics stay in Kafka: registered again, it goes on where it stopped")
        settings = debezium_settings(project.rulebook.systems[system])
        if settings.is_postgres:
            names = settings.names(system)
            report.notes.append(
                "its replication slot stays too and keeps the database's log: if it is not to come back, there:\n"
                f"  select pg_drop_replication_slot('{names.slot}'); drop publication {names.publication};"
            )
        return report

    return in_project(folder, work)


# --- in words ------------------------------------------------------------------------------------------------


def _told(
    folder: Path | None, system: str, word: Callable[[Opened, str], Coroutine[Any, Any, str]], done: str, what: str
) -> Report:
    name = in_project(folder, lambda project: word(project, system))
    return _done(name, system, done, what)


def _done(name: str, system: str, done: str, what: str) -> Report:
    return Report({"connector": name, "system": system, done: True}, f"{name}: {what}")


def _registered(made: Sequence[Made]) -> Report:
    done: list[dict[str, Any]] = [
        {"connector": each.connector, "system": each.system, **(plain(each.state) if each.state else {})}
        | {"created": each.created}
        for each in made
    ]
    text = "\n".join(
        f"{each.connector}: {'created' if each.created else 'its configuration was replaced'}" for each in made
    )
    ill = [each.state for each in made if each.state is not None and not each.state.running]
    if not ill:
        return Report({"connectors": done}, text)
    message = "; ".join(f"{each.connector} is registered, but {ailment(each)}" for each in ill)
    return Report({"connectors": done}, text, Failure("connector_failed", message, ill[0].suggestion), 1)


def _lines(each: Registered) -> list[str]:
    """One connector for people: its state, every error, what to do."""
    lines = [f"{each.connector} ({each.system}): {each.state}, {tasks(each)}"]
    lines += [f"  error: {each.error}"] if each.error else []
    lines += [f"  task {task.id} on {task.worker}: {task.error}" for task in each.tasks if task.error]
    return lines + ([f"  try: {each.suggestion}"] if each.suggestion else [])
