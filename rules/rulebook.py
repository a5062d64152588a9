"""What the stewards said, folded once into the shapes the engine reads on every change.

A rulebook is immutable and named by the hash of the files it came from. Nothing here knows YAML or pydantic:
`rules.loading` builds it, the engine only reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from zoneinfo import ZoneInfo

from fieldwarden.rules.codes import CodeList
from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.normalising import EXACT, Normalise, normaliser
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.validating import Check
from fieldwarden.rules.values import FieldType

StrategyName = Literal["owner", "source_priority", "recency", "first_non_null"]
OnReject = Literal["correct", "leave"]
OnRetire = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one unit (a field alone, or a group) finds its winner.

    `order` lists every system that may supply a value, best first; for `recency` it is the among-list, whose
    order breaks ties of time. `protected`: only `owner` may change the value; `seed_from` may supply the first
    one while the owner has said nothing. `nulls` names the systems whose null is a value that competes.
    `sentence` is the rule in words, recorded with every decision.
    """

    strategy: StrategyName
    order: tuple[str, ...]
    owner: str | None = None
    protected: bool = False
    seed_from: tuple[str, ...] = ()
    on_reject: OnReject = "correct"
    approval: str | None = None
    nulls: frozenset[str] = frozenset()
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: FieldType
    personal: bool = False
    optional: bool = False
    refuses: tuple[Check, ...] = ()
    """What fails one of these is never accepted."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What wins or loses as a block: one field, or the fields of a group in declared order.

    `optional` are those of the fields that may be null in a complete block. `plural` are the (system, stream) of
    several rows of which only the first states it; `below` those of child rows that may be excluded with their parents,
    with the streams above them.
    """

    name: str
    fields: tuple[str, ...]
    policy: Policy
    optional: frozenset[str] = frozenset()
    plural: frozenset[tuple[str, str]] = frozenset()
    below: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = field(default_factory=dict, hash=False)
    simple: bool = field(init=False, compare=False, repr=False)
    """One field that any row of a system in the order may state, without a guard."""

    def __post_init__(self) -> None:
        guarded = self.policy.protected or self.plural or self.below
        object.__setattr__(self, "simple", len(self.fields) == 1 and not guarded)


@dataclass(frozen=True, slots=True)
class MatchKey:
    """Fields whose normalised values identify a record exactly (`tax_id`; `[name, postal_code]`).

    `forms` names the normaliser of each field (none given: exact). `parts` are the fields with their functions."""

    name: str
    fields: tuple[str, ...]
    forms: tuple[str, ...] = ()
    parts: tuple[tuple[str, Normalise], ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        forms = self.forms or (EXACT,) * len(self.fields)
        object.__setattr__(self, "forms", forms)
        object.__setattr__(self, "parts", tuple(zip(self.fields, map(normaliser, forms), strict=True)))

    def __reduce__(self) -> tuple[type[MatchKey], tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """To another process (`plan` counts in several) go the normalisers' names, not their functions."""
        return MatchKey, (self.name, self.fields, self.forms)

    def __str__(self) -> str:
        """As a person would say it: `tax_id as tax_id(DE) and number`."""
        each = zip(self.fields, self.forms, strict=True)
        return " and ".join(name if form == EXACT else f"{name} as {form}" for name, form in each)


@dataclass(frozen=True, slots=True)
class Entity:
    name: str
    fields: Mapping[str, Field]
    units: tuple[Unit, ...]
    unit_of: Mapping[str, Unit]
    match: tuple[MatchKey, ...] = ()
    delete_authority: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FieldMap:
    """One canonical field in one stream.

    `column` is set when the field is carried by one column, `read` when reading needs an expression instead
    of the bare column. A field without `column` is read-only. `reference` names the stream (of the same system)
    whose key the column holds, for a field of type ref. `zone` is that of moments whose column has none.
    `checks` are what a value passes before it is written.
    """

    field: str
    column: str | None
    read: Expression | None = None
    reference: str | None = None
    codes: CodeList | None = None
    writable: bool = True
    zone: ZoneInfo | None = None
    checks: tuple[Check, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """All columns that say something of the field: its own, and those that it is read through."""
        own = frozenset() if self.column is None else frozenset({self.column})
        return own if self.read is None else own | self.read.columns

    @property
    def plain(self) -> bool:
        """Whether every canonical value is written as it is."""
        return self.literal and not self.checks

    @property
    def literal(self) -> bool:
        """Whether a canonical value stands there as it is, and in no second way."""
        return self.reference is None and self.codes is None and self.zone is None


@dataclass(frozen=True, slots=True)
class Stream:
    """How the rows of one table (or object type) speak of one entity.

    `table` is the table's own name, where the stream has another. Several streams may read one table, told apart by
    `where`; `rivals` are those of them (name, `where`) with which it may share no row: one that is in both is refused.
    `key`: the key's columns. `parent`: the stream and the columns here that hold its key, for child rows.
    `first_by`: of several live rows of one parent the first by these columns states the fields, and is the one written.
    `merged_into`: the columns that hold the key of the stream's row which a row is by now (null: none but itself).
    `external_id`: the column that carries Fieldwarden's record id. `constants`: what creating a row here must
    set besides the fields. `on_write`: the application's own columns that each write sets as well.
    `conflict`: the unique columns that make creating twice yield one row (among rows for which `conflict_where` holds).
    `parent_row`: where nothing is unique, the parent's table and key; its row is locked while a child is created that
    is not there yet (by the columns of `conflict` and `where`).
    `update_fields` and `create_fields` are the write sets: never a field this system owns and protects
    (a create may carry one that the entity's `seed_from` lets others supply first).
    """

    system: str
    name: str
    entity: str
    key: tuple[str, ...]
    fields: Mapping[str, FieldMap]
    parent: str | None = None
    parent_columns: tuple[str, ...] = ()
    external_id: str | None = None
    where: Expression | None = None
    changed_at: Expression | None = None
    reads: bool = True
    creates: bool = False
    constants: Mapping[str, str] = field(default_factory=dict)
    on_write: Mapping[str, Expression] = field(default_factory=dict)
    conflict: tuple[str, ...] = ()
    on_retire: OnRetire = "keep"
    update_fields: tuple[str, ...] = ()
    create_fields: tuple[str, ...] = ()
    protected_columns: frozenset[str] = frozenset()
    zone: ZoneInfo | None = None
    """Of columns without one; None: UTC."""
    table: str = ""
    rivals: tuple[tuple[str, Expression], ...] = ()
    first_by: tuple[str, ...] = ()
    merged_into: tuple[str, ...] = ()
    conflict_where: Expression | None = None
    parent_row: tuple[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        if not self.table:
            object.__setattr__(self, "table", self.name)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All that stands in the stream's SQL as the files say it."""
        reads = [mapping.read for mapping in self.fields.values()]
        told = (self.where, self.conflict_where, *self.on_write.values(), *reads)
        return tuple(expression for expression in told if expression is not None)


@dataclass(frozen=True, slots=True)
class System:
    """A participant: its connector's settings (secrets still references), rank and streams.

    `mends_gaps`: where changes that were not read are gone, all its rows are read again by itself."""

    name: str
    rank: int
    settings: Settings
    streams: Mapping[str, Stream]
    mends_gaps: bool = False

    @property
    def kind(self) -> str:
        """Its connector's kind, as its file writes it."""
        return self.settings.kind

    @property
    def partitioned(self) -> bool:
        """Whether its tables come on topics, each in an order of its own, which any number of workers share."""
        return self.settings.partitioned

    @property
    def read_streams(self) -> dict[str, Stream]:
        """Those whose rows and changes come in, by name."""
        return {name: stream for name, stream in self.streams.items() if stream.reads}

    def above_merged(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """The child streams whose rows may hang below one that was merged into another, each as (system, stream), with
        the streams above it, its parent first."""
        above = {name: self.above(name) for name in self.streams}
        return {
            (self.name, name): [(self.name, each) for each in names]
            for name, names in above.items()
            if any(self.streams[each].merged_into for each in names)
        }

    def above(self, name: str) -> list[str]:
        """The streams above a child stream, its parent first."""
        found: list[str] = []
        parent = self.streams[name].parent
        while parent in self.streams and parent is not None and parent not in found:
            found.append(parent)
            parent = self.streams[parent].parent
        return found

    def root(self, entity: str) -> Stream | None:
        """The stream whose rows stand for records of `entity` here (child rows hang below it)."""
        for stream in self.streams.values():
            if stream.entity == entity and stream.parent is None:
                return stream
        return None


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The loaded, validated set of files. `hash` is the SHA-256 (hex) over their canonical content,
    without how each system is reached, and what is done where its changes are gone."""

    hash: str
    entities: Mapping[str, Entity]
    systems: Mapping[str, System]
    source: str = ""
