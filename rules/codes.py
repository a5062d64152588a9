"""Code lists: the CSV that says how each system spells the same payment term, tax code or currency.

The header's first column is `canonical`, the others are systems' names; a system without a column uses the
canonical code. Several of a system's codes may mean one canonical code: write them with `|`, first the one to
write back (`N30|NET30`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from fieldwarden.rules.errors import Problem

MAX_BYTES = 5_000_000
MAX_COLUMNS = 500
MAX_PROBLEMS = 500
_MOST_SHOWN = 80
"""Characters of a cell that a message repeats."""


@dataclass(frozen=True, slots=True)
class CodeList:
    """One list as one system spells it: `inward` system code -> canonical, `outward` canonical -> system code.

    Empty maps mean that the system uses the canonical codes themselves (`codes` holds them all).
    """

    name: str
    system: str
    codes: frozenset[str]
    inward: Mapping[str, str]
    outward: Mapping[str, str]


@dataclass(frozen=True)
class CodeTable:
    """One CSV, read. `spellings[system]` holds (canonical, that system's codes, the first to write back)."""

    name: str
    codes: frozenset[str]
    spellings: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]

    def for_system(self, system: str) -> CodeList:
        inward: dict[str, str] = {}
        outward: dict[str, str] = {}
        for canonical, spelled in self.spellings.get(system, ()):
            outward[canonical] = spelled[0]
            inward.update(dict.fromkeys(spelled, canonical))
        return CodeList(self.name, system, self.codes, inward, outward)


def read_codes(name: str, file: str, text: str, systems: Collection[str]) -> tuple[CodeTable, list[Problem]]:
    """Read one list; the problems say file:line:column of the cell. A cell left empty means that the system has
    no code for this canonical one."""
    return _CodeReader(name, file, systems).read(text)


class _CodeReader:
    def __init__(self, name: str, file: str, systems: Collection[str]) -> None:
        self.name, self.file, self.known = name, file, systems
        self.problems: list[Problem] = []
        self.canonical: dict[str, int] = {}
        self.spellings: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        self.meanings: dict[tuple[str, str], tuple[str, int]] = {}
        self.measured: tuple[str, list[int]] = "", [1]

    def read(self, text: str) -> tuple[CodeTable, list[Problem]]:
        if len(text) > MAX_BYTES:
            self.problem(1, 1, f"the file is larger than {MAX_BYTES:,} bytes")
            text = ""
        if "\0" in text:
            self.problem(text.count("\n", 0, text.index("\0")) + 1, 1, "the line holds a NUL character")
            text = text.replace("\0", "")
        lines = text.splitlines()
        rows = self.rows(text)
        first = next(rows, None)
        if first is None and not self.problems:
            self.problem(1, 1, "the code list is empty", "its first line is: canonical,SYSTEM,...")
        if first is not None:
            header = self.header(first[1], lines[0] if lines else "")
            for line, cells in rows:
                if len(self.problems) >= MAX_PROBLEMS:
                    self.problem(line, 1, "from here on nothing was looked at", "mend what is wrong before it first")
                    break
                self.row(line, cells, header, lines[line - 1] if line <= len(lines) else "")
        spellings = {system: tuple(entries) for system, entries in self.spellings.items()}
        return CodeTable(self.name, frozenset(self.canonical), spellings), self.problems

    def rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        line = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, [cell.strip() for cell in cells]
                line = reader.line_num + 1
        except csv.Error as error:
            self.problem(reader.line_num or 1, 1, f"not valid CSV: {error}", "check the quotes")

    def header(self, cells: list[str], raw: str) -> list[str]:
        if len(cells) > MAX_COLUMNS:
            self.problem(1, 1, f"the header has {len(cells):,} columns", f"no list has more than {MAX_COLUMNS}")
            return cells
        if cells[0] != "canonical":
            self.problem(1, 1, f"the first column is {_shown(cells[0])}", "it must be 'canonical'")
        for index, system in enumerate(cells[1:], 1):
            if system in cells[1:index]:
                self.problem(1, self.column(raw, index), f"system {_shown(system)} has two columns", "remove one")
            elif system not in self.known:
                suggestion = f"the systems are {', '.join(sorted(self.known))}"
                self.problem(1, self.column(raw, index), f"{_shown(system)} is not a system", suggestion)
            else:
                self.spellings[system] = []
        return cells

    def row(self, line: int, cells: list[str], header: list[str], raw: str) -> None:
        if len(cells) != len(header):
            suggestion = "leave a cell empty where a system has no code"
            self.problem(line, 1, f"{len(cells)} cells, but the header has {len(header)}", suggestion)
            return
        canonical = cells[0]
        if not canonical:
            self.problem(line, 1, "the canonical code is empty")
            return
        if canonical in self.canonical:
            first = self.canonical[canonical]
            self.problem(line, 1, f"canonical code {_shown(canonical)} stands here twice, first on line {first}")
            return
        self.canonical[canonical] = line
        for index, (system, cell) in enumerate(zip(header[1:], cells[1:], strict=True), 1):
            spelled = tuple(code.strip() for code in cell.split("|") if code.strip())
            if spelled and system in self.spellings:
                for message in self.meaning(line, system, canonical, spelled):
                    self.problem(line, self.column(raw, index), message, "one code of a system has one meaning")

    def meaning(self, line: int, system: str, canonical: str, spelled: tuple[str, ...]) -> list[str]:
        """Note what a cell says; what is wrong with it."""
        wrong = []
        for code in spelled:
            other, first = self.meanings.setdefault((system, code), (canonical, line))
            if other != canonical:
                both = f"{_shown(other)} (line {first}) and {_shown(canonical)}"
                wrong.append(f"code {_shown(code)} of {system} means both {both}")
        self.spellings[system].append((canonical, spelled))
        return wrong

    def column(self, raw: str, cell: int) -> int:
        """Where the `cell`-th cell (from 0) of a line begins; of a line with many problems it is found once."""
        if self.measured[0] is not raw:
            self.measured = raw, _starts(raw)
        starts = self.measured[1]
        return starts[cell] if cell < len(starts) else len(raw) + 1

    def problem(self, line: int, column: int, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.file, line, column, message, suggestion))


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= _MOST_SHOWN else f"{cell[:_MOST_SHOWN]}...")


def _starts(raw: str) -> list[int]:
    """The 1-based columns at which a line's cells begin."""
    starts, quoted = [1], False
    for position, character in enumerate(raw):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            starts.append(position + 2)
    return starts
