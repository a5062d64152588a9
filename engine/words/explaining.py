"""Why a field of a record holds its value, and who lost: one claim per row, and the sentences made of them.

Pure: the record, its rules and what is still to be delivered go in. The winner is chosen by the same function that
chose it when it was decided (`engine.deciding.resolve`), so an explanation cannot tell another story than the engine.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.deciding.plural import first, is_excluded, without_husks
from fieldwarden.engine.deciding.reresolve import Reresolver
from fieldwarden.engine.deciding.resolve import choose, word_of
from fieldwarden.engine.deciding.unreadable import stands
from fieldwarden.engine.record import Contribution, Record
from fieldwarden.engine.words.story import Event, Show, when
from fieldwarden.rules.rulebook import Entity, Rulebook, Unit

Standing = Literal["stands", "agrees", "refused", "held", "lost", "carries", "nobody's"]
"""carries: it holds what was written there; nobody's: what it holds counts for nothing until it is said anew."""


@dataclass(slots=True)
class Claim:
    """What one row says about the field, and what became of it. `said`: its own word, or a refused one that it still
    holds; `holds`: what was written there; `then` says what will be done about a row that differs."""

    system: str
    stream: str
    key: str
    said: str | None
    said_at: str | None
    standing: Standing
    why: str = ""
    holds: str | None = None
    then: str = ""


@dataclass(slots=True)
class Explanation:
    """Why a field holds its value. `text` says it in sentences; the rest is what the sentences were made of."""

    text: str
    entity: str
    field: str
    record: str
    label: str
    value: str | None
    winner: str
    rule: str
    group: list[str]
    claims: list[Claim]
    history: list[Event]
    files: str = ""
    """What files that are not live would make of it; empty where they make no difference."""


class Circumstances(NamedTuple):
    """What besides the record bears on a field's story.

    `outcomes`: what was decided last on each row's word about the field, as far as known. `deliveries`: target -> what
    its pending delivery of this record waits for ("" if only for its turn). `writable`: the (system, stream) whose rows
    Fieldwarden may write the field to.
    """

    outcomes: Mapping[RowRef, str]
    deliveries: Mapping[str, str]
    writable: Set[tuple[str, str]]


def explain(entity: Entity, record: Record, name: str, label: str, show: Show, around: Circumstances) -> Explanation:
    """Why the field of the record holds its value: whose word stands, what every row says about it, and what became of
    that. `label` is what the record is called, `show` how a value may be shown. `history` and `files` of what comes
    back are left empty.

    >>> unit = Unit("name", ("name",), Policy("source_priority", ("crm",), sentence="crm"))
    >>> row = Contribution("crm", "account", "1", "7", Stamp("7", None), {"name": "Ann"})
    >>> record = Record("0190", "customer", 1, {"name": "Ann"}, [row])
    >>> known = Circumstances({}, {}, set())
    >>> customer = Entity("customer", {}, (unit,), {"name": unit})
    >>> explain(customer, record, "name", "1", lambda _, value: value, known).text
    'name of customer 1 is Ann because crm comes first in the order crm. crm said so when it was first read.'
    """
    unit = entity.unit_of[name]
    winner = choose(unit, record.rows)
    value = record.golden.get(name)
    claims = [
        _claim(unit, name, row, winner, record, show, around)
        for row in record.rows
        if row.holds(name) is not msgspec.UNSET
    ]
    claims.sort(key=lambda claim: _ORDER.index(claim.standing))
    explanation = Explanation(
        "",
        entity.name,
        name,
        record.id,
        label,
        None if value is None else show(name, value),
        winner.system if winner else "",
        unit.policy.sentence,
        [other for other in unit.fields if other != name],
        claims,
        [],
    )
    explanation.text = " ".join(_sentences(explanation, unit, winner, record, show))
    return explanation


def otherwise(files: Rulebook, record: Record, told: Explanation, show: Show) -> str:
    """What other rules (`files`) would make of a field that is told by the live ones, in a clause. "" where that is the
    same."""
    entity = files.entities.get(record.entity)
    if entity is None or told.field not in entity.fields:
        return f"they do not have {told.field} any more: its value would be dropped"
    again = copy.deepcopy(record)
    Reresolver(files)(again)
    unit = entity.unit_of[told.field]
    winner, value = choose(unit, again.rows), again.golden.get(told.field)
    system = winner.system if winner else ""
    words = "" if unit.policy.sentence == told.rule else f" (rule: {unit.policy.sentence})"
    if value != record.golden.get(told.field):
        said = "nothing" if value is None else show(told.field, value)
        return f"they would make it {said}" + (f", the word of {system}" if system else "") + words
    if system != told.winner:
        return f"they would keep the value, as the word of {system or 'nobody'}{words}"
    return f"they would keep the value, by another rule{words}" if words else ""


_ORDER: tuple[Standing, ...] = ("stands", "refused", "held", "lost", "nobody's", "agrees", "carries")


def _claim(
    unit: Unit,
    name: str,
    row: Contribution,
    winner: Contribution | None,
    record: Record,
    show: Show,
    around: Circumstances,
) -> Claim:
    standing, why = _standing(unit, name, row, winner, record, around.outcomes.get(row.ref))
    holds = None if (there := row.holds(name)) is msgspec.UNSET else there
    spoken = row.own(name) or standing in ("refused", "held")
    claim = Claim(
        row.system,
        row.stream,
        row.key,
        show(name, word_of(row, name)) if spoken else None,
        when(row.stamp(name).at) if spoken else None,
        standing,
        why,
        None if spoken else show(name, holds),
    )
    due = standing != "stands" or name in row.still
    if row.deleted is None and due and holds != record.golden.get(name):
        claim.then = _then(unit, name, row, record, around)
    return claim


def _then(unit: Unit, name: str, row: Contribution, record: Record, around: Circumstances) -> str:
    """What will be done about a row that holds something else than golden."""
    if (row.system, row.stream) not in around.writable:
        return "Fieldwarden does not write it there"
    if name not in record.golden and name not in row.restore:
        return f"{row.system} keeps it, since there is nothing to correct it to"
    if unit.policy.protected and unit.policy.on_reject == "leave" and not row.given(name):
        return "the rule leaves it as it is there"
    if row.system in around.deliveries:
        reason = around.deliveries[row.system]
        return f"{row.system} is yet to be corrected" + (f" ({reason})" if reason else "")
    return f"{row.system} still holds it"


def _standing(
    unit: Unit, name: str, row: Contribution, winner: Contribution | None, record: Record, outcome: str | None
) -> tuple[Standing, str]:
    """What became of a row's word, and why in a clause."""
    policy = unit.policy
    if row is winner:
        return "stands", ""
    if row.given(name):
        return "carries", ""
    if name in row.void:
        if outcome in ("refused", "held"):
            return ("held" if outcome == "held" else "refused"), f"{policy.owner} owns it"
        return "nobody's", ""
    if row.deleted is not None:
        return "lost", "its row was merged into another" if row.husk else "its row is gone"
    if is_excluded(row, record.rows, unit.below):
        return "lost", "its parent row is excluded or gone"
    if (row.system, row.stream) in unit.plural and row is not first(
        without_husks(record.rows, unit.below), (row.system, row.stream)
    ):
        return "lost", "another row of its stream is the first"
    if row.fields[name] == record.golden.get(name):
        return "agrees", ""
    if row.system != policy.owner and row.system not in (policy.seed_from if policy.protected else policy.order):
        return "lost", f"{policy.owner} owns it" if policy.protected else f"{row.system} is not heard on it"
    gap = _gap(unit, row)
    if gap and not (winner is not None and _gap(unit, winner)):
        return "lost", gap
    return "lost", _outranked(unit, name, row, winner)


def _gap(unit: Unit, row: Contribution) -> str:
    """Why the row is a candidate only if there is no better one; "" if it is a full one."""
    policy = unit.policy
    alone = len(unit.fields) == 1
    for other in unit.fields:
        if word_of(row, other) is not None or other in unit.optional:
            continue
        counts = row.system in policy.nulls and not (alone and policy.strategy == "first_non_null")
        if row.holds(other) is not msgspec.UNSET and counts:
            continue
        return "a null does not count there" if alone else f"its {unit.name} lacks {other}"
    return ""


def _outranked(unit: Unit, name: str, row: Contribution, winner: Contribution | None) -> str:
    if winner is None:
        return "it may not supply it"
    policy = unit.policy
    if winner.system == row.system:
        return "another row of the same system stands before it"
    if winner.system == policy.owner:
        return f"{policy.owner} owns it"
    if policy.strategy == "recency":
        mine, theirs = row.stamp(name).at, winner.stamp(name).at
        if theirs is not None and (mine is None or mine < theirs):
            return "it is older" if mine is not None else "it was only read, not seen to change"
    return f"{winner.system} comes before {row.system}"


def _sentences(
    explanation: Explanation, unit: Unit, winner: Contribution | None, record: Record, show: Show
) -> Sequence[str]:
    name, entity = explanation.field, explanation.entity
    subject = f"{name} of {entity} {explanation.label}"
    value = record.golden.get(name)
    words: list[str] = []
    if winner is None:
        words.append(
            f"{subject} is empty because no system that may supply it has said anything ({unit.policy.sentence})."
        )
    else:
        because = _because(unit, winner)
        if value is None and winner.system != unit.policy.owner:
            because = f"no system that may supply it says a value ({unit.policy.sentence})"
        words.append(f"{subject} is {'empty' if value is None else show(name, value)} because {because}.")
        words.append(_since(name, winner))
        if word_of(winner, name) != value:
            words.append("The rules have changed since: by today's rules another value would stand.")
    if len(unit.fields) > 1:
        others = ", ".join(explanation.group)
        words.append(f"It stands or falls together with {others} (group {unit.name}).")
    words += [sentence for claim in explanation.claims if (sentence := _loser(claim, unit))]
    carrying = sorted({claim.system for claim in explanation.claims if claim.standing == "carries" and not claim.then})
    if carrying:
        words.append(
            f"{' and '.join(carrying)} {'carry' if len(carrying) > 1 else 'carries'} it: it was written there."
        )
    words += _unread(name, unit, record)
    if record.retired:
        words.append(f"The {entity} is retired.")
    return words


def _unread(name: str, unit: Unit, record: Record) -> list[str]:
    """Values that nobody can read: what their rows hold counts for nothing."""
    found = []
    for row in record.rows:
        if row.deleted is None and name in row.unreadable:
            ends = "it stays until its row says one that can" if stands(unit, row, record.rows) else "it is corrected"
            found.append(f"{row.system} holds a value that cannot be read ({row.unreadable[name]}): {ends}.")
    return found


def _since(name: str, winner: Contribution) -> str:
    """Whose word it is and since when; never that a system said what was written to it."""
    if name in winner.still and not winner.own(name):
        return f"It was given back to {winner.system} with a split."
    if not winner.own(name):
        return f"It was written to {winner.system}, which has said nothing else since."
    at = when(winner.stamp(name).at)
    return f"{winner.system} said so {f'on {at}' if at else 'when it was first read'}."


def _because(unit: Unit, winner: Contribution) -> str:
    policy, system = unit.policy, winner.system
    if system != policy.owner and not any(winner.own(name) for name in unit.fields):
        return f"nobody who is heard on it says anything any more, and {system} carries it ({policy.sentence})"
    order = " > ".join(policy.order)
    if policy.owner is not None:
        rule = f"owner {policy.owner}, protected" if policy.protected else f"owner {policy.owner}"
        if system != policy.owner:
            return f"{policy.owner}, which owns it, has not said a value, and {system} is next to be asked ({rule})"
        if winner.deleted is not None:
            return f"{system} owns it, and its last word outlives the row it deleted ({rule})"
        return f"{system} owns it ({rule})"
    if policy.strategy == "recency":
        return f"{system} changed it last (recency among {', '.join(policy.order)})"
    if policy.strategy == "first_non_null":
        return f"{system} is the first to have one, in the order {order}"
    if policy.order and policy.order[0] == system:
        return f"{system} comes first in the order {order}"
    return f"{system} is the first to have said one, in the order {order}"


def _loser(claim: Claim, unit: Unit) -> str:
    then = f"; {claim.then}" if claim.then else ""
    on = f" on {claim.said_at}" if claim.said_at else ""
    if claim.standing == "stands":
        return f"{claim.system} holds what a join had written there{then}." if then else ""
    if claim.standing == "refused":
        return f"{claim.system} said {claim.said}{on} and was refused{then}."
    if claim.standing == "held":
        return f"{claim.system} said {claim.said}{on}, which {unit.policy.approval or 'a person'} could approve{then}."
    if claim.standing == "lost":
        return f"{claim.system} said {claim.said}{on} and lost, because {claim.why}{then}."
    if claim.standing == "agrees":
        return f"{claim.system} agrees{then}."
    if claim.standing == "nobody's":
        return f"{claim.system} holds {claim.holds}, which counts for nothing until it is said anew{then}."
    if claim.then:
        return f"{claim.system} carries {claim.holds}, which was written there{then}."
    return ""
