"""The shape of each kind of file a person writes: the project, an entity, a system (docs/configuration.md).

These models say what may stand where and of which type, and nothing about how files relate: that is
`rules.checks`. Unknown keys are errors. What they hold is as written; `rules.folding` makes a rulebook of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, StrictInt, StrictStr, StringConstraints, Tag, create_model

from fieldwarden.rules.connections import Connector, Kafka
from fieldwarden.rules.rulebook import OnReject, OnRetire, StrategyName
from fieldwarden.rules.settings import Settings
from fieldwarden.rules.shapes import (
    GIVEN,
    Checks,
    Column,
    Columns,
    Constant,
    Duration,
    MatchPart,
    MatchParts,
    Name,
    Names,
    Setting,
    Share,
    Strict,
    Text,
    Type,
    Zone,
)

Mode = Literal["both", "source", "target"]
OnNull = Literal["ignore", "value"]
OnInvalid = Literal["park", "refuse"]
OnGap = Literal["halt", "rebaseline"]

# --- fieldwarden.yaml ----------------------------------------------------------------------------------------


class Hub(Strict):
    dsn: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Connection string of the hub's PostgreSQL; leave out for the embedded."
    )
    owner_dsn: Annotated[Text | None, GIVEN] = Field(
        default=None,
        description="The same database as the schema's owner, for `hub migrate` and `hub roles` (default: dsn).",
    )
    schema_name: Name = Field(default="fieldwarden", alias="schema", description="The schema the hub's tables live in.")


class Embedded(Strict):
    databases: dict[Name, Text | None] = Field(
        default={}, description="Databases of the embedded server, each with the SQL script that fills it at first use."
    )


class Run(Strict):
    host: Text = Field(default="127.0.0.1", description="Where /livez, /readyz, /metrics and /hooks/ are served.")
    port: Annotated[StrictInt, Field(ge=0, le=65535)] = Field(default=9187, description="0 takes any free port.")
    token: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Asked for by /readyz and /metrics, as ${env:NAME} or ${file:path}."
    )
    address: Annotated[Text | None, GIVEN] = Field(
        default=None,
        description="How others reach this server for webhooks, as https://hooks.example.com (default: host and port).",
    )
    lease: Duration = Field(
        default=timedelta(seconds=15),
        description="A process that says nothing for so long is taken to hang, and others do its work.",
        json_schema_extra={"default": "15s"},
    )


class Deletes(Strict):
    """Past both, within the window, deletions that would retire records are held for a person."""

    share: Share = Field(
        default=Decimal("0.2"),
        description="The part of a stream's rows, from 0 to 1.",
        json_schema_extra={"default": 0.2},
    )
    number: Annotated[StrictInt, Field(ge=0)] = Field(default=20, description="How many rows of a stream.")
    window: Duration = Field(
        default=timedelta(minutes=10),
        description="Deletions within this time count together.",
        json_schema_extra={"default": "10m"},
    )


class Limits(Strict):
    future_tolerance: Duration = Field(
        default=timedelta(minutes=5),
        description="A source time further ahead than this is set aside.",
        json_schema_extra={"default": "5m"},
    )
    deletes: Deletes = Field(
        default_factory=Deletes, description="In a system with delete authority, deletions past these are held."
    )


class ProjectFile(Strict):
    """fieldwarden.yaml: the project."""

    project: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$")] = Field(
        description="The project's name."
    )
    systems: Names = Field(description="Every system in order of rank: the first wins ties.")
    planned: Annotated[tuple[Name, ...], GIVEN] = Field(
        default=(), description="Systems that the rules name and that are not connected yet: they take no part."
    )
    onboarding: Literal["reviewed", "automatic"] = Field(
        default="reviewed",
        description="Whether, when the systems meet for the first time, deliveries wait for `onboard` and `apply`.",
    )
    hub: Hub = Field(default_factory=Hub, description="The engine's memory.")
    embedded: Embedded = Field(default_factory=Embedded, description="The embedded PostgreSQL.")
    run: Run = Field(default_factory=Run, description="The background process.")
    kafka: Annotated[Kafka | None, GIVEN] = Field(
        default=None, description="The Kafka that systems of kind debezium are read from."
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds past which a change is set aside.")


# --- entities/*.yaml -----------------------------------------------------------------------------------------


class PolicyKeys(Strict):
    """Who has the say about a value."""

    strategy: Annotated[StrategyName | None, GIVEN] = Field(
        default=None, description="How a winner is chosen; `owner` is implied by owner:."
    )
    owner: Annotated[Name | None, GIVEN] = Field(default=None, description="The system of record: its value stands.")
    protected: Annotated[StrictBool | None, GIVEN] = Field(
        default=None, description="No other system's value is ever accepted."
    )
    seed_from: Annotated[Names | None, GIVEN] = Field(
        default=None, description="Systems that may supply the first value, best first."
    )
    on_reject: Annotated[OnReject | None, GIVEN] = Field(
        default=None, description="Correct a refused edit back (default), or leave it."
    )
    approval: Annotated[Name | None, GIVEN] = Field(
        default=None, description="The role that may approve a refused edit; it is held meanwhile."
    )
    order: Annotated[Names | None, GIVEN] = Field(default=None, description="Systems, best first.")
    among: Annotated[Names | None, GIVEN] = Field(
        default=None, description="The systems whose newest edit wins (recency)."
    )


POLICY_KEYS = tuple(PolicyKeys.model_fields)


class FieldModel(PolicyKeys):
    """One attribute of the entity: what it is, and who has the say about it."""

    type: Type = Field(description="text, integer, decimal(P,S), boolean, date, timestamp, uuid, code(LIST), ref(E).")
    class_: Annotated[Literal["personal"] | None, GIVEN] = Field(
        default=None, alias="class", description="personal: masked in listings."
    )
    check: Annotated[Checks, GIVEN] = Field(
        default=(), description="Validators that a value passes before it is delivered: email, {tax_id: DE}, ..."
    )
    on_invalid: Annotated[OnInvalid | None, GIVEN] = Field(
        default=None, description="What fails a check is not delivered (park, default), or never accepted (refuse)."
    )
    optional: StrictBool = Field(
        default=False, description="In a group: a row that lacks this field does not lose for it."
    )


class Group(PolicyKeys):
    """Fields that win or lose as a block."""

    fields: Names = Field(description="The fields, all from one stream in each system.")


class Identity(Strict):
    match: tuple[MatchParts, ...] = Field(
        default=(),
        description="Fields (or lists of fields) whose equal values mean the same record, as {field: normaliser} where "
        "different spellings are equal.",
    )


def _identity_form(value: object) -> str:
    return "word" if isinstance(value, str) else "keys"


IdentityRule = Annotated[
    Annotated[Identity, Tag("keys")] | Annotated[Literal["none"], Tag("word")], Discriminator(_identity_form)
]


class Delete(Strict):
    authority: Names = Field(description="Systems whose deletion of the row retires the record.")


class EntityFile(Strict):
    """entities/*.yaml: what a record is, and who has the say about each field."""

    entity: Name = Field(description="The entity's name.")
    identity: IdentityRule = Field(
        default_factory=Identity,
        description="How rows of different systems find the same record; none: by nothing but their record id.",
    )
    delete: Annotated[Delete | None, GIVEN] = Field(default=None, description="Who may retire a record.")
    defaults: PolicyKeys = Field(
        default_factory=PolicyKeys, description="What a field takes for what it does not say itself."
    )
    fields: Annotated[dict[Name, FieldModel], Field(min_length=1)] = Field(description="The fields by name.")
    groups: dict[Name, Group] = Field(default={}, description="Fields that win or lose as a block.")

    @property
    def match_keys(self) -> tuple[tuple[MatchPart, ...], ...]:
        return () if self.identity == "none" else self.identity.match


# --- systems/*.yaml ------------------------------------------------------------------------------------------


class FieldMapping(Strict):
    column: Annotated[Column | None, GIVEN] = Field(
        default=None, description="The column that carries the field: read and written."
    )
    read: Annotated[Text | None, GIVEN] = Field(
        default=None, description="An expression to read through instead of the bare column."
    )
    write: StrictBool = Field(default=True, description="false: never written.")


def _mapping_form(value: object) -> str:
    return "form" if isinstance(value, Mapping | FieldMapping) else "text"


FieldSource = Annotated[
    Annotated[Text, Tag("text")] | Annotated[FieldMapping, Tag("form")], Discriminator(_mapping_form)
]


class Unique(Strict):
    """The columns of a unique index, and its condition."""

    columns: Columns = Field(description="The columns that are unique together.")
    where: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The condition of a partial unique index: it is unique among such rows alone."
    )


def _unique_form(value: object) -> str:
    return "form" if isinstance(value, Mapping | Unique) else "columns"


UniqueRule = Annotated[Annotated[Columns, Tag("columns")] | Annotated[Unique, Tag("form")], Discriminator(_unique_form)]


class StreamModel(Strict):
    """How the rows of one table speak of one entity."""

    table: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The table, where the stream has a name of its own; several streams may share one."
    )
    entity: Name = Field(description="The entity these rows speak of.")
    key: Columns = Field(description="The column, or list of columns, that identifies a row.")
    mode: Annotated[Mode | None, GIVEN] = Field(
        default=None, description="source: never written; target: never read; both (default)."
    )
    parent: Annotated[Annotated[dict[Text, Columns], Field(min_length=1, max_length=1)] | None, GIVEN] = Field(
        default=None, description="For child rows: the parent's stream and the column here that holds its key."
    )
    first_by: Annotated[Columns | None, GIVEN] = Field(
        default=None,
        description="Of several child rows of one parent, the first by these columns is the one that counts.",
    )
    merged_into: Annotated[Columns | None, GIVEN] = Field(
        default=None,
        description="The column that holds the key of the row which this one is by now, where the system merges rows.",
    )
    external_id: Annotated[Column | None, GIVEN] = Field(
        default=None, description="Unique text column that carries Fieldwarden's record id."
    )
    where: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Only rows for which this expression is true."
    )
    changed_at: Annotated[Text | None, GIVEN] = Field(
        default=None, description="When the row was edited (default: the commit's time)."
    )
    timezone: Annotated[Zone | None, GIVEN] = Field(
        default=None, description="The zone of moments whose columns have none (default: the system's, else UTC)."
    )
    create: StrictBool = Field(default=False, description="May Fieldwarden insert rows here?")
    on_retire: OnRetire = Field(
        default="keep", description="What becomes of the row when the record is retired elsewhere."
    )
    constants: dict[Column, Constant] = Field(
        default={}, alias="set", description="Columns to set when a row is created."
    )
    on_write: dict[Column, Setting] = Field(
        default={}, description="The application's own columns that each write sets: now(), a constant, an expression."
    )
    unique: Annotated[UniqueRule | None, GIVEN] = Field(
        default=None, description="The unique columns that make creating a child twice yield one."
    )
    fields: dict[Name, FieldSource] = Field(
        default={}, description="Field: column, field: expression, or field: {column, read, write}."
    )

    @property
    def unique_columns(self) -> tuple[str, ...]:
        return self.unique.columns if isinstance(self.unique, Unique) else self.unique or ()

    @property
    def unique_where(self) -> str | None:
        return self.unique.where if isinstance(self.unique, Unique) else None


class SystemFile(Strict):
    """systems/*.yaml: how to reach a system, and how its rows map to entities."""

    system: Name = Field(description="The system's name.")
    connector: Settings
    on_null: OnNull = Field(default="ignore", description="value: a null of this system competes like any value.")
    timezone: Annotated[Zone | None, GIVEN] = Field(
        default=None, description="The zone of moments whose columns have none (default: UTC)."
    )
    mode: Mode = Field(default="both", description="source: never written; target: never read.")
    on_gap: OnGap = Field(
        default="halt",
        description="Where changes that were not read are gone: halt until a person says `run --rebaseline`, or"
        " rebaseline: all rows are read again by itself.",
    )
    streams: Annotated[dict[Text, StreamModel], Field(min_length=1)] = Field(
        description="The streams, by table or name."
    )


def system_file(connector: Any) -> type[SystemFile]:
    """The model of the file of a system whose connector's settings are of this type."""
    reached = (connector, Field(description="How to reach it."))
    return create_model("SystemFile", __base__=SystemFile, __doc__=SystemFile.__doc__, connector=reached)


BuiltInSystemFile = system_file(Connector)
"""Of a system whose kind of connector is one of ours."""
