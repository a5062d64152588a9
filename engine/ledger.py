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

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, Literal, NamedTuple

import msgspec

from engine.change import Value

Outcome = Literal["accepted", "agreed", "outranked", "refused", "held", "stale", "released", "withdrawn"]

Event = Literal["said", "observed", "deleted", "vanished", "rekeyed", "moved", "left"]


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
    event: Event
    position: str
    at: int | None
    decisions: list[Decision]
    transaction: str = ""
    linked: str = ""
    was: str = ""
    retired: bool | None = None


GENESIS: Final = bytes(32)
"""What the first block of a lane names as its previous block."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(EntryBody)
_version = Struct(">Q").pack
_counts = Struct(">Iq").pack


def encode(body: EntryBody) -> bytes:
    """The body as canonical JSON: fields in declared order, defaults left out, no blanks, UTF-8."""
    return _encoder.encode(body)


def decode(body: bytes | str) -> EntryBody:
    """The inverse of `encode`. Raises msgspec.DecodeError for anything that is not an entry's body."""
    return _decoder.decode(body)


def leaf(record: str, version: int, body: bytes) -> bytes:
    """The hash of one entry: the 32 bytes that the Merkle tree is built on. `record` is a UUID's text."""
    return sha256(b"\0" + bytes.fromhex(record.replace("-", "")) + _version(version) + body).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over a block's leaves in their order; of none, the hash of nothing (RFC 6962, section 2.1)."""
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def block_hash(lane: str, height: int, previous: bytes, root: bytes, rulebook: str, entries: int, at: int) -> bytes:
    """The hash that names a block and that the lane's next block refers to. `at`: µs since 1970 UTC."""
    return sha256(
        b"fieldwarden-block-1"
        + lane.encode()
        + b"\0"
        + _version(height)
        + previous
        + root
        + rulebook.encode()
        + b"\0"
        + _counts(entries, at)
    ).digest()
