"""`fieldwarden deadletter`, told to people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldwarden.engine.hub.views.overview import DeadLetter
from fieldwarden.operations import deadletter
from fieldwarden.operations.deadletter import Letter, Which
from fieldwarden.operations.shell.opening import asked_of_hub
from fieldwarden.operations.shell.person import me
from fieldwarden.operations.shell.report import Report, plain, table
from fieldwarden.operations.words import count


def list_them(folder: Path | None, *, limit: int, unmask: bool = False, **filters: str | None) -> Report:
    found = asked_of_hub(folder, lambda hub: deadletter.letters(hub, Which(**filters), limit=limit, unmask=unmask))
    more = f"there are more: --limit {limit * 10}, or choose by --kind, --entity, --system, --place"
    text = "nothing is set aside"
    if found.letters:
        rows = [
            [each.id, each.kind, _place(each), each.entity, each.since.date(), each.reason] for each in found.letters
        ]
        text = table(["id", "kind", "where", "entity", "since", "reason"], rows, indent="")
    result = {"dead_letters": plain(found.letters), "more": found.more}
    return Report(result, text, notes=[more] if found.more else [])


def show(folder: Path | None, id: str, *, values: bool) -> Report:
    result = _shown(asked_of_hub(folder, lambda hub: deadletter.letter(hub, id, values=values)))
    return Report(result, "\n".join(_lines(result)))


def retry(folder: Path | None, ids: Sequence[str], *, everything: bool, reason: str, **filters: str | None) -> Report:
    which = Which(**filters)
    number = asked_of_hub(
        folder, lambda hub: deadletter.retry(hub, me(), ids, which, everything=everything, reason=reason)
    )
    return Report({"retried": number}, f"{count(number, 'dead letter')} will be tried again by `fieldwarden run`")


def discard(folder: Path | None, ids: Sequence[str], *, everything: bool, reason: str, **filters: str | None) -> Report:
    which = Which(**filters)
    number = asked_of_hub(
        folder, lambda hub: deadletter.discard(hub, me(), ids, which, everything=everything, reason=reason)
    )
    return Report({"discarded": number}, f"{count(number, 'dead letter')} discarded")


# --- in words ------------------------------------------------------------------------------------------------


def _shown(found: Letter) -> dict[str, Any]:
    result: dict[str, Any] = plain(found.letter) | {"waits_for": found.waits_for}
    if found.said:
        result["said"] = found.said
    if (change := found.change) is not None:
        result["operation"] = change.operation
        result["values"] = {
            name: value if value is None or isinstance(value, str) else "(not in the change)"
            for name, value in zip(change.relation.columns, change.values, strict=False)
        }
        if change.undecoded is not None:
            result["values"] |= {"(key)": _bytes(change.undecoded.key), "(value)": _bytes(change.undecoded.value)}
    return result


def _place(letter: DeadLetter) -> str:
    if letter.record is not None:
        return f"to {letter.system}"
    return " ".join(filter(None, (letter.system, letter.stream, letter.key, letter.place and f"({letter.place})")))


def _bytes(data: bytes | None) -> str | None:
    """What could not be decoded, as text where it is text."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in result.items() if value and name != "values"]
    return lines + [f"  {name} = {value!r}" for name, value in result.get("values", {}).items()]
