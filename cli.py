"""The command line, and the only place where the parts are put together: one command, one operation.

Commands import their operation when they run, so that `--help`, completion and the light commands start at once.
How a command ends is the same everywhere: 0 ok, 1 run-time failure, 2 usage or invalid configuration, 3 environment
(something cannot be reached), 130/143 on SIGINT/SIGTERM. With `--json` the last line on stdout is one object.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from operations.report import Failure, Report
from rules.errors import FieldwardenError

Operation = Callable[..., Report]


class Program(click.Group):
    """Ends every command alike: a report, a failure in words, or a bug that is owned up to in one paragraph."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)  # in the order in which one meets them, not by alphabet

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        inner: Callable[..., Any] = super().main
        if not standalone_mode:
            return inner(*args, standalone_mode=False, **extra)
        given = args[0] if args else extra.pop("args", None)
        words = list(sys.argv[1:] if given is None else given)
        options = words[: words.index("--")] if "--" in words else words
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            code = inner(words, *args[1:], standalone_mode=False, **extra)
        except (click.Abort, KeyboardInterrupt):
            code = 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except click.ClickException as error:
            code = _usage(error, "--json" in options)
        except FieldwardenError as error:
            code = _emit(Report(failure=Failure.of(error), exit_code=error.exit_code), "--json" in options)
        except Exception as error:
            if "--debug" in options:
                raise
            from operations.bugs import own_up

            code = _emit(own_up(error), "--json" in options)
        finally:
            signal.signal(signal.SIGTERM, before)
        sys.exit(code if isinstance(code, int) else 0)


def _emit(report: Report, as_json: bool) -> int:
    """Print a report and give its exit code."""
    if as_json:
        click.echo(report.as_json())
        return report.exit_code
    if report.text:
        click.echo(report.text)
    for note in report.notes:
        click.echo(note, err=True)
    if report.failure is not None:
        click.echo(report.failure.lines(), err=True)
    return report.exit_code


def _usage(error: click.ClickException, as_json: bool) -> int:
    if not as_json:
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "fieldwarden"
    failure = Failure("usage", error.format_message(), f"see `{where} --help`", where)
    return _emit(Report(failure=failure, exit_code=error.exit_code), True)


def command(parent: click.Group, name: str = "") -> Callable[[Operation], click.Command]:
    """Register a function that returns a Report, with the options that every command has."""

    def register(function: Operation) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, debug: bool, **parameters: Any) -> int:
            del debug  # read by Program.main, which alone sees what escapes
            return _emit(function(**parameters), as_json)

        for option in (
            click.option("--debug", is_flag=True, help="Show the traceback of a bug instead of filing it."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object on the last line."),
        ):
            run = option(run)
        return parent.command(name or function.__name__)(run)

    return register


def in_project(function: Operation) -> Operation:
    """A command about a project: `--project DIR`, by default the folder or its nearest parent that is one."""
    option = click.option(
        "--project",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The project's folder (default: this one, or the nearest parent with a fieldwarden.yaml).",
    )
    return option(function)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("fieldwarden"), "-V", "--version", message="fieldwarden %(version)s")
def cli() -> None:
    """Keep billing, CRM and ERP in agreement, field by field."""


def say(line: str) -> None:
    """Progress, for people: on stderr, so that what is on stdout stays the answer."""
    click.echo(line, err=True)


@command(cli)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("fieldwarden-demo"),
    show_default=True,
    help="Where to leave the project.",
)
@click.option("--fresh", is_flag=True, help="Begin anew in a folder that an earlier demo made.")
@click.option("--keep-running", is_flag=True, help="Go on replicating, so that you can edit rows and watch.")
def demo(folder: Path, fresh: bool, keep_running: bool) -> Report:
    """Run three sample systems, edit them from each side, and prove that they agree."""
    from operations.demo import demo

    return demo(folder, fresh=fresh, keep_running=keep_running, say=say)


@command(cli)
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--example", metavar="NAME", help="Copy a whole example instead: quote-to-cash.")
def init(name: Path, example: str | None) -> Report:
    """Lay out a small project in a new folder NAME, ready to run."""
    from operations.init import lay_out

    return lay_out(name, example)


@command(cli)
@in_project
def validate(folder: Path | None) -> Report:
    """Check all files of the project; name every problem at once."""
    from operations.validate import validate

    return validate(folder)


@command(cli)
@click.argument("kind", type=click.Choice(["entity", "system", "project"]))
def schema(kind: str) -> Report:
    """Print the JSON Schema of a kind of file, for your editor."""
    from operations.schema import schema

    return schema(kind)


@command(cli)
@in_project
def doctor(folder: Path | None) -> Report:
    """Look whether the hub and every system can be reached and fit the files."""
    from operations.doctor import doctor

    return doctor(folder)


@command(cli)
@click.option(
    "--rebaseline",
    metavar="SYSTEM",
    multiple=True,
    help="Read all rows of SYSTEM again first (after a gap). May be given several times.",
)
@click.option("--until-idle", is_flag=True, help="Stop when every change is decided on and delivered.")
@click.option("--log-format", type=click.Choice(["auto", "human", "json"]), default="auto", show_default=True)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of /livez, /readyz, /metrics (0: any free one).")
@click.option(
    "--stall-after",
    type=click.FloatRange(min=1),
    default=30.0,
    metavar="SECONDS",
    help="Not ready when changes wait and nothing has moved for so long (default: 30).",
)
@in_project
def run(folder: Path | None, **options: Any) -> Report:
    """Replicate until told to stop (SIGTERM or Ctrl-C)."""
    from operations.run import run

    return run(folder, **options)


@command(cli)
@in_project
def status(folder: Path | None) -> Report:
    """How far every source and target is, and what waits for a person."""
    from operations.status import status

    return status(folder)


unmasked = click.option("--unmask", is_flag=True, help="Show personal values too.")


@command(cli)
@click.argument("entity")
@click.argument("key")
@unmasked
@in_project
def trail(folder: Path | None, entity: str, key: str, unmask: bool) -> Report:
    """One record's whole story across the systems; KEY is any system's key, a match key, or the record's id."""
    from operations.proving import trail

    return trail(folder, entity, key, unmask)


@command(cli)
@click.argument("name", metavar="ENTITY.FIELD")
@click.argument("key")
@unmasked
@in_project
def explain(folder: Path | None, name: str, key: str, unmask: bool) -> Report:
    """Why a field holds its value, and who lost."""
    from operations.proving import explain

    return explain(folder, name, key, unmask)


@cli.group()
def audit() -> None:
    """The ledger: what was decided, and the proof that nothing was changed afterwards."""


@command(audit, "export")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to stdout.")
@click.option("--entity", metavar="ENTITY")
@click.option("--record", metavar="ID", help="Of one record (its id, as `trail` shows it).")
@click.option("--field", metavar="FIELD")
@click.option("--outcome", metavar="OUTCOME", help="accepted, agreed, outranked, refused, held, stale, withdrawn ...")
@click.option("--system", metavar="SYSTEM", help="Only what this system said.")
@click.option("--since", metavar="TIME", help="Not before (ISO 8601; UTC if it names no zone).")
@click.option("--until", metavar="TIME", help="Before.")
@unmasked
@in_project
def audit_export(folder: Path | None, **options: Any) -> Report:
    """Write decisions as JSON Lines or CSV, oldest first."""
    from operations.proving import export

    return export(folder, **options)


@command(audit, "verify")
@in_project
def audit_verify(folder: Path | None) -> Report:
    """Recompute the chain, and replay the ledger against the golden records."""
    from operations.proving import verify

    return verify(folder)


@cli.group()
def deadletter() -> None:
    """Changes and deliveries set aside with their reason."""


def which(function: Operation) -> Operation:
    """The filters by which dead letters are chosen."""
    for option in (
        click.option("--kind", metavar="KIND", help="Only of this kind (data, ambiguous, reference, delivery ...)."),
        click.option("--entity", metavar="ENTITY", help="Only about this entity."),
        click.option("--system", metavar="SYSTEM", help="Only from or for this system."),
        click.option("--place", metavar="TOPIC[/N[@OFFSET]]", help="Only of changes that stand there in their source."),
    ):
        function = option(function)
    return function


@command(deadletter, "list")
@which
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@in_project
def deadletter_list(folder: Path | None, **filters: Any) -> Report:
    """List what is set aside, oldest first; values are not shown."""
    from operations.deadletter import list_them

    return list_them(folder, **filters)


@command(deadletter, "show")
@click.argument("id")
@click.option("--values", is_flag=True, help="Show the change's values too, personal ones included.")
@in_project
def deadletter_show(folder: Path | None, id: str, values: bool) -> Report:
    """Show one: its reason, where it came from, and what it waits for."""
    from operations.deadletter import show

    return show(folder, id, values=values)


@command(deadletter, "retry")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@which
@in_project
def deadletter_retry(folder: Path | None, ids: tuple[str, ...], **filters: Any) -> Report:
    """Try again: the ones named, or all that the filters leave (--all)."""
    from operations.deadletter import retry

    return retry(folder, ids, **filters)


@command(deadletter, "discard")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@which
@in_project
def deadletter_discard(folder: Path | None, ids: tuple[str, ...], **filters: Any) -> Report:
    """Drop for good: the ones named, or all that the filters leave (--all)."""
    from operations.deadletter import discard

    return discard(folder, ids, **filters)


@cli.group()
def connector() -> None:
    """The connectors in Kafka Connect, for systems that Debezium reads."""


@command(connector, "list")
@in_project
def connector_list(folder: Path | None) -> Report:
    """List every connector of the Connect cluster, and our systems that have none."""
    from operations.connector import list_them

    return list_them(folder)


@command(connector, "show")
@click.argument("system")
@in_project
def connector_show(folder: Path | None, system: str) -> Report:
    """Show what SYSTEM's connector is registered with, and where that differs from the files; no secrets."""
    from operations.connector import show

    return show(folder, system)


@command(connector, "register")
@click.argument("system", required=False)
@click.option("--dry-run", is_flag=True, help="Only print the configuration, secrets blotted out.")
@click.option("--wait/--no-wait", default=True, help="Wait until it runs or has failed (default).")
@in_project
def connector_register(folder: Path | None, system: str | None, **options: Any) -> Report:
    """Create SYSTEM's connector, or give it the files' configuration (default: every system's)."""
    from operations.connector import register

    return register(folder, system, **options, say=say)


@command(connector, "status")
@click.argument("system", required=False)
@in_project
def connector_status(folder: Path | None, system: str | None) -> Report:
    """Tell how the connectors and their tasks fare; exit code 1 unless all run."""
    from operations.connector import status

    return status(folder, system)


@command(connector, "restart")
@click.argument("system")
@click.option("--all", "everything", is_flag=True, help="Also what has not failed.")
@in_project
def connector_restart(folder: Path | None, system: str, everything: bool) -> Report:
    """Restart what has failed: the connector, its tasks."""
    from operations.connector import restart

    return restart(folder, system, everything=everything)


@command(connector, "pause")
@click.argument("system")
@in_project
def connector_pause(folder: Path | None, system: str) -> Report:
    """Let SYSTEM's connector rest."""
    from operations.connector import pause

    return pause(folder, system)


@command(connector, "resume")
@click.argument("system")
@in_project
def connector_resume(folder: Path | None, system: str) -> Report:
    """Let it go on."""
    from operations.connector import resume

    return resume(folder, system)


@command(connector, "delete")
@click.argument("system")
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_project
def connector_delete(folder: Path | None, system: str, yes: bool) -> Report:
    """Remove SYSTEM's connector from Kafka Connect; its offsets and its replication slot stay."""
    from operations.connector import delete

    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: say --yes")
        click.confirm(f"remove the connector of {system}?", abort=True, err=True)
    return delete(folder, system)


@cli.group()
def backfill() -> None:
    """Rows told again by Debezium, while changes go on streaming."""


@command(backfill, "start")
@click.option("--system", required=True, metavar="SYSTEM", help="Read by Debezium.")
@click.option("--entity", required=True, metavar="ENTITY", help="All its tables there, parents first.")
@click.option("--stream", metavar="STREAM", help="Only this table.")
@click.option("--where", metavar="SQL", help="Only rows of which this is true, in the words of that database.")
@click.option("--wait/--no-wait", default=True, help="See it through (default).")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a running connector may take to heed the signal.",
)
@in_project
def backfill_start(
    folder: Path | None,
    system: str,
    entity: str,
    stream: str | None,
    where: str | None,
    wait: bool,
    patience: float,
) -> Report:
    """Have the rows of ENTITY in SYSTEM read again."""
    from operations.backfill import Wanted, start

    return start(folder, Wanted(system, entity, stream, where), wait=wait, patience=patience, say=say)


@command(backfill, "status")
@click.option("--system", required=True, metavar="SYSTEM", help="Read by Debezium.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@in_project
def backfill_status(folder: Path | None, system: str, limit: int) -> Report:
    """List backfills and how far each is, as the connector tells it; newest first."""
    from operations.backfill import status

    return status(folder, system, limit)


def main() -> None:
    cli.main(prog_name="fieldwarden")


if __name__ == "__main__":
    main()
