"""A block says what its rows say, whoever asks for them one by one, in part or by columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.engine.block import Block
from fieldwarden.engine.change import UNKNOWN, RawChange, RawValue, Relation
from fieldwarden.engine.deciding.meaning import Meanings
from tests.builders import ALL, rulebook

RULES = rulebook()
ACCOUNTS = Relation("public.account", ("id", "ext", *ALL), ("text",) * (2 + len(ALL)))
VALUES = st.one_of(st.none(), st.just(UNKNOWN), st.sampled_from(["", "Acme", "1.00", "1.005"]))
ROWS = st.lists(st.tuples(*[VALUES] * len(ALL)), max_size=6)


def told(rows: list[tuple[RawValue, ...]], *, dated: bool) -> tuple[Block, list[RawChange]]:
    """The same rows as a block, and as changes of their own."""
    whole = [(f"C-{number}", None, *row) for number, row in enumerate(rows)]
    positions, places = [f"{number:08}" for number in range(len(rows))], [f"page 1, {n}" for n in range(len(rows))]
    at = list(range(len(rows))) if dated else []
    columns = tuple(zip(*whole, strict=True)) if whole else ((),) * len(ACCOUNTS.columns)
    changes = [
        RawChange(ACCOUNTS, "observe", values, positions[n], n if dated else None, place=places[n])
        for n, values in enumerate(whole)
    ]
    return Block(ACCOUNTS, "observe", columns, positions, at, places), changes


@given(ROWS, st.booleans())
def test_a_block_means_what_its_rows_mean(rows: list[tuple[RawValue, ...]], dated: bool) -> None:
    block, changes = told(rows, dated=dated)

    def meant(changes: object) -> object:
        return Meanings(RULES.systems["crm"].streams, RULES.entities, print).all(changes)  # type: ignore[arg-type]

    assert meant(block) == meant(changes)


@given(ROWS, st.integers(-7, 7), st.integers(-7, 7), st.booleans())
def test_a_block_is_a_sequence_of_changes(rows: list[tuple[RawValue, ...]], first: int, end: int, dated: bool) -> None:
    block, changes = told(rows, dated=dated)
    assert [*block] == changes
    assert [*block[first:end]] == changes[first:end]
    assert [block[number] for number in range(len(block))] == changes
    assert bool(block) == bool(changes)


@pytest.mark.parametrize(
    ("columns", "positions"),
    [((("1", "2"), ("Acme",)), ("p1", "p2")), ((("1",), ("Acme",)), ("p1", "p2")), ((("1", "2"),), ("p1", "p2"))],
)
def test_a_block_that_lacks_something_is_refused(
    columns: tuple[tuple[str, ...], ...], positions: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="a block"):
        Block(Relation("account", ("id", "name"), ("text", "text")), "observe", columns, positions)
