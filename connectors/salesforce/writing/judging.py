"""What became of one record of a request, as the loop is told of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from fieldwarden.connectors.salesforce.asking.verdicts import Fault, faults
from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Write, WriteResult

_LOCK_PAUSE: Final = 2.0
_LIMIT_PAUSE: Final = 60.0
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_HOLDER: Final = re.compile(r"record with id: ([a-zA-Z0-9]{15,18})").search


def outcome(told: Mapping[str, Any]) -> tuple[str | None, tuple[Fault, ...]]:
    """The id of a record that was written, or None and why it was not.

    >>> outcome({"id": "001A", "success": True, "errors": []})
    ('001A', ())
    """
    if told.get("success"):
        return str(told["id"]), ()
    return None, faults(told.get("errors")) or (Fault("UNKNOWN_EXCEPTION", (), ""),)


def failed(write: Write, found: Sequence[Fault], bad: Mapping[str, str] = _NONE) -> WriteResult:
    """What a record that was not written comes to; `found` is not empty. `bad` are the fields that are to blame.

    >>> write = Write(7, "r", "s", "update", "001A", {})
    >>> [failed(write, [Fault(code, (), "")]).status for code in ("UNABLE_TO_LOCK_ROW", "ENTITY_IS_DELETED")]
    ['busy', 'missing']
    """
    fault = found[0]
    fields = ", ".join(sorted({name for each in found for name in each.fields}))
    reason = f"Salesforce refuses it: {fault.code}{f' ({fields})' if fields else ''}"
    said = "; ".join(each.said for each in found)
    match fault.verdict:
        case "again":
            return WriteResult(write.token, "busy", write.key, pause=_LOCK_PAUSE)
        case "busy" | "login":
            return WriteResult(write.token, "busy", write.key, pause=_LIMIT_PAUSE)
        case "missing":
            return WriteResult(write.token, "applied" if write.operation == "delete" else "missing", write.key)
        case "duplicate":
            held = _HOLDER(fault.said)
            holder = None if held is None else held[1]
            return WriteResult(write.token, "rejected", write.key, reason=reason, said=said, holder=holder)
        case "refused" | "unfit":
            return WriteResult(write.token, "refused", write.key, reason=reason, said=said, refused=dict(bad))
    return WriteResult(write.token, "rejected", write.key, reason=reason, said=said, refused=dict(bad))


def settled(result: WriteResult) -> WriteResult:
    """Of a record to which nothing was sent: where nothing but what Salesforce refuses is left to write, it is refused.

    >>> settled(WriteResult(7, "applied", "001A", refused={"score": "Salesforce computes it"})).status
    'rejected'
    >>> settled(WriteResult(7, "applied", "001A", differing={"name": "edited"})).status
    'applied'
    """
    if result.refused and not result.differing:
        fields = ", ".join(sorted(result.refused))
        return replace(result, status="rejected", reason=f"Salesforce takes none of these: {fields}")
    return result


def differing(write: Write, held: Mapping[str, Value]) -> dict[str, Value]:
    """The fields that do not hold what the write wants there, with what they hold."""
    return {name: held[name] for name, value in write.values.items() if held[name] != value}


def free(write: Write, held: Mapping[str, Value]) -> list[str]:
    """The fields of an update that are to be sent: they do not hold what is wanted, and nobody has changed them, or
    one of their block, since we looked.

    >>> blocks = (("street", "city"),)
    >>> write = Write(0, "r", "s", "update", "k", {"street": "new", "city": "new", "name": "new"}, blocks=blocks)
    >>> write.expected = {"street": "old", "city": "old", "name": "old"}
    >>> free(write, {"street": "old", "city": "edited", "name": "old"})
    ['name']
    """
    other = differing(write, held)
    guarded = {name: value for name, value in other.items() if name not in write.unguarded}
    torn = write.torn(guarded)
    return [
        name
        for name in other
        if name not in torn and (name in write.unguarded or write.expected.get(name) == held[name])
    ]
