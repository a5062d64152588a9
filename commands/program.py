"""What every command has in common: its report is printed, its failure told in words, its bug owned up to."""

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

from fieldwarden.operations.shell.report import Failure, Report
from fieldwarden.rules.errors import FieldwardenError

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
            from fieldwarden.operations.shell.bugs import own_up, traceback_of

            if "--debug" in options:
                click.echo(traceback_of(error), err=True, nl=False)
                code = 1
            else:
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


def main() -> None:
    cli.main(prog_name="fieldwarden")
