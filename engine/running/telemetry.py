"""What the loops tell about themselves: Prometheus metrics, and the few facts from which readiness is judged.

One instance per process, with a registry of its own, handed to every loop. Metric names are the product's
(base units, `_total`; never an id, a key or a value as a label). Besides them it keeps one `Connector` per half of
a system, because "running but dead" cannot be seen from a state alone: only from work that waits while nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fieldwarden.engine.bugs import Bug, bug_of
from fieldwarden.engine.deciding.identity import Claim
from fieldwarden.engine.deciding.known import Tally
from fieldwarden.engine.ports.durable import Duplicate
from fieldwarden.engine.ports.duties import Half
from fieldwarden.engine.ports.forged import Noted

log = structlog.get_logger(__name__)

State: TypeAlias = Literal[
    "new", "standby", "snapshot", "streaming", "delivering", "busy", "retrying", "halted", "stopped"
]
STATES: tuple[State, ...] = (
    "new",
    "standby",
    "snapshot",
    "streaming",
    "delivering",
    "busy",
    "retrying",
    "halted",
    "stopped",
)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Connector:
    """How one half of a system fares. `waiting` counts bytes of a source's log, or due deliveries of a target.

    `steps` counts how often it progressed; `idle_since` is the last moment (seconds since 1970) at which it
    progressed or had nothing to do.
    """

    half: Half
    name: str
    state: State
    message: str
    waiting: int
    idle_since: float
    steps: int = 0

    @property
    def label(self) -> str:
        return f"{self.name}.{self.half}"


@dataclass(slots=True)
class Partition:
    """How one partition of a source fares that this process reads. `waiting` counts its unread records, `message` says
    why it stands still, if it must; `idle_since` as in `Connector`."""

    system: str
    name: str
    position: str | None
    waiting: int
    message: str
    idle_since: float


@dataclass(slots=True)
class Unread:
    """A system of which not all rows have been read, so that nothing is delivered, and why. `changes` counts what was
    heard of it; `idle_since`: since when that stands still, in seconds since 1970."""

    system: str
    reason: str
    changes: int
    idle_since: float


class Telemetry:
    """All counters and gauges. Cheap enough to be called once per batch; call it per batch, not per change."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._connectors: dict[tuple[Half, str], Connector] = {}
        self._partitions: dict[tuple[str, str], Partition] = {}
        self._unread: dict[str, Unread] = {}
        self._bugs: set[Bug] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"fieldwarden_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"fieldwarden_{name}", text, labels, registry=self.registry)

        self._changes = counter("changes_received", "Changes durable in the hub.", "system", "entity")
        self._echoes = counter("echoes", "Our own writes that came back and decided nothing.", "system")
        self._forged = counter(
            "forged_marks", "Transactions that somebody has marked as our own write, and that are not.", "system"
        )
        self._rebaselined = counter("rebaselines", "Baselines begun by the process itself after a gap.", "system")
        self._decisions = counter("decisions", "Decisions, one per field of a change.", "entity", "outcome")
        self._refusals = counter("guard_refusals", "Edits of protected fields refused.", "entity", "owner")
        self._suspicious = counter(
            "suspicious_claims", "Rows that claimed another's record and were not believed.", "system", "claim"
        )
        self._met = counter("bugs_met", "Changes and deliveries put aside for a bug of ours.", "system")
        self._deliveries = counter("deliveries", "Deliveries by what became of them.", "target", "result")
        self._duration = Histogram(
            "fieldwarden_delivery_duration_seconds",
            "Time of one set of guarded writes to a target.",
            ("target",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._lag = gauge(
            "end_to_end_lag_seconds", "Age of the last change delivered, at its delivery.", "source", "target"
        )
        self._last_change = gauge(
            "source_last_change_timestamp_seconds", "Commit time of the last change received.", "system"
        )
        self._lag_bytes = gauge("source_lag_bytes", "Log of a source not yet durable in the hub.", "system")
        self._partition_lag = gauge(
            "partition_lag", "Records of a partition not yet durable in the hub.", "system", "topic", "partition"
        )
        self._pending = gauge("deliveries_pending", "Records due for delivery.", "target")
        self._slot = gauge("replication_slot_retained_bytes", "Log kept for a slot.", "slot")
        self._state = gauge("connector_state", "1 for the state a connector is in.", "connector", "state")
        self._dead_letters = gauge("dead_letters", "Changes and deliveries set aside.", "target", "reason")
        self._duplicates = gauge("duplicates", "Values of match keys that several live records carry.", "entity")
        self._dead_age = gauge("dead_letter_oldest_age_seconds", "Age of the oldest set aside.", "target")
        self._webhooks = counter("webhooks", "Requests of systems to us, by what became of them.", "system", "outcome")
        self._inbox = gauge("inbox_unread", "What webhooks brought and nobody has read yet.", "system")
        self._inbox_age = gauge("inbox_oldest_age_seconds", "Age of the first unread item of an inbox.", "system")

    # --- what the pipeline says ------------------------------------------------------------------------------

    def rebaselined(self, system: str) -> None:
        """A gap was found, and all rows of the system are read again."""
        self._rebaselined.labels(system).inc()

    def decided(self, system: str, tally: Tally) -> None:
        """A batch of this source that is durable now."""
        for entity, n in tally.changes.items():
            self._changes.labels(system, entity).inc(n)
        for (entity, outcome), n in tally.decisions.items():
            self._decisions.labels(entity, outcome).inc(n)
        for (entity, owner), n in tally.refusals.items():
            self._refusals.labels(entity, owner).inc(n)
        for (whose, claim), n in tally.suspicious.items():
            self._suspicious.labels(whose, claim).inc(n)
            log.warning("source.suspicious", system=whose, claim=claim, rows=n)
        if tally.echoes:
            self._echoes.labels(system).inc(tally.echoes)

    def forged(self, system: str, noted: Noted, last: str) -> None:
        """Transactions with a forged mark; `last` is the last one's name. The log tells of them as the ledger does."""
        self._forged.labels(system).inc(noted.new)
        if noted.told:
            log.warning("source.forged_mark", system=system, transactions=noted.told, last=last)

    def source_progress(self, system: str, position_time: float) -> None:
        """The commit time (seconds since 1970) of the newest change that is durable in the hub."""
        self._last_change.labels(system).set(position_time)

    def webhook(self, system: str, outcome: str) -> None:
        """A request of a system that sends webhooks was answered. May be called on any thread."""
        self._webhooks.labels(system, outcome).inc()

    def inboxes(self, unread: Mapping[str, tuple[int, float]]) -> None:
        """All inboxes anew: how many items are unread, and the age of the first one in seconds."""
        for system, (number, age) in unread.items():
            self._inbox.labels(system).set(number)
            self._inbox_age.labels(system).set(age)

    # --- what the delivery says ------------------------------------------------------------------------------

    def delivered(self, target: str, result: str, n: int = 1) -> None:
        """`result`: a settlement's status (done, retry, wait, park)."""
        self._deliveries.labels(target, result).inc(n)

    def delivery_seconds(self, target: str, seconds: float) -> None:
        self._duration.labels(target).observe(seconds)

    def lag(self, source: str, target: str, seconds: float) -> None:
        """From the source's commit to the target's, of the change just delivered."""
        self._lag.labels(source, target).set(max(0.0, seconds))

    # --- what both say, and what `run` watches ---------------------------------------------------------------

    def bug(self, system: str, error: BaseException) -> None:
        """A change or a delivery met an unexpected error. Where that came from is logged once, never its message."""
        bug = bug_of(error)
        self._met.labels(system).inc()
        if bug not in self._bugs:
            self._bugs.add(bug)
            log.error("bug.found", fingerprint=bug.fingerprint, kind=bug.kind, places=list(bug.places))
        log.warning("bug.met", fingerprint=bug.fingerprint, system=system)

    def alike(self, found: Iterable[Duplicate]) -> None:
        """Records that turned out alike just now: named in the log, never by the value that they share."""
        for each in found:
            log.warning("records.alike", entity=each.entity, field=each.key, records=list(each.records))

    def duplicates(self, counts: Mapping[str, int]) -> None:
        """All of them anew: how often records of an entity are alike."""
        self._duplicates.clear()
        for entity, n in counts.items():
            self._duplicates.labels(entity).set(n)

    def connector_state(self, half: Half, name: str, state: State, message: str = "") -> None:
        """`message` says why, in words that hold neither values nor secrets."""
        connector = self._connector(half, name)
        connector.state, connector.message = state, message
        for other in STATES:
            self._state.labels(connector.label, other).set(1 if other == state else 0)

    def progressed(self, half: Half, name: str, at: float | None = None) -> None:
        """A source's position moved, or a target's delivery was settled (`at`: seconds since 1970; now)."""
        connector = self._connector(half, name)
        connector.steps += 1
        connector.idle_since = max(connector.idle_since, self._clock() if at is None else at)

    def waiting(self, half: Half, name: str, amount: int) -> None:
        """Bytes a source has not handed over, or deliveries due now. 0: nothing to do."""
        connector = self._connector(half, name)
        if connector.waiting == 0 or amount == 0:
            connector.idle_since = max(connector.idle_since, self._clock())
        connector.waiting = amount
        (self._lag_bytes if half == "source" else self._pending).labels(name).set(amount)

    def partitions(self, system: str, found: Mapping[str, tuple[str | None, int, str]]) -> None:
        """All partitions (`topic/number`) of a source that this process reads, anew: the position in the hub, how many
        records wait, and why it stands still (empty: it does not)."""
        now = self._clock()
        for key in [key for key in self._partitions if key[0] == system and key[1] not in found]:
            del self._partitions[key]
            self._partition_lag.remove(system, *_topic_and_number(key[1]))
        for name, (position, waiting, message) in found.items():
            seen = self._partitions.get((system, name))
            moved = seen is None or seen.position != position or seen.waiting == 0 or waiting == 0
            since = now if seen is None or moved else seen.idle_since
            self._partitions[system, name] = Partition(system, name, position, waiting, message, since)
            self._partition_lag.labels(system, *_topic_and_number(name)).set(waiting)

    def unread(self, found: Mapping[str, tuple[str, int]]) -> None:
        """All systems that are not read, whoever reads them, anew: why, and how many changes were heard of each."""
        now, before = self._clock(), self._unread
        self._unread = {
            name: Unread(name, reason, changes, _idle_since(before.get(name), changes, now))
            for name, (reason, changes) in found.items()
        }
        for connector in self._connectors.values() if found else ():
            if connector.half == "target":
                connector.idle_since = max(connector.idle_since, now)

    def slot(self, slot: str, retained_bytes: int) -> None:
        self._slot.labels(slot).set(retained_bytes)

    def dead_letters(self, counts: Iterable[tuple[str, str, int]], oldest: Iterable[tuple[str, float]]) -> None:
        """All of them anew: (system, kind, how many), and (system, age of its oldest in seconds)."""
        self._dead_letters.clear()
        self._dead_age.clear()
        for system, reason, n in counts:
            self._dead_letters.labels(system, reason).set(n)
        for system, age in oldest:
            self._dead_age.labels(system).set(age)

    def forget(self, half: Half, name: str) -> None:
        """Another process does this from now on."""
        found = self._connectors.pop((half, name), None)
        if found is not None:
            for state in STATES:
                self._state.remove(found.label, state)
        (self._lag_bytes if half == "source" else self._pending).remove(name)
        if half == "source":
            self.partitions(name, {})

    def totals(self) -> dict[str, int]:
        """Since the process began: changes received, decisions, deliveries done, refusals."""
        return {
            "changes": _sum(self._changes),
            "decisions": _sum(self._decisions),
            "refused": _sum(self._refusals),
            "deliveries": _sum(self._deliveries, result="done"),
        }

    def connectors(self) -> list[Connector]:
        """Every half that has said anything, by name."""
        return sorted(self._connectors.values(), key=lambda connector: (connector.name, connector.half))

    def seen_partitions(self) -> list[Partition]:
        """Those of `partitions`, by name."""
        return [partition for _, partition in sorted(self._partitions.items())]  # asked from another thread

    def unread_systems(self) -> list[Unread]:
        """Those of `unread`."""
        return list(self._unread.values())

    def _connector(self, half: Half, name: str) -> Connector:
        found = self._connectors.get((half, name))
        if found is None:
            found = self._connectors[half, name] = Connector(half, name, "new", "", 0, self._clock())
            self._count_from_zero(half, name)
        return found

    def _count_from_zero(self, half: Half, system: str) -> None:
        """What nobody hopes to see is shown before it happens: an alert looks for what has risen, and a count that is
        first shown as 1 has not."""
        self._met.labels(system)
        if half == "source":
            self._forged.labels(system)
            self._rebaselined.labels(system)
            for claim in get_args(Claim):
                self._suspicious.labels(system, claim)


def _idle_since(before: Unread | None, changes: int, now: float) -> float:
    return now if before is None or before.changes != changes else before.idle_since


def _topic_and_number(name: str) -> tuple[str, str]:
    topic, _, number = name.rpartition("/")
    return topic, number


def _sum(counter: Counter, **labels: str) -> int:
    samples = (sample for family in counter.collect() for sample in family.samples)
    return int(sum(s.value for s in samples if s.name.endswith("_total") and labels.items() <= s.labels.items()))
