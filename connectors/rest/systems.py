"""What is wrong with a system's file of kind `rest`, beyond its shape: it has to fit the vendor's file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fieldwarden.connectors.rest.description import ColumnEntry, ObjectSpec, Vendor
from fieldwarden.connectors.rest.settings import NEEDED, RestSettings
from fieldwarden.connectors.rest.vendors import shipped, vendor_of
from fieldwarden.rules.documents import Path
from fieldwarden.rules.files import Files, writes
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.folding import expression
from fieldwarden.rules.models import StreamModel
from fieldwarden.rules.stream_checks import said_by
from fieldwarden.rules.wording import closest

_LOGINS = frozenset(key for keys in NEEDED.values() for key in keys)


def check_systems(files: Files, systems: Sequence[str], findings: CheckResults) -> None:
    """As `RulesOfKind.check`."""
    told: set[str] = set()
    for name in systems:
        page = Page(files.systems[name].document, findings)
        settings = files.systems[name].model.connector
        assert isinstance(settings, RestSettings)
        vendor, problems = vendor_of(settings.vendor, files.vendors)
        if settings.vendor not in told:
            findings.errors += problems
            told.add(settings.vendor)
        if vendor is not None:
            _check(page, files, name, settings, vendor)
        elif not problems:
            known = {*shipped(), *files.vendors}
            message = f"no file describes the vendor {settings.vendor!r}"
            there = f"write vendors/{settings.vendor}.yaml (docs/feeds.md); there are {', '.join(sorted(known))}"
            page.error(("connector", "vendor"), message, closest(settings.vendor, known, there))


def extended(vendor: Vendor, columns: Mapping[str, Mapping[str, ColumnEntry]]) -> Vendor:
    """The vendor with a system's own columns besides. Objects that it does not have are passed over."""
    objects = {
        name: spec.model_copy(update={"columns": {**spec.columns, **columns.get(name, {})}})
        for name, spec in vendor.objects.items()
    }
    return vendor.model_copy(update={"objects": objects})


def _check(page: Page, files: Files, name: str, settings: RestSettings, vendor: Vendor) -> None:
    for place, message, suggestion in _of_settings(settings, vendor):
        page.error(("connector", *place), message, suggestion)
    for written in settings.columns.keys() - vendor.objects.keys():
        message = f"{vendor.title} has no object {written!r} in its file"
        page.error_at_key(("connector", "columns", written), message, closest(written, vendor.objects))
    model = files.systems[name].model
    for stream, each in model.streams.items():
        at: Path = ("streams", stream)
        table = each.table or stream
        spec = extended(vendor, settings.columns).objects.get(table)
        if writes(model, each):
            message = f"{name} is only read: nothing is written to a vendor yet"
            page.error_at_key(at, message, "add mode: source to the system or the stream")
        if spec is None:
            message = f"{vendor.title} has no object {table!r} in its file"
            page.error_at_key(at, message, closest(table, vendor.objects))
        else:
            _check_stream(page, at, each, table, spec)


def _of_settings(settings: RestSettings, vendor: Vendor) -> Iterator[tuple[Path, str, str]]:
    if settings.url is None and vendor.url is None:
        yield (), f"each system of {vendor.title} has an address of its own", "add url:"
    for key, value in vendor.values.items():
        given = settings.values.get(key)
        if given is None:
            yield (
                ("values",),
                f"{vendor.title} is asked for by {key!r}: {value.description}",
                f"add values: {{{key}: ...}}",
            )
        elif not re.fullmatch(value.pattern, given):
            yield ("values", key), f"{key!r} does not look like one: {value.description}", f"it fits {value.pattern}"
    for key in settings.values.keys() - vendor.values.keys():
        yield ("values", key), f"{vendor.title} is not asked for by {key!r}", closest(key, vendor.values, "remove it")
    needed = NEEDED[vendor.auth.kind]
    for key in needed:
        if getattr(settings, key) is None:
            yield (), f"one logs in to {vendor.title} by {' and '.join(needed)}", f"add {key}:"
    for key in sorted(_LOGINS - {*needed}):
        if getattr(settings, key) is not None:
            yield (key,), f"one does not log in to {vendor.title} by {key}", f"it takes {' and '.join(needed)}"


def _check_stream(page: Page, at: Path, stream: StreamModel, table: str, spec: ObjectSpec) -> None:
    if stream.key != spec.key:
        page.error((*at, "key"), f"the key of {table} is {', '.join(spec.key)}", f"write key: {spec.key[0]}")
    for place, column in _wanted(stream):
        if column not in spec.columns:
            more = f"or add it under connector: columns: {table}:"
            near = closest(column, spec.columns)
            page.error((*at, *place), f"{table} has no column {column!r} in the vendor's file", f"{near} {more}")


def _wanted(stream: StreamModel) -> Iterator[tuple[Path, str]]:
    """Every column that reading the stream needs, but for its key, with the place that says so. Expressions that cannot
    be read have been said."""
    for name, source in stream.fields.items():
        yield from ((("fields", name), column) for column in sorted(said_by(source)))
    for key in ("where", "changed_at"):
        text = getattr(stream, key)
        try:
            yield from (((key,), column) for column in sorted(expression(text).columns if text is not None else ()))
        except ValueError:
            continue
    for key in ("first_by", "merged_into"):
        yield from (((key,), column) for column in getattr(stream, key) or ())
    for parent, columns in (stream.parent or {}).items():
        yield from ((("parent", parent), column) for column in columns)
    if stream.external_id is not None:
        yield ("external_id",), stream.external_id
