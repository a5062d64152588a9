"""The ledger's hashes: known answers worked out by hand from the module's formulas, and Merkle properties."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.engine.large import Pieces
from fieldwarden.engine.ledger import entries as ledger
from fieldwarden.engine.ledger.entries import GENESIS, Decision, EntryBody, Outcome

RECORD = "0190d2c0-1234-7abc-8def-0123456789ab"


def body(**changes: object) -> EntryBody:
    values: dict[str, object] = {
        "entity": "customer",
        "row": ("crm", "public.account", "42"),
        "event": "said",
        "position": "0/16B3748",
        "at": 1_700_000_000_000_000,
        "decisions": [Decision("email", "accepted", "é@x", None, "é@x", "crm", "newest")],
    } | changes
    return EntryBody(**values)  # type: ignore[arg-type]


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_body_is_canonical_json() -> None:
    assert ledger.encode(body(linked="new", retired=False)).decode() == (
        '{"entity":"customer","row":["crm","public.account","42"],"event":"said","position":"0/16B3748",'
        '"at":1700000000000000,"decisions":[["email","accepted","é@x",null,"é@x","crm","newest"]],'
        '"linked":"new","retired":false}'
    )


@pytest.mark.parametrize("outcome", ["accepted", "refused"])
@pytest.mark.parametrize("before", [None, "old", "o" * (3 << 20)])
def test_in_pieces_a_body_is_the_same_and_none_is_large(outcome: Outcome, before: str | None) -> None:
    large = 'say "so"\\ \n\x01 é 😀' * (1 << 18)
    said = [Decision("note", outcome, large, before, large, "crm"), Decision("name", outcome, "B", None, "B", "crm")]
    whole, pieces = ledger.encode(body(decisions=said)), ledger.encode_large(body(decisions=said))
    assert bytes(pieces) == whole
    assert isinstance(pieces, Pieces)
    assert max(map(len, pieces)) < 8 << 20
    assert ledger.leaf(RECORD, 3, pieces) == ledger.leaf(RECORD, 3, whole)
    assert ledger.decode(pieces).decisions == said


def test_a_rule_that_the_rulebook_tells_is_left_out_of_a_decision() -> None:
    refused = Decision("email", "refused", "b@x", "a@x", "a@x", "erp")
    assert b'"decisions":[["email","refused","b@x","a@x","a@x","erp"]]' in ledger.encode(body(decisions=[refused]))


def test_what_is_accepted_whole_is_said_in_one_object() -> None:
    said = [
        Decision("email", "accepted", "b@x", "a@x", "b@x", "crm"),
        Decision("name", "accepted", "B", None, "B", "crm"),
    ]
    encoded = ledger.encode(body(decisions=said))
    assert b'"accepted":{"email":"b@x","name":"B"},"before":{"email":"a@x"}' in encoded
    assert b"decisions" not in encoded
    assert ledger.decode(encoded).decisions == said
    entry, values = body(), {"email": "b@x", "name": "B"}
    told = entry.entity, entry.row, entry.event, entry.position, entry.at
    assert encoded == ledger.encode_accepted(*told, values, {"email": "a@x"})


@pytest.mark.parametrize(
    "other",
    [
        Decision("name", "agreed", "B", "B", "B", "crm"),
        Decision("name", "accepted", "B", None, "B", "erp"),
        Decision("name", "accepted", "b", None, "B", "crm"),
        Decision("email", "accepted", "c@x", "b@x", "c@x", "crm"),
    ],
    ids=["agreed", "another system's", "another value", "the same field again"],
)
def test_one_other_decision_and_all_are_listed(other: Decision) -> None:
    said = [Decision("email", "accepted", "b@x", "a@x", "b@x", "crm"), other]
    encoded = ledger.encode(body(decisions=said))
    assert b'"accepted":{' not in encoded
    assert ledger.decode(encoded).decisions == said


values = st.none() | st.text(max_size=20)
decisions = st.builds(
    Decision,
    st.text(max_size=8),
    st.sampled_from(["accepted", "agreed", "outranked", "refused", "held", "stale", "released", "withdrawn"]),
    values,
    values,
    values,
    st.text(max_size=8),
    st.sampled_from(["", "", "older than what the row said"]),
)
bodies = st.builds(
    EntryBody,
    entity=st.text(max_size=10),
    row=st.tuples(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8)),
    event=st.sampled_from(["said", "observed", "deleted", "vanished", "rekeyed", "moved", "left"]),
    position=st.text(max_size=16),
    at=st.none() | st.integers(-(2**62), 2**62),
    decisions=st.lists(decisions, max_size=5),
    transaction=st.text(max_size=8),
    linked=st.text(max_size=8),
    was=st.text(max_size=8),
    retired=st.none() | st.booleans(),
)


@given(bodies)
def test_decode_is_the_inverse_and_encoding_is_stable(entry: EntryBody) -> None:
    encoded = ledger.encode(entry)
    assert ledger.decode(encoded) == entry
    assert ledger.decode(encoded.decode()) == entry
    assert ledger.encode(ledger.decode(encoded)) == encoded


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"entity":1}', '{"entity":"x","row":["a","b","c"],"event":"said","position":"1","at":null}'],
)
def test_what_is_no_body_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        ledger.decode(text)


def test_leaf_known_answer() -> None:
    expected = sha(b"\x00" + bytes.fromhex("0190d2c012347abc8def0123456789ab") + b"\0\0\0\0\0\0\0\x07" + b"{}")
    assert ledger.leaf(RECORD, 7, b"{}") == expected
    assert expected.hex() == "b57c987d78177f99addc92b669a5309c838c49f4663a5f73f78233d42d7404d1"


def test_merkle_root_known_answers() -> None:
    a, b, c = sha(b"a"), sha(b"b"), sha(b"c")
    assert ledger.merkle_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ledger.merkle_root([a]) == a
    assert ledger.merkle_root([a, b]) == sha(b"\1" + a + b)
    assert ledger.merkle_root([a, b, c]) == sha(b"\1" + sha(b"\1" + a + b) + c)


def test_block_hash_known_answer() -> None:
    root = sha(b"root")
    expected = sha(
        b"fieldwarden-block-1crm\x00"
        + bytes.fromhex("0000000000000005")
        + GENESIS
        + root
        + b"abc\x00"
        + bytes.fromhex("00000003")
        + (1_700_000_000_000_001).to_bytes(8, "big")
    )
    assert ledger.block_hash("crm", 5, GENESIS, root, "abc", 3, 1_700_000_000_000_001) == expected
    assert expected.hex() == "e3d996c38e68fff055f7e46f526fd40575b96ccdf0daef30ac98e585537b86ea"


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962's own definition: split at the largest power of two below n."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha(b"")
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + recursive_root(leaves[:split]) + recursive_root(leaves[split:]))


leaf_lists = st.lists(st.binary(min_size=32, max_size=32), max_size=40)


@given(leaf_lists)
def test_merkle_root_is_that_of_rfc_6962(leaves: list[bytes]) -> None:
    before = list(leaves)
    assert ledger.merkle_root(leaves) == recursive_root(leaves)
    assert leaves == before


@given(leaf_lists.filter(bool), st.data())
def test_any_altered_removed_added_or_swapped_leaf_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    root = ledger.merkle_root(leaves)
    at = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.binary(min_size=32, max_size=32).filter(lambda new: new != leaves[at]))
    assert ledger.merkle_root([*leaves[:at], other, *leaves[at + 1 :]]) != root
    assert ledger.merkle_root(leaves[:at] + leaves[at + 1 :]) != root
    assert ledger.merkle_root([*leaves[:at], other, *leaves[at:]]) != root
    swap = data.draw(st.integers(0, len(leaves) - 1))
    if leaves[at] != leaves[swap]:
        swapped = list(leaves)
        swapped[at], swapped[swap] = swapped[swap], swapped[at]
        assert ledger.merkle_root(swapped) != root


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_leaf_covers_every_byte_of_the_body(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    flipped = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
    assert ledger.leaf(RECORD, 1, content) != ledger.leaf(RECORD, 1, flipped)
    assert ledger.leaf(RECORD, 1, content) != ledger.leaf(RECORD, 2, content)
