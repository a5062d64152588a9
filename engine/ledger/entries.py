"""The ledger's facts: what an entry says, how entries are hashed into blocks, and how blocks chain.

One entry records all that was decided for one change of one record; its body is canonical JSON and is what is
hashed. A block holds the entries of one ingest commit of one lane: a Merkle root over the entries' leaves, the
previous block's hash, the rulebook's hash and the time.

    leaf  = SHA-256(0x00 || record (16 bytes) || version (8 bytes, big-endian) || body)
    node  = SHA-256(0x01 || left || right); an odd node moves up as it is           (RFC 6962, section 2.1)
    block = SHA-256("fieldwarden-block-1" || lane || 0x00 || height (8) || previous || root || rulebook || 0x00
                    || entries (4) || at (8, µs since 1970 UTC))

What people do is in the ledger too: acts, in a lane of their own (`PEOPLE`), hashed and chained alike. An act is
about no single record: its record is the nil UUID, its version a running number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, Literal, NamedTuple

import msgspec

from fieldwarden.engine.change import Value
from fieldwarden.engine.large import Apart, Pieces

Outcome = Literal[
    "accepted",
    "agreed",
    "outranked",
    "refused",
    "held",
    "unreadable",
    "stale",
    "released",
    "withdrawn",
    "applied",
    "joined",
    "merged",
    "split",
    "restored",
]

Event = Literal[
    "said",
    "observed",
    "carried",
    "deleted",
    "vanished",
    "rekeyed",
    "moved",
    "left",
    "mended",
    "applied",
    "joined",
    "merged",
    "followed",
    "parted",
    "split",
    "replaced",
    "claimed",
]


class Decision(NamedTuple):
    """What was decided for one field. It is encoded as a JSON array in this order.

    `proposed` is what the row said (None also for a withdrawal), `before` and `after` the golden value around it,
    `winner` the system whose contribution stands afterwards ("" if none). `rule` says in words why, where that is not
    what the block's rulebook says of the field. Otherwise it is left out, since the hub keeps every rulebook."""

    field: str
    outcome: Outcome
    proposed: Value
    before: Value
    after: Value
    winner: str
    rule: str = ""


class EntryBody(msgspec.Struct):
    """The body of an entry. `row` is (system, stream, key) of the source row; `at` its stated time in µs.

    `event` tells what happened to the row: said (an edit), observed, carried (our own write came back, and its former
    word no longer stands), deleted, vanished (not found by a re-read), rekeyed (`was` = old key), moved (to this
    record, `was` = the former one), left (the other half of moved), mended (a newer word of the row made dead letters
    pointless: `was` = their ids); or, of no row at all, applied (the record was resolved again under a new rulebook).
    joined (another record, `was`, turned out to be this one and gave it its rows; `row` is the one that told, if any),
    merged (the other half: `was` = the record that goes on), followed (what it referred to was joined to another),
    split (rows left for another record, or came from it: `was`; values given back from before their join have the
    outcome restored), parted (a row that it refers to went back to the record `was`), replaced (its system merged the
    row into that with the key `was`, and it says nothing any more), claimed (`row`, which is none of the record's, said
    that it is: by `was`, see `engine.deciding.identity.Claim`; it was not believed).
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


PEOPLE: Final = "#people"
"""The lane of the acts. No system can be called so."""

STEWARDS: Final = "#stewards"
"""The lane of records that a person joined or split."""

RULES: Final = "#rules"
"""The lane of records that were resolved again under a new rulebook."""

NO_RECORD: Final = "00000000-0000-0000-0000-000000000000"
"""What an act names as its record."""


class Act(msgspec.Struct, omit_defaults=True):
    """What a person did: "applied" (a rulebook), "discarded" or "retried" (a letter), "rebaselined" ...

    `who` did it, `why` in that person's words ("" if none were given), `at` in µs since 1970 UTC. `details` say what it
    was done to: ids, hashes, systems, never a row's values. `known_by` says how it is known who it was; "" in
    entries of versions that did not say, and where nobody is known."""

    act: str
    who: str
    why: str
    at: int
    details: dict[str, str] = {}
    known_by: str = ""


class _Body(msgspec.Struct, omit_defaults=True):
    """An entry's body as JSON. Most changes are accepted whole by the word of the row itself: then `accepted` holds the
    values, `before` the golden values that they replace (but for null ones), and there are no `decisions`."""

    entity: str
    row: tuple[str, str, str]
    event: Event
    position: str
    at: int | None
    decisions: list[tuple[Value, ...]] | msgspec.UnsetType = msgspec.UNSET
    accepted: Mapping[str, Value] | msgspec.UnsetType = msgspec.UNSET
    before: Mapping[str, Value] = {}
    transaction: str = ""
    linked: str = ""
    was: str = ""
    retired: bool | None = None


class _Read(_Body, omit_defaults=True):
    decisions: list[Decision] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[assignment]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Read)
_act_decoder = msgspec.json.Decoder(Act)
_version = Struct(">Q").pack
_counts = Struct(">Iq").pack
_LARGE = 1 << 16
"""Bytes of a body from which on it is not copied to be hashed."""


def encode(body: EntryBody) -> bytes:
    """The body as canonical JSON: fields in declared order, defaults left out, no blanks, UTF-8. `decode` is the
    inverse.

    >>> refused = Decision("terms", "refused", "NET90", "NET30", "NET30", "erp")
    >>> body = EntryBody("customer", ("crm", "account", "1"), "said", "7", 1000, [refused])
    >>> decode(encode(body)) == body
    True
    """
    return _encoder.encode(_wire(body))


def encode_large(body: EntryBody) -> bytes | Pieces:
    """As `encode`, where values may be large (`engine.record.LARGE`): then in pieces, which are made as they are
    read."""
    wire, apart = _wire(body), Apart()
    if wire.accepted is not msgspec.UNSET:
        wire.accepted, wire.before = apart.without(wire.accepted), apart.without(wire.before)
    if wire.decisions is not msgspec.UNSET:
        wire.decisions = [tuple(map(apart.small, each)) for each in wire.decisions]
    encoded = _encoder.encode(wire)
    return Pieces(apart, encoded) if apart.texts else encoded


def _wire(body: EntryBody) -> _Body:
    wire = _Body(body.entity, body.row, body.event, body.position, body.at)
    if _plainly_accepted(body):
        wire.accepted = {each.field: each.after for each in body.decisions}
        wire.before = {each.field: each.before for each in body.decisions if each.before is not None}
    else:
        wire.decisions = [each if each.rule else each[:6] for each in body.decisions]
    wire.transaction, wire.linked, wire.was, wire.retired = body.transaction, body.linked, body.was, body.retired
    return wire


def encode_accepted(
    entity: str,
    row: tuple[str, str, str],
    event: Event,
    position: str,
    at: int | None,
    accepted: Mapping[str, Value],
    before: Mapping[str, Value],
    transaction: str = "",
    linked: str = "",
) -> bytes:
    """As `encode` of a body all of whose decisions accepted the row's own word, without making them one by one.

    `accepted` must not be empty. A value in `before` must not be None or equal to the one that replaces it.

    >>> encode_accepted("customer", ("crm", "account", "1"), "said", "7", 1000, {"name": "Anna"}, {"name": "Ann"})[-51:]
    b'"accepted":{"name":"Anna"},"before":{"name":"Ann"}}'
    """
    return _encoder.encode(
        _Body(entity, row, event, position, at, msgspec.UNSET, accepted, before, transaction, linked)
    )


def _plainly_accepted(body: EntryBody) -> bool:
    system = body.row[0]
    names = {each.field for each in body.decisions}
    # A field that is decided twice in one entry cannot stand in one JSON object: all are listed then.
    return 0 < len(names) == len(body.decisions) and all(
        outcome == "accepted" and winner == system and proposed == after and not rule
        for _, outcome, proposed, _, after, winner, rule in body.decisions
    )


def decode(body: bytes | str | Pieces) -> EntryBody:
    """The body that was encoded. Raises msgspec.DecodeError for anything that is not an entry's body."""
    wire = _decoder.decode(bytes(body) if isinstance(body, Pieces) else body)
    if wire.accepted is msgspec.UNSET and wire.decisions is msgspec.UNSET:
        raise msgspec.ValidationError("the body says nothing of decisions")
    decisions = [] if wire.decisions is msgspec.UNSET else wire.decisions
    if wire.accepted is not msgspec.UNSET:
        system, before = wire.row[0], wire.before
        decisions += [
            Decision(name, "accepted", value, before.get(name), value, system) for name, value in wire.accepted.items()
        ]
    return EntryBody(
        wire.entity,
        wire.row,
        wire.event,
        wire.position,
        wire.at,
        decisions,
        wire.transaction,
        wire.linked,
        wire.was,
        wire.retired,
    )


def encode_act(act: Act) -> bytes:
    """The act as canonical JSON, as entries' bodies are, its details in the order of their names. `decode_act` is the
    inverse."""
    return _encoder.encode(msgspec.structs.replace(act, details=dict(sorted(act.details.items()))))


def decode_act(body: bytes | str) -> Act:
    """The act that was encoded. Raises msgspec.DecodeError for anything that is not an act."""
    return _act_decoder.decode(body)


def leaf(record: str, version: int, body: bytes | Pieces) -> bytes:
    """The hash of one entry: 32 bytes on which the Merkle tree is built. `record` is a UUID's text. Raises struct.error
    for a version that is negative."""
    head = b"\0" + bytes.fromhex(record.replace("-", "")) + _version(version)
    if isinstance(body, bytes) and len(body) <= _LARGE:
        return sha256(head + body).digest()
    hashed = sha256(head)
    for piece in (body,) if isinstance(body, bytes) else body:
        hashed.update(piece)
    return hashed.digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over a block's leaves in their order: 32 bytes. Of no leaves it is the hash of nothing (RFC 6962,
    section 2.1).

    >>> one = leaf("0190d2c0-1234-7abc-8def-0123456789ab", 1, b"{}")
    >>> merkle_root([one]) == one, merkle_root([one, one]) == one
    (True, False)
    """
    if not leaves:
        return sha256().digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def block_hash(lane: str, height: int, previous: bytes, root: bytes, rulebook: str, entries: int, at: int) -> bytes:
    """The hash that names a block and that the lane's next block names as its previous one: 32 bytes. `at`: µs since
    1970 UTC. Raises struct.error for numbers that do not fit the formula."""
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
