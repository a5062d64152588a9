"""`python -m stack.demo`: a stack of the demo's own, the sample databases in it, and the demo on it.

Whatever was started is stopped again, with its data; what is left is the project's folder with the hub's memory.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from fieldwarden.operations.demo.on_kafka import EXAMPLE, demo_kafka, uninterrupted
from fieldwarden.operations.examples import lay_out
from fieldwarden.operations.shell.report import Failure, Report
from fieldwarden.rules.errors import FieldwardenError
from stack.artefacts import StackUnfit, fetch, why_unfit
from stack.running import Stack

SYSTEMS = ("crm", "billing", "erp")


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        report = demo(given.folder, keep_running=given.keep_running)
    except KeyboardInterrupt:
        return 130
    except StackUnfit as error:
        report = Report(failure=Failure("environment", str(error), "install Java 17 and Maven", ""), exit_code=3)
    except FieldwardenError as error:
        report = Report(failure=Failure.of(error), exit_code=error.exit_code)
    if given.as_json:
        print(report.as_json())
        return report.exit_code
    if report.text:
        print(report.text)
    if report.failure is not None:
        print(report.failure.lines(), file=sys.stderr)
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack.demo", description="Quote to cash through Debezium and Kafka."
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("fieldwarden-demo-kafka"), help="where to leave the project"
    )
    parser.add_argument("--keep-running", action="store_true", help="go on replicating, so that rows can be edited")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print one JSON object on the last line")
    return parser


def demo(folder: Path, *, keep_running: bool = False) -> Report:
    """Raises StackUnfit, FieldwardenError."""
    if reason := why_unfit():
        raise StackUnfit(f"the demo needs Kafka, which cannot run here: {reason}")
    with tempfile.TemporaryDirectory(prefix="fieldwarden-demo-kafka-") as place:
        stack = Stack(Path(place) / "stack.json")
        try:
            say("  starting Kafka, Kafka Connect with Debezium, and PostgreSQL (fetched the first time: minutes)")
            fetch("kafka", "avro")
            with uninterrupted():
                stack.start_postgres()
                stack.start()
            lay_out(EXAMPLE, Path(place) / "example")
            for system in SYSTEMS:
                stack.postgres.ensure_database(system, Path(place) / "example" / "sql" / f"{system}.sql")
            return demo_kafka(folder, _environment(stack), keep_running=keep_running, say=say)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # what was started is stopped, however often one is told
            stack.stop()


def _environment(stack: Stack) -> dict[str, str]:
    """What the example's files refer to."""
    ways = {f"{system.upper()}_DSN": stack.postgres.dsn(system, tcp=True) for system in SYSTEMS}
    return {"KAFKA_BOOTSTRAP": stack.bootstrap, "CONNECT_URL": stack.connect_url, **ways}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
