"""`fieldwarden trail`, told to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from fieldwarden.engine.hub.asking import MASK
from fieldwarden.engine.words.story import Event, Reference, Trail
from fieldwarden.operations import trail as trails
from fieldwarden.operations.shell.opening import asked_of_hub
from fieldwarden.operations.shell.report import Report, table, wrapped
from fieldwarden.operations.words import count, hidden


def trail(folder: Path | None, entity: str, key: str, unmask: bool) -> Report:
    story = asked_of_hub(folder, lambda hub: trails.trail(hub, entity, key, unmask=unmask))
    return Report(msgspec.to_builtins(story), text(story))


def text(story: Trail) -> str:
    """The story as a person reads it, at 100 columns."""
    return "\n".join(_lines(story))


def _lines(story: Trail) -> Iterator[str]:
    state = ", retired" if story.retired else ""
    yield f"{story.entity} {story.label}{state}"
    yield f"  record {story.record}, version {story.version} (found by {story.found_by})"
    yield from _section("Golden values", _values(story))
    yield from _section("In the systems", _rows(story))
    told = f"What happened (times in UTC{_earlier(story)})"
    yield from _section(told, (line for event in story.timeline for line in _event(event)))
    yield from _section("Still to be delivered", _deliveries(story))
    yield from _section("Set aside", _set_aside(story))
    yield from _section("Refers to", map(_reference, story.refers_to))
    yield from _section("Referred to by", _referred_by(story))
    if MASK in story.golden.values():
        yield ""
        yield hidden()


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    body = list(lines)
    if body:
        yield ""
        yield title
        yield from body


def _values(story: Trail) -> Iterator[str]:
    labels = {each.field: each.label for each in story.refers_to}
    width = max((len(name) for name in story.golden), default=0)
    for name, value in story.golden.items():
        if value is not None:
            yield wrapped(f"{name:<{width}}  {labels.get(name, value)}", 2, width + 4)


def _rows(story: Trail) -> Iterator[str]:
    rows = []
    for row in story.rows:
        state = "deleted" if not row.live else f"differs: {', '.join(row.differs)}" if row.differs else "agrees"
        rows.append((row.system, row.stream, row.key, row.linked or "linked", state))
    if rows:
        yield table(("system", "table", "key", "how", "now"), rows)


def _event(event: Event) -> Iterator[str]:
    at, source = event.at[:19], event.source_time
    stated = f" (stated {source})" if source and source[:16] != at[:16] else ""
    yield wrapped(f"{at}  {event.headline}{stated}", 2, 23)
    for decision in _decisions(event):
        yield wrapped(decision, 23, 25)


def _decisions(event: Event) -> Iterator[str]:
    """The decisions, but those that only agree in one line."""
    agreed = [name for name, outcome in event.outcomes.items() if outcome == "agreed"]
    if len(agreed) < 2 or len(event.outcomes) != len(event.decisions):
        yield from event.decisions
        return
    for decision, outcome in zip(event.decisions, event.outcomes.values(), strict=True):
        if outcome != "agreed":
            yield decision
    yield f"agrees on {', '.join(agreed)}"


def _earlier(story: Trail) -> str:
    missing = story.version - len(story.timeline)
    return f"; the latest {len(story.timeline)} of {story.version} entries" if missing > 0 else ""


def _deliveries(story: Trail) -> Iterator[str]:
    for each in story.deliveries:
        tries = f", tried {count(each.attempts, 'time')}" if each.attempts else ""
        reason = f": {each.reason}" if each.reason else ""
        yield wrapped(f"{each.target}  {each.status} since {each.since}{tries}{reason}", 2, 4)


def _set_aside(story: Trail) -> Iterator[str]:
    for each in story.set_aside:
        yield wrapped(
            f"#{each.id}  {each.system} {each.stream} {each.key}, {each.kind} since {each.since}: {each.reason}", 2, 4
        )


def _reference(each: Reference) -> str:
    record = "" if each.label == each.record else f"  ({each.record})"
    return f"  {each.field}: {each.entity} {each.label}{record}"


def _referred_by(story: Trail) -> Iterator[str]:
    if story.referring is None:
        yield "  (too many records to look through now)"
        return
    for each in story.referred_by:
        yield f"  {each.entity} {each.label} as its {each.field}"
    if story.referring > len(story.referred_by):
        yield f"  and {story.referring - len(story.referred_by):,} more"
