"""Updates of more fields than one temporary table can carry, in parts.

A field takes three columns there, and PostgreSQL allows 1,600 in a table. A stream that writes more fields than fit
therefore has a temporary table for each `WIDE` of them, and an update that asks for fields of several is as many
writes of the same row, within the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.rules.rulebook import Stream

WIDE = 500


def wide_streams(streams: Mapping[str, Stream]) -> dict[str, dict[str, int]]:
    """Stream -> field -> the number of its part, of those streams whose updates may need more than one."""
    return {
        name: {field: number // WIDE for number, field in enumerate(stream.update_fields)}
        for name, stream in streams.items()
        if len(stream.update_fields) > WIDE
    }


def part_fields(stream: Stream, operation: str, part: int) -> tuple[str, ...]:
    """The fields that one temporary table carries."""
    if operation == "update":
        return stream.update_fields[part * WIDE : (part + 1) * WIDE]
    return stream.create_fields if operation == "create" else ()


class Parted:
    """The writes of one call, those of too many fields in parts. `writes` carry tokens of their own."""

    def __init__(self, writes: Sequence[Write], wide: Mapping[str, Mapping[str, int]]) -> None:
        self._tokens: list[int] = []
        self.writes: list[Write] = []
        for write in writes:
            for part in _parts(write, wide.get(write.stream)):
                self._tokens.append(write.token)
                self.writes.append(replace(part, token=len(self.writes)))

    def joined(self, results: Iterable[WriteResult]) -> list[WriteResult]:
        """One answer for each of the writes that came in."""
        answers: dict[int, WriteResult] = {}
        for result in sorted(results, key=lambda each: each.token):
            part, token = self.writes[result.token], self._tokens[result.token]
            if result.status == "rejected" and part.operation == "update" and not result.refused and not result.later:
                result.refused = dict.fromkeys(part.values, result.reason)
            known = answers.get(token)
            answers[token] = replace(result, token=token) if known is None else _both(known, result)
        return list(answers.values())


def _parts(write: Write, places: Mapping[str, int] | None) -> Iterable[Write]:
    numbers = {places.get(name, 0) for name in write.values} if places and write.operation == "update" else set()
    if places is None or len(numbers) < 2:
        return [write]
    return [
        replace(
            write,
            values={name: value for name, value in write.values.items() if places.get(name, 0) == number},
            expected={name: value for name, value in write.expected.items() if places.get(name, 0) == number},
        )
        for number in sorted(numbers)
    ]


def _both(known: WriteResult, more: WriteResult) -> WriteResult:
    """What two parts of one row's update come to: it is rejected only if both are."""
    worst = {"missing": 0, "unknown": 1, "applied": 2, "rejected": 3}
    first = min(known, more, key=lambda each: worst[each.status])
    return replace(
        first,
        token=known.token,
        differing={**known.differing, **more.differing},
        refused={**known.refused, **more.refused},
        reason=known.reason or more.reason,
        holder=known.holder or more.holder,
        said=known.said or more.said,
        later=known.later or more.later,
    )
