"""Rows that the target refuses: for which of their fields, so that the others are written all the same.

A refusal that names its field is believed: the row is tried again without that field and what goes with it. Else an
update is tried block by block, and a create without one block after the other. Pure: what to try next, and what follows
from the answers; `writing` does the trying, within the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from fieldwarden.connectors.postgres.writing.shapes import identifying
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.rules.rulebook import Stream

Block = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A write that the target refused. `field` is the one to blame, where it says so; `whole`: it is the row that it
    does not take (another has its key), whatever its fields. `constraint`: (schema, name) of the unique one by which
    another row stands in its way. `said`: the target's own words, values and all. `later`: it is worth another try."""

    write: Write
    reason: str
    field: str = ""
    whole: bool = False
    constraint: tuple[str, str] | None = None
    said: str = ""
    later: bool = False


Answer = WriteResult | Rejection


class Apart:
    """The rejected writes of one stream and operation, taken apart together: each has one trial a round."""

    def __init__(self, stream: Stream, rejections: Iterable[Rejection]) -> None:
        self._rows = {each.write.token: _Row.of(stream, each) for each in rejections}

    def trials(self) -> list[Write]:
        """What to try next; nothing: all is known."""
        return [write for row in self._rows.values() if (write := row.trial()) is not None]

    def heard(self, answers: Iterable[Answer]) -> None:
        """One answer to each of the trials."""
        for answer in answers:
            token = answer.write.token if isinstance(answer, Rejection) else answer.token
            self._rows[token].heard(answer)

    def results(self) -> list[WriteResult]:
        return [row.result() for row in self._rows.values()]


@dataclass(slots=True)
class _Row:
    write: Write
    reason: str
    said: str
    later: bool
    needed: frozenset[str]
    """Fields without which the row cannot be made."""
    late: frozenset[str]
    """Fields of the key: once they are written, the row has another."""
    left: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    done: WriteResult | None = None
    again: bool = False
    """To be tried with all that is left."""
    single: list[Block] = field(default_factory=list)
    """Blocks to be tried by themselves yet (of a create: to be left out); the first is the one under trial."""

    @classmethod
    def of(cls, stream: Stream, rejection: Rejection) -> _Row:
        write = rejection.write
        creating = write.operation == "create"
        needed = frozenset(identifying(stream)) if creating else frozenset()
        keys = frozenset(name for name, mapping in stream.fields.items() if mapping.column in stream.key)
        row = cls(write, rejection.reason, rejection.said, rejection.later, needed, keys, list(write.values))
        row._refuse(rejection)
        return row

    def trial(self) -> Write | None:
        if self.again:
            names: Sequence[str] = self.left
        elif self.single:
            names = [n for n in self.left if n not in self.single[0]] if self._creating else self.single[0]
        else:
            return None
        return replace(self.write, values={name: self.write.values[name] for name in names})

    def heard(self, answer: Answer) -> None:
        if self.again:
            self.again = False
            if isinstance(answer, Rejection):
                self._refuse(answer)
            else:
                self.done = answer
            return
        block = self.single.pop(0)
        if isinstance(answer, WriteResult):
            self._merge(answer)
            if self._creating:
                self.refused |= dict.fromkeys(block, self.reason)
                self.single = []
        elif not self._creating:
            self.refused |= dict.fromkeys(block, answer.reason)

    def result(self) -> WriteResult:
        if self.done is None:
            refused = {} if self._creating else self.refused
            result = WriteResult(self.write.token, "rejected", self.write.key, reason=self.reason, refused=refused)
            result.said, result.later = self.said, self.later
            return result
        if self.done.status == "applied":
            self.done.refused, self.done.said = self.refused, self.said
        return self.done

    @property
    def _creating(self) -> bool:
        return self.write.operation == "create"

    def _refuse(self, rejection: Rejection) -> None:
        """What a refusal of all that is left means."""
        if rejection.whole or self.write.operation == "delete":
            return
        blocks = self._blocks()
        if rejection.field in self.left:
            blocks = [block for block in blocks if rejection.field in block]
            if not blocks:
                return
            self.refused |= dict.fromkeys(blocks[0], rejection.reason)
            self.left = [name for name in self.left if name not in blocks[0]]
            self.again = bool(self.left)
        elif len(blocks) == 1 and not self._creating:
            self.refused |= dict.fromkeys(blocks[0], rejection.reason)
        else:
            self.single = blocks

    def _blocks(self) -> list[Block]:
        """Of what is left, what goes together; of a create only what it can do without."""
        grouped = [tuple(name for name in block if name in self.left) for block in self.write.blocks]
        alone = [(name,) for name in self.left if not any(name in block for block in grouped)]
        found = [block for block in (*grouped, *alone) if block and not self.needed.intersection(block)]
        if self._creating:  # a row of nothing is no row
            found = [block for block in found if len(block) < len(self.left)]
        return sorted(found, key=lambda block: bool(self.late.intersection(block)))

    def _merge(self, answer: WriteResult) -> None:
        if self.done is None or answer.status != "applied":
            self.done = answer
        elif self.done.status == "applied":
            self.done.key = answer.key
            self.done.differing = {**self.done.differing, **answer.differing}
