"""`python -m bench`: run the match, or profile one scenario. Exit code 1 if the figures are void."""

from __future__ import annotations

import argparse
import json
import sys

from bench import match, report
from bench.profiling import profile
from bench.stage import staged


def main() -> int:
    options = _options()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with staged() as stage:
        if options.profile:
            profile(stage, options.profile, options.rows, say)
            return 0
        size = match.Size(options.rows, options.repeat, 0 if options.skip_memory else options.memory, options.durable)
        outcome = match.play(stage, size, options.scenario or list(match.SCENARIOS), say)
    print(json.dumps(report.as_json(outcome)) if options.json else report.text(outcome))
    return 1 if outcome.void else 0


def _options() -> argparse.Namespace:
    size = match.Size()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=list(match.SCENARIOS), help="only this one (repeatable)")
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
