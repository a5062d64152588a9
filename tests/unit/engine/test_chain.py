"""The chain's checker: a lane as written passes, and no flipped bit of anything in it goes unnoticed or unnamed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.engine.ledger.chain import Block, Break, Chain, StoredEntry
from fieldwarden.engine.ledger.entries import GENESIS, Decision, EntryBody, block_hash, encode, leaf, merkle_root

Lane = list[tuple[Block, list[StoredEntry]]]


def entry(height: int, ordinal: int) -> StoredEntry:
    record = f"0190d2c0-0000-7000-8000-{height:06x}{ordinal:06x}"
    decision = Decision("name", "accepted", "Ann", None, "Ann", "crm", "owner crm")
    body = EntryBody("customer", ("crm", "account", str(ordinal)), "said", "0/1", 5, [decision])
    return StoredEntry(ordinal, record, 1 + ordinal, encode(body))


def lane(sizes: list[int], *, listed: bool = True) -> Lane:
    previous, blocks = GENESIS, []
    for height, size in enumerate(sizes):
        entries = [entry(height, ordinal) for ordinal in range(size)]
        leaves = [leaf(each.record, each.version, each.body) for each in entries]
        root = merkle_root(leaves)
        hashed = block_hash("crm", height, previous, root, "ab", size, height)
        kept = b"".join(leaves) if listed else None
        blocks.append((Block("crm", height, previous, root, hashed, "ab", size, height, kept), entries))
        previous = hashed
    return blocks


def checked(blocks: Lane) -> list[Break]:
    chain = Chain("crm")
    return [each for block, entries in blocks for each in chain.take(block, entries)]


def flipped(data: bytes, bit: int) -> bytes:
    at, mask = bit // 8 % len(data), 1 << bit % 8
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(sizes, st.booleans())
def test_a_lane_as_it_was_written_passes(shape: list[int], listed: bool) -> None:
    assert checked(lane(shape, listed=listed)) == []


@given(sizes, st.booleans(), st.data())
def test_any_flipped_bit_of_an_entry_is_named(shape: list[int], listed: bool, data: st.DataObject) -> None:
    blocks = lane(shape, listed=listed)
    height = data.draw(st.integers(0, len(shape) - 1))
    ordinal = data.draw(st.integers(0, shape[height] - 1))
    entries = blocks[height][1]
    old, bit = entries[ordinal], data.draw(st.integers(0, 10_000))
    change = data.draw(st.sampled_from(["body", "version", "record"]))
    if change == "body":
        entries[ordinal] = old._replace(body=flipped(old.body, bit))
    elif change == "version":
        entries[ordinal] = old._replace(version=old.version ^ (1 << bit % 63))
    else:
        entries[ordinal] = old._replace(record=flipped(bytes.fromhex(old.record.replace("-", "")), bit).hex())
    breaks = checked(blocks)
    assert [(each.kind, each.height) for each in breaks] == [("entry_altered", height)]
    assert breaks[0].ordinal == ordinal or not listed


@given(sizes, st.integers(0, 10_000), st.data())
def test_any_flipped_bit_of_a_block_is_named(shape: list[int], bit: int, data: st.DataObject) -> None:
    blocks = lane(shape)
    height = data.draw(st.integers(0, len(shape) - 1))
    block, entries = blocks[height]
    column = data.draw(st.sampled_from(["previous", "root", "hash", "rulebook", "entries", "at", "leaves"]))
    value = getattr(block, column)
    if isinstance(value, bytes):
        other: Any = flipped(value, bit)
    elif isinstance(value, str):
        other = flipped(value.encode(), bit % 7 + 8 * (bit % 2)).decode()
    else:
        other = value ^ (1 << bit % 30)
    changed: dict[str, Any] = {column: other}
    blocks[height] = replace(block, **changed), entries
    breaks = checked(blocks)
    assert [(each.kind, each.height) for each in breaks] == [("block_altered", height)], column
    words = {"previous": "previous hash", "root": "Merkle root", "entries": "number", "leaves": "list"}
    assert words.get(column, "rulebook, time or lane") in breaks[0].words


@given(sizes, st.data())
def test_a_block_taken_out_is_missed(shape: list[int], data: st.DataObject) -> None:
    blocks = lane(shape)
    gone = data.draw(st.integers(0, len(shape) - 1))
    breaks = checked(blocks[:gone] + blocks[gone + 1 :])
    if gone == len(shape) - 1:
        assert breaks == [], "a cut tail is for the records' versions to tell"
    else:
        assert [(each.kind, each.height) for each in breaks] == [("block_missing", gone)]


def test_a_block_that_claims_very_many_entries_is_bounded() -> None:
    blocks = lane([2])
    block, entries = blocks[0]
    altered = [entries[0]._replace(version=9), entries[1]]
    assert len(checked([(replace(block, entries=1 << 30, leaves=None), altered)])) < 2000


def test_a_break_says_where_it_is() -> None:
    broken = Break("entry_altered", "it was altered", "crm", 3, 5, "0190", "customer")
    assert str(broken) == "lane crm, block 3, entry 5, customer 0190: it was altered"
    assert str(Break("record_differs", "it differs", record="0190")) == "record 0190: it differs"
