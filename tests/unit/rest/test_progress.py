"""Windows of time: what became visible late is not missed, and a full answer is never taken for a whole one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.description import ObjectSpec, OnePage, TimeWindow
from fieldwarden.connectors.rest.moments import SECOND, moment, told
from fieldwarden.connectors.rest.progress import Progress, Window, begun, expired, full, position, window
from fieldwarden.connectors.rest.rows import Row


def cursor(overlap: int = 60, lag: int = 5, **more: Any) -> TimeWindow:
    given = {"kind": "time_window", "overlap": f"{overlap}s", "end_lag": f"{lag}s"} | more
    return TimeWindow.model_validate(given)


@given(
    rows=st.lists(st.tuples(st.integers(0, 500_000_000), st.integers(0, 59_000_000)), max_size=30),
    polls=st.lists(st.integers(1_000_000, 90_000_000), min_size=1, max_size=20),
)
def test_a_row_that_becomes_visible_within_the_overlap_is_read(rows: list[tuple[int, int]], polls: list[int]) -> None:
    """A row has the time at which its transaction began, and is seen only once that is committed."""
    reached, now, read = 0, 0, set()
    for pause in [*polls, 700_000_000, 100_000_000]:
        now += pause
        asked = window(cursor(), reached, now)
        if asked is not None:
            read |= {row for row in rows if asked.since <= row[0] < asked.until and row[0] + row[1] <= now}
            reached = asked.until
    assert read == set(rows)


@given(
    st.integers(0, 4_000_000_000_000_000), st.sampled_from(["iso", "iso_ms", "epoch", "epoch_ms", "http_date", "odata"])
)
def test_windows_that_meet_leave_nothing_between_them(at: int, form: Any) -> None:
    """Both ends are written by the same rule, which cuts off: so what one window leaves out the next one has."""
    written = told(at, form)
    assert moment(written, form) <= at < moment(written, form) + SECOND
    assert told(moment(written, form), form) == written


@given(st.integers(0, 100_000), st.integers(1, 100_000))
def test_halves_are_earlier_and_come_to_an_end(since: int, length: int) -> None:
    whole: Window | None = Window(since * SECOND, (since + length) * SECOND)
    while whole is not None:
        half = whole.half()
        assert half is None or (half.since == whole.since and whole.since < half.until < whole.until)
        whole = half


def test_an_answer_of_as_many_rows_as_the_vendor_gives_at_most_may_be_cut_off() -> None:
    page = OnePage(kind="none", cap=1000)
    assert full(page, 1000)
    assert not full(page, 999)
    assert not full(OnePage(kind="none"), 5000)


def test_what_the_vendor_has_forgotten_is_a_gap() -> None:
    kept = cursor(retention="1h")
    now = 10_000 * SECOND
    assert not expired(kept, now - 3539 * SECOND, now)
    assert expired(kept, now - 3541 * SECOND, now)  # the overlap reaches further back than the vendor does
    assert not expired(cursor(), 0, now)


def test_the_cursor_stands_before_the_first_row_is_asked_for() -> None:
    progress = begun(3, spec(), 100 * SECOND)
    assert (progress.baseline, progress.told, progress.since) == (3, False, 95 * SECOND)


def test_progress_is_kept_as_text_that_grows_with_every_step() -> None:
    progress = Progress(1, delta="https://s/?$deltatoken='x'.y")
    later = progress.next(told=True)
    assert Progress.decode(later.encode()) == later
    assert progress.encode() < later.encode() < Progress(2).encode()


def test_of_two_tellings_the_one_read_later_is_newer_where_versions_do_not_compare() -> None:
    of = spec()
    first, second = Row(("1",), (), version="9", modified=9), Row(("1",), (), version="10", modified=8)
    assert position(of, Progress(1, 5), first, 0) < position(of, Progress(1, 6), second, 0)


def test_of_two_tellings_the_one_changed_later_is_newer_where_the_vendor_may_tell_of_old_ones() -> None:
    of = spec(newer_by="modified", modified={"place": "at"})
    new, old = Row(("1",), (), modified=9 * SECOND), Row(("1",), (), modified=8 * SECOND)
    assert position(of, Progress(1, 5), new, 0) > position(of, Progress(1, 6), old, 0)
    gone = Row(("1",), (), gone=True)
    assert position(of, Progress(1, 6), gone, 10 * SECOND) > position(of, Progress(1, 5), new, 0)


def test_a_new_baseline_is_newer_than_all_before() -> None:
    of = spec(newer_by="modified", modified={"place": "at"})
    row = Row(("1",), (), modified=9)
    assert position(of, Progress(2, 1), row, 0) > position(of, Progress(1, 900), row, 0)


def spec(**more: Any) -> ObjectSpec:
    reading = {"request": {"path": "/x"}, "records": {"path": "$"}}
    given: dict[str, Any] = {"key": "id", "columns": {"id": "id"}, "all": reading, "one": reading}
    given["changes"] = {"cursor": {"kind": "time_window", "end_lag": timedelta(seconds=5)}}
    return ObjectSpec.model_validate(given | more)
