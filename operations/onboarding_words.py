"""What `fieldwarden onboard` found: as objects for machines, and in calm tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fieldwarden.engine.checking.meeting import EntityCount, Meeting
from fieldwarden.engine.hub.asking import Mask
from fieldwarden.operations.counted import change, rows_table, rows_told
from fieldwarden.operations.report import count, table
from fieldwarden.operations.status_words import NEEDS
from fieldwarden.rules.rulebook import Rulebook

_SHOWN = 5
_LINKED = "an id that a row carries, or a steward"


def told(rules: Rulebook, meeting: Meeting, mask: Mask) -> dict[str, Any]:
    """The counts, personal values masked."""
    return {
        "records": meeting.records,
        "entities": [_entity(name, meeting.entities.get(name, EntityCount())) for name in rules.entities],
        "rows": rows_told(meeting.rows),
        "fields": [
            {
                "entity": entity,
                "field": name,
                "system": system,
                "winner": winner or None,
                "changed": found.changed,
                "filled": found.filled,
                "emptied": found.emptied,
                "rule": rules.entities[entity].unit_of[name].policy.sentence,
                "samples": [
                    {
                        "record": each.record,
                        "before": mask.value(entity, name, each.before),
                        "after": mask.value(entity, name, each.after),
                    }
                    for each in found.samples
                ],
            }
            for (entity, name, system, winner), found in sorted(meeting.fields.items())
        ],
        "overruled": [
            {
                "entity": entity,
                "field": name,
                "system": system,
                "values": found.replaced + found.stay,
                "replaced": found.replaced,
                "stay": found.stay,
                "rule": rules.entities[entity].unit_of[name].policy.sentence,
            }
            for (entity, name, system), found in sorted(meeting.overruled.items())
        ],
        "unfit": [
            {"entity": entity, "field": name, "system": system, "values": number}
            for (entity, name, system), number in sorted(meeting.unfit.items())
        ],
    }


def _entity(name: str, found: EntityCount) -> dict[str, Any]:
    ranked = sorted(found.systems.items(), key=lambda each: (-len(each[0]), each[0]))
    keys = sorted(found.keys.items(), key=lambda each: (-each[1], each[0]))
    return {
        "entity": name,
        "records": found.systems.total(),
        "matched": sum(number for systems, number in ranked if len(systems) > 1),
        "systems": [{"systems": list(systems), "records": number} for systems, number in ranked],
        "keys": [{"key": key or None, "records": number} for key, number in keys],
    }


def done_since(since: datetime, by: str) -> str:
    who = f", by {by}" if by else ""
    return (
        f"the systems have met already: deliveries are made since {since:%Y-%m-%d %H:%M:%S %Z}{who}\n"
        "  what other rules would change: fieldwarden plan; whether all agree: fieldwarden check"
    )


def lines(found: dict[str, Any]) -> Iterator[str]:
    records = count(found["records"], "record")
    yield f"nothing has been delivered; {records} of what was read, by rulebook {found['rulebook'][:12]}"
    for system, why in found["unread"].items():
        yield f"  NOT READ  {system}: {why}"
    if found["left_out"]:
        yield f"  left out, since planned: {', '.join(found['left_out'])}"
    for each in found["entities"]:
        yield ""
        yield from _entity_lines(each)
    yield ""
    yield from _rows(found)
    yield from _fields(found)
    yield from _overruled(found)
    yield from _waiting(found)
    if found["plan"]:
        yield f"to let it: fieldwarden apply --plan-hash {found['plan']}, then fieldwarden run"
        yield "to mend it first: change the files, and fieldwarden onboard again"


def _entity_lines(each: dict[str, Any]) -> Iterator[str]:
    yield f"{each['entity']}: {count(each['records'], 'record')}, {each['matched']:,} in more than one system"
    rows = [
        [("in " if len(some["systems"]) > 1 else "only in ") + ", ".join(some["systems"]), f"{some['records']:,}"]
        for some in each["systems"]
        if some["systems"]
    ]
    rows += [[f"matched by {key['key'] or _LINKED}", f"{key['records']:,}"] for key in each["keys"]]
    if rows:
        yield table(["", "records"], rows)


def _rows(found: dict[str, Any]) -> Iterator[str]:
    yield rows_table(found["rows"]) if found["rows"] else "no row would be written: the systems agree"
    yield ""


def _fields(found: dict[str, Any]) -> Iterator[str]:
    if not found["fields"]:
        return
    rows = [
        [
            f"{e['entity']}.{e['field']}",
            f"{e['winner'] or 'nobody'} -> {e['system']}",
            *(f"{e[what]:,}" for what in ("changed", "filled", "emptied")),
        ]
        for e in found["fields"]
    ]
    yield table(["field", "whose value goes where", "rows", "empty now", "empty then"], rows)
    for e in found["fields"]:
        for each in e["samples"][:1]:
            if each["before"] == each["after"]:
                continue  # both are masked
            yield (
                f"  e.g. {e['entity']}.{e['field']} in {e['system']} of {each['record']}: "
                f"{change(each['before'], each['after'])}"
            )
    yield ""


def _overruled(found: dict[str, Any]) -> Iterator[str]:
    rows = [
        [f"{e['entity']}.{e['field']}", e["system"], f"{e['replaced']:,}", f"{e['stay']:,}", e["rule"]]
        for e in found["overruled"]
    ]
    if rows:
        yield table(["overruled: value of", "in", "replaced", "stay there", "rule"], rows) + "\n"
    rows = [[f"{e['entity']}.{e['field']}", e["system"], f"{e['values']:,}"] for e in found["unfit"]]
    if rows:
        yield table(["cannot be written (a check, or no code)", "in", "rows"], rows) + "\n"


def _waiting(found: dict[str, Any]) -> Iterator[str]:
    alike = found["not_unique"]
    number = sum(alike["counts"].values())
    if number:
        rows = [
            [e["entity"], e["match_key"], " ".join(e["records"][:_SHOWN]), e["why"]] for e in alike["first"][:_SHOWN]
        ]
        yield table(["not unique:", "alike in", "records", "not joined since"], rows)
        yield f"  {count(number, 'value')} of match keys in all; see: fieldwarden match list\n"
    rows = [
        [f"{e['system']} {e['stream']}", f"{e['rows']:,}", ", ".join(e["keys"]), e["reason"]]
        for e in found["ambiguous"][:_SHOWN]
    ]
    if rows:
        yield table(["not unique: rows of", "rows", "e.g. key", "because"], rows)
        yield "  see: fieldwarden deadletter list --kind ambiguous\n"
    rows = [
        [e["system"], *NEEDS.get(e["kind"], (e["kind"], "a person")), f"{e['number']:,}"] for e in found["set_aside"]
    ]
    if rows:
        yield table(["set aside from", "because", "needs", "rows"], rows)
        yield "  see: fieldwarden deadletter list\n"
