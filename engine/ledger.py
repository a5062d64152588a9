"""The ledger's facts: what an entry says, how entries are hashed into blocks, and how blocks chain.

One entry records all that was decided for one change of one record; its body is canonical JSON and is what is
hashed. A block holds the entries of one ingest commit of one lane: a Merkle root over the entries' leaves, the
previous block's hash, the rulebook's hash and the time.

    leaf  = SHA-256(0x00 || record (16 bytes) || version (8 bytes, big-endian) || body)
    node  = SHA-256(0x01 || left || right); an odd node moves up as it is           (RFC 6962, section 2.1)
    block = SHA-256("fieldwarden-block-1" || lane || 0x00 || height (8) || previous || root || rulebook || 0x00
                    || entries (4) || at (8, µs since 1970 UTC))
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from engine.change import Value

Outcome = Literal["accepted", "agreed", "outranked", "refused", "held", "stale", "released", "withdrawn"]


class Decision(NamedTuple):
    """What was decided for one field: encoded as a JSON array in this order.

    `proposed` is what the row said (None also for a withdrawal), `before`/`after` the golden value around it,
    `winner` the system whose contribution stands afterwards ("" if none), `rule` the rule in words.
    """

    field: str
    outcome: Outcome
    proposed: Value
    before: Value
    after: Value
    winner: str
    rule: str


class EntryBody(msgspec.Struct, omit_defaults=True):
    """The body of an entry. `row` is (system, stream, key) of the source row; `at` its stated time in µs.

    `event` tells what happened to the row: said (an edit), observed, deleted, vanished (not found by a re-read),
    rekeyed (`was` = old key), moved (to this record, `was` = the former record), left (the other half of moved).
    `linked` says how the row found its record when it was new: new, external_id, match, parent, crosswalk.
    `retired` is set when the change retired (true) or revived (false) the record.
    """

    entity: str
    row: tuple[str, str, str]
    event: Literal["said", "observed", "deleted", "vanished", "rekeyed", "moved", "left"]
    position: str
    at: int | None
    decisions: list[Decision]
    transaction: str = ""
    linked: str = ""
    was: str = ""
    retired: bool | None = None
