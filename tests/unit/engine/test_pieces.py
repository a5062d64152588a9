"""Records whose values are large go to the hub and come back in pieces, as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.change import Value
from engine.hub.pieces import Arriving, Texts, copied_rows, copied_values
from engine.record import LARGE, Contribution, Stamp

ODD = 'say "so"\\ \n\t\r\b\f\x01 é 漢 😀 \\u0041 /'


def sent(pieces: list[bytes]) -> bytes:
    """What COPY makes of them."""
    return b"".join(pieces).replace(b"\\\\", b"\\")


def arrived(data: bytes, size: int, texts: Texts | None = None) -> Arriving:
    arriving = Arriving(texts or Texts())
    for start in range(0, len(data), size):
        arriving.take(data[start : start + size])
    return arriving


@pytest.mark.parametrize("text", ["x", ODD, "\\", '"', "\n", "漢", "😀", "\\u0041"])
@pytest.mark.parametrize("size", [65_521, 65_536, 1 << 22])
def test_a_large_text_is_what_it_was_wherever_it_is_cut(text: str, size: int) -> None:
    large = text * (LARGE // len(text) * 2)
    data = sent(list(copied_values({"note": large, "name": ODD, "none": None})))
    assert json.loads(data) == {"note": large, "name": ODD, "none": None}
    assert arrived(data, size).values() == {"note": large, "name": ODD, "none": None}


@given(st.dictionaries(st.text(), st.none() | st.text()), st.integers(1, 9))
@settings(max_examples=200)
def test_small_values_too_however_they_are_cut(values: dict[str, Value], size: int) -> None:
    data = sent(list(copied_values(values)))
    assert arrived(data, size).values() == values


def test_no_piece_is_large_however_large_a_value_is() -> None:
    pieces = list(copied_values({"note": ODD * LARGE}))
    assert max(map(len, pieces)) < 8 << 20 < sum(map(len, pieces))


def test_equal_texts_of_several_rows_are_one_text_and_the_one_at_hand() -> None:
    large = ODD * LARGE
    row = Contribution("crm", "account", "1", "5", Stamp("5", None), {"note": large}, sent={"note": large, "x": None})
    other = Contribution("erp", "party", "2", "", Stamp("", None), {}, carried={"note": large + "."})
    other.order = ("t" + large, None, "n1")
    data = sent(list(copied_rows([row, other])))
    rows = arrived(data, 1 << 20, Texts([large])).rows()
    assert rows == [row, other]
    assert rows[0].fields["note"] is rows[0].sent["note"] is large
    alone = arrived(data, 1 << 20).rows()
    assert alone[0].fields["note"] is alone[0].sent["note"]


def test_what_looks_like_a_mark_is_a_value_like_any_other() -> None:
    values: dict[str, Value] = {"note": "x" * (LARGE + 1), "name": "\x000", "code": '"\\u00000"'}
    assert arrived(sent(list(copied_values(values))), 1 << 20).values() == values
