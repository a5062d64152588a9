"""From frames to changes with positions: every cut can be restarted from, exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.postgres.marks import Marks, Seal
from fieldwarden.connectors.postgres.reading.pgoutput import Payload
from fieldwarden.connectors.postgres.reading.position import WalPosition, parse_lsn, row_position
from fieldwarden.connectors.postgres.reading.spill import Spool
from fieldwarden.connectors.postgres.reading.transactions import Transactions
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.errors import DecodeError, EnvironmentUnfit, TransientError
from fieldwarden.engine.ports.forged import NONE
from tests.unit.postgres import wire

START = WalPosition("stream", 0x100, streams=("public.account",), server="1")


MARK, SEAL, AT = "fieldwarden:test", Seal(b"k" * 32), 1_700_000_000_000_000


def mark(xid: int, system: str = "crm", within: int = 0) -> bytes:
    return wire.message(MARK, SEAL.content(system, xid, AT).encode(), xid=within)


def transactions(
    start: WalPosition = START, max_changes: int = 1000, max_bytes: int = 1 << 20, sealed_from: int = 0
) -> Transactions:
    return Transactions(
        "crm",
        wire.decoder(),
        start,
        Spool(2000),
        marks=Marks("crm", {MARK}, SEAL, sealed_from),
        max_changes=max_changes,
        max_bytes=max_bytes,
    )


def take(made: Transactions, payloads: list[bytes]) -> list[RawChange]:
    frames = deque[Payload](payloads)
    while frames or made.replaying:
        made.take(frames)
    return made.cut()


def row(number: int, xid: int = 0) -> bytes:
    return wire.insert(number, None, "a", "b", xid=xid)


def history() -> list[bytes]:
    """Three transactions, the last begins where the second ended; one of them is streamed in two chunks."""
    payloads = [
        wire.relation(),
        *(wire.begin(0x100), *(row(number) for number in range(5)), wire.commit(0x100, 0x130)),
        *(wire.stream_start(50), wire.relation(xid=50), *(row(number, 50) for number in range(10, 14)), b"E"),
        *(wire.begin(0x130, 8), row(5), wire.truncate(wire.ACCOUNT), wire.commit(0x130, 0x160)),
        *(wire.stream_start(50, False), row(90, 51), *(row(number, 50) for number in range(14, 17)), b"E"),
        wire.stream_abort(50, 51),
        wire.stream_commit(50, 0x160, 0x190),
        *(wire.begin(0x190, 9), row(6), wire.commit(0x190, 0x1C0)),
    ]
    return [*(wire.frame(payload) for payload in payloads), wire.keepalive(0x200)]


def test_changes_carry_position_time_and_transaction() -> None:
    changes = take(transactions(), history())
    keys = [change.values[0] if change.values else change.operation for change in changes]
    assert keys == [*"01234", "5", "truncate", *map(str, range(10, 17)), "6"]
    assert changes[0].position == row_position(1, 0x100, 1) == "0001.0000000000000100.00000001"
    assert changes[0].at == 1_700_000_000_000_000
    assert changes[0].transaction == "crm xid 7"
    assert [change.position for change in changes] == sorted({change.position for change in changes})


def restart_everywhere(max_changes: int) -> Iterator[tuple[list[RawChange], WalPosition]]:
    made, frames = transactions(max_changes=max_changes), deque[Payload](history())
    yield [], START
    taken: list[RawChange] = []
    while frames or made.replaying:
        made.take(frames)
        taken += made.cut()
        yield list(taken), made.position


@pytest.mark.parametrize("max_changes", range(1, 16))
def test_a_restart_at_any_cut_loses_and_repeats_nothing(max_changes: int) -> None:
    whole = [(change.position, change.values) for change in take(transactions(), history())]
    for taken, position in restart_everywhere(max_changes):
        token = WalPosition.decode(position.encode())
        assert token == position
        rest = take(transactions(token), history())
        assert [(change.position, change.values) for change in taken + rest] == whole


def test_an_idle_keepalive_moves_the_end_but_not_inside_a_transaction() -> None:
    made = transactions()
    take(made, [wire.keepalive(0x180)])
    assert made.position.end == 0x180
    take(made, [wire.frame(wire.begin(0x190)), wire.keepalive(0x999)])
    assert made.position.end == 0x180
    take(made, [wire.frame(wire.commit(0x190, 0x1A0)), wire.keepalive(0x120)])
    assert made.position == WalPosition("stream", 0x1A0, streams=START.streams, server="1")


def test_a_transaction_before_the_end_is_done_and_one_at_the_end_is_not() -> None:
    payloads = [wire.relation(), wire.begin(0xFF), row(1), wire.commit(0xFF, 0x100), wire.begin(0x100), row(2)]
    changes = take(transactions(), [wire.frame(payload) for payload in [*payloads, wire.commit(0x100, 0x110)]])
    assert [change.values[0] for change in changes] == ["2"]


def test_a_pending_partial_transaction_survives_keepalives_before_it() -> None:
    partial = WalPosition("stream", 0x100, 0x150, 3, START.streams, "1")
    made = transactions(partial)
    take(made, [wire.keepalive(0x140)])
    assert made.position == WalPosition("stream", 0x140, 0x150, 3, START.streams, "1")
    take(made, [wire.frame(wire.relation()), wire.frame(wire.begin(0x150)), wire.frame(row(1))])
    assert (made.position.final, made.position.ordinal) == (0x150, 3)


def test_our_own_transactions_are_marked_from_the_message_on() -> None:
    payloads = [
        *(wire.relation(), wire.begin(0x100), row(1), mark(7), row(2)),
        *(wire.commit(0x100, 0x110), wire.begin(0x110), wire.message("other", b""), row(3), wire.commit(0x110, 0x120)),
        *(
            wire.message(MARK, SEAL.content("crm", 7, AT).encode(), transactional=False),
            wire.begin(0x120),
            row(4),
            wire.commit(0x120, 0x130),
        ),
    ]
    changes = take(transactions(), [wire.frame(payload) for payload in payloads])
    assert [change.echo for change in changes] == [False, True, False, False]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1 groups, first record 01900000-0000-7000-8000-000000000001",
        SEAL.content("crm", 8, AT).encode(),  # copied from another transaction
        SEAL.content("crm", 7, AT - 2 * 86_400_000_000).encode(),  # from the last one of this number
        SEAL.content("crm", 7, AT).replace("crm", "erp").encode(),
        SEAL.content("crm", 7, AT).upper().encode(),
        Seal(b"another key" * 3).content("crm", 7, AT).encode(),
        "crm ² x".encode(),
        b"crm 99999999999999999999999999 x",
        b"\xff 1 x",
        b"x " * 10_000_000,
    ],
)
def test_a_mark_that_nobody_with_the_key_has_made_for_this_transaction_marks_nothing(content: bytes) -> None:
    payloads = [wire.relation(), wire.begin(0x100), *[wire.message(MARK, content)] * 3, row(1), row(2)]
    made = transactions()
    changes = take(made, [wire.frame(payload) for payload in [*payloads, wire.commit(0x100, 0x110)]])
    assert [change.echo for change in changes] == [False, False]
    forged = made.found_forged()
    assert (forged.number, forged.transaction, forged.at) == (1, "crm xid 7", AT), "once a transaction"
    assert made.found_forged() == NONE


def test_a_mark_of_another_of_our_systems_is_no_echo_here_and_no_forgery() -> None:
    payloads = [wire.relation(), wire.begin(0x100), mark(7, "erp"), row(1), wire.commit(0x100, 0x110)]
    made = transactions()
    (change,) = take(made, [wire.frame(payload) for payload in payloads])
    assert (change.echo, made.forged) == (False, NONE)


def test_marks_from_before_they_were_sealed_are_believed_up_to_there() -> None:
    old = wire.message(MARK, b"1 groups, first record r")
    first = [wire.relation(), wire.begin(0x100), old, row(1), wire.commit(0x100, 0x110)]
    second = [wire.begin(0x120, 8), old, row(2), wire.commit(0x120, 0x130)]
    made = transactions(sealed_from=0x120)
    changes = take(made, [wire.frame(payload) for payload in first + second])
    assert [change.echo for change in changes] == [True, False]
    assert made.forged.transaction == "crm xid 8"


@pytest.mark.parametrize(("cut", "number"), [(0, 1), (1, 1), (2, 1), (3, 0)])
def test_a_forged_mark_is_told_once_wherever_its_transaction_was_cut(cut: int, number: int) -> None:
    """It stands behind two rows: whoever has taken a third has been told of it."""
    start = START if not cut else WalPosition("stream", 0x100, 0x100, cut, START.streams, "1")
    payloads = [wire.relation(), wire.begin(0x100), row(1), row(2), wire.message(MARK, b""), row(3), row(4)]
    made = transactions(start)
    take(made, [wire.frame(payload) for payload in [*payloads, wire.commit(0x100, 0x110)]])
    assert made.found_forged().number == number


def test_no_part_of_a_key_is_shown_by_who_holds_it() -> None:
    assert "secret" not in repr(Marks("crm", {MARK}, Seal(b"secret" * 6)))


def test_a_mark_in_an_aborted_subtransaction_marks_nothing() -> None:
    payloads = [
        *(
            wire.stream_start(50),
            wire.relation(xid=50),
            wire.message(MARK, SEAL.content("crm", 50, AT).encode(), xid=51),
            row(1, 51),
        ),
        *(row(2, 50), b"E", wire.stream_abort(50, 51), wire.stream_commit(50, 0x100, 0x110)),
    ]
    (change,) = take(transactions(), [wire.frame(payload) for payload in payloads])
    assert (change.values[0], change.echo) == ("2", False)


def test_a_schema_announced_in_an_aborted_subtransaction_still_counts() -> None:
    payloads = [
        *(wire.stream_start(50), wire.relation(xid=51), row(1, 51), row(2, 50), b"E"),
        *(wire.stream_abort(50, 51), wire.stream_commit(50, 0x100, 0x110)),
    ]
    (change,) = take(transactions(), [wire.frame(payload) for payload in payloads])
    assert change.values[0] == "2"


def test_a_batch_is_bounded_in_bytes() -> None:
    made = transactions(max_bytes=300)
    frames = deque[Payload](
        wire.frame(payload) for payload in [wire.relation(), wire.begin(0x100), *map(row, range(50))]
    )
    sizes = []
    while frames:
        made.take(frames)
        if made.full:
            sizes.append(len(made.cut()))
    assert sizes
    assert max(sizes) <= 6


def test_two_phase_transactions_are_refused_by_name() -> None:
    prepare = b"b" + bytes(28) + b"gid\0"
    with pytest.raises(EnvironmentUnfit, match="two-phase"):
        take(transactions(), [wire.frame(prepare)])


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_positions_survive_the_hub(end: int, final: int, ordinal: int) -> None:
    position = WalPosition("stream", end, final if ordinal else 0, ordinal, ("a", "b"), "7", timeline=ordinal)
    assert WalPosition.decode(position.encode()) == position


@pytest.mark.parametrize("token", ["", "{}", "0/0", '{"v":2}', "[1]", '{"v":1,"phase":"x"}'])
def test_what_is_no_position_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        WalPosition.decode(token)


def test_every_baseline_is_newer_than_all_that_was_read_before_it() -> None:
    assert row_position(0x20, 1, 0) > row_position(0x1F, 2**64 - 1, 2**32 - 1)


@pytest.mark.parametrize(("said", "baseline"), [('"epoch":31', 31), ('"baseline":31', 31), ('"other":1', 1)])
def test_tokens_of_former_versions_are_read(said: str, baseline: int) -> None:
    """Which called it an epoch, and before that knew of none."""
    old = '{"v":1,"phase":"stream","end":"1/0","streams":["a"],"server":"7",' + said + "}"
    position = WalPosition.decode(old)
    assert position == WalPosition("stream", 1 << 32, streams=("a",), server="7", baseline=baseline)
    assert WalPosition.decode(position.encode()) == position
    assert row_position(position.baseline, 1, 0) > "0000000100000000.00000001", "from before there were epochs"


def test_the_number_of_the_baseline_stands_in_front_of_the_streamed_positions() -> None:
    later = WalPosition("stream", 0x100, streams=START.streams, server="1", baseline=3)
    assert {change.position[:5] for change in take(transactions(later), history())} == {"0003."}


def test_lsn_text() -> None:
    assert parse_lsn("16/B374D848") == 0x16B374D848


@pytest.mark.parametrize("limit", [0, 200, 1 << 20])
def test_the_spool_keeps_order_within_its_bound(limit: int) -> None:
    spool = Spool(limit)
    for number in range(200):
        spool.append(50 + number % 2, row(number, 50 + number % 2 + 10 * (number % 3)))
        assert spool.memory <= limit
    spool.abort(50, 60)
    spool.abort(51, 51)
    kept = [
        message for message in (row(n, 50 + 10 * (n % 3)) for n in range(0, 200, 2)) if message[1:5] != b"\0\0\0\x3c"
    ]
    assert list(spool.replay(50)) == kept
    assert list(spool.replay(51)) == []
    spool.close()
    assert spool.memory == 0


def test_a_full_disk_is_transient_and_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    def full(**_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fieldwarden.connectors.postgres.reading.spill.tempfile.TemporaryFile", full)
    with pytest.raises(TransientError, match="No space left on device"):
        Spool(10).append(50, row(1, 50))


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"w"],
        [b"w" + bytes(24)],
        [b"k"],
        [wire.frame(b"z")],
        [wire.frame(wire.begin(0x100)), wire.frame(wire.insert(1, oid=9))],
        [wire.frame(wire.relation()), wire.frame(row(1)[:-3])],
        [wire.frame(wire.relation()), wire.frame(row(1) + b"x")],
        [wire.frame(wire.begin(0x100, at=1 << 63))],
        [wire.frame(wire.stream_start(9)), b"w"],
        [wire.frame(wire.stream_start(9)), wire.frame(b"I"), wire.frame(b"E"), wire.frame(wire.stream_commit(9, 1, 2))],
    ],
    ids=repr,
)
def test_what_is_not_the_protocol_halts_its_source_and_says_what_to_do(frames: list[bytes]) -> None:
    with pytest.raises(DecodeError, match=r"^crm: .* of its log$") as halted:
        take(transactions(), frames)
    assert "fieldwarden run --rebaseline crm" in halted.value.suggestion


def test_memory_that_is_short_halts_a_source_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    made = transactions()
    monkeypatch.setattr(made._decoder, "decode", short)
    with pytest.raises(DecodeError, match="MemoryError"):
        made.take(deque[Payload]([wire.frame(wire.begin(0x100))]))


def test_a_row_with_a_text_that_is_not_utf_8_is_set_aside_by_its_key_and_counts() -> None:
    broken = row(2).replace(b"a", b"\xeb")
    update = wire.update(3, None, "a", "b", old=(2, None, None, None)).replace(b"a", b"\xeb")
    keyless = b"I" + row(4)[1:].replace(b"4", b"\xff")
    payloads = [wire.relation(), wire.begin(0x100), row(1), broken, update, keyless, row(5), wire.commit(0x100, 0x130)]
    changes = take(transactions(), [wire.frame(payload) for payload in payloads])
    assert [change.values[0] for change in changes] == ["1", "2", "3", UNKNOWN, "5"]
    assert [change.undecoded is None for change in changes] == [True, False, False, False, True]
    assert [change.position[-1] for change in changes] == [*"12345"]
    kept = changes[1].undecoded
    assert kept is not None
    assert kept.value == broken
    assert "not valid UTF-8" in kept.reason
    streamed = [wire.stream_start(50), wire.relation(xid=50), row(2, 50).replace(b"a", b"\xeb"), b"E"]
    frames = [wire.frame(payload) for payload in (*streamed, wire.stream_commit(50, 0x160, 0x190))]
    assert [change.values for change in take(transactions(), frames)] == [("2",)]
