"""What `fieldwarden status` found, for people: a few lines, and tables where there are several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from fieldwarden.engine.ports.duties import SHARDS, Duty
from fieldwarden.operations.report import age, count, table
from fieldwarden.operations.unread import held_up

HOURS = 24
"""Refused and held edits are counted over so many."""
_SHOWN = 10
NEEDS = {
    "data": ("bad data", "a person"),
    "unreadable": ("a value cannot be read; the rest of its row goes on", "its row's next readable value, or a person"),
    "ambiguous": ("more than one record fits", "a steward: fieldwarden record link"),
    "suspicious": ("a row claims another's record", "a steward: fieldwarden deadletter list --kind suspicious"),
    "parent": ("the parent row is not known", "that row"),
    "reference": ("the row referred to is not known", "that row"),
    "merge": ("the row that it was merged into is not known", "that row"),
    "rekey": ("its row's former key has not all been told yet", "that key, or a person"),
    "brake": ("too many rows were deleted at once", "a person: fieldwarden deletes"),
    "behind": ("an earlier change of its row is set aside", "that change"),
}
"""Why a change is set aside, and what lets it go on."""


def _duties(names: Sequence[str]) -> str:
    """In few words: a target of which all shards are here goes by its name alone."""
    duties = sorted(map(Duty.parse, names))
    loops = {loop: [duty.shard for duty in some] for loop, some in groupby(duties, lambda duty: duty.loop)}
    told = (
        str(loop) if shards in ([None], [*SHARDS]) else f"{loop}/{','.join(map(str, shards))}"
        for loop, shards in loops.items()
    )
    return " ".join(told) or "-"


def lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['project']}: {'running' if result['running'] else 'not running'}"
    rules = result["rules"]
    if rules["remark"]:
        yield f"  {rules['remark']}"
    if rules["waits"]:
        yield f"  {rules['waits']}"
    if rules["applying"]:
        done, total, worker = (rules["applying"][name] for name in ("done", "total", "worker"))
        yield (
            f"  {done:,} of {total:,} records have been resolved under the live rulebook {rules['live'][:12]}"
            f" by {worker}; if that was interrupted, `fieldwarden apply` goes on"
        )
    rows = [
        [w["number"], w["process"], age(w["age_seconds"]), _duties(w["duties"]), _complaint(w)]
        for w in result["workers"]
    ]
    if rows:
        yield _block(["worker", "process", "since", "duties", ""], rows)
    rows = [
        [s["name"], s["state"], age(s["age_seconds"]), _lag(s), s["changes"], s["message"]] for s in result["sources"]
    ]
    yield _block(["source", "state", "moved", "lag", "changes", ""], rows)
    rows = [
        [
            f"{p['topic']}/{p['partition']}",
            "-" if p["offset"] is None else p["offset"],
            "?" if p["lag"] is None else p["lag"],
            p["lane"] or "-",
            p["message"] and f"stands still: {p['message']}",
        ]
        for p in result["partitions"]
    ]
    if rows:
        yield _block(["partition", "offset", "lag", "lane", ""], rows)
    rows = [
        [t["name"], t["due"], t["waiting"], t["parked"], age(t["oldest_seconds"]) if t["oldest_seconds"] else "-"]
        for t in result["targets"]
    ]
    yield _block(["target", "due", "waiting", "parked", "oldest"], rows)
    if result["running"] or any(t["due"] for t in result["targets"]):
        for source in result["sources"]:
            if not source["read"]:
                yield f"  {held_up(source['name'], source['unread'])}\n"
    yield from _deliveries(result, "parked", "a person ends it: see fieldwarden deadletter list --kind delivery")
    yield from _deliveries(result, "waiting", "that record ends it: see fieldwarden deadletter list --kind waiting")
    rows = [[entity, n["live"], n["retired"]] for entity, n in result["records"].items()]
    if rows:
        yield _block(["entity", "records", "retired"], rows)
    if result["set_aside"]:
        rows = [
            [a["system"], *NEEDS.get(a["kind"], (a["kind"], "a person")), a["number"], age(a["oldest_seconds"])]
            for a in result["set_aside"]
        ]
        yield _block(["set aside from", "because", "needs", "number", "oldest"], rows)
        yield "  see: fieldwarden deadletter list"
    for held in result["held_deletions"]:
        yield f"  {held['question']}\n"
    for forged in result["forged_marks"]:
        yield (
            f"  forged marks in {forged['system']}: somebody has marked {count(forged['number'], 'transaction')} as "
            f"our own writes, the last ({forged['last']}) {age(forged['age_seconds'])} ago; their changes are decided "
            "like any other\n"
        )
    yield from _alike(result["duplicates"])
    yield f"  {count(result['refused_24h'], 'edit')} of protected fields refused in the last {HOURS} hours"
    if result["held_24h"]:
        yield f"  {count(result['held_24h'], 'edit')} held for an approval in the last {HOURS} hours"


def _deliveries(result: dict[str, Any], kind: str, hint: str) -> Iterator[str]:
    """Some of those that are parked or wait, with the reason and what ends it."""
    number = sum(target[kind] for target in result["targets"])
    if not number:
        return
    for letter in result[kind]:
        yield f"  {kind}: {letter['entity']} to {letter['target']}: {letter['reason']}"
    more = f"and {number - len(result[kind])} more; " if number > len(result[kind]) else ""
    yield f"  {more}{hint}\n"


def _alike(duplicates: dict[str, Any]) -> Iterator[str]:
    if not duplicates["first"]:
        return
    shown = duplicates["first"][:_SHOWN]
    rows = [[each["entity"], each["match_key"], " ".join(each["records"])] for each in shown]
    yield _block(["alike", "in", "records"], rows)
    more = sum(duplicates["counts"].values()) - len(shown)
    if more > 0:
        yield f"  and {more} more: fieldwarden status --json"
    yield "  they may be one and the same; see: fieldwarden explain RECORD\n"


def _complaint(worker: dict[str, Any]) -> str:
    if worker["hangs"]:
        return "hangs: it has not spoken within its lease"
    return "" if worker["same_rulebook"] else "has not taken over the live rulebook yet"


def _lag(source: dict[str, Any]) -> str:
    return count(source["lag_records"], "record") if source["lag_records"] is not None else _bytes(source["lag_bytes"])


def _block(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return table(columns, rows) + "\n"


def _bytes(number: int | None) -> str:
    if number is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 10_000:
            return f"{number} {unit}"
        number //= 1000
    return f"{number} TB"
