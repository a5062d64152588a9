"""Where the time of one run goes: our process under cProfile, and the destination's statements by their log.

Profiling slows Python down by half and logging every statement slows the server down: read shares, not rates.
"""

from __future__ import annotations

import io
import pstats
import re
from collections import defaultdict

import psycopg

from bench.match import SCENARIOS, Say
from bench.ours import Ours
from bench.stage import Stage

_LINE = re.compile(r"\] (?P<who>\S.*?)/(?P<database>\w+) LOG:  duration: (?P<ms>[\d.]+) ms\s+(?P<what>.*)")
_STEP = re.compile(r"^(?P<step>parse|bind|execute|statement)[^:]*: (?P<sql>.*)")


def profile(stage: Stage, name: str, rows: int, say: Say) -> None:
    ours = Ours(stage)
    ours.prepare()
    make = SCENARIOS[name][1]
    if name.startswith("update"):
        stage.add(rows, 100)
    ours.run(make(stage, min(rows, 4_000)))  # what the hub and the targets hold must not be empty tables
    backlog = make(stage, rows)
    plain = ours.run(backlog)
    own, servers = _us(plain.process_cpu, rows), _us(plain.servers_cpu, rows)
    say(f"unprofiled: {plain.rate:,.0f} rows/s, {own} in our process, {servers} in the servers")
    out = stage.folder / "run.prof"
    backlog = make(stage, rows)
    ours.run(backlog, ("-m", "cProfile", "-o", str(out), *ours.program))
    for order in ("tottime", "cumtime"):
        text = io.StringIO()
        pstats.Stats(str(out), stream=text).sort_stats(order).print_stats(45)
        say(text.getvalue())
    _log_statements(stage, True)
    size = stage.destination.log.stat().st_size
    ours.run(make(stage, rows))
    _log_statements(stage, False)
    with stage.destination.log.open(errors="replace") as log:
        log.seek(size)
        say(statements(log.read(), rows))


def statements(log: str, rows: int) -> str:
    """The server's time by session and statement, most expensive first."""
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for line in log.splitlines():
        match = _LINE.search(line)
        step = match and _STEP.match(match["what"])
        if match and step:
            key = (match["who"], " ".join(step["sql"].split())[:70] or step["step"])
            spent[key].append(float(match["ms"]))
    ranked = sorted(spent.items(), key=lambda item: -sum(item[1]))
    lines = [f"{'us/row':>8} {'calls':>6} {'ms/call':>8}  session: statement"]
    for (who, text), times in ranked[:30]:
        total = sum(times)
        lines.append(f"{total * 1000 / rows:8.2f} {len(times):6} {total / len(times):8.2f}  {who}: {text}")
    return "\n".join(lines)


def _log_statements(stage: Stage, on: bool) -> None:
    with psycopg.connect(stage.destination.dsn(), autocommit=True) as connection:
        connection.execute(f"alter system set log_min_duration_statement = {0 if on else -1}".encode())
        connection.execute("select pg_reload_conf()")


def _us(seconds: float | None, rows: int) -> str:
    return "? us/row" if seconds is None else f"{seconds / rows * 1e6:.0f} us/row"
