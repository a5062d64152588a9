"""What is wrong with a vendor's file although each part has its shape: what belongs together, and does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from fieldwarden.connectors.rest.description import (
    DeltaLink,
    DeltaToken,
    KeysetPages,
    ObjectSpec,
    OffsetPages,
    OnePage,
    Page,
    Reading,
    Request,
    SeparateFeed,
    TimeWindow,
    TokenPages,
    Tombstone,
    Vendor,
)
from fieldwarden.connectors.rest.templates import names
from fieldwarden.rules.documents import Document, Path
from fieldwarden.rules.errors import Problem
from fieldwarden.rules.wording import closest

_RESERVED = frozenset({"since", "until", "offset", "token", "delta", "size", "fields", "key"})


def vendor_problems(vendor: Vendor, document: Document) -> list[Problem]:
    """All of them, each at its place. `document` is what `vendor` was made from."""
    return [document.at(*place).problem(*words) for place, *words in _problems(vendor)]


def _problems(vendor: Vendor) -> Iterator[tuple[Path, str, str]]:
    for name in vendor.values.keys() & _RESERVED:
        yield ("values", name), f"{{{name}}} already means something in requests", "call it something else"
    for name, value in vendor.values.items():
        try:
            re.compile(value.pattern)
        except re.error:
            yield ("values", name, "pattern"), "'pattern' is not a regular expression", ""
    known = frozenset(vendor.values)
    for where in ("headers",):
        yield from _unknown((where,), vendor.headers, known)
    for index, rule in enumerate(vendor.errors):
        if rule.http is None and rule.when is None:
            yield ("errors", index), "an error is known by its status or by what it says", "add http: or when:"
    for name, spec in vendor.objects.items():
        yield from _of_object(("objects", name), spec, known)


def _of_object(at: Path, spec: ObjectSpec, known: frozenset[str]) -> Iterator[tuple[Path, str, str]]:
    for column in spec.key:
        if column not in spec.columns:
            yield (*at, "key"), f"the key's column {column!r} is not among the columns", closest(column, spec.columns)
    if spec.newer_by == "modified" and spec.modified is None:
        yield (*at, "newer_by"), "newer_by: modified needs to know when a row was modified", "add modified:"
    yield from _paged((*at, "all"), spec.all, known)
    key = frozenset(spec.key) | ({"key"} if len(spec.key) == 1 else set())
    yield from _unknown((*at, "one", "request"), spec.one.request, known | key | {"fields"})
    if not key & {*_said(spec.one.request)}:
        yield (*at, "one", "request"), "the request of one row does not say which", f"let {{{min(key)}}} stand in it"
    if spec.one.page.kind != "none":
        yield (*at, "one", "page"), "one row has no pages", "remove it"
    yield from _of_changes((*at, "changes"), spec, known)
    if isinstance(spec.delete, SeparateFeed):
        feed = Reading(request=spec.delete.request, records=spec.delete.records, page=spec.delete.page)
        yield from _paged((*at, "delete"), feed, known | {"since", "until"})
        yield from _windowed((*at, "delete"), spec.delete.request)
        yield from _keyed((*at, "delete", "records"), feed, spec)
    elif isinstance(spec.delete, Tombstone):
        groups = re.compile(spec.delete.pattern).groups if spec.delete.pattern is not None else 1
        if groups != len(spec.key):
            message = f"a key of {len(spec.key)} parts is read by as many groups"
            yield (*at, "delete", "pattern"), message, "add pattern:" if spec.delete.pattern is None else ""


def _of_changes(at: Path, spec: ObjectSpec, known: frozenset[str]) -> Iterator[tuple[Path, str, str]]:
    changes = spec.changes
    if isinstance(changes.cursor, DeltaLink):
        if changes.request is not None:
            yield (*at, "request"), "what follows a delta_link has no request of its own", "remove it"
        if isinstance(spec.changed.page, OffsetPages | KeysetPages):
            yield (*at, "cursor"), "the pages of a delta_link follow by links or tokens", "say so with page:"
        return
    names_ = known | ({"delta"} if isinstance(changes.cursor, DeltaToken) else {"since", "until"})
    for place, *words in _paged(at, spec.changed, names_):
        if changes.page is not None or place[len(at)] != "page":  # what is wrong with the pages of `all` was said there
            yield place, words[0], words[1]
    if isinstance(changes.cursor, TimeWindow):
        yield from _windowed(at, changes.request)
    elif changes.request is None or "delta" not in {*_said(changes.request)}:
        yield (*at, "request"), "changes since a delta_token are asked for by {delta}", "let it stand in the request"
    if changes.reads == "keys" or changes.records is not None:
        yield from _keyed((*at, "records"), spec.changed, spec)


def _windowed(at: Path, request: Request | None) -> Iterator[tuple[Path, str, str]]:
    if request is None or "since" not in {*_said(request)}:
        yield (*at, "request"), "changes of a time_window are asked for from {since}", "let it stand in the request"


def _keyed(at: Path, feed: Reading, spec: ObjectSpec) -> Iterator[tuple[Path, str, str]]:
    key = feed.records.key
    if key is not None and len(key) != len(spec.key):
        yield (*at, "key"), f"the object's key has {len(spec.key)} parts, and this one {len(key)}", ""


def _paged(at: Path, feed: Reading, known: frozenset[str]) -> Iterator[tuple[Path, str, str]]:
    """The request of a feed, and of its further pages."""
    page, allowed = feed.page, known | {"fields", *_sized(feed.page)}
    said = {*_said(feed.request)}
    yield from _unknown((*at, "request"), feed.request, allowed | _counted(page))
    if isinstance(page, OffsetPages) and not {"offset", "size"} <= said:
        yield (*at, "request"), "pages by offset are asked for by {offset} and {size}", "let both stand in the request"
    elif isinstance(page, TokenPages):
        yield from _unknown((*at, "page", "query"), page.query, allowed | {"token"})
        if "token" not in {*said, *names(page.query)}:
            yield (*at, "page"), "every page would be the first: {token} is not asked for", "add query: to the page"
    elif isinstance(page, KeysetPages):
        after = {f"after_{number}" for number in range(1, len(page.by) + 1)}
        yield from _unknown((*at, "page", "next"), page.next, allowed | after)
        if not after <= {*_said(page.next)}:
            yield (*at, "page", "next"), f"it has to ask for {' and '.join(sorted(after))}, each as {{after_1}}", ""


def _sized(page: Page) -> set[str]:
    return set() if isinstance(page, OnePage) or page.size is None else {"size"}


def _counted(page: Page) -> set[str]:
    """What stands for the page in the request of the first one too."""
    if isinstance(page, TokenPages) and page.first is not None:
        return {"token"}
    return {"offset"} if isinstance(page, OffsetPages) else set()


def _said(request: Request) -> Iterator[str]:
    for part in (request.path, request.query, request.headers, request.body):
        yield from names(part)


def _unknown(at: Path, template: Any, known: Iterable[str]) -> Iterator[tuple[Path, str, str]]:
    said = _said(template) if isinstance(template, Request) else names(template)
    for name in sorted({*said} - {*known}):
        listed = ", ".join(sorted(f"{{{each}}}" for each in known))
        yield at, f"{{{name}}} means nothing here", closest(name, known, f"there is {listed}")
