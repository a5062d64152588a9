"""`fieldwarden onboard`, told to people in calm tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from fieldwarden.operations import onboard as onboarding
from fieldwarden.operations.introduction import Entity, Introduction
from fieldwarden.operations.onboard import Introduced, Seen
from fieldwarden.operations.run.logs import configure
from fieldwarden.operations.run.run import Ending, Ran
from fieldwarden.operations.shell import run
from fieldwarden.operations.shell.counted import change, rows_table
from fieldwarden.operations.shell.opening import in_project
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Failure, Report, plain, table
from fieldwarden.operations.shell.status import NEEDS
from fieldwarden.operations.words import count

_READ_ON = "mend that, and run `fieldwarden onboard` again: it goes on; a system for later goes under planned: [...]"
_SHOWN = 5
_LINKED = "an id that a row carries, or a steward"


def onboard(folder: Path | None, *, unmask: bool = False, say: Callable[[str], None] = lambda _line: None) -> Report:
    """Exit code 1 where not all could be read: what is shown then is not the whole."""
    configure("auto", "error")
    ending = Ending(run.SIGNALS)
    found = in_project(folder, lambda project: onboarding.onboard(project, me(), ending, unmask=unmask, say=say))
    match found:
        case Introduced(since, by, rulebook):
            onboarded = {"since": since.isoformat(), "by": by}
            return Report({"onboarded": onboarded, "rulebook": rulebook}, _done_since(since, by))
        case Ran():
            return run.report(found)
        case Seen():
            return _report(found)


def _report(seen: Seen) -> Report:
    result: dict[str, Any] = {"onboarded": None, "complete": seen.complete} | plain(seen)
    result |= result.pop("introduction")
    text = "\n".join(_lines(seen))
    if seen.complete:
        return Report(result, text)
    why = [*(f"{system}: {reason}" for system, reason in seen.unread.items()), *seen.stuck]
    failure = Failure("not_read", f"not all has been read, and what is shown is a part: {'; '.join(why)}", _READ_ON)
    return Report(result, text, failure, exit_code=1)


def _done_since(since: datetime, by: str) -> str:
    who = f", by {by}" if by else ""
    return (
        f"the systems have met already: deliveries are made since {since:%Y-%m-%d %H:%M:%S %Z}{who}\n"
        "  what other rules would change: fieldwarden plan; whether all agree: fieldwarden check"
    )


def _lines(seen: Seen) -> Iterator[str]:
    found = seen.introduction
    records = count(found.records, "record")
    yield f"nothing has been delivered; {records} of what was read, by rulebook {seen.rulebook[:12]}"
    for system, why in seen.unread.items():
        yield f"  NOT READ  {system}: {why}"
    if seen.left_out:
        yield f"  left out, since planned: {', '.join(seen.left_out)}"
    for each in found.entities:
        yield ""
        yield from _entity_lines(each)
    yield ""
    yield from _rows(found)
    yield from _fields(found)
    yield from _overruled(found)
    yield from _waiting(found)
    if seen.plan:
        yield f"to let it: fieldwarden apply --plan-hash {seen.plan}, then fieldwarden run"
        yield "to mend it first: change the files, and fieldwarden onboard again"


def _entity_lines(each: Entity) -> Iterator[str]:
    yield f"{each.entity}: {count(each.records, 'record')}, {each.matched:,} in more than one system"
    rows = [
        [("in " if len(some.systems) > 1 else "only in ") + ", ".join(some.systems), f"{some.records:,}"]
        for some in each.systems
        if some.systems
    ]
    rows += [[f"matched by {key.key or _LINKED}", f"{key.records:,}"] for key in each.keys]
    if rows:
        yield table(["", "records"], rows)


def _rows(found: Introduction) -> Iterator[str]:
    yield rows_table(found.rows) if found.rows else "no row would be written: the systems agree"
    yield ""


def _fields(found: Introduction) -> Iterator[str]:
    if not found.fields:
        return
    rows = [
        [
            f"{e.entity}.{e.field}",
            f"{e.winner or 'nobody'} -> {e.system}",
            *(f"{number:,}" for number in (e.changed, e.filled, e.emptied)),
        ]
        for e in found.fields
    ]
    yield table(["field", "whose value goes where", "rows", "empty now", "empty then"], rows)
    for e in found.fields:
        for each in e.samples[:1]:
            if each.before == each.after:
                continue  # both are masked
            yield (f"  e.g. {e.entity}.{e.field} in {e.system} of {each.record}: {change(each.before, each.after)}")
    yield ""


def _overruled(found: Introduction) -> Iterator[str]:
    rows = [[f"{e.entity}.{e.field}", e.system, f"{e.replaced:,}", f"{e.stay:,}", e.rule] for e in found.overruled]
    if rows:
        yield table(["overruled: value of", "in", "replaced", "stay there", "rule"], rows) + "\n"
    rows = [[f"{e.entity}.{e.field}", e.system, f"{e.values:,}"] for e in found.unfit]
    if rows:
        yield table(["cannot be written (a check, or no code)", "in", "rows"], rows) + "\n"


def _waiting(found: Introduction) -> Iterator[str]:
    alike = found.not_unique
    number = sum(alike.counts.values())
    if number:
        rows = [[e.entity, e.match_key, " ".join(e.records[:_SHOWN]), e.why] for e in alike.first[:_SHOWN]]
        yield table(["not unique:", "alike in", "records", "not joined since"], rows)
        yield f"  {count(number, 'value')} of match keys in all; see: fieldwarden match list\n"
    rows = [[f"{e.system} {e.stream}", f"{e.rows:,}", ", ".join(e.keys), e.reason] for e in found.ambiguous[:_SHOWN]]
    if rows:
        yield table(["not unique: rows of", "rows", "e.g. key", "because"], rows)
        yield "  see: fieldwarden deadletter list --kind ambiguous\n"
    rows = [[e.system, *NEEDS.get(e.kind, (e.kind, "a person")), f"{e.number:,}"] for e in found.set_aside]
    if rows:
        yield table(["set aside from", "because", "needs", "rows"], rows)
        yield "  see: fieldwarden deadletter list\n"
