"""That no column which a protected field's owner reads is written for anything else, whatever it is called there.

Another stream over the same table, the table under another spelling or behind a view, a second system with the same
database: each would carry somebody's value into the owner's column, and come back as the owner's own word. The check is
one, over what columns *are*: before anything is connected that is their normalised name (`Named`), afterwards what the
catalogue says (`connectors.postgres.reach`). Streams of one table whose `where` no row of the other fulfils share no
row, and so no column; nor do two that are both read, since a row that is in both is refused as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeAlias

from fieldwarden.rules.names import qualified
from fieldwarden.rules.rulebook import Rulebook, Stream, System
from fieldwarden.rules.tables import overlap

_URL = re.compile(r"postgres(?:ql)?://(?:[^@/]*@)?(?P<host>[^/?]*)(?:/(?P<dbname>[^?]*))?")
_PAIR = re.compile(r"(host|hostaddr|port|dbname)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']+)")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


class Use(NamedTuple):
    """A column that a stream writes or reads, and for what: the name of a field, else the stream's key that says so."""

    system: str
    stream: str
    what: str
    column: str
    part: bool = False
    """`what` is a key of the stream (on_write, set ...), and no field."""

    @property
    def spoken(self) -> str:
        return f"{self.what}:" if self.part else repr(self.what)


@dataclass(frozen=True, slots=True)
class Conflict:
    """`write` reaches a column that `read`, the owner's protected field, is read from (or that another system writes
    too: then `protected` is False)."""

    write: Use
    read: Use
    protected: bool = True

    @property
    def message(self) -> str:
        write, read = self.write, self.read
        there = f"{write.system} {write.stream}: {write.spoken} writes column {write.column!r}"
        if not self.protected:
            return f"{there}, which {read.system} {read.stream} writes too, for {read.spoken}: it is one column"
        return (
            f"{there}, which is the column {read.column!r} that {read.system} {read.stream} reads the protected field "
            f"{read.spoken} from"
        )

    @property
    def suggestion(self) -> str:
        away = f"remove it from {self.write.what}:" if self.write.part else f"write: false on {self.write.what}"
        return f"{away}; or, where their rows are different things, a `where:` in each that no row of the other fulfils"


Identity: TypeAlias = Callable[[Use], frozenset[Hashable]]
"""What a column is: two are one where these have something in common. Empty: nobody knows it."""


def conflicts(rulebook: Rulebook, written: Identity, read: Identity) -> Iterator[Conflict]:
    """Every write of a protected column; after these, every column that two systems write."""
    yield from protected_columns(rulebook, written, read)
    yield from shared_columns(rulebook, written)


def protected_columns(rulebook: Rulebook, written: Identity, read: Identity) -> Iterator[Conflict]:
    """Every write of a column that a protected field's owner reads, but by what the owner's rules allow."""
    streams = _streams(rulebook)
    writes = [(use, stream, base) for stream in streams for use in writes_of(stream) if (base := written(use))]
    reads = [(use, stream, read(use)) for stream in streams for use in protected_reads(rulebook, stream)]
    for (write, writer, reached), (owned, owner, base) in product(writes, reads):
        if reached & base and not _allowed(rulebook, write, writer, owned, owner):
            yield Conflict(write, owned)


def shared_columns(rulebook: Rulebook, written: Identity) -> Iterator[Conflict]:
    """Every column that two systems write for rows that both may have."""
    writes = [(use, stream, written(use)) for stream in _streams(rulebook) for use in writes_of(stream)]
    seen = [(use, stream, base) for use, stream, base in writes if not use.part and base]
    for number, (one, first, base) in enumerate(seen):
        for other, second, others in seen[number + 1 :]:
            if one.system != other.system and base & others and _share_rows(first, second):
                yield Conflict(other, one, protected=False)


def _streams(rulebook: Rulebook) -> list[Stream]:
    return [stream for system in rulebook.systems.values() for stream in system.streams.values()]


def writes_of(stream: Stream) -> Iterator[Use]:
    """The columns that are written for a stream."""
    fields = dict.fromkeys((*stream.update_fields, *(stream.create_fields if stream.creates else ())))
    for name in fields:
        if (column := stream.fields[name].column) is not None:
            yield Use(stream.system, stream.name, name, column)
    parts: dict[str, tuple[str, ...]] = {"on_write": tuple(stream.on_write) if fields else ()}
    if stream.creates:
        parts |= {"set": tuple(stream.constants), "parent": stream.parent_columns}
        parts["external_id"] = (stream.external_id,) if stream.external_id else ()
    for part, columns in parts.items():
        for column in columns:
            yield Use(stream.system, stream.name, part, column, part=True)


def protected_reads(rulebook: Rulebook, stream: Stream) -> Iterator[Use]:
    """The columns from which an owner's protected fields are read."""
    units = rulebook.entities[stream.entity].unit_of
    for name, mapping in stream.fields.items():
        policy = units[name].policy
        if policy.protected and policy.owner == stream.system:
            for column in sorted(mapping.columns):
                yield Use(stream.system, stream.name, name, column)


def owns_protected(rulebook: Rulebook, system: System) -> bool:
    return any(True for stream in system.streams.values() for _ in protected_reads(rulebook, stream))


def _allowed(rulebook: Rulebook, write: Use, writer: Stream, read: Use, owner: Stream) -> bool:
    """Whether it is the very field that is seeded, or rows are meant that are never the owner's."""
    if write.system == read.system and writer.entity == owner.entity and not write.part:
        unit = rulebook.entities[owner.entity].unit_of[read.what]
        if write.what in unit.fields:
            return True
    if (write.system, write.stream) == (read.system, read.stream):
        return write.part and write.column == read.column  # within one stream, names are told apart by its own check
    return not _share_rows(writer, owner)


def _share_rows(one: Stream, other: Stream) -> bool:
    """Whether a row may be in both. Of two streams of one system that are both read, a row in both is refused."""
    if qualified(one.table) != qualified(other.table):
        return True  # another name of the table may have other names of its columns
    found = overlap(one.where, other.where)
    watched = one.system == other.system and one.reads and other.reads
    return found == "always" or (found == "perhaps" and not watched)


class Named:
    """Columns by their normalised names, before anything is connected: systems whose connection strings name one server
    and database are one; a bare table is in the schema public; quotes are spelling. `fold`: so is case, as PostgreSQL
    takes names that are not quoted."""

    def __init__(self, rulebook: Rulebook, *, fold: bool = False) -> None:
        self._systems = rulebook.systems
        self._fold = fold

    def __call__(self, use: Use) -> frozenset[Hashable]:
        system = self._systems[use.system]
        names = (*system.settings.table(system.streams[use.stream].table), use.column)
        return frozenset([(database(system), *((name.lower() for name in names) if self._fold else names))])


def database(system: System) -> Hashable:
    """What a connection string names: (host, port, database), or the text itself where that cannot be told of it; the
    system where it has none."""
    text = system.settings.place
    if not text:
        return system.name
    url = _URL.match(text)
    if url is not None:
        host, _, port = url["host"].rpartition(":") if re.search(r":\d+$", url["host"]) else (url["host"], "", "")
        return _place(host, port, url["dbname"] or "") or text
    given = {name: value.strip("'") for name, value in _PAIR.findall(text)}
    return (
        _place(given.get("host") or given.get("hostaddr", ""), given.get("port", ""), given.get("dbname", "")) or text
    )


def _place(host: str, port: str, name: str) -> tuple[str, str, str] | None:
    if not host or not name:
        return None
    return ("localhost" if host.lower() in _LOCAL else host.lower(), port or "5432", name)
