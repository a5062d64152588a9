"""`fieldwarden explain`, told to people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fieldwarden.engine.hub.asking import MASK
from fieldwarden.engine.words.explaining import Claim, Explanation
from fieldwarden.operations import explain as explaining
from fieldwarden.operations.project import Opened
from fieldwarden.operations.shell.opening import asked
from fieldwarden.operations.shell.report import Report, table, wrapped
from fieldwarden.operations.words import hidden


def explain(folder: Path | None, name: str, key: str, unmask: bool) -> Report:
    entity, field = explaining.split(name)

    async def ask(project: Opened) -> Explanation:
        files = project.project.rulebook
        return await explaining.explain(project.live_hub, entity, field, key, unmask=unmask, files=files)

    explanation = asked(folder, ask)
    return Report(msgspec.to_builtins(explanation), text(explanation))


def text(explanation: Explanation) -> str:
    """The explanation as a person reads it, at 100 columns."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    yield wrapped(explanation.text, 0, 0)
    if explanation.claims:
        yield ""
        yield "Who says what (times in UTC)"
        yield table(
            ("system", "table", "key", "says", "since", "standing"), [_claim(claim) for claim in explanation.claims]
        )
    if explanation.history:
        yield ""
        yield "Latest decisions"
        for event in explanation.history:
            yield wrapped(f"{event.at[:19]}  {event.system}: {'; '.join(event.decisions)}", 2, 23)
    yield ""
    yield f"  rule: {explanation.rule}"
    if explanation.files:
        yield wrapped(f"files that are not live: {explanation.files} (`fieldwarden plan`)", 2, 9)
    yield f"  record {explanation.record}"
    if explanation.value == MASK:
        yield f"  {hidden()}"


def _claim(claim: Claim) -> tuple[str, ...]:
    says = claim.said if claim.said is not None else f"({claim.holds})"
    return claim.system, claim.stream, claim.key, says, claim.said_at or "first read", claim.standing
