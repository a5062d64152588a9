"""Pages of one answer: nothing that was there all the time is missed, whatever people do between two of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.description import Page
from fieldwarden.connectors.rest.pages import Got, PageAt, after_page, filled, linked, request_of
from fieldwarden.engine.errors import DecodeError
from tests.unit.rest.listing import Listing, Pages, keyset, offsets, read, tokens

KINDS: Mapping[str, Callable[[int], Pages]] = {"offset": offsets, "token": tokens, "keyset": keyset}
EDITS = st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=12), max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@given(there=st.sets(st.integers(0, 20), min_size=10), size=st.integers(2, 9), edits=EDITS)
def test_what_is_there_all_the_time_is_told_whatever_is_put_and_deleted_between_pages(
    kind: str, there: set[int], size: int, edits: list[list[tuple[bool, int]]]
) -> None:
    listing = Listing()
    for id in there:
        listing.put(id)
    stayed = set(there)

    def meanwhile(number: int) -> None:
        for put, id in edits[number] if number < len(edits) else ():
            if put:
                listing.put(id)
            elif listing.rows.pop(id, None) is not None:
                stayed.discard(id)

    assert read(listing, KINDS[kind](size), meanwhile) >= {str(id) for id in stayed}


def test_rows_that_move_to_an_earlier_page_are_gone_back_for() -> None:
    listing = Listing()
    for id in range(40):
        listing.put(id)

    def meanwhile(number: int) -> None:
        for id in range(number * 3, number * 3 + 3) if number < 4 else ():
            del listing.rows[id]

    assert read(listing, offsets(5), meanwhile) >= {str(id) for id in range(12, 40)}


def test_a_first_record_may_have_another_number_than_nought() -> None:
    listing = Listing()
    for id in range(7):
        listing.put(id)
    assert read(listing, offsets(3, first=1), lambda number: None) == {str(id) for id in range(7)}


def test_pages_that_go_round_are_noticed() -> None:
    page = tokens(2)
    with pytest.raises(DecodeError, match="the same page again"):
        after_page(page, PageAt(token="7"), Got({"next": "7", "more": True}, []))


def test_more_without_saying_where_is_no_end() -> None:
    with pytest.raises(DecodeError, match="not named"):
        after_page(tokens(2), PageAt(), Got({"more": True}, []))


def test_a_vendor_may_say_itself_whether_there_is_more() -> None:
    page: Page = offsets(100).model_copy(update={"more": tokens(2).more})
    got = Got({"more": True}, [{}, {}], [("1",), ("2",)])  # it gives less than it was asked for
    assert after_page(page, PageAt(), got).next == PageAt(offset=1, behind=(("1",), ("2",)))
    assert after_page(page, PageAt(), Got({"more": False}, [{}] * 100, [("1",)] * 100)).next is None


def test_a_record_without_what_pages_are_ordered_by_is_no_end() -> None:
    with pytest.raises(DecodeError, match="has no sort"):
        after_page(keyset(1), PageAt(), Got({}, [{"id": "1"}]))


def test_the_next_page_is_asked_for_by_what_the_last_said() -> None:
    request = request_of(_request(), tokens(5), PageAt(token="t"))
    assert request.query == {"limit": "{size}", "after": "{token}"}
    assert filled(tokens(5), PageAt(token="t")) == {"size": 5, "token": "t"}
    assert request_of(_request(), tokens(5), PageAt()).query == {"limit": "{size}"}
    assert request_of(_request(), keyset(5), PageAt(after=("9",))).path == "/x"
    assert filled(keyset(5), PageAt(after=("9",))) == {"size": 5, "after_1": "9"}


def test_a_link_header_names_the_next_page() -> None:
    assert linked('<https://a/1>; rel="next"') == "https://a/1"
    assert linked('<https://a/1>; rel="prev"') == ""
    assert linked("") == ""


def _request() -> Any:
    from fieldwarden.connectors.rest.description import Request

    return Request.model_validate({"path": "/customers", "query": {"limit": "{size}"}})
