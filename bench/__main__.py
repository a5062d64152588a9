"""`python -m bench`: run the match, or profile one scenario. Exit code 1 if the figures are void."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from bench import kafka_match, kafka_report, match, report
from bench.kafka_stage import kafka_staged
from bench.profiling import profile
from bench.stage import staged
from stack import why_unfit

SCENARIOS = [*match.SCENARIOS, *kafka_match.SCENARIOS]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    options = _options()
    if options.profile:
        with staged() as stage:
            profile(stage, options.profile, options.rows, say)
        return 0
    names = options.scenario or SCENARIOS
    texts: list[str] = []
    objects: dict[str, Any] = {}
    void = False
    if direct := [name for name in names if name in match.SCENARIOS]:
        outcome = _direct(options, direct)
        void |= bool(outcome.void)
        texts.append(report.text(outcome))
        objects |= report.as_json(outcome)
    if kafka := [name for name in names if name in kafka_match.SCENARIOS]:
        if reason := why_unfit():
            texts.append(f"kafka: not measured, for the stack cannot run here: {reason}")
        else:
            on_kafka = _on_kafka(options, kafka)
            void |= bool(on_kafka.void)
            texts.append(kafka_report.text(on_kafka))
            objects["kafka"] = kafka_report.as_json(on_kafka)
    print(json.dumps(objects) if options.json else "\n\n".join(texts))
    return 1 if void else 0


def _direct(options: argparse.Namespace, names: list[str]) -> match.Outcome:
    size = match.Size(options.rows, options.repeat, 0 if options.skip_memory else options.memory, options.durable)
    with staged() as stage:
        return match.play(stage, size, names, say)


def _on_kafka(options: argparse.Namespace, names: list[str]) -> kafka_match.KafkaOutcome:
    """Backlogs twice as long, for the sink's sake, and a fifth of the memory's, since they come through Debezium."""
    memory = 0 if options.skip_memory else options.memory // 5
    with kafka_staged(*kafka_match.databases(names)) as stage:
        return kafka_match.play(stage, kafka_match.KafkaSize(2 * options.rows, options.repeat, memory), names, say)


def _options() -> argparse.Namespace:
    size = match.Size()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one (repeatable)")
    parser.add_argument("--rows", type=int, default=size.rows, help=f"rows of a backlog (default {size.rows:,})")
    parser.add_argument("--repeat", type=int, default=size.repeat, help=f"repetitions (default {size.repeat})")
    parser.add_argument(
        "--memory", type=int, default=size.memory, metavar="CHANGES", help="the smaller backlog weighed"
    )
    parser.add_argument("--skip-memory", action="store_true", help="do not weigh memory")
    parser.add_argument("--durable", action="store_true", help="native commits wait for the disk, as ours do")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--profile", choices=list(match.SCENARIOS), metavar="SCENARIO", help="show where time goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
