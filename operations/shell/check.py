"""`fieldwarden check`, told to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldwarden.engine.hub.asking import MASK
from fieldwarden.operations.check import Agreement, checked
from fieldwarden.operations.comparing import Tally
from fieldwarden.operations.shell.opening import asked
from fieldwarden.operations.shell.report import Failure, Report, plain, table
from fieldwarden.operations.words import count, hidden


def check(
    folder: Path | None, *, entity: str | None, system: str | None, listed: bool, limit: int, unmask: bool
) -> Report:
    """Exit code 1 if something differs without a reason, else 3 if something could not be looked at."""
    shown = limit if listed else 0
    found = asked(folder, lambda project: checked(project, entity=entity, system=system, limit=shown, unmask=unmask))
    return report(found, listed=listed)


def report(found: Agreement, *, listed: bool = True) -> Report:
    """The differences with their counts; one by one only if `listed`."""
    result = {
        "rows": found.rows,
        "values": found.values,
        "differ": sum(found.differs.values()),
        "why": found.why(),
        "unknown": found.unknown,
        "waits": found.waits,
        "compared": [_compared(tally, found) for tally in found.tallies],
        "differences": [
            {"system": system, "stream": stream, "field": name, "why": why, "reason": words, "number": number}
            for (system, stream, name, why, words), number in sorted(found.differs.items())
        ],
        "not_compared": [
            {"system": each.system, "stream": each.stream, "reason": each.reason, "trouble": each.trouble}
            for each in found.skipped
        ],
    }
    if listed:
        result["listed"] = plain(found.listed)
    text = "\n".join(_lines(found, listed))
    if found.unknown:
        failure = Failure(
            "differs",
            f"{count(found.unknown, 'difference')} without a reason",
            "`fieldwarden check --list` names the rows, `fieldwarden trail` tells what happened to one; "
            "`fieldwarden run --rebaseline SYSTEM` reads a system's rows again",
        )
        return Report(result, text, failure, 1)
    if found.unreached:
        first = found.unreached[0]
        failure = Failure("not_compared", f"not all was looked at: {first.reason}", "fieldwarden doctor", first.system)
        return Report(result, text, failure, 3)
    return Report(result, text)


def _compared(tally: Tally, found: Agreement) -> dict[str, Any]:
    fields = {}
    for name, each in tally.fields.items():
        why: dict[str, int] = {}
        for key, number in found.differs.items():
            if key[:3] == (tally.system, tally.stream, name):
                why[key[3]] = why.get(key[3], 0) + number
        fields[name] = {"compared": each.compared, "differ": each.differ, "why": why}
    return {
        "system": tally.system,
        "stream": tally.stream,
        "entity": tally.entity,
        "rows": tally.rows,
        "retired": tally.retired,
        "whole": tally.whole,
        "fields": fields,
    }


def _lines(found: Agreement, listed: bool) -> Iterator[str]:
    if found.tallies:
        differ = Counter[tuple[str, str]]()
        for (system, stream, *_), number in found.differs.items():
            differ[system, stream] += number
        yield table(
            ("system", "entity", "table", "rows", "values", "differ"),
            [
                (t.system, t.entity, t.stream, f"{t.rows:,}", f"{t.values:,}", _part(differ[t.system, t.stream], t))
                for t in found.tallies
            ],
        )
    if found.differs:
        yield ""
        yield table(
            ("system", "table", "field", "rows", "why", "reason"),
            [(*key[:2], key[2] or "(the row)", number, *key[3:]) for key, number in sorted(found.differs.items())],
        )
    if listed and found.listed:
        yield ""
        yield from _list(found)
    if found.skipped:
        yield ""
        yield "Not looked at"
        for each in found.skipped:
            yield f"  {each.system}{' ' + each.stream if each.stream else ''}: {each.reason}"
    yield ""
    if found.waits:
        yield found.waits
    yield verdict(found)


def _part(differ: int, tally: Tally) -> str:
    return f"{differ:,}" if tally.whole else f"{differ:,} (not all was read)"


def _list(found: Agreement) -> Iterator[str]:
    for each in found.listed:
        about = f"{each.entity} {each.label or '(no record)'}"
        where = f"{each.system} {each.stream} {each.key}".rstrip()
        if each.field:
            holds, golden = (side if side is not None else "nothing" for side in (each.holds, each.golden))
            what = f"{each.field} is {holds}, golden {golden}" if each.why != "unreadable" else each.field
        else:
            what = "the row"
        yield f"  {about}: {where}, {what} ({each.why}: {each.reason})"
    more = sum(found.differs.values()) - len(found.listed)
    if more > 0:
        yield f"  and {more:,} more (--limit)"
    if any(MASK in (each.holds, each.golden) for each in found.listed):
        yield f"  {hidden()}"


def verdict(found: Agreement) -> str:
    """What was found, in one line."""
    what = f"{count(found.values, 'value')} in {count(found.rows, 'row')}"
    differ = sum(found.differs.values())
    if not found.rows and not differ:
        return "nothing was compared"
    if not differ:
        return f"all that was looked at agrees with the golden records: {what}"
    kinds = ", ".join(f"{number:,} {why}" for why, number in found.why().items())
    return f"{count(differ, 'difference')} in {what}: {kinds}"
