"""What `doctor` says of an org: whether we may log in, which objects and fields there are, and what they let us do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from fieldwarden.connectors.salesforce.asking.session import SalesforceSession
from fieldwarden.connectors.salesforce.decoding.described import ObjectOf
from fieldwarden.connectors.salesforce.decoding.fields import NoText, column
from fieldwarden.connectors.salesforce.decoding.rows import KEY
from fieldwarden.engine.errors import EnvironmentUnfit, TransientError
from fieldwarden.engine.ports.finding import Finding, bad, good, note, warning
from fieldwarden.engine.wanted import wanted_columns
from fieldwarden.rules.rulebook import Stream, System

_SCARCE = 0.8
"""Of the requests of 24 hours; above this share a person is warned."""
_SHARE_FIELD = "let the user that we log in as see it (field-level security), or mend the mapping"

CanSubscribe = Callable[[str], Awaitable[bool]]
"""Whether a topic may be read. Raises EnvironmentUnfit where there is none."""


async def findings(session: SalesforceSession, system: System, can_subscribe: CanSubscribe) -> list[Finding]:
    """Everything that was looked at, good and bad. What cannot be reached is a finding."""
    try:
        await session.now()
    except (EnvironmentUnfit, TransientError) as error:
        return [bad("connection", error.message, error.suggestion)]
    found = [good("connection", f"{system.name}: Salesforce takes our login")]
    for stream in system.streams.values():
        found += await _stream(session, stream, can_subscribe)
    return [*found, *_limits(session)]


async def _stream(session: SalesforceSession, stream: Stream, can_subscribe: CanSubscribe) -> list[Finding]:
    try:
        object = await session.described(stream.table)
    except (EnvironmentUnfit, TransientError) as error:
        return [bad("table", error.message, error.suggestion, stream.name)]
    found = [good("table", f"{object.name} is there", stream.name), *_read(stream, object), *_written(stream, object)]
    if not stream.reads:
        return found
    try:
        may = await can_subscribe(object.topic)
    except (EnvironmentUnfit, TransientError) as error:
        return [*found, bad("topic", error.message, error.suggestion, stream.name)]
    if not may:
        message = f"{object.topic} may not be read by the user that we log in as"
        return [*found, bad("topic", message, f"let the user read all records of {object.name}", stream.name)]
    return [*found, good("topic", f"changes of {object.name} are told on {object.topic}", stream.name)]


def _read(stream: Stream, object: ObjectOf) -> Iterator[Finding]:
    for name in sorted(wanted_columns(stream).columns - {KEY}):
        field = object.fields.get(name)
        if field is None:
            yield bad("column", f"{object.name} has no field {name}, or it is hidden", _SHARE_FIELD, stream.name, name)
            continue
        try:
            column(field.read)
        except NoText as error:
            yield bad("column", f"{object.name}.{name}: {error}", "mend the mapping", stream.name, name)
            continue
        if field.read.computed:
            message = f"{object.name}.{name} is computed: a change of it alone is told by no event"
            yield note("column", message, "every change of its row has the row read by a query", stream.name, name)


def _written(stream: Stream, object: ObjectOf) -> Iterator[Finding]:
    for operation, names in (("create", stream.create_fields), ("update", stream.update_fields)):
        for name in names:
            mapped = stream.fields[name].column
            field = None if mapped is None else object.fields.get(mapped)
            refusal = field.refusal("create" if operation == "create" else "update") if field is not None else ""
            if refusal:
                message = f"{object.name}.{mapped} cannot be written: {refusal}"
                yield bad(
                    "column", message, "take it out of the write set, or grant the right", stream.name, mapped or ""
                )
    if stream.creates:
        field = object.fields.get(stream.external_id or "")
        if field is None or not (field.unique and field.external_id):
            message = f"{object.name}.{stream.external_id} does not tell records apart"
            advice = "make it an External ID and Unique in Salesforce's Setup"
            yield bad("column", message, advice, stream.name, stream.external_id or "")


def _limits(session: SalesforceSession) -> Iterator[Finding]:
    if session.used is None:
        return
    done, allowed = session.used
    message = f"{done:,} of {allowed:,} requests of 24 hours are used"
    if done < allowed * _SCARCE:
        yield good("limits", message)
    else:
        yield warning("limits", message, "ask Salesforce for more, or end other users of its API")
