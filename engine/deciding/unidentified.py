"""New records of which it may not be known yet whose they are: what would tell stands in child rows, which come on
topics of their own.

A log that is read directly shows where a transaction ends, and nothing of it is delivered before that. Topics do not:
a customer's row may be read long before the row with its tax id. Created elsewhere meanwhile it would stand there
twice, so it waits a moment (`settle`).
"""

from __future__ import annotations

from fieldwarden.engine.deciding.identity import record_pairs
from fieldwarden.engine.record import Record
from fieldwarden.rules.rulebook import Rulebook, Stream, System

EARLY = "its child rows may still say whose it is (settle)"


class Unidentified:
    """Which records wait, of those that a target would be given anew."""

    def __init__(self, rulebook: Rulebook, target: str) -> None:
        self._entities = rulebook.entities
        self._target = target
        self._late: dict[str, dict[tuple[str, str], tuple[float, frozenset[str]]]] = {}
        """Entity -> (system, root stream) -> seconds, and the match keys that only child rows state there."""
        created = {stream.entity for stream in rulebook.systems[target].streams.values() if stream.creates}
        for system in rulebook.systems.values():
            wait = system.settings.settle_seconds
            for stream in system.streams.values() if system.partitioned else ():
                keys = _late_keys(rulebook, system, stream) if stream.parent is None else frozenset()
                if keys and stream.entity in created:
                    self._late.setdefault(stream.entity, {})[system.name, stream.name] = wait, keys

    def __bool__(self) -> bool:
        """True if any record may have to wait at all."""
        return bool(self._late)

    def wait(self, record: Record, now: float) -> float:
        """Seconds for which the record is not created in the target yet; 0 as a rule. `now` in seconds since 1970.

        A record waits from its beginning on, which its id (a UUIDv7) tells, until every match key that child rows may
        state is stated, but never longer than its system's `settle`."""
        late = self._late.get(record.entity)
        if not late or any(row.system == self._target for row in record.rows):
            return 0.0
        began = _began(record.id)
        places = [(row.system, row.stream) for row in record.rows if row.deleted is None]
        found = [late[place] for place in places if place in late]
        longest = max((seconds for seconds, _ in found), default=0.0)
        waits = longest + began - now
        if waits <= 0.0 or waits > 2 * longest:  # the clock of the process that began it is far ahead: nobody can tell
            return 0.0
        stated = {name for name, _ in record_pairs(self._entities[record.entity], record)}
        return 0.0 if all(keys <= stated for _, keys in found) else waits


def waits_for_logs(rulebook: Rulebook, target: str) -> bool:
    """True if nothing is written to a target before the logs have been read as they stood at the start: what is in them
    may be an edit of the target's own, or tell that two records are one.

    False only where the target is not read, and of each entity written there one system alone tells, without merged
    rows and with its match keys in its root rows. (That leaves out a row that was deleted, entered again without its
    match key and given that later.)

    >>> waits_for_logs(RULES, "crm")
    True
    """
    if rulebook.systems[target].read_streams:
        return True
    streams = rulebook.systems[target].streams.values()
    for written in {stream.entity for stream in streams if stream.creates or stream.update_fields}:
        keys = {name for key in rulebook.entities[written].match for name in key.fields}
        telling = set[str]()
        for system in rulebook.systems.values():
            for stream in system.read_streams.values():
                if stream.entity != written:
                    continue
                if stream.merged_into or (stream.parent is not None and not keys.isdisjoint(stream.fields)):
                    return True
                telling.add(system.name)
        if len(telling) > 1:
            return True
    return False


def _late_keys(rulebook: Rulebook, system: System, root: Stream) -> frozenset[str]:
    """The match keys of a root stream's entity of which its rows alone do not state every field, and child rows do."""
    below = [each for each in system.streams.values() if each.parent == root.name and each.entity == root.entity]
    stated = {name for stream in below for name in stream.fields} - root.fields.keys()
    return frozenset(key.name for key in rulebook.entities[root.entity].match if not stated.isdisjoint(key.fields))


def _began(id: str) -> float:
    return int(id[:8] + id[9:13], 16) / 1000
