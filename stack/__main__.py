"""`python -m stack start | stop | fetch`: a stack that stays up for whoever works with it by hand (`make stack`).

`fetch` only brings what the tests will need, so that no test waits for downloads; where the stack cannot run it says so
and leaves it to the tests whether that matters.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.errors import EnvironmentUnfit
from stack.artefacts import StackUnfit, fetch, why_unfit
from stack.running import Stack

STATE = Path(__file__).resolve().parents[1] / ".stack" / "state.json"


def main(arguments: list[str]) -> int:
    if arguments not in (["start"], ["stop"], ["fetch"]):
        print("usage: python -m stack start | stop | fetch", file=sys.stderr)
        return 2
    if arguments == ["stop"]:
        if STATE.exists():
            Stack(STATE).stop()
        print("The stack is stopped, its data removed.")
        return 0
    if reason := why_unfit():
        print(f"The stack cannot run here: {reason}", file=sys.stderr)
        return 0 if arguments == ["fetch"] else 4
    try:
        fetch("kafka", "avro", "registry")
        if arguments == ["fetch"]:
            return 0
        stack = Stack(STATE, heap="1g", quick=False)
        stack.start_postgres()
        stack.start()
        stack.start_registry()
    except (StackUnfit, EnvironmentUnfit) as error:
        print(error, file=sys.stderr)
        return 4
    print(ways_in(stack))
    return 0


def ways_in(stack: Stack) -> str:
    """How to reach each part, as lines that a shell may evaluate."""
    password = (stack.postgres.folder / "password").read_text().strip()
    parts = (("Kafka", stack.broker), ("Kafka Connect", stack.connect), ("registry", stack.registry))
    lines = [f"# {name}: process {part.pid}, log {part.log}" for name, part in parts]
    lines += [
        f"# PostgreSQL: folder {stack.postgres.folder}",
        f"# addresses and data folder: {stack.state}; stop with `make stack-stop`",
        f"export KAFKA_BOOTSTRAP={stack.bootstrap}",
        f"export CONNECT_URL={stack.connect_url}",
        f"export SCHEMA_REGISTRY_URL={stack.registry_url}",
        f"export PGHOST=127.0.0.1 PGPORT={stack.postgres.port} PGUSER=postgres PGPASSWORD={password}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
