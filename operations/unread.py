"""What holds up all deliveries: a system of which not all rows have been read, or that is read again.

It may be another process that reads it, or nobody; so the hub is asked, whoever wants to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fieldwarden.engine.hub.views.overview import Overview, PartitionState, SourceState, UnreadSource
from fieldwarden.operations.project import Opened, is_partitioned


async def unread(project: Opened, overview: Overview, states: Iterable[SourceState]) -> dict[str, str]:
    """System -> why its rows have not all been read, and what to do where that takes a person. `states` are those of
    `overview.sources()`. Raises TransientError."""
    systems = project.rulebook.systems
    mapped = {name: systems[name].read_streams for name in project.sources}
    found = await overview.unread(mapped)
    if not found:
        return {}
    known = {state.name: state for state in states}
    parts = await overview.partitions()
    return {
        each.name: why(each, known.get(each.name), parts, partitioned=is_partitioned(project, each.name))
        for each in found
    }


def held_up(system: str, reason: str) -> str:
    return f"nothing is delivered until all rows of {system} have been read: {reason}"


def stands(state: SourceState) -> str:
    return f"reading it is {state.state}: {state.message}"


def why(source: UnreadSource, state: SourceState | None, parts: Sequence[PartitionState], *, partitioned: bool) -> str:
    """In words, by what its readers and the hub say of it."""
    if state is not None and state.state in ("halted", "retrying"):
        return stands(state)
    if not partitioned:
        return _of_one_stream(state)
    if source.later:
        return (
            "a table was mapped when the others had been read: `fieldwarden connector register`, then "
            f"`fieldwarden run --rebaseline {source.name}`"
        )
    if not source.told and source.again:
        return (
            "a new baseline was begun, and its rows have not all been told again; if the process that was to see to "
            f"that is gone: `fieldwarden run --rebaseline {source.name}`"
        )
    if not source.told:
        return "it is not known yet where its first rows end; `fieldwarden connector status` says how Debezium fares"
    if source.partitions:
        return _of_partitions(source, parts)
    return "rows that nobody has told of again are being looked for"


def _of_one_stream(state: SourceState | None) -> str:
    if state is None or state.state == "new":
        return "nobody has begun to read it"
    return "its rows are being read" if state.state == "snapshot" else "it is to be read again"


def _of_partitions(source: UnreadSource, parts: Sequence[PartitionState]) -> str:
    messages = {part.name: part.message for part in parts if part.source == source.name}
    for name in source.partitions:
        if message := messages.get(name):
            return f"the partition {name} stands still: {message}"
    others = len(source.partitions) - 1
    more = f" and {others} more" if others else ""
    return f"{source.partitions[0]}{more} must be read on to where the first rows end"
