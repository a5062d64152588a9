"""`explain ENTITY.FIELD KEY`: in a few sentences, why a field holds its value and who lost."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console

from fieldwarden.engine.hub.asking import MASK, UnknownName
from fieldwarden.engine.hub.names import mask_of
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.story import explain_field
from fieldwarden.engine.words.explaining import Claim, Explanation
from fieldwarden.operations.report import table
from fieldwarden.operations.trail import hidden
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secretive

_WIDTH = 100


def split(name: str) -> tuple[str, str]:
    """`customer.credit_limit` -> entity and field. Raises UnknownName."""
    entity, dot, field = name.partition(".")
    if not (entity and dot and field):
        raise UnknownName(f"{name!r} is not ENTITY.FIELD", suggestion="as in: explain customer.credit_limit C-1042")
    return entity, field


async def explain(
    hub_dsn: Secretive,
    schema: str,
    rulebook: Rulebook,
    entity: str,
    field: str,
    key: str,
    unmask: bool = False,
    files: Rulebook | None = None,
) -> Explanation:
    """By the live `rulebook`, and what `files` that differ would make of it.

    Raises UnknownName (exit 2), NotFound and Ambiguous (exit 1), EnvironmentUnfit."""
    async with snapshot(hub_dsn, schema) as connection:
        mask = await mask_of(connection, rulebook, unmask=unmask)
        return await explain_field(connection, rulebook, entity, field, key, mask, files)


def text(explanation: Explanation) -> str:
    """The explanation as a person reads it, at 100 columns."""
    return "\n".join(_lines(explanation))


def render(explanation: Explanation, console: Console) -> None:
    console.print(text(explanation), markup=False, highlight=False, soft_wrap=True)


def _lines(explanation: Explanation) -> Iterator[str]:
    yield _wrapped(explanation.text, 0, 0)
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
            yield _wrapped(f"{event.at[:19]}  {event.system}: {'; '.join(event.decisions)}", 2, 23)
    yield ""
    yield f"  rule: {explanation.rule}"
    if explanation.files:
        yield _wrapped(f"files that are not live: {explanation.files} (`fieldwarden plan`)", 2, 9)
    yield f"  record {explanation.record}"
    if explanation.value == MASK:
        yield f"  {hidden()}"


def _claim(claim: Claim) -> tuple[str, ...]:
    says = claim.said if claim.said is not None else f"({claim.holds})"
    return claim.system, claim.stream, claim.key, says, claim.said_at or "first read", claim.standing


def _wrapped(line: str, indent: int, further: int) -> str:
    return textwrap.fill(
        line,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * further,
        break_long_words=False,
        break_on_hyphens=False,
    )
