"""Records whose values are large go to the hub and come back in pieces, as they were."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldwarden.engine.change import Value
from fieldwarden.engine.hub.pieces import Arriving, Texts, copied_rows, copied_values, ending
from fieldwarden.engine.record import LARGE, Contribution, Stamp

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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("where", [0, 1, LARGE // 2, LARGE + 1, LARGE * len(ODD) - 1])
def test_a_text_that_is_like_one_at_hand_for_a_while_is_another(where: int) -> None:
    large = ODD * LARGE
    like = {
        "changed": large[:where] + "!" + large[where + 1 :],
        "shorter": large[: where + LARGE],
        "longer": large + large[:where],
    }
    data = sent(list(copied_values(like)))
    assert arrived(data, 1 << 20, Texts(["x" * LARGE * 2, large, large[:-1]])).values() == like


def test_what_is_at_hand_is_not_made_again() -> None:
    large = "x" * (8 << 20)
    data = sent(list(copied_values({"note": large, "other": large})))
    texts = Texts([large])
    tracemalloc.start()
    try:
        values = arrived(data, 1 << 18, texts).values()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert values["note"] is values["other"] is large


def test_to_find_the_end_of_a_text_no_more_is_looked_at_than_it_is_long() -> None:
    """A piece holds many texts: each of them must not cost a look at all of it."""
    text = b'\\"' * 500 + b"\\\\"
    data = text + b'"' + b" " * (16 << 20)
    tracemalloc.start()
    try:
        assert ending(data, 0) == len(text)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.lists(st.sampled_from(['\\"', "\\\\", "x", "\\n"]), max_size=40), st.integers(0, 3))
@settings(max_examples=300)
def test_the_end_of_a_text_is_the_first_quote_that_is_not_escaped(parts: list[str], before: int) -> None:
    text = ('\\"' * (100 * before) + "".join(parts)).encode()
    assert ending(b"," + text + b'",' + text, 1) == 1 + len(text)
    assert ending(b"," + text, 1) == -1


def test_what_looks_like_a_mark_is_a_value_like_any_other() -> None:
    values: dict[str, Value] = {"note": "x" * (LARGE + 1), "name": "\x000", "code": '"\\u00000"'}
    assert arrived(sent(list(copied_values(values))), 1 << 20).values() == values
