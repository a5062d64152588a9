"""`fieldwarden demo`: the quote-to-cash example, really run, and then proved from outside.

    lay out a folder -> three databases -> replication, as `run` does it -> first agreement
        -> the edits, step by step, as psql would make them -> rest -> proof

What it leaves behind is an ordinary project, in which every other command works. A demo that was interrupted goes on
where it stopped; one that is finished is not edited again, only brought to rest and proved again.
"""

from __future__ import annotations

import asyncio
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from fieldwarden.engine.hub.views.audit import VerifyReport
from fieldwarden.operations.audit import verify
from fieldwarden.operations.check import Agreement, checked
from fieldwarden.operations.demo.project import Marker, carry_out, prepare, psql, steps, title
from fieldwarden.operations.demo.proof import Proof, prove
from fieldwarden.operations.project import Opened, opened
from fieldwarden.operations.run.logs import configure
from fieldwarden.operations.run.watch import Watch
from fieldwarden.operations.shell.check import verdict
from fieldwarden.operations.shell.report import Failure, Report, table
from fieldwarden.operations.shell.run import replicate
from fieldwarden.operations.words import count
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive, revealed

Say = Callable[[str], None]

_PATIENCE = 600.0
"""Seconds that the systems may take to come to rest after a step: many, for a machine may be busy with others."""
_NAMED = 20
"""Differences named in full in the failure's message."""


_TALLY = """
    select entity, field, system, event = 'deleted', outcome, count(*) from decision
    group by 1, 2, 3, 4, 5 order by 6 desc, 1, 2, 3, 4, 5
"""


@dataclass
class Tally:
    """What the hub has recorded. `echoes`: of the changes, our own writes coming back. `refusals`: outcome,
    entity.field, offending system, rule and how often."""

    changes: int
    echoes: int
    decisions: dict[str, int]
    refusals: list[dict[str, Any]]

    @classmethod
    def read(cls, dsn: Secretive, schema: str, rulebook: Rulebook) -> Tally:
        with psycopg.connect(revealed(dsn)) as connection:
            connection.execute("select set_config('search_path', %s, false)", [schema])
            sums = "select coalesce(sum(changes), 0)::bigint, coalesce(sum(echoes), 0)::bigint from source"
            changes, echoes = connection.execute(sums).fetchone() or (0, 0)
            rows = connection.execute(_TALLY).fetchall()
        decisions: dict[str, int] = {}
        refusals = []
        for entity, name, offender, deleted, outcome, number in rows:
            decisions[outcome] = decisions.get(outcome, 0) + number
            if outcome in ("refused", "held") and not deleted:  # a deleted owner's last word is held too
                refusals.append(
                    {
                        "outcome": outcome,
                        "field": f"{entity}.{name}",
                        "offender": offender,
                        "rule": rulebook.entities[entity].unit_of[name].policy.sentence,
                        "count": number,
                    }
                )
        return cls(changes, echoes, dict(sorted(decisions.items())), refusals)


@dataclass
class DemoFindings:
    """Everything the demo found out, and what it makes of it. `also` and `lines` are what one kind of demo adds."""

    folder: Path
    systems: list[str]
    tally: Tally
    proof: Proof
    checked: Agreement
    ledger: VerifyReport
    stuck: list[str]
    seconds: float
    also: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.proof.converged and self.checked.ok and self.ledger.ok and not self.stuck

    def report(self) -> Report:
        result = {
            "changes": self.tally.changes,
            "decisions": self.tally.decisions,
            "refused": self.tally.decisions.get("refused", 0),
            "converged": self.proof.converged,
            "ledger_verified": self.ledger.ok,
            "seconds": round(self.seconds, 1),
            "compared": self.proof.compared,
            "agreed": self.proof.things,
            "checked": {"values": self.checked.values, "why": self.checked.why()},
            "refusals": self.tally.refusals,
            "echoes": self.tally.echoes,
            "systems": self.systems,
            "folder": str(self.folder),
            **self.also,
        }
        return Report(result, self._text(), self._failure(), exit_code=0 if self.ok else 1)

    def _text(self) -> str:
        decisions = self.tally.decisions
        held = sum(r["count"] for r in self.tally.refusals if r["outcome"] == "held")
        refusals = [[r["outcome"], r["field"], r["offender"], r["count"], r["rule"]] for r in self.tally.refusals]
        lines = [table(["outcome", "field", "by", "times", "rule"], refusals, indent="    ")] if refusals else []
        lines += self.lines
        lines.append(
            f"  {count(self.tally.changes, 'change')} ({self.tally.echoes} our own writes coming back) · "
            f"{count(sum(decisions.values()), 'decision')} · "
            f"{decisions.get('refused', 0)} refused: another system owns the field · {held} held for approval"
        )
        things = sum(self.proof.things.values())
        agreement = (
            f"all three systems agree on every shared field ({self.proof.compared:,} compared, {things} things)"
            if self.proof.converged
            else f"{count(len(self.proof.differences), 'field differs', 'fields differ')} between the systems"
        )
        ledger = "ledger verified" if self.ledger.ok else "the ledger does NOT verify"
        lines.append(f"  `fieldwarden check`: {verdict(self.checked)}")
        lines += [
            f"    parked: {system} {stream}: {words}" + (f" ({number:,} times)" if number > 1 else "")
            for (system, stream, _, why, words), number in self.checked.differs.items()
            if why == "parked"
        ]
        lines.append(f"  {agreement} · {ledger} · {self.seconds:.1f} s")
        if self.ok:
            lines.append(f"  try: cd {self.folder} && fieldwarden trail customer C-1042")
        return "\n".join(lines)

    def _failure(self) -> Failure | None:
        if self.ok:
            return None
        reasons = [f"not at rest: {reason}" for reason in self.stuck]
        differences = self.proof.differences
        reasons += [f"differs: {difference}" for difference in differences[:_NAMED]]
        if len(differences) > _NAMED:
            reasons.append(f"... and {len(differences) - _NAMED} more differences")
        if self.proof.compared == 0:
            reasons.append("the proof compared nothing")
        if not self.checked.ok:
            reasons.append(f"check: {verdict(self.checked)}")
            reasons += [f"check: {each.system}: {each.reason}" for each in self.checked.unreached]
        reasons += [f"ledger: {broken}" for broken in self.ledger.breaks]
        agree = self.proof.converged and self.checked.ok
        code = "not_converged" if not agree else "not_idle" if self.ledger.ok else "not_verified"
        return Failure(code, "\n".join(reasons), "see `fieldwarden status` in the demo's folder", str(self.folder))


# --- the run -------------------------------------------------------------------------------------------------


def demo(folder: Path, *, fresh: bool = False, keep_running: bool = False, say: Say = lambda _line: None) -> Report:
    """Run the example in `folder` and prove the outcome; `say` is told of progress, a line at a time.

    With `keep_running` replication goes on until a signal. Raises CannotDemo, EnvironmentUnfit, RunFailed."""
    started = time.monotonic()
    configure("auto", "error")
    folder = folder.absolute()
    marker = prepare(folder, fresh=fresh)
    with opened(folder) as project:
        version = server_version(project)
        say(f"  three sample systems up: {', '.join(sorted(project.sources))} (PostgreSQL {version}, embedded)")
        showing = Showing(project, marker, say, started, keep_running)
        return showing.shown(replicate(project, showing.guide))


def server_version(project: Opened) -> str:
    with psycopg.connect(project.hub_dsn.reveal()) as connection:
        return str(connection.info.server_version // 10_000)


@dataclass
class Showing:
    """The demo's own part while the loops of `run` do theirs."""

    project: Opened
    marker: Marker
    say: Say
    started: float
    keep_running: bool
    marking: threading.Lock = field(default_factory=threading.Lock)  # edits of one step are carried out together
    finding: DemoFindings | None = None

    def shown(self, ended: Report) -> Report:
        """The demo's report, given that of the run it rode on."""
        if self.finding is None:
            return ended  # a signal came first
        report = self.finding.report()
        if self.keep_running:
            report.text = ended.text
            report.exit_code = report.exit_code or ended.exit_code
        return report

    async def guide(self, watch: Watch) -> None:
        if self.marker.done:
            self.say(f"  {self.marker.folder} is a demo already: its edits stay as they are (--fresh begins anew)")
        stuck = await self._rest(watch)
        for step in steps(self.marker.folder):
            left = [path for path in step if path.name not in self.marker.done]
            if left and not stuck:
                self.say(f"  {title(step)}")
                async with asyncio.TaskGroup() as together:
                    for path in left:
                        together.create_task(self._edit(path))
                stuck = await self._rest(watch)
        self.finding = await self.judge(stuck)
        if self.keep_running:
            self.invite(self.finding.report())
            await asyncio.Event().wait()

    async def _edit(self, path: Path) -> None:
        """Once begun it is finished, signal or not: the next demo must know whether it was done."""
        # In a thread, which the event loop waits for however it ends: of a subprocess of its own it can lose sight when
        # a signal arrives while it starts, and then waits for ever.
        work = asyncio.create_task(asyncio.to_thread(self._carry_out, path))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await work
            raise

    def _carry_out(self, path: Path) -> None:
        carry_out(self.project, path)
        with self.marking:
            self.marker.done.append(path.name)
            self.marker.write()

    async def _rest(self, watch: Watch) -> list[str]:
        """Wait until every change is decided on and delivered; else say what keeps it from that."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return list(await watch.idle())
        except TimeoutError:
            return [f"changes still move after {_PATIENCE:.0f} s"]

    async def judge(self, stuck: list[str]) -> DemoFindings:
        project, folder = self.project, self.marker.folder
        hub = project.hub_dsn, project.hub_schema
        dsns = {system: project.dsn(system) for system in sorted(project.sources)}
        tally = await asyncio.to_thread(Tally.read, *hub, project.rulebook)
        proof = await asyncio.to_thread(prove, folder / "proof", dsns)
        found, ledger = await checked(project), await verify(*hub)
        return DemoFindings(folder, list(dsns), tally, proof, found, ledger, stuck, time.monotonic() - self.started)

    def invite(self, report: Report) -> None:
        """What a person can do while it goes on."""
        self.say(report.text)
        if report.failure is not None:
            self.say(report.failure.lines())
        self.say("\n  replicating until Ctrl-C; edit rows with psql and watch:")
        for system in sorted(self.project.sources):
            self.say(f"    {shlex.join(psql(self.project, system)[0])}")
        self.say("  for example, in crm and then in billing:")
        self.say("    update account set phone = '+44 1947 820199', payment_terms = 'Net 60' where id = 'C-1042';")
        self.say("    select phone, terms from customer where account_number = 'C-1042';")
        self.say(f"  and: cd {self.marker.folder} && fieldwarden explain customer.payment_terms C-1042")
