"""`python -m stack start | stop`: a stack that stays up for whoever works with it by hand (`make stack`).

`fetch` only brings what the tests will need, so that no test waits for downloads; where the stack cannot run it says so
and leaves it to the tests whether that matters. `lock`, `audit`, `sbom` and `pin-images` are about what all
is made of: see `stack.checksums`, `stack.audit`, `stack.sbom`, `stack.images`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fieldwarden.engine.errors import EnvironmentUnfit
from stack.artefacts import StackUnfit, fetch, lock, why_unfit
from stack.running import Stack

STATE = Path(__file__).resolve().parents[1] / ".stack" / "state.json"


def main(arguments: list[str]) -> int:
    if len(arguments) == 1 and arguments[0] in MATERIALS:
        return MATERIALS[arguments[0]]()
    if arguments not in (["start"], ["stop"], ["fetch"]):
        print(f"usage: python -m stack start | stop | fetch | {' | '.join(MATERIALS)}", file=sys.stderr)
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


def lock_artefacts() -> int:
    try:
        lock()
    except StackUnfit as error:
        print(error, file=sys.stderr)
        return 4
    print("Recorded in stack/checksums: look at what changed before you commit it.")
    return 0


def audited() -> int:
    from stack.audit import audit

    found = audit()
    print(found)
    return found.code


def billed() -> int:
    from stack.sbom import PLACE, bill

    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(bill(), "utf-8")
    print(f"The bill of materials is {PLACE}.")
    return 0


def pin_images() -> int:
    from stack.images import Unreachable, ask_registry, pin

    try:
        for name, digest in pin(ask_registry).items():
            print(name, digest)
    except Unreachable as error:
        print(f"{error}; nothing was changed", file=sys.stderr)
        return 4
    return 0


MATERIALS = {"lock": lock_artefacts, "audit": audited, "sbom": billed, "pin-images": pin_images}


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
