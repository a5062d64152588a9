"""The decoder, message kind by message kind, and against bytes that are anything else."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.postgres.reading.messages import (
    EPOCH_MICROS,
    Announcement,
    Begin,
    Column,
    Commit,
    LogicalMessage,
    Origin,
    Prepared,
    RolledBackPrepared,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    TypeName,
)
from fieldwarden.connectors.postgres.reading.pgoutput import Decoder, RowMessage
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import DecodeError, SchemaDrift
from fieldwarden.engine.wanted import Wanted
from tests.unit.postgres import wire

AT = 1_700_000_000_000_000
PG_AT = AT - EPOCH_MICROS

MESSAGES = [
    (wire.begin(0x10, 9), Begin(0x10, AT, 9)),
    (wire.commit(0x10, 0x20), Commit(0x10, 0x20, AT)),
    (b"O" + struct.pack(">Q", 3) + b"upstream\0", Origin(3, "upstream")),
    (
        wire.relation(("id", 23, True), ("name", 25, False)),
        Announcement(
            wire.ACCOUNT, "public", "account", "d", (Column("id", True, 23, -1), Column("name", False, 25, -1)), 0
        ),
    ),
    (b"Y" + struct.pack(">I", 17000) + b"\0mood\0", TypeName(17000, "pg_catalog", "mood", 0)),
    (wire.truncate(1, 2, options=3), Truncate((1, 2), True, True, 0)),
    (wire.message("fieldwarden", b"x\0y"), LogicalMessage(True, 5, "fieldwarden", b"x\0y", 0)),
    (wire.message("p", b"", transactional=False), LogicalMessage(False, 5, "p", b"", 0)),
    (wire.stream_start(9), StreamStart(9, True)),
    (wire.stream_start(9, False), StreamStart(9, False)),
    (b"E", StreamStop()),
    (wire.stream_commit(9, 0x10, 0x20), StreamCommit(9, 0x10, 0x20, AT)),
    (wire.stream_abort(9, 10), StreamAbort(9, 10, None, None)),
    (wire.stream_abort(9, 10) + struct.pack(">Qq", 4, PG_AT), StreamAbort(9, 10, 4, AT)),
    (b"b" + struct.pack(">QQqI", 1, 2, PG_AT, 9) + b"gid\0", Prepared("b", 1, 2, AT, 9, "gid")),
    (b"P\0" + struct.pack(">QQqI", 1, 2, PG_AT, 9) + b"gid\0", Prepared("P", 1, 2, AT, 9, "gid")),
    (b"K\0" + struct.pack(">QQqI", 1, 2, PG_AT, 9) + b"gid\0", Prepared("K", 1, 2, AT, 9, "gid")),
    (b"p\0" + struct.pack(">QQqI", 1, 2, PG_AT, 9) + b"gid\0", Prepared("p", 1, 2, AT, 9, "gid")),
    (
        b"r\0" + struct.pack(">QQqqI", 1, 2, PG_AT, PG_AT, 9) + b"gid\0",
        RolledBackPrepared(1, 2, AT, AT, 9, "gid"),
    ),
]
ROWS = [
    wire.insert(1, "hidden", "Ann", "ab   "),
    wire.update(1, None, "Bob", "x", old=(2, None, None, None)),
    wire.update(1, None, wire.UNCHANGED, "x", old=(1, None, "Ann", "x"), kind=b"O"),
    wire.delete(1, None, None, None),
]


@pytest.mark.parametrize(("data", "expected"), MESSAGES, ids=lambda value: type(value).__name__)
def test_every_kind_of_message(data: bytes, expected: object) -> None:
    assert wire.decoder().decode(data) == expected
    assert wire.decoder().decode(b"header" + data, 6) == expected


def test_messages_inside_a_stream_carry_a_transaction_id() -> None:
    decoder = wire.announced()
    assert decoder.decode(wire.insert(1, None, "a", "b", xid=5), streamed=True).xid == 5  # type: ignore[union-attr]
    assert decoder.decode(wire.truncate(1, xid=5), streamed=True) == Truncate((1,), False, False, 5)
    assert decoder.decode(wire.message("p", b"c", xid=5), streamed=True) == LogicalMessage(True, 5, "p", b"c", 5)
    assert decoder.decode(wire.relation(xid=5), streamed=True).xid == 5  # type: ignore[union-attr]
    assert decoder.decode(wire.delete(1, None, None, None, xid=5), streamed=True).xid == 5  # type: ignore[union-attr]


def row(data: bytes, decoder: Decoder | None = None) -> RowMessage:
    decoded = (decoder or wire.announced()).decode(data)
    assert isinstance(decoded, RowMessage)
    return decoded


def test_only_wanted_columns_are_decoded_and_padding_goes() -> None:
    inserted = row(wire.insert(1, "hidden", " Ann ", "ab   "))
    assert inserted.values == ("1", " Ann ", "ab")
    assert inserted.shape is not None
    assert inserted.shape.relation.columns == ("id", "name", "code")
    assert inserted.shape.relation.types == ("integer", "text", "text")


def test_null_unknown_and_value_are_three_things() -> None:
    assert row(wire.update(1, wire.UNCHANGED, wire.UNCHANGED, None)).values == ("1", UNKNOWN, None)
    assert row(wire.insert(1, None, "", "")).values == ("1", "", "")


def test_the_old_key_is_set_only_if_the_key_changed() -> None:
    rekeyed = row(wire.update(2, None, "Ann", "x", old=(1, None, None, None)))
    assert (rekeyed.values, rekeyed.old) == (("2", "Ann", "x"), ("1", UNKNOWN, UNKNOWN))
    assert row(wire.update(1, None, "Ann", "x", old=(1, None, "Bob", "x"), kind=b"O")).old is None


def test_a_full_old_row_tells_what_an_unchanged_toast_value_is() -> None:
    data = wire.update(1, None, wire.UNCHANGED, "x", old=(1, "s", "long", "x"), kind=b"O")
    assert row(data).values == ("1", "long", "x")
    data = wire.update(wire.UNCHANGED, None, wire.UNCHANGED, "x", old=(1, None, None, None))
    assert row(data).values == ("1", UNKNOWN, "x")  # a key's own row fills the key, and nothing else


def test_a_delete_carries_the_key_alone() -> None:
    assert row(wire.delete(1, None, None, None)).values == ("1", UNKNOWN, UNKNOWN)
    assert row(wire.delete(1, "s", "Ann", "x", kind=b"O")).values == ("1", UNKNOWN, UNKNOWN)


def test_rows_of_unmapped_relations_are_known_but_not_read() -> None:
    decoder = wire.announced()
    decoder.announce(decoder.decode(wire.relation(oid=5, name="other")))  # type: ignore[arg-type]
    assert row(wire.insert(1, 2, oid=5), decoder) == RowMessage(None, "insert", (), None, 0)


def test_the_same_announcement_again_keeps_the_relation_and_another_renews_it() -> None:
    decoder = wire.announced()
    before = decoder.shapes[wire.ACCOUNT]
    assert decoder.announce(decoder.decode(wire.relation())) is before  # type: ignore[arg-type]
    wider = wire.relation(("id", 23, True), ("name", 25, False), ("code", 25, False), ("new", 25, False))
    after = decoder.announce(decoder.decode(wider))  # type: ignore[arg-type]
    assert after is not before
    assert row(wire.insert(1, "a", "b  ", "new"), decoder).values == ("1", "a", "b  ")


def test_a_mapped_column_that_is_gone_is_named() -> None:
    decoder = wire.decoder()
    message = decoder.decode(wire.relation(("id", 23, True), ("name", 25, False)))
    with pytest.raises(SchemaDrift, match=r"public\.account has no column code") as caught:
        decoder.announce(message)  # type: ignore[arg-type]
    assert caught.value.path == "public.account.code"


def test_an_identity_that_lost_the_key_is_named() -> None:
    decoder = wire.decoder()
    message = decoder.decode(wire.relation(("id", 23, False), ("name", 25, True), ("code", 1042, False)))
    with pytest.raises(SchemaDrift, match="replica identity does not cover the key column id"):
        decoder.announce(message)  # type: ignore[arg-type]


def test_types_made_later_are_gathered() -> None:
    decoder = Decoder({"public.account": Wanted("public.account", ("id",), frozenset({"id", "name"}))}, wire.TYPES)
    decoder.announce(decoder.decode(wire.relation(("id", 23, True), ("name", 17001, False), ("x", 17002, False))))  # type: ignore[arg-type]
    assert decoder.unknown_types == {17001}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        wire.insert(1, 2),
        wire.insert(1, None, "a", "b", oid=99),
        wire.insert(1, None, "a", "b") + b"x",
        b"I" + struct.pack(">I", wire.ACCOUNT) + b"X" + wire.tuple_(1, 2, 3, 4),
        b"I" + struct.pack(">I", wire.ACCOUNT) + b"N" + struct.pack(">H", 4) + b"z",
        b"I" + struct.pack(">I", wire.ACCOUNT) + b"N" + wire.tuple_(1, 2, 3, 4, binary=True),
        b"I"
        + struct.pack(">I", wire.ACCOUNT)
        + b"N"
        + wire.tuple_("1", "", "\udcff".encode(errors="replace"), "")[:-9]
        + b"\xff",
        b"T" + struct.pack(">IB", 1 << 31, 0),
    ],
)
def test_wrong_bytes_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        wire.announced().decode(data)


def test_every_truncation_is_a_decode_error() -> None:
    for data in [*(data for data, _ in MESSAGES), *ROWS]:
        for end in range(len(data)):
            with suppress(DecodeError):
                decoded = wire.announced().decode(data[:end])
                assert not isinstance(decoded, RowMessage), "a truncated row must never pass for a row"


@given(st.one_of(st.sampled_from([data for data, _ in MESSAGES] + ROWS), st.binary(max_size=80)), st.data())
def test_damaged_bytes_never_fail_in_another_way(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(DecodeError):
        wire.announced().decode(bytes(damaged), streamed=draw.draw(st.booleans()))


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.just(wire.UNCHANGED),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        )
    )
)
def test_what_is_written_is_read(values: list[object]) -> None:
    columns = [("id", 23, True), *((f"c{number}", 25, False) for number in range(len(values)))]
    decoder = Decoder(
        {"public.account": Wanted("public.account", ("id",), frozenset(name for name, _, _ in columns))}, wire.TYPES
    )
    decoder.announce(decoder.decode(wire.relation(*columns)))  # type: ignore[arg-type]
    expected = tuple(UNKNOWN if value is wire.UNCHANGED else value for value in values)
    assert row(wire.insert("1", *values), decoder).values == ("1", *expected)
