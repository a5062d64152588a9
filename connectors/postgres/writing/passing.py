"""Values that must be unique and pass from row to row: swapped, shifted, or taken over from a row that is deleted.

PostgreSQL checks a plain unique constraint row by row, so such writes are refused as long as the value is held by
another row. Those refused are tried again after all others of the call, givers of a value before its takers.
What then is left goes round in a circle: one row of it is given a null, or where the column must have a value one
that nobody else has, within the transaction that ends with the values meant, or not at all. `Attempts` does the trying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

from fieldwarden.connectors.postgres.writing.refusing import Answer, Apart, Rejection
from fieldwarden.engine.change import Value
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.rules.rulebook import Stream

_TRIES = 20_000
"""Single writes after which what is still refused is left as it is."""


class Contested(NamedTuple):
    """A column of a constraint that refused a row."""

    name: str
    must_have_value: bool
    kind: str
    default: str = ""


Known: TypeAlias = dict[tuple[str, tuple[str, str] | None], list[Contested]]
"""(table, constraint) -> its columns."""


@dataclass(slots=True)
class Taken:
    """A write refused because another row holds what it brings; `columns` are those of the constraint."""

    stream: Stream
    rejection: Rejection
    columns: Sequence[Contested] = ()

    @property
    def write(self) -> Write:
        return self.rejection.write

    def contested(self) -> dict[str, Contested]:
        """The fields of the write that the constraint is about."""
        by_name = {column.name: column for column in self.columns}
        fields = {name: by_name.get(self.stream.fields[name].column or "") for name in self.write.values}
        return {name: column for name, column in fields.items() if column is not None}


class Attempts(Protocol):
    """What is asked of the session that writes."""

    async def once(self, stream: Stream, write: Write) -> Answer:
        """Make one write by itself; a refusal leaves the transaction as it was."""

    async def columns(self, stream: Stream, rejection: Rejection) -> list[Contested]: ...
    async def mark(self) -> None:
        """What comes after this can be undone."""

    async def undo(self) -> None: ...
    async def keep(self) -> None: ...
    def unlike_any(self, number: int) -> str:
        """A short text that no other row has."""


async def passed(attempts: Attempts, taken: Sequence[Taken]) -> tuple[list[WriteResult], list[Taken]]:
    """What came of these writes after all, and those that are refused as before."""
    answers: list[WriteResult] = []
    known: Known = {}
    for each in taken:
        each.columns = await _columns(attempts, each.stream, each.rejection, known)
    left, tries = list(taken), 0
    while left and tries <= _TRIES:
        tries += len(left)
        rest = await _round(attempts, _ordered(left), answers, known)
        if len(rest) == len(left) and not await _turned(attempts, rest, answers):
            return answers, rest
        left = rest
    return answers, left


async def _columns(attempts: Attempts, stream: Stream, rejection: Rejection, known: Known) -> list[Contested]:
    """Those of the constraint that refused the row now: each is asked for once."""
    place = stream.table, rejection.constraint
    if place not in known:
        known[place] = await attempts.columns(stream, rejection)
    return known[place]


async def _round(attempts: Attempts, left: Sequence[Taken], answers: list[WriteResult], known: Known) -> list[Taken]:
    rest = []
    for each in left:
        answer = await attempts.once(each.stream, each.write)
        if isinstance(answer, Rejection) and answer.constraint is not None:
            rest.append(Taken(each.stream, answer, await _columns(attempts, each.stream, answer, known)))
        elif isinstance(answer, Rejection):  # for another reason now: the other fields are written all the same
            apart = Apart(each.stream, [answer])
            while trials := apart.trials():
                apart.heard([await attempts.once(each.stream, trial) for trial in trials])
            answers += apart.results()
        else:
            answers.append(answer)
    return rest


async def _turned(attempts: Attempts, rest: list[Taken], answers: list[WriteResult]) -> bool:
    """Turn the circles among these, which then are in `rest` no more; whether there was one."""
    turned = False
    for number, circle in enumerate(_circles(rest)):
        if (found := await _turn(attempts, circle, number)) is not None:
            turned = True
            answers += found
            for each in circle:
                rest.remove(each)
    return turned


async def _turn(attempts: Attempts, circle: Sequence[Taken], number: int) -> list[WriteResult] | None:
    """All of a circle, or nothing of it. Its first takes from its second, and so on, and its last from its first."""
    first, *others = circle
    given, wanted = first.write.expected, circle[-1].write.values
    names = [name for name in first.contested() if _same(wanted.get(name), given.get(name))]
    possible = _meanwhile(first.contested()[names[0]], attempts.unlike_any(number)) if names else []
    if not possible:
        return None
    name, meanwhile = names[0], possible[0]
    write = first.write
    aside = replace(write, values={name: meanwhile}, expected={name: write.expected[name]}, blocks=())
    last = replace(write, expected={**write.expected, name: meanwhile})
    await attempts.mark()
    results: list[WriteResult] = []
    steps = [(first, aside), *((each, each.write) for each in reversed(others)), (first, last)]
    for place, (each, step) in enumerate(steps):
        answer = await attempts.once(each.stream, step)
        if (
            isinstance(answer, Rejection)
            or answer.status != "applied"
            or answer.differing.keys() & each.contested().keys()
        ):
            await attempts.undo()
            return None
        if place:
            results.append(answer)
    await attempts.keep()
    return results


def _meanwhile(column: Contested, text: str) -> list[Value]:
    """What a row can hold in a column while its value is passed on: nothing, or what nobody else has."""
    if not column.must_have_value:
        return [None]
    if column.kind in ("text", "character varying", "character", "bpchar"):
        return [text]
    if column.kind in ("bigint", "integer", "numeric", "double precision", "real"):
        return [str(-(2**30) - sum(map(ord, text)))]
    return []


def _ordered(taken: Sequence[Taken]) -> list[Taken]:
    """Whoever gives up a value before whoever takes it."""
    givers = _givers(taken)
    ordered: dict[int, Taken] = {}
    for start in range(len(taken)):
        path = [start]
        while path[-1] in givers and givers[path[-1]] not in ordered and givers[path[-1]] not in path:
            path.append(givers[path[-1]])
        for place in reversed(path):
            ordered.setdefault(place, taken[place])
    return list(ordered.values())


def _circles(taken: Sequence[Taken]) -> list[list[Taken]]:
    givers, seen = _givers(taken), set[int]()
    found = []
    for start in range(len(taken)):
        path: list[int] = []
        place: int | None = start
        while place is not None and place not in seen:
            seen.add(place)
            path.append(place)
            place = givers.get(place)
        if place in path:
            found.append([taken[each] for each in path[path.index(place) :]])
    return [circle for circle in found if len(circle) > 1]


def _givers(taken: Sequence[Taken]) -> dict[int, int]:
    """The place of a write -> that of the one from which it takes its value, where there is one."""
    holders: dict[tuple[str, str, Value], int] = {}
    for place, each in enumerate(taken):
        for name in each.contested():
            if (value := each.write.expected.get(name)) is not None:
                holders.setdefault((each.stream.name, name, _folded(value)), place)
    givers = {}
    for place, each in enumerate(taken):
        for name in each.contested():
            value = each.write.values[name]
            found = holders.get((each.stream.name, name, _folded(value))) if value is not None else None
            if found is not None and found != place:
                givers[place] = found
                break
    return givers


def _same(one: Value, other: Value) -> bool:
    return one is not None and other is not None and _folded(one) == _folded(other)


def _folded(value: Value) -> Value:
    """A unique index may see no difference in case or in blanks; what it does see, trying tells."""
    return value.strip().casefold() if isinstance(value, str) else value
