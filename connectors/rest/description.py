"""What a vendor's file may say (docs/feeds.md): how its API is asked, and what its answers mean.

Each file describes one vendor: how one logs in, how often one may ask, and its objects. An object says where its rows
stand in an answer, how all of them are read (`all`), how those that changed are (`changes`), how one is (`one`), and
how a deletion shows (`delete`). These models say what may stand where; what belongs together is looked at by
`connectors.rest.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StrictInt, Tag

from fieldwarden.connectors.rest.moments import Format
from fieldwarden.connectors.rest.shapes import (
    Below,
    Holds,
    JsonPath,
    KeyPattern,
    Pace,
    RecordPlace,
    Statuses,
    Template,
    TokenPath,
    Whole,
    one_or_list,
)
from fieldwarden.connectors.rest.templates import Quoting
from fieldwarden.rules.shapes import GIVEN, Column, Columns, Duration, Name, Strict, Text

ColumnType = Literal["text", "integer", "numeric", "boolean", "date", "timestamptz", "json"]
Verdict = Literal["retry", "busy", "rebaseline", "halt", "gone"]


def _column_form(value: object) -> str:
    return "form" if isinstance(value, Mapping | ColumnSpec) else "place"


# --- how a vendor is asked -----------------------------------------------------------------------------------


class Request(Strict):
    """One request. `{name}` may stand in its texts: what is there depends on what it is for (docs/feeds.md)."""

    method: Literal["GET", "POST"] = Field(default="GET", description="How it is asked.")
    path: Below = Field(description="Below the vendor's address, beginning with /.")
    query: dict[Text, Template | tuple[Template, ...]] = Field(default={}, description="The query; a list is repeated.")
    headers: dict[Text, Template] = Field(default={}, description="Headers of this request.")
    body: Any = Field(default=None, description="What is posted, as JSON.")
    quoting: Quoting = Field(
        default="none", description="How a quote is written in the texts of its query language: doubled or backslash."
    )


class Records(Strict):
    """Where the records stand in an answer."""

    path: JsonPath = Field(description="The path of all records.")
    key: Annotated[tuple[RecordPlace, ...] | None, BeforeValidator(one_or_list), GIVEN] = Field(
        default=None, description="Where each has its key, if elsewhere than the object's columns say."
    )


class OnePage(Strict):
    """The answer is all there is."""

    kind: Literal["none"]
    cap: Annotated[Whole | None, GIVEN] = Field(
        default=None, description="The vendor never tells of more: an answer of so many may be cut off."
    )


class OffsetPages(Strict):
    """Pages by the number of the record that they begin with ({offset}). Each overlaps the one before: rows that move
    while they are read are noticed by that."""

    kind: Literal["offset"]
    first: StrictInt = Field(default=0, description="The first record's number.")
    size: Annotated[StrictInt, Field(ge=2)] = Field(
        description="Records of a full page ({size}); a shorter one is the last, where more: says nothing."
    )
    more: Annotated[JsonPath | None, GIVEN] = Field(default=None, description="Where it says true while there is more.")
    cap: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records that can be reached at most.")


class TokenPages(Strict):
    """Each page says by which {token} the next one is asked for."""

    kind: Literal["token"]
    size: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records of a page ({size}).")
    next: JsonPath = Field(description="Where a page names the next; absent, null or empty: it is the last.")
    more: Annotated[JsonPath | None, GIVEN] = Field(default=None, description="Where it says true while there is more.")
    first: Annotated[Text | None, GIVEN] = Field(
        default=None, description="The {token} of the first page, if it has one."
    )
    query: dict[Text, Template] = Field(
        default={}, description="What is added to the query of all pages but the first."
    )
    cap: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records that can be reached at most.")


class LinkedPages(Strict):
    """Each page has the address of the next."""

    kind: Literal["next_link"]
    next: Annotated[JsonPath | None, GIVEN] = Field(
        default=None, description="Where a page has it; left out: in the header Link, as rel=next."
    )
    size: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records of a page ({size}).")
    cap: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records that can be reached at most.")


class KeysetPages(Strict):
    """Each page begins after the last record of the one before: its values are {after_1}, {after_2} ..."""

    kind: Literal["keyset"]
    size: Whole = Field(description="Records of a full page ({size}); a shorter one is the last.")
    by: Annotated[tuple[RecordPlace, ...], Field(min_length=1)] = Field(
        description="What the records are ordered by, the last of them unique."
    )
    next: Request = Field(description="The request of all pages but the first.")
    cap: Annotated[Whole | None, GIVEN] = Field(default=None, description="Records that can be reached at most.")


Page = Annotated[OnePage | OffsetPages | TokenPages | LinkedPages | KeysetPages, Discriminator("kind")]


class Reading(Strict):
    """One way of reading records."""

    request: Request = Field(description="The request of the first page, or of every page.")
    records: Records = Field(description="Where its records stand.")
    page: Page = Field(default_factory=lambda: OnePage(kind="none"), description="How its pages follow each other.")


# --- what changed --------------------------------------------------------------------------------------------


class TimeWindow(Strict):
    """What was changed from {since} up to {until}."""

    kind: Literal["time_window"]
    format: Format = Field(default="iso", description="How {since} and {until} are written.")
    overlap: Duration = Field(
        default=timedelta(minutes=2),
        description="Each window begins so long before the last one's end, for what became visible late.",
        json_schema_extra={"default": "2m"},
    )
    end_lag: Duration = Field(
        default=timedelta(seconds=5),
        description="Each window ends so long before the vendor's present.",
        json_schema_extra={"default": "5s"},
    )
    retention: Annotated[Duration | None, GIVEN] = Field(
        default=None, description="How far back the vendor can be asked; beyond that there is a gap."
    )


class DeltaLink(Strict):
    """The last page of an answer has the address at which the next changes will be."""

    kind: Literal["delta_link"]
    next: JsonPath = Field(description="Where it has it.")


class DeltaToken(Strict):
    """The last page of an answer has the {delta} that the next changes are asked for by."""

    kind: Literal["delta_token"]
    next: JsonPath = Field(description="Where it has it.")


Cursor = Annotated[TimeWindow | DeltaLink | DeltaToken, Discriminator("kind")]


class Changes(Strict):
    """What changed since it was asked for the last time. With a delta_link there is no request of its own."""

    reads: Literal["rows", "keys"] = Field(
        default="rows", description="Whether the records are rows, or only name the keys of rows to be read."
    )
    cursor: Cursor = Field(description="How it is known what has been read.")
    request: Annotated[Request | None, GIVEN] = Field(default=None, description="The request of the first page.")
    records: Annotated[Records | None, GIVEN] = Field(
        default=None, description="Where they stand (default: as in all)."
    )
    page: Annotated[Page | None, GIVEN] = Field(default=None, description="How pages follow (default: as in all).")


class Marker(Strict):
    """A deleted row is told of like any other, and says so."""

    kind: Literal["marker"]
    when: Holds = Field(description="What holds of a record that is deleted.")


class Tombstone(Strict):
    """Among the changes stand records that are nothing but the key of a deleted row."""

    kind: Literal["tombstone"]
    when: Holds = Field(description="What holds of such a record.")
    key: RecordPlace = Field(description="Where it has the row's key.")
    pattern: Annotated[KeyPattern | None, GIVEN] = Field(
        default=None, description="A regular expression with a group for each part of the key, where that is in a text."
    )


class SeparateFeed(Strict):
    """Deleted rows are told of elsewhere, by their keys."""

    kind: Literal["separate_feed"]
    cursor: TimeWindow = Field(description="How it is known what has been read.")
    request: Request = Field(description="The request of the first page.")
    records: Records = Field(description="Where they stand.")
    when: Annotated[Holds | None, GIVEN] = Field(default=None, description="What holds of those that are deletions.")
    page: Page = Field(default_factory=lambda: OnePage(kind="none"), description="How its pages follow each other.")


Delete = Annotated[Marker | Tombstone | SeparateFeed, Discriminator("kind")]


# --- an object -----------------------------------------------------------------------------------------------


class ColumnSpec(Strict):
    """One column of an object's rows."""

    place: RecordPlace = Field(description="Where a record holds it.")
    type: ColumnType = Field(default="text", description="What expressions take it for.")
    format: Annotated[Format | None, GIVEN] = Field(
        default=None, description="Of a moment that is written in another way than ISO 8601."
    )
    field: Annotated[Text | None, GIVEN] = Field(
        default=None, description="What requests call it ({fields}); default: its place."
    )


ColumnEntry = Annotated[
    Annotated[RecordPlace, Tag("place")] | Annotated[ColumnSpec, Tag("form")], Discriminator(_column_form)
]


class Modified(Strict):
    """When a row was changed."""

    place: RecordPlace = Field(description="Where a record holds it.")
    format: Format = Field(default="iso", description="How it is written.")


class ObjectSpec(Strict):
    """One kind of object, whose rows are a stream's."""

    key: Columns = Field(description="The columns that identify a row.")
    columns: Annotated[dict[Column, ColumnEntry], Field(min_length=1)] = Field(
        description="What streams may map, by name: where a record holds it."
    )
    version: Annotated[RecordPlace | None, GIVEN] = Field(
        default=None, description="What the vendor calls a row's version; another one is another, and never greater."
    )
    modified: Annotated[Modified | None, GIVEN] = Field(default=None, description="When a row was changed.")
    absent: Literal["unknown", "cleared"] = Field(
        default="unknown", description="What it means that a record leaves a column out."
    )
    newer_by: Literal["reading", "modified"] = Field(
        default="reading",
        description="Of two tellings of one row, which is newer: the one read later, or changed later.",
    )
    all: Reading = Field(description="How all rows are read.")
    changes: Changes = Field(description="How changes are read.")
    one: Reading = Field(description="How one row is read, by {key} or by the names of its key's columns.")
    delete: Annotated[Delete | None, GIVEN] = Field(
        default=None, description="How a deletion shows; left out: it does not."
    )

    @property
    def shape(self) -> dict[str, ColumnSpec]:
        """Every column in its full form."""
        return {
            name: each if isinstance(each, ColumnSpec) else ColumnSpec(place=each)
            for name, each in self.columns.items()
        }

    @property
    def changed(self) -> Reading:
        """How changes are read, with what they take from `all`."""
        return Reading(
            request=self.changes.request or self.all.request,
            records=self.changes.records or self.all.records,
            page=self.changes.page or self.all.page,
        )


# --- a vendor ------------------------------------------------------------------------------------------------


class TokenLogin(Strict):
    """A token that a person made, in a header."""

    kind: Literal["token"]
    header: Text = Field(default="Authorization", description="The header that it stands in.")
    prefix: Text = Field(default="Bearer", description="What stands before it; `none` for nothing.")


class BasicLogin(Strict):
    """A user and a password."""

    kind: Literal["basic"]


class ClientCredentials(Strict):
    """OAuth 2.0: a token for the client itself."""

    kind: Literal["client_credentials"]
    token_path: TokenPath = Field(description="Where tokens are given: a path of the vendor's address, or an address.")
    scope: Annotated[Text | None, GIVEN] = Field(default=None, description="What is asked for.")
    client: Literal["header", "body"] = Field(default="header", description="Where the client names itself.")


class RefreshToken(Strict):
    """OAuth 2.0: a token that a person allowed once, renewed by a refresh token that may be good for one use only."""

    kind: Literal["refresh_token"]
    token_path: TokenPath = Field(description="Where tokens are given: a path of the vendor's address, or an address.")
    client: Literal["header", "body"] = Field(default="header", description="Where the client names itself.")


Login = Annotated[TokenLogin | BasicLogin | ClientCredentials | RefreshToken, Discriminator("kind")]


class Limits(Strict):
    """How often the vendor may be asked, over all that is made with one login."""

    rates: Annotated[tuple[Pace, ...], BeforeValidator(one_or_list)] = Field(
        default=(), description="Requests in a time, as 25/s, 500/60s, 5000/d."
    )
    concurrency: Whole = Field(default=4, description="Requests that may be under way at once.")
    answer_bytes: Whole = Field(default=32_000_000, description="The largest answer, unpacked.")
    seconds: Whole = Field(default=60, description="How long an answer may take.")


class ErrorRule(Strict):
    """What an answer means that is not what was asked for. The first rule that fits is the one."""

    http: Annotated[Statuses | None, GIVEN] = Field(default=None, description="The status, or several.")
    when: Annotated[Holds | None, GIVEN] = Field(default=None, description="What holds of the answer (@).")
    do: Verdict = Field(
        description="retry: once more after a pause; busy: after the pause asked for; rebaseline: what was asked for is"
        " gone, all rows are to be read; halt: a person mends it; gone: there is no such row."
    )
    because: Annotated[Text | None, GIVEN] = Field(default=None, description="What a person is told to do.")


class Value(Strict):
    """A name that stands in requests and that each system's file gives."""

    description: Text = Field(description="What it is, and where to find it.")
    pattern: Text = Field(default=r"[A-Za-z0-9._-]{1,100}", description="What it looks like.")


class Vendor(Strict):
    """vendors/*.yaml: one vendor's API."""

    vendor: Name = Field(description="The vendor's name, as systems name it.")
    title: Text = Field(description="Its name for people.")
    url: Annotated[Text | None, GIVEN] = Field(
        default=None, description="Its address; left out: each system's file gives it."
    )
    values: dict[Name, Value] = Field(default={}, description="What each system's file gives besides: {name}.")
    auth: Login = Field(description="How one logs in.")
    headers: dict[Text, Template] = Field(default={}, description="Headers of every request.")
    limits: Limits = Field(default_factory=Limits, description="How often it may be asked.")
    errors: tuple[ErrorRule, ...] = Field(default=(), description="What its errors mean, beyond what HTTP says.")
    objects: Annotated[dict[Name, ObjectSpec], Field(min_length=1)] = Field(description="Its objects.")
