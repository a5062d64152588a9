"""`make fuzz`: hostile inputs for every decoder and the HTTP server for FUZZ_SECONDS (60), or FUZZ_INPUTS of them.

Prints per decoder how many there were and what the dearest cost. Exits with 1 when something is wrong, and then the
input is in a file, which `python -m tests.fuzz FILE` tries again. FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import ast
import faulthandler
import gc
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.decoders import TARGETS, Target, kept
from tests.fuzz.measuring import Cost, Input, cost, shares

_FOUND = Path("fuzz-found")
_TRACED = 50
"""Of so many inputs one is looked at for its memory, besides all dear ones."""


@dataclass
class Tally:
    inputs: int = 0
    seconds: float = 0.0
    bytes: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, found: Cost, shares: float) -> None:
        """The worst are told for each 100 KB of input."""
        self.inputs += 1
        self.seconds, self.bytes = max(self.seconds, found.seconds / shares), max(self.bytes, found.bytes / shares)


def fuzz(seed: int, seconds: float, inputs: int) -> dict[str, Tally]:
    """Until so many seconds have passed (0: no end) or so many inputs were tried (0: no end)."""
    order = [target for target in TARGETS for _ in range(target.share)]
    tallies = {target.name: Tally() for target in TARGETS}
    began, number = time.monotonic(), 0
    while (not seconds or time.monotonic() - began < seconds) and (not inputs or number < inputs):
        target, random = order[number % len(order)], Random(seed * 1_000_003 + number)
        number += 1
        data = target.make(random)
        found = cost(target.run, data, traced=number % _TRACED == 0, clock=target.clock)
        tallies[target.name].add(found, shares(data))
        if found.wrong:
            _keep(target, data, found, tallies[target.name])
        if number % 10_000 == 0:
            gc.collect()
            print(f"{number:,} inputs, seed {seed}", file=sys.stderr, flush=True)
    return tallies


def _keep(target: Target, data: Input, found: Cost, tally: Tally) -> None:
    """In a file; of what is wrong in the same way only the first few."""
    if len(tally.wrong) < 20:
        _FOUND.mkdir(exist_ok=True)
        file = _FOUND / f"{target.name.replace(' ', '-')}-{len(tally.wrong) + 1}"
        file.write_text(repr((target.name, data)), "utf-8")
        print(f"{target.name}: {found.wrong[:300]}: {file}", file=sys.stderr, flush=True)
    tally.wrong.append(found.wrong)


def again(file: Path) -> int:
    """One input that was found before."""
    name, data = ast.literal_eval(file.read_text("utf-8"))
    (target,) = (each for each in TARGETS if each.name == name)
    found = cost(target.run, data, traced=True, clock=target.clock)
    print(f"{name}: {found.seconds * 1_000:.1f} ms, {found.bytes / 1e6:.1f} MB; {found.wrong or 'nothing is wrong'}")
    return 1 if found.wrong else 0


def main(arguments: Sequence[str]) -> int:
    faulthandler.enable()
    if arguments:
        return again(Path(arguments[0]))
    inputs = int(os.environ.get("FUZZ_INPUTS", "0"))
    seconds = float(os.environ.get("FUZZ_SECONDS", "0" if inputs else "60"))
    seed = int(os.environ.get("FUZZ_SEED", str(secrets.randbelow(1 << 31))))
    tallies = fuzz(seed, seconds, inputs)
    print(f"{'decoder':16} {'inputs':>10} {'worst ms':>10} {'worst MB':>10} {'wrong':>7}")
    for name, tally in tallies.items():
        print(
            f"{name:16} {tally.inputs:>10,} {tally.seconds * 1_000:>10.1f} {tally.bytes / 1e6:>10.1f}"
            f" {len(tally.wrong):>7}"
        )
    print(f"{sum(tally.inputs for tally in tallies.values()):,} inputs, seed {seed}")
    return 1 if any(tally.wrong for tally in tallies.values()) else 0


if __name__ == "__main__":
    with kept():
        sys.exit(main(sys.argv[1:]))
