"""Replay: folding a record's ledger entries must give the record that the hub holds.

The chain of hashes shows that the ledger is as it was written; the fold shows that it tells the whole truth about
the golden records. Each decision says the golden value before and after itself, so entries of one record, taken in
version order, have to link up like the chain does. Nothing here decides anew; a replay that does (from the rulebook
each block names) can stand beside this one and use the same `Mismatch`.

An absent golden value and a null are one thing to the ledger: `None`. No finding ever quotes a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from fieldwarden.engine.change import Value
from fieldwarden.engine.ledger.entries import EntryBody


class Mismatch(NamedTuple):
    """Something that does not fit, in words without values. `field` is "" where it is about the whole record."""

    kind: Literal["gap", "duplicate", "entity", "before", "retired", "golden", "version"]
    field: str
    words: str


class Fold:
    """What the ledger says of one record so far. Feed its entries in the order of their versions to `apply`, then ask
    `compare`.

    >>> said = Decision("name", "accepted", "Ann", None, "Ann", "crm")
    >>> fold = Fold()
    >>> fold.apply(1, EntryBody("customer", ("crm", "account", "1"), "said", "7", 1000, [said]))
    []
    >>> [each.words for each in fold.compare("customer", 1, {"name": "Bob"}, False)]
    ['the golden value of name differs from the ledger']
    """

    __slots__ = ("_sure", "entity", "golden", "retired", "version")

    def __init__(self) -> None:
        self.entity = ""
        self.version = 0
        self.golden: dict[str, Value] = {}
        self.retired: bool | None = False
        self._sure: set[str] | None = None
        """After a break: the fields that an entry has told again since. None: nothing is broken, all are sure."""

    def apply(self, version: int, body: EntryBody) -> list[Mismatch]:
        """Take the next entry in. Gives what does not link up with the entries before it, which is usually nothing."""
        findings: list[Mismatch] = []
        if version != self.version + 1:
            findings.append(self._out_of_order(version))
            if version <= self.version:
                return findings
            self.lose()
        self.version = version
        if body.entity != self.entity:
            if self.entity:
                words = f"entry {version} speaks of a record of {body.entity}, the ones before it of {self.entity}"
                findings.append(Mismatch("entity", "", words))
            self.entity = body.entity
        golden, sure = self.golden, self._sure
        for name, outcome, _, before, after, _, _ in body.decisions:
            if golden.get(name) != before and (sure is None or name in sure):
                words = f"entry {version} ({outcome}) found another golden value in {name} than the entries before left"
                findings.append(Mismatch("before", name, words))
            golden[name] = after
            if sure is not None:
                sure.add(name)
        if body.retired is not None:
            if body.retired is self.retired:
                word = "retires" if body.retired else "revives"
                words = f"entry {version} {word} a record that the entries before it left so already"
                findings.append(Mismatch("retired", "", words))
            self.retired = body.retired
        return findings

    def skip(self, version: int) -> list[Mismatch]:
        """Take note of an entry whose body cannot be read. From here on only what is told once more is sure. Gives a
        gap before it, if there is one."""
        findings = [] if version == self.version + 1 else [self._out_of_order(version)]
        self.version = max(self.version, version)
        self.lose()
        return findings

    def lose(self) -> None:
        """Something between the entries is lost: no golden value is sure until an entry tells of it."""
        self._sure = set()
        self.retired = None

    def compare(self, entity: str, version: int, golden: Mapping[str, Value], retired: bool) -> list[Mismatch]:
        """What the hub's record says otherwise than the ledger. Fields that are not sure are passed over; where entries
        at the end are missing, only that is told."""
        findings: list[Mismatch] = []
        if self.entity and entity != self.entity:
            words = f"the record is one of {entity}, the ledger speaks of {self.entity}"
            findings.append(Mismatch("entity", "", words))
        if version != self.version:
            findings.append(Mismatch("version", "", self._versions(version)))
        if version > self.version:
            return findings
        for name in sorted(golden.keys() | self.golden.keys()):
            if self._sure is not None and name not in self._sure:
                continue
            if golden.get(name) != self.golden.get(name):
                findings.append(Mismatch("golden", name, f"the golden value of {name} differs from the ledger"))
        if self.retired is not None and retired is not self.retired:
            state = "retired" if retired else "not retired"
            findings.append(Mismatch("retired", "", f"the record is {state}, the ledger says otherwise"))
        return findings

    def _out_of_order(self, version: int) -> Mismatch:
        if version <= self.version:
            return Mismatch("duplicate", "", f"there is more than one entry {version}")
        first, last = self.version + 1, version - 1
        missing = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        return Mismatch("gap", "", f"{missing} missing before entry {version}")

    def _versions(self, version: int) -> str:
        if version < self.version:
            return f"the record has version {version}, the ledger goes on to {self.version}"
        if not self.version:
            return f"the record has version {version}, the ledger holds no entry about it"
        first = self.version + 1
        which = f"entry {first} is" if first == version else f"entries {first} to {version} are"
        return f"the record has version {version}, the ledger ends with {self.version}: {which} missing"
